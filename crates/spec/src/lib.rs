//! The files users write: a project in YAML is turned into [`Sync`](syncline_core::sync::Sync)s and
//! [`Connection`](syncline_core::connection::Connection)s, or into a list of every problem it has, each with its place
//! in the file, the reason and the nearest valid name.
//!
//! Deliberately absent: files, environment variables and clocks (they come in through [`Environment`]), and any
//! connector by name (they come in as [`ConnectorSpec`](syncline_core::connection::ConnectorSpec)s). What needs a live
//! system to be checked, such as whether a column exists, is not checked here; [`Loaded::error`] and
//! [`Loaded::warning`] let those checks point at the line of the file that they are about.
//!
//! Start reading at [`parse`], then `keys` (the one table of every key of the format, from which the unknown-key check,
//! the JSON Schema and the reference follow), `sync` (how one sync is read) and `destination` (what a sync into a table has
//! that one into an API has not, and the other way round).
//!
//! ```
//! struct Nothing;
//! impl syncline_spec::Environment for Nothing {
//!     fn variable(&self, _: &str) -> Option<String> {
//!         None
//!     }
//!     fn file(&self, _: &str) -> Result<String, String> {
//!         Err("not found".into())
//!     }
//! }
//! let problems = syncline_spec::parse("syncline.yaml", "conections: {}\nsyncs: {}\n", &[], &Nothing).unwrap_err();
//! assert_eq!(
//!     problems[0].to_string(),
//!     r#"syncline.yaml:1:1: unknown key "conections" at the top level; did you mean "connections"?"#
//! );
//! ```
#![warn(missing_docs)]

mod alerts;
mod chains;
mod connections;
mod destination;
mod difference;
mod documents;
mod expressions;
mod fields;
mod from;
mod json_schema;
mod keys;
mod names;
mod params;
mod places;
mod problem;
mod project;
mod reader;
#[cfg(test)]
mod reference;
mod reports;
mod requirements;
mod scalars;
mod schedule;
mod server;
mod source;
mod sync;
mod tables;
mod template;
mod tree;
mod units;
mod variables;

pub use difference::diff;
pub use documents::{Definition, DocumentKind, merge};
pub use json_schema::json_schema;
pub use places::Places;
pub use problem::{Place, Problem, Severity, did_you_mean, nearest};
pub use project::{FILE_BYTES_MAX, Loaded, decode, parse};
pub use syncline_core::project::Project;
pub use template::template;
pub use variables::Environment;
