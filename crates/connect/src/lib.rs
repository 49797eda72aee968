//! [`Source`] and [`Destination`], the registry, and one module per system.
//!
//! A connector returns facts (records, answers, errors with their [effect](Error::effect)); it never touches the store,
//! decides nothing about records and never retries a write whose effect is unknown. Those decisions are the engine's.
//!
//! Start reading at [`source`] and [`destination`]: the traits state the contract. [`conformance`] is the suite every
//! connector runs.
#![warn(missing_docs)]

pub mod budget;
pub mod clock;
pub mod compare;
pub mod conformance;
pub mod database;
pub mod destination;
pub mod error;
pub mod files;
pub mod graph;
pub mod mysql;
#[cfg(feature = "odbc")]
pub mod odbc;
pub mod postgres;
pub mod registry;
pub mod sharepoint;
pub mod source;
pub mod sqlite;
pub mod statements;
pub mod teams_webinars;

pub use database::Database;
pub use destination::Destination;
pub use error::Error;
pub use source::Source;
pub use statements::Statements;

/// Damaged input, shared by the fuzz tests of the connectors.
#[cfg(test)]
#[path = "../../core/tests/fuzzing.rs"]
mod fuzzing;
