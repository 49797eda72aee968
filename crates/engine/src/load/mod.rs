//! Loading tables.

pub mod compare;
