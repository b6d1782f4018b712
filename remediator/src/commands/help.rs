//! `ossci-remediator completion SHELL` and `man --out DIR`: help, generated from the flags.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;

#[derive(Debug, Clone, clap::Args)]
pub struct Completion {
    shell: Shell,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Man {
    /// The output folder; existing files are replaced.
    #[arg(long)]
    out: PathBuf,
}

/// Returns the script that completes `program` in a shell.
pub fn completion(arguments: &Completion, mut program: Command) -> String {
    let (name, mut script) = (program.get_name().to_owned(), Vec::new());
    clap_complete::generate(arguments.shell, &mut program, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes one man page for `program` and one for each of its commands.
///
/// # Errors
/// The folder cannot be written.
pub fn man(arguments: &Man, program: Command) -> anyhow::Result<()> {
    let folder: &Path = &arguments.out;
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    clap_mangen::generate_to(program, folder).with_context(|| format!("writing to {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    #[test]
    fn each_shell_completes_the_commands() {
        let program = crate::commands::rules::Arguments::augment_args(Command::new("ossci-remediator"));
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completion(&Completion { shell }, program.clone());
            assert!(script.contains("thresholds"), "{shell}: {script}");
        }
    }
}
