//! The nouns and rules of Syncline: schema, values, canonical form, identity, mapping, routing, plan, and the
//! state machines of runs and cursors.
//!
//! Deliberately absent: I/O, clocks, randomness, async. Everything here is a pure function over plain data, so that
//! each decision can be tested by itself and replayed from a log.
//!
//! Start reading at [`sync::Sync`] (what a user defines), then [`mapping`] (how one record is turned into what the
//! destination should hold) and [`plan`] (what is to be done about it).
#![warn(missing_docs)]

pub mod alert;
pub mod batch;
pub mod budget;
pub mod calendar;
pub mod canonical;
pub mod chain;
pub mod connection;
pub mod convert;
mod cost;
pub mod counts;
pub mod cursor;
pub mod decimal;
pub mod expr;
pub mod failpoint;
pub mod fingerprint;
pub mod functions;
pub mod guard;
pub mod identity;
mod infer;
pub mod mapping;
pub mod mutant;
pub mod normalise;
pub mod partition;
pub mod placeholder;
pub mod plan;
pub mod precedence;
pub mod project;
pub mod remedy;
pub mod report;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod seen;
pub mod sync;
pub mod time;
pub mod value;
