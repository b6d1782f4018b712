//! Flags of the tool paths: `--tool.NAME`, one for each tool of the table.

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches, value_parser};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::parse::ToolName;

/// The configured paths. A tool without one is searched in opt/rocm/bin, usr/bin and usr/local/bin
/// below the root.
#[derive(Debug, Clone, Default)]
pub struct Tools(BTreeMap<ToolName, PathBuf>);

impl Tools {
    /// Returns the configured path of a tool.
    pub fn path(&self, tool: ToolName) -> Option<&Path> {
        self.0.get(&tool).map(PathBuf::as_path)
    }
}

/// Returns the name of a tool's flag, such as `tool.rocm-smi`.
fn flag(tool: ToolName) -> String {
    format!("tool.{}", tool.as_str())
}

impl Args for Tools {
    fn augment_args(command: Command) -> Command {
        ToolName::ALL.iter().fold(command, |command, tool| {
            let help = format!(
                "Path of {} below the root. Default: searched in opt/rocm/bin, usr/bin and usr/local/bin",
                tool.as_str()
            );
            let argument = Arg::new(flag(*tool)).long(flag(*tool)).value_name("PATH").help(help);
            command.arg(argument.value_parser(value_parser!(PathBuf)))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Tools {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let paths = ToolName::ALL.iter().filter_map(|tool| {
            let path = matches.try_get_one::<PathBuf>(&flag(*tool)).ok().flatten()?;
            Some((*tool, path.clone()))
        });
        Ok(Self(paths.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
