//! What `syncline serve` is made of beyond the engine and the server: the definitions it follows, the door of its API,
//! and the process manager it answers to.

pub(crate) mod args;
pub(crate) mod control;
pub(crate) mod definitions;
pub(crate) mod door;
pub(crate) mod notify;
pub(crate) mod reading;
pub(crate) mod summary;
