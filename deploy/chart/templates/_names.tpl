{{- /* The labels of every object; the argument is the name of its program, or of the object. */ -}}
{{- define "ossci.labels" -}}
{app.kubernetes.io/name: {{ . }}, app.kubernetes.io/part-of: ossci-ops}
{{- end }}

{{- /* The image of a program: a list of the root and its key in `images`. */ -}}
{{- define "ossci.image" -}}
{{- $root := index . 0 }}{{ $image := index $root.Values.images (index . 1) -}}
{{- with $root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* A field of a pod that some sites need and most do not. */ -}}
{{- define "ossci.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Our four taint keys, as CEL. */ -}}
{{- define "ossci.taints" -}}
{{- $prefix := .Values.policy.taintPrefix | default "" -}}
{{- $keys := list }}{{ range list "repair-reboot" "repair-reimage" "repair-manual" "slow-network" }}{{ $keys = append $keys (printf "'%s%s'" (ternary (printf "%s/" $prefix) "" (ne $prefix "")) .) }}{{ end -}}
[{{ join ", " $keys }}]
{{- end }}

{{- /* The user names of our two accounts, and the groups of the operators, as CEL. */ -}}
{{- define "ossci.controller" -}}'system:serviceaccount:{{ .Release.Namespace }}:ossci-remediator'{{- end }}
{{- define "ossci.agent" -}}'system:serviceaccount:{{ .Release.Namespace }}:ossci-agent'{{- end }}
{{- define "ossci.operators" -}}
{{- $groups := list }}{{ range .Values.security.operators }}{{ $groups = append $groups (printf "'%s'" .) }}{{ end -}}
request.userInfo.groups.exists(group, group in [{{ join ", " $groups }}])
{{- end }}

{{- /* The security contexts of a pod, and of its container, that need nothing of the host. */ -}}
{{- define "ossci.restrictedPod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "ossci.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Requirements that no node of a pool meets, labelled by the controller or not yet. */}}
{{- define "ossci.offPools" -}}
- {key: ossci.amd.com/pool, operator: DoesNotExist}
{{- range .Values.pools }}
{{- if eq (len .nodeSelector) 1 }}
{{- range $key, $value := .nodeSelector }}
- {key: {{ $key }}, operator: NotIn, values: [{{ $value | quote }}]}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
