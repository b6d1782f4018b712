//! The pins: the tools that the lab needs, the Go module of each, and the cache key of the result.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::environment;

/// One Go module below `tests/lab/tools`, and the programs that are built from it.
#[derive(Debug)]
pub struct Pin {
    pub name: &'static str,
    packages: &'static [&'static str],
    pub programs: &'static [&'static str],
    tags: &'static str,
    /// Version variables that the project's own release build would set.
    versions: &'static str,
    /// Duration of the first build on two cores, for the progress line.
    pub about: &'static str,
}

const KUBERNETES: &str = "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 \
                          -X k8s.io/component-base/version.gitMinor=36";

pub const PINS: [Pin; 10] = [
    Pin { name: "etcd", packages: &["."], programs: &["etcd"], tags: "", versions: "", about: "45 s" },
    Pin {
        name: "controlplane",
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kubectl",
        ],
        programs: &["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"],
        tags: "",
        versions: KUBERNETES,
        about: "6 min",
    },
    Pin {
        name: "prometheus",
        packages: &["github.com/prometheus/prometheus/cmd/prometheus", "github.com/prometheus/prometheus/cmd/promtool"],
        programs: &["prometheus", "promtool"],
        // File discovery remains; the clients of cloud providers are most of the download and of
        // the build.
        tags: "remove_all_sd",
        versions: "-X github.com/prometheus/common/version.Version=3.16.0",
        about: "3 min",
    },
    Pin {
        name: "alertmanager",
        packages: &[
            "github.com/prometheus/alertmanager/cmd/alertmanager",
            "github.com/prometheus/alertmanager/cmd/amtool",
        ],
        programs: &["alertmanager", "amtool"],
        tags: "",
        versions: "-X github.com/prometheus/common/version.Version=0.31.1",
        about: "1 min",
    },
    Pin {
        name: "pint",
        packages: &["github.com/cloudflare/pint/cmd/pint"],
        programs: &["pint"],
        tags: "",
        versions: "",
        about: "1 min",
    },
    Pin {
        name: "mailpit",
        packages: &["github.com/axllent/mailpit"],
        programs: &["mailpit"],
        tags: "",
        versions: "",
        about: "40 s",
    },
    Pin {
        name: "prometheus-operator",
        packages: &["github.com/prometheus-operator/prometheus-operator/cmd/operator"],
        programs: &["operator"],
        tags: "",
        versions: "",
        about: "3 min",
    },
    Pin {
        name: "dashboards",
        packages: &["./dashboard-judge"],
        programs: &["dashboard-judge"],
        tags: "",
        versions: "",
        about: "2 min",
    },
    Pin {
        name: "helm",
        packages: &["helm.sh/helm/v4/cmd/helm", "github.com/yannh/kubeconform/cmd/kubeconform"],
        programs: &["helm", "kubeconform"],
        tags: "",
        versions: "",
        about: "2 min",
    },
    Pin {
        name: "kube-score",
        packages: &["github.com/zegl/kube-score/cmd/kube-score"],
        programs: &["kube-score"],
        tags: "",
        versions: "",
        about: "30 s",
    },
];

/// Pins for benchmarks and VM nodes only; built on demand.
pub const PEERS: [Pin; 2] = [
    Pin {
        name: "node_exporter",
        packages: &["github.com/prometheus/node_exporter"],
        programs: &["node_exporter"],
        tags: "",
        versions: "",
        about: "1 min",
    },
    Pin {
        name: "kubelet",
        packages: &["k8s.io/kubernetes/cmd/kubelet"],
        programs: &["kubelet"],
        tags: "",
        versions: KUBERNETES,
        about: "4 min",
    },
];

impl Pin {
    /// The folder with go.mod and go.sum.
    pub fn module(&self) -> PathBuf {
        environment::repository().join("tests/lab/tools").join(self.name)
    }

    /// Arguments of `go` that build this module's programs into `out`.
    pub fn build_args(&self, out: &Path) -> Vec<String> {
        let linker = format!("-s -w {}", self.versions);
        let mut args =
            vec!["build".into(), "-mod=readonly".into(), "-trimpath".into(), "-tags".into(), self.tags.into()];
        args.extend(["-ldflags".into(), linker.trim_end().into(), "-o".into(), format!("{}/", out.display())]);
        args.extend(self.packages.iter().map(|package| package.to_string()));
        args
    }

    /// The cache folder of this pin's programs: its name has the hash of what they were built from.
    pub fn home(&self) -> Result<PathBuf> {
        Ok(environment::cache_dir()?.join("tools").join(format!("{}-{}", self.name, self.key()?)))
    }

    /// The highest Go version that the module asks for, as (major, minor, patch).
    pub fn go_version(&self) -> Result<(u32, u32, u32)> {
        let path = self.module().join("go.mod");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or("1.26.0");
        Ok(version(line))
    }

    fn key(&self) -> Result<String> {
        let module = self.module();
        let mut files: Vec<PathBuf> = fs::read_dir(&module)
            .with_context(|| format!("reading {}", module.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension != "new"))
            .collect();
        files.sort();
        let mut hash = Sha256::new();
        for file in files {
            hash.update(fs::read(&file).with_context(|| format!("reading {}", file.display()))?);
            hash.update([0]);
        }
        hash.update(self.build_args(Path::new("")).join("\n"));
        Ok(format!("{:.16x}", hash.finalize()))
    }
}

/// "1.26.8" as numbers; missing parts are 0.
pub fn version(text: &str) -> (u32, u32, u32) {
    let mut parts = text.trim().split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    });
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("1.26.8") > version("1.9.30"));
        assert_eq!(version("1.26rc1"), (1, 26, 0));
    }

    #[test]
    fn the_key_of_a_pin_is_stable_and_its_own() {
        let keys: Vec<_> = PINS.iter().map(|pin| pin.key().unwrap()).collect();
        assert_eq!(keys[0], PINS[0].key().unwrap());
        assert_ne!(keys[0], keys[1]);
    }
}
