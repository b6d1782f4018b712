//! Modes of the program other than the server. They bind no listener.

pub mod once;
pub mod parse;
