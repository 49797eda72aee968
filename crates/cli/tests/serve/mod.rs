//! `syncline serve`: the real binary, told to stop, killed, and left with broken files.

mod api;
mod cluster;
#[cfg(feature = "otlp")]
mod collector;
mod definitions;
pub(crate) mod kit;
mod ops;
mod survive;
mod users;
