//! The check that the loaded driver is the installed one: a reimage has no effect before a boot
//! loads its driver. Pure.

use jiff::Timestamp;

use crate::core::record::Verdict;

/// The kernel's module for the GPUs.
pub const MODULE: &str = "amdgpu";

/// What a host reports about its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// `srcversion` of the module installed for the running kernel, from `modinfo`. `None`: there
    /// is no such module, or it has no `srcversion`.
    pub installed: Option<String>,
    pub loaded: Loaded,
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
        (Some(installed), Loaded::Yes(Some(loaded))) if installed == loaded => {
            ("passed", None, format!("{MODULE} {loaded} is loaded"))
        }
        (Some(installed), Loaded::Yes(Some(loaded))) => {
            let detail = format!("{MODULE} {installed} is installed, {loaded} is loaded");
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
            let driver = Driver { installed: installed.map(str::to_owned), loaded };
            let said = verdict(&driver, Timestamp::UNIX_EPOCH).map(|verdict| verdict.verdict);
            assert_eq!(said.as_deref(), expected, "{driver:?}");
        }
    }
}
