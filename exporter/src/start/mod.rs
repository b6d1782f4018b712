//! Process start: which tool runs, how long it may take, what it prints, how it ends. Judges
//! nothing.

pub mod child;
pub mod group;
pub mod leash;
pub mod orphans;
pub mod streams;
pub mod tool;
pub mod work;
