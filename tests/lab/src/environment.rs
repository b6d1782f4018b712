//! The lab's only access to the environment, and the paths that follow from it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The cache of built tools, shared by all clones on this machine.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match (variable("XDG_CACHE_HOME"), variable("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => bail!("neither XDG_CACHE_HOME nor HOME is set: set one for the cache of built tools"),
    };
    Ok(base.join("ossci-ops"))
}

/// The checkout that this binary was built from.
pub fn repository() -> PathBuf {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    lab.ancestors().nth(2).unwrap_or(lab).to_path_buf()
}

/// The path of one of our programs: cargo puts all binaries of the workspace into one directory.
pub fn our_program(name: &str) -> Result<PathBuf> {
    let me = this_program()?;
    let beside = me.parent().unwrap_or(Path::new("/"));
    // A test binary is in a subfolder of the programs' folder.
    for dir in [beside, beside.parent().unwrap_or(beside)] {
        let program = dir.join(name);
        if program.is_file() {
            return Ok(program);
        }
    }
    bail!("{name} is not in {}: run `cargo build --workspace` first", beside.display())
}

pub fn this_program() -> Result<PathBuf> {
    env::current_exe().context("finding this program's own file")
}

/// The folder for state directories.
pub fn temp_dir() -> PathBuf {
    env::temp_dir()
}

/// A program on the PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|candidate| candidate.is_file())
}
