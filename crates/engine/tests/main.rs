//! Whole runs of the real engine: SQLite source, real HTTP, the Graph simulator, SQLite store.
#![expect(clippy::unwrap_used, reason = "tests: a panic is the report")]

mod behaviour;
mod compare;
mod contact;
mod deletes;
mod faults;
mod pairs;
mod parts;
mod records;
mod refusals;
mod service;
mod story;
mod world;
