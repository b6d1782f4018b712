//! File of `--config.file`: the names of the flags, dotted or nested. A flag wins over the
//! environment, which wins over the file. An error names the file, the line, the field and a valid
//! value. Reads only that file.

use super::{Cli, Config, command};
use clap::FromArgMatches;
use clap::parser::ValueSource;
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;

/// Settings that only make sense on a command line.
const NOT_IN_A_FILE: [&str; 6] = ["config.file", "config.check", "once", "output", "help", "version"];

/// Loads flags, environment and file together. An error is one sentence.
pub fn load(arguments: &[OsString]) -> Result<Config, String> {
    let first = |error: clap::Error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_string()
    };
    let matches = command().try_get_matches_from(arguments).map_err(first)?;
    let given = Cli::from_arg_matches(&matches).map_err(first)?.config;
    let Some(path) = &given.config_file else {
        given.check().map_err(|error| error.to_string())?;
        return Ok(given);
    };
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let settings = settings(path, &text)?;
    let mut all: Vec<OsString> = arguments.to_vec();
    for setting in &settings {
        let source = setting.id.as_deref().and_then(|id| matches.value_source(id));
        if matches!(source, None | Some(ValueSource::DefaultValue)) {
            all.push(setting.argument());
        }
        // Parse each setting alone first, so that an error has its line.
        let alone = [OsString::from("ossci-exporter"), setting.argument()];
        command().try_get_matches_from(alone).map_err(|error| {
            let text = first(error);
            let problem = text.rsplit_once(">': ").map_or(text.as_str(), |(_, problem)| problem);
            format!("{}: line {}: {}: {problem}", path.display(), setting.line, setting.name)
        })?;
    }
    let matches = command().try_get_matches_from(all).map_err(first)?;
    let config = Cli::from_arg_matches(&matches).map_err(first)?.config;
    config.check().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(config)
}

/// One setting of the file.
#[derive(Debug, PartialEq)]
struct Setting {
    /// The flag, without its dashes.
    name: String,
    id: Option<String>,
    value: String,
    line: usize,
}

impl Setting {
    fn argument(&self) -> OsString {
        format!("--{}={}", self.name, self.value).into()
    }
}

fn settings(path: &Path, text: &str) -> Result<Vec<Setting>, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    let document: Value = serde_saphyr::from_str(text).map_err(|error| format!("{}: {error}", path.display()))?;
    let Value::Object(_) = document else {
        return Err(format!("{}: line 1: write settings such as 'check.interval: 30s'", path.display()));
    };
    let mut leaves = Vec::new();
    flatten("", &document, &mut leaves);
    let command = command();
    let mut settings = Vec::new();
    for (name, value) in leaves {
        let line = line_of(text, &name);
        let flag = command.get_arguments().find(|flag| flag.get_long() == Some(name.as_str()));
        let Some(flag) = flag.filter(|_| !NOT_IN_A_FILE.contains(&name.as_str()) && !name.starts_with("no-")) else {
            let nearest = nearest(&name, command.get_arguments().filter_map(clap::Arg::get_long));
            return Err(format!(
                "{}: line {line}: no setting is called {name}; did you mean {nearest}?",
                path.display()
            ));
        };
        settings.push(Setting { name, id: Some(flag.get_id().to_string()), value, line });
    }
    Ok(settings)
}

/// Flattens nested maps to dotted names. Lists are joined by commas, as flags take them.
fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, into);
            }
        }
        Value::Array(all) => {
            let words: Vec<String> = all.iter().map(word).collect();
            into.push((prefix.to_string(), words.join(",")));
        }
        leaf => into.push((prefix.to_string(), word(leaf))),
    }
}

fn word(leaf: &Value) -> String {
    match leaf {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Returns the line of a setting. Its name may be split over nested keys at any dot.
fn line_of(text: &str, name: &str) -> usize {
    // Keys above this line, with their indentation.
    let mut above: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some((key, _)) = line.trim_start().split_once(':').filter(|(key, _)| !key.starts_with(['#', '-'])) else {
            continue;
        };
        above.retain(|(outer, _)| *outer < indent);
        above.push((indent, key.trim().trim_matches(['"', '\'']).to_string()));
        let path: Vec<&str> = above.iter().map(|(_, key)| key.as_str()).collect();
        if path.join(".") == name {
            return number + 1;
        }
    }
    1
}

/// Returns the most similar name.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> &'a str {
    let pairs = |text: &str| text.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let wanted = pairs(name);
    let alike = |known: &&str| {
        let known = pairs(known);
        let shared = wanted.iter().filter(|pair| known.contains(pair)).count();
        shared * 200 / (wanted.len() + known.len()).max(1)
    };
    names.filter(|known| known.contains('.')).max_by_key(alike).unwrap_or("check.interval")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::scratch;
    use std::time::Duration;

    fn load_text(name: &str, text: &str, flags: &[&str]) -> Result<Config, String> {
        let directory = scratch(name);
        let path = directory.join("exporter.yaml");
        std::fs::write(&path, text).unwrap();
        let file = format!("--config.file={}", path.display());
        let arguments = ["ossci-exporter", &file].into_iter().chain(flags.iter().copied()).map(OsString::from);
        load(&arguments.collect::<Vec<_>>()).map_err(|error| error.replace(&*path.to_string_lossy(), "FILE"))
    }

    #[test]
    fn names_may_be_dotted_or_nested_and_a_flag_wins() {
        let text = "check:\n  interval: 20s\n  network.interval: 5m\nnetwork:\n  target: speed.example\n  max-loss: 0.5\n\
                    collector.rocminfo: false\nweb.listen-address: ['127.0.0.1:1', '127.0.0.1:2']\n";
        let config = load_text("file-good", text, &["--check.interval=7s"]).unwrap();
        assert_eq!(config.checks.interval, Duration::from_secs(7));
        assert_eq!(config.network_interval(), Duration::from_secs(300));
        assert_eq!((config.network.max_loss, config.web.listen_addresses.len()), (0.5, 2));
        assert_eq!(config.collectors.choice(crate::verdict::Check::Rocminfo), Some(false));
        assert!(load_text("file-empty", "# nothing\n", &[]).is_ok());
    }

    #[test]
    fn an_error_has_file_line_field_and_a_valid_value() {
        for (name, text, said) in [
            (
                "file-value",
                "check:\n  timeout: 5s\n  interval: soon\n",
                "FILE: line 3: check.interval: write a number and a unit, such as 500ms, 30s or 5m",
            ),
            (
                "file-name",
                "\ncheck.intervall: 30s\n",
                "FILE: line 2: no setting is called check.intervall; did you mean check.interval?",
            ),
            ("file-list", "- a\n", "FILE: line 1: write settings such as 'check.interval: 30s'"),
        ] {
            assert_eq!(load_text(name, text, &[]).unwrap_err(), said);
        }
        let broken = load_text("file-yaml", "check: [\n", &[]).unwrap_err();
        assert!(broken.starts_with("FILE: "), "{broken}");
        assert!(
            load_text("file-self", "config.file: x\n", &[]).unwrap_err().contains("no setting is called config.file")
        );
    }
}
