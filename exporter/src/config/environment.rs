//! What the environment says: a variable behind each flag, named like it, and the node's name. The only module that reads it.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the environment")]

use clap::{Arg, Command};

/// Without a variable: what only makes sense on a command line, and what a variable of another flag says.
fn has_none(flag: &str) -> bool {
    ["config.check", "once", "output", "help", "version"].contains(&flag) || flag.starts_with("no-")
}

/// `check.interval` is read from `OSSCI_EXPORTER_CHECK_INTERVAL`.
fn variable(flag: &str) -> String {
    format!("OSSCI_EXPORTER_{}", flag.replace(['.', '-'], "_").to_ascii_uppercase())
}

/// Puts the environment behind each flag.
pub fn behind(command: Command) -> Command {
    command.mut_args(|argument: Arg| match argument.get_long().filter(|flag| !has_none(flag)).map(variable) {
        Some(variable) => argument.env(variable),
        None => argument,
    })
}

/// The node's name as Kubernetes hands it to its pods.
pub fn node_name() -> Option<String> {
    std::env::var("NODE_NAME").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_its_variable_but_those_of_a_command_line() {
        let command = super::super::command();
        let without = |argument: &&Arg| argument.get_env().is_none();
        let mut without: Vec<&str> = command.get_arguments().filter(without).filter_map(Arg::get_long).collect();
        without.retain(|flag| !flag.starts_with("no-collector."));
        assert_eq!(without, ["config.check", "once", "output"]);
        assert_eq!(variable("tool.rocm-smi"), "OSSCI_EXPORTER_TOOL_ROCM_SMI");
    }
}
