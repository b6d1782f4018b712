//! The one test target: everything that says whether the repository is true.

mod dashboards;
mod lab;
mod manifests;
mod rules;
mod stories;
mod style;
mod support;
