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
            Format::Text => text(answer),
            Format::Json => serde_json::to_string_pretty(answer)? + "\n",
            Format::Yaml => serde_saphyr::to_string(answer)?,
        })
    }
}
