//! What the program does besides running for years.

pub mod once;
pub mod parse;
