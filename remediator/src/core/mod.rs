//! What decides. Nothing in here imports a client, a clock or the environment: a test over the `use` lines holds that.

pub mod budget;
pub mod complaints;
pub mod decide;
pub mod memory;
pub mod policy;
pub mod record;
pub mod taint;
pub mod why;
pub mod word;
