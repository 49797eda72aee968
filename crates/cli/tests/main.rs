//! The one test binary of the command line crate: the real binary, in a directory of its own, against a simulator in
//! this process. Everything a person or a script sees of Syncline is decided here.
#![expect(clippy::unwrap_used, reason = "test helpers, which clippy cannot tell from other code")]

mod bad_input;
mod browser;
mod campaign;
mod commands;
mod databases;
mod erp_cache;
mod example;
mod failpoints;
mod help;
mod kill;
mod kit;
mod loads;
mod outputs;
mod partner_training;
mod pull;
mod repo;
mod schedules;
mod serve;
mod stopping;
mod tokens;
mod trouble;
mod webinars;
