//! The only test target of the package: everything that checks the repository as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "everything here is a test")]

mod chart;
mod commands;
mod dashboards;
mod docs;
mod door;
mod evidence;
mod exporter;
mod grants;
mod grid;
mod house;
mod kube_score;
mod lab;
mod mail;
mod manifests;
mod operator;
mod pint;
mod reimage;
mod reimage_service;
mod rulebook;
mod rules;
mod stories;
mod style;
mod support;
mod webhook;
