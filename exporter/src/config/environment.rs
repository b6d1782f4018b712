//! Environment variables: one for each flag, and the node's name. The only module that reads the
//! environment.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the environment")]

use clap::{Arg, Command};

/// Returns whether a flag has no variable: it makes sense only on a command line, or repeats
/// another flag.
fn has_none(flag: &str) -> bool {
    ["config.check", "once", "output", "help", "version"].contains(&flag) || flag.starts_with("no-")
}

/// Returns the variable of a flag: `check.interval` is read from `OSSCI_EXPORTER_CHECK_INTERVAL`.
fn variable(flag: &str) -> String {
    format!("OSSCI_EXPORTER_{}", flag.replace(['.', '-'], "_").to_ascii_uppercase())
}

/// Adds its variable to each flag.
pub fn behind(command: Command) -> Command {
    command.mut_args(|argument: Arg| match argument.get_long().filter(|flag| !has_none(flag)).map(variable) {
        Some(variable) => argument.env(variable),
        None => argument,
    })
}

/// Returns the node's name as Kubernetes passes it to its pods.
pub fn node_name() -> Option<String> {
    std::env::var("NODE_NAME").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_variable_except_command_line_ones() {
        let command = super::super::command();
        let without = |argument: &&Arg| argument.get_env().is_none();
        let mut without: Vec<&str> = command.get_arguments().filter(without).filter_map(Arg::get_long).collect();
        without.retain(|flag| !flag.starts_with("no-collector."));
        assert_eq!(without, ["config.check", "once", "output"]);
        assert_eq!(variable("tool.rocm-smi"), "OSSCI_EXPORTER_TOOL_ROCM_SMI");
    }
}
