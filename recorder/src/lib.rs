//! Under construction.

pub mod load;
