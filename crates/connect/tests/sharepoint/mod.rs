//! The `sharepoint` connector against the simulator, over real HTTP.

#![expect(clippy::unwrap_used, reason = "test helpers, which clippy cannot tell from other code")]

mod conforms;
mod kit;
mod reads;
mod scripted;
mod signs_in;
mod survives;
