//! Output for Prometheus, people and probes. Reads a snapshot; changes nothing.

pub mod landing;
pub mod metrics;
pub mod probe_answer;
mod ready;
#[cfg(test)]
mod tests;
pub mod web;
