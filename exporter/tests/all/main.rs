//! Tests of the crate from outside: its samples, its metrics, and the program itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod digest;
mod metrics;
mod node;
mod running;
mod samples;
mod served;
mod state_dir;
mod tools;
#[allow(clippy::disallowed_methods, reason = "deadlines of tests")]
mod wait;
