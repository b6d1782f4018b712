//! One process: what is started, how long it may take, what it prints, how it ended. Judges nothing.

pub mod child;
pub mod group;
pub mod leash;
pub mod streams;
pub mod tool;
pub mod work;
