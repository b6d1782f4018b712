//! Folders on the node that store only the newest entries.

use std::io;
use std::path::Path;

/// Removes the oldest files and folders in `folder` until `keep` are left; a missing folder has
/// none.
///
/// # Errors
/// The disk is read-only, or fails.
pub fn keep_newest(folder: &Path, keep: usize) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        let about = entry.metadata()?;
        all.push((about.modified()?, entry.path(), about.is_dir()));
    }
    all.sort();
    all.truncate(all.len().saturating_sub(keep));
    all.into_iter().try_for_each(
        |(_, path, is_folder)| {
            if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
        },
    )
}
