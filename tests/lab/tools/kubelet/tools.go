//go:build tools

// Package tools pins the kubelet that VM nodes run.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kubelet"
)
