//! The REST API over real HTTP: every endpoint, good and bad.

mod access;
mod bounds;
mod definitions;
mod describes;
mod fuzz;
mod kit;
mod lists;
mod records;
mod resources;
mod streams;
