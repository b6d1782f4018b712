//! A dashboard as its source describes it: what each panel asks, how it is shown, and what is too
//! much. An unknown key is refused.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dashboard {
    pub uid: String,
    pub title: String,
    pub about: String,
    /// The begin of the time range that is shown at first: `now-24h`.
    pub range: String,
    pub variables: Vec<Variable>,
    #[serde(default)]
    pub annotations: Vec<Annotation>,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Variable {
    /// Any number of clusters. Where no series has the label, all series match.
    Cluster,
    Node,
}

/// Marks on the time axis while a query has a value.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Annotation {
    pub name: String,
    pub expr: String,
    pub title: String,
    pub text: String,
    pub colour: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    pub title: String,
    pub panels: Vec<Panel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// One number for each series, as of now.
    Stat,
    /// Lines over time.
    Series,
    /// Stacked bars, one for each `interval`.
    Bars,
    /// One row a series; each value has a colour and a word.
    Timeline,
    /// Rows with labels and values, as of now.
    Table,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Panel {
    pub title: String,
    pub kind: Kind,
    /// Of 24 columns.
    pub width: u32,
    #[serde(default = "stat_height")]
    pub height: u32,
    pub about: String,
    pub queries: Vec<Query>,
    /// Of Grafana: `short`, `s`, `percentunit`.
    pub unit: String,
    pub limits: Limits,
    /// Shown in place of data.
    pub none: String,
    /// The alerts about the same thing.
    #[serde(default)]
    pub alerts: Vec<String>,
    /// The least interval between two points.
    #[serde(default)]
    pub interval: Option<String>,
    /// Values and what is shown for them: `word` or `word:colour`.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// The columns of a table, in order: labels, and the names of queries.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The column that a table is sorted by; with `-` in front: lowest first.
    #[serde(default)]
    pub sort: Option<String>,
}

fn stat_height() -> u32 {
    4
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    pub expr: String,
    #[serde(default)]
    pub legend: Option<String>,
    /// The column of its values.
    #[serde(default, rename = "as")]
    pub column: Option<String>,
    /// The unit of that column, if it is not the panel's.
    #[serde(default)]
    pub unit: Option<String>,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// From where on a value is coloured, or why none is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Limits {
    Above(Steps),
    Below(Steps),
    None(String),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Steps {
    #[serde(default)]
    pub warn: Option<f64>,
    #[serde(default)]
    pub bad: Option<f64>,
}
