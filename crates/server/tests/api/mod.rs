//! The REST API over real HTTP: every endpoint, good and bad.

mod access;
mod bounds;
mod definitions;
mod delegated;
mod describes;
mod fuzz;
pub(crate) mod kit;
mod lists;
mod provider;
mod records;
mod resources;
mod streams;
mod users;
