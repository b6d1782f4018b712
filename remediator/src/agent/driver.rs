//! The check that the loaded driver is the installed one: a reimage has no effect before a boot
//! loads its driver. Pure.

use jiff::Timestamp;

use crate::core::record::Verdict;

/// The kernel's module for the GPUs.
pub const MODULE: &str = "amdgpu";

/// What a host reports about its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// The module installed for the running kernel. `None`: there is no such module, or it has no
    /// `srcversion`.
    pub installed: Option<Installed>,
    pub loaded: Loaded,
}

/// The module that the host itself would load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    pub srcversion: String,
    /// It came with the kernel, and not from a package of the driver.
    pub is_kernels: bool,
}

impl Installed {
    /// Reads what `modinfo` prints of a module: one field and its value in each line.
    pub fn of(modinfo: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = modinfo.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim().to_owned())
        };
        // /lib/modules/KERNEL/kernel/... is the kernel's; packages use updates/ and extra/.
        let path = field("filename").unwrap_or_default();
        let is_kernels = path.split_once("/modules/").and_then(|(_, path)| path.split('/').nth(1)) == Some("kernel");
        Some(Self { srcversion: field("srcversion")?, is_kernels })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    No,
    /// With the content of `/sys/module/amdgpu/srcversion`, if the file exists.
    Yes(Option<String>),
}

/// Returns the verdict; `None` if there is nothing to compare.
pub fn verdict(driver: &Driver, at: Timestamp) -> Option<Verdict> {
    let (verdict, reason, detail) = match (&driver.installed, &driver.loaded) {
        (_, Loaded::No) => ("failed", Some("driver-not-loaded"), format!("{MODULE} is not loaded")),
        (Some(installed), Loaded::Yes(Some(loaded))) if installed.srcversion == *loaded => {
            ("passed", None, format!("{MODULE} {loaded} is loaded"))
        }
        // A driver of another origin: the GPU operator and KMM load one out of a container.
        (Some(installed), Loaded::Yes(Some(_))) if installed.is_kernels => return None,
        (Some(installed), Loaded::Yes(Some(loaded))) => {
            let detail = format!("{MODULE} {} is installed, {loaded} is loaded", installed.srcversion);
            ("failed", Some("driver-not-loaded"), detail)
        }
        (None, Loaded::Yes(_)) | (Some(_), Loaded::Yes(None)) => return None,
    };
    Some(Verdict::of("driver", (verdict, reason), detail, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installed_driver_has_to_be_the_one_that_is_loaded() {
        let yes = |version: Option<&str>| Loaded::Yes(version.map(str::to_owned));
        for (installed, loaded, expected) in [
            (Some("A"), yes(Some("A")), Some("passed")),
            (Some("A"), yes(Some("B")), Some("failed")),
            (Some("A"), Loaded::No, Some("failed")),
            (None, Loaded::No, Some("failed")),
            (None, yes(Some("B")), None),
            (Some("A"), yes(None), None),
        ] {
            let installed = installed.map(|version| package(version, "updates/dkms"));
            let driver = Driver { installed, loaded };
            let said = verdict(&driver, Timestamp::UNIX_EPOCH).map(|verdict| verdict.verdict);
            assert_eq!(said.as_deref(), expected, "{driver:?}");
        }
    }

    #[test]
    fn a_driver_out_of_a_container_is_not_compared_with_the_kernels() {
        let kernels = Some(package("A", "kernel/drivers/gpu/drm/amd/amdgpu"));
        for (loaded, expected) in [(Some("A"), Some("passed")), (Some("B"), None)] {
            let driver = Driver { installed: kernels.clone(), loaded: Loaded::Yes(loaded.map(str::to_owned)) };
            let said = verdict(&driver, Timestamp::UNIX_EPOCH).map(|verdict| verdict.verdict);
            assert_eq!(said.as_deref(), expected, "{driver:?}");
        }
    }

    fn package(srcversion: &str, folder: &str) -> Installed {
        let path = format!("/lib/modules/6.8.0-60-generic/{folder}/amdgpu.ko.zst");
        Installed::of(&format!("filename:       {path}\nversion: 6.16.13\nsrcversion:     {srcversion}\n")).unwrap()
    }

    #[test]
    fn a_module_without_a_srcversion_is_not_compared() {
        assert_eq!(Installed::of("filename: (builtin)\nname: amdgpu\n"), None);
        assert_eq!(Installed::of(""), None);
        let usr = "filename: /usr/lib/modules/6.8.0/kernel/amdgpu.ko\nalias: pci:v00001002\nsrcversion: C0FFEE\n";
        assert!(Installed::of(usr).unwrap().is_kernels);
    }
}
