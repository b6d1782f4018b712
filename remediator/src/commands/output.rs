//! How a command prints its answer: for people, or as data.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
    Yaml,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Output {
    /// `json` and `yaml` print every field by its name.
    #[arg(id = "output", short = 'o', long = "output", value_enum, default_value = "text")]
    pub format: Format,
}

impl Output {
    /// Returns what is printed; `text` writes the form for people.
    ///
    /// # Errors
    /// The answer has no JSON or YAML form.
    pub fn render<T: Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<String> {
        Ok(match self.format {
            Format::Text => printable(&text(answer)),
            Format::Json => serde_json::to_string_pretty(answer)? + "\n",
            Format::Yaml => serde_saphyr::to_string(answer)?,
        })
    }
}

/// Returns the text without what a terminal would carry out: alerts, tools and agents wrote parts
/// of it.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !['\n', '\t'].contains(&c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_output_cannot_command_the_terminal() {
        let said = printable("\u{1b}]0;root\u{7} 7 of 8 GPUs\n\t65:00.0\u{9b}2J");
        assert_eq!(said, "\u{fffd}]0;root\u{fffd} 7 of 8 GPUs\n\t65:00.0\u{fffd}2J");
    }
}
