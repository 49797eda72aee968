//! `syncline serve`: the real binary, told to stop, killed, and left with broken files.

mod definitions;
pub(crate) mod kit;
mod ops;
mod survive;
