//! The decisions. Nothing in here imports a client, a clock or the environment: a test over the
//! `use` lines enforces that.

pub mod brakes;
pub mod budget;
pub mod complaints;
pub mod decide;
pub mod doctor;
pub mod explain;
pub mod gates;
pub mod health;
pub mod history;
pub mod kept_time;
pub mod lease;
pub mod memory;
pub mod names;
pub mod notices;
pub mod observation;
pub mod outbox;
pub mod policy;
pub mod pool;
pub mod record;
pub mod retention;
pub mod said;
pub mod sense;
pub mod silence;
pub mod site_warnings;
pub mod status;
pub mod taint;
pub mod why;
pub mod why_text;
pub mod window;
pub mod words;
#[cfg(test)]
mod world;
