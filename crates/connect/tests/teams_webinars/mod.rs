//! The `teams_webinars` source against the simulator, over real HTTP.

#![expect(clippy::unwrap_used, reason = "test helpers, which clippy cannot tell from other code")]

mod faults;
mod kit;
mod people;
mod scripted;
mod signs_in;
