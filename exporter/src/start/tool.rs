//! Path of a tool and its command line. Searches the disk on each run, since a tool comes and goes
//! with its package. Starts nothing.

use crate::ending::Ending;
use crate::start::child::Invocation;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Searched in this order, below the root of the tools.
const DIRECTORIES: [&str; 3] = ["opt/rocm/bin", "usr/bin", "usr/local/bin"];

/// A tool of the host.
#[derive(Debug, Clone)]
pub struct Tool {
    pub name: &'static str,
    /// `/`, or where the host's file system is mounted.
    pub rootfs: PathBuf,
    /// Configured path, as seen from the tool's own root; `None`: it is searched.
    pub path: Option<PathBuf>,
}

impl Tool {
    /// Finds the tool. Blocks while the disk does.
    pub fn invocation(&self, arguments: Vec<OsString>) -> Result<Invocation, Ending> {
        let tool = match &self.path {
            Some(path) if is_file(&self.rootfs, path) => path.clone(),
            Some(path) => return Err(Ending::NotFound(format!("{} is not a file", path.display()))),
            None => self.find()?,
        };
        let rootfs = (self.rootfs != Path::new("/")).then(|| self.rootfs.clone());
        Ok(Invocation { rootfs, tool, arguments })
    }

    /// Returns whether the tool exists. Blocks while the disk does.
    pub fn is_there(&self) -> bool {
        self.invocation(Vec::new()).is_ok()
    }

    fn find(&self) -> Result<PathBuf, Ending> {
        let mut places = DIRECTORIES.iter().map(|directory| Path::new("/").join(directory).join(self.name));
        places.find(|place| is_file(&self.rootfs, place)).ok_or_else(|| {
            let root = self.rootfs.display();
            Ending::NotFound(format!("no {} in {} below {root}", self.name, DIRECTORIES.join(", ")))
        })
    }
}

/// Returns whether `path` is a file for a process whose root is `rootfs`: links in it (/opt/rocm is
/// one) lead to paths below that root.
fn is_file(rootfs: &Path, path: &Path) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = open(rootfs, flags | OFlags::DIRECTORY, Mode::empty())
        .and_then(|root| openat2(&root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT));
    let file = match file {
        // Kernels before 5.6 follow a link to an absolute path outside of the root; usually the
        // same path exists there.
        Err(Errno::NOSYS) => {
            let below = path.strip_prefix("/").unwrap_or(path);
            rustix::fs::openat(CWD, rootfs.join(below), flags, Mode::empty())
        }
        other => other,
    };
    file.and_then(fstat).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::scratch;
    use std::os::unix::fs::symlink;

    fn tool(rootfs: &Path, path: Option<&str>) -> Tool {
        Tool { name: "rocm-smi", rootfs: rootfs.to_path_buf(), path: path.map(PathBuf::from) }
    }

    #[test]
    fn an_absolute_link_below_the_root_is_followed_below_the_root() {
        let root = scratch("links");
        std::fs::create_dir_all(root.join("opt/rocm-6.2/bin")).unwrap();
        std::fs::write(root.join("opt/rocm-6.2/bin/rocm-smi"), "").unwrap();
        symlink("/opt/rocm-6.2", root.join("opt/rocm")).unwrap();
        let found = tool(&root, None).invocation(Vec::new()).unwrap();
        assert_eq!(found.tool, Path::new("/opt/rocm/bin/rocm-smi"));
        assert_eq!(found.rootfs.as_deref(), Some(&*root));
    }

    #[test]
    fn a_missing_tool_is_reported_with_the_searched_places() {
        let root = scratch("nowhere");
        let Err(Ending::NotFound(said)) = tool(&root, None).invocation(Vec::new()) else { panic!() };
        assert!(said.contains("opt/rocm/bin"), "{said}");
        assert!(matches!(tool(&root, Some("/bin/x")).invocation(Vec::new()), Err(Ending::NotFound(_))));
    }

    #[test]
    fn a_tool_of_this_root_is_started_without_chroot() {
        let found = tool(Path::new("/"), Some("/bin/sh")).invocation(Vec::new()).unwrap();
        assert_eq!((found.rootfs, found.tool), (None, PathBuf::from("/bin/sh")));
    }
}
