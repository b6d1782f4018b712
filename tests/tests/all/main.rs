//! The one test target: everything that says whether the repository is true.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "everything here is a test")]

mod dashboards;
mod evidence;
mod exporter;
mod grid;
mod house;
mod lab;
mod manifests;
mod operator;
mod pint;
mod rulebook;
mod rules;
mod stories;
mod style;
mod support;
mod webhook;
