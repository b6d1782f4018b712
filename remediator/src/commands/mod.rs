//! What an operator runs by hand, one file each.

pub mod crd;
pub mod rules;
