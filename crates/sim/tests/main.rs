//! Independent checks of the simulator, by raw HTTP and with no code of our client.
//!
//! Answers are compared with files written by hand from the facts (`golden/`), and validated against schemas written
//! from the same facts (`schemas/`). Nothing sleeps: clocks are frozen and advanced.

mod caller;
mod delegated;
mod faults;
mod golden;
mod identity;
mod model;
mod pages;
mod schema;
mod throttle;
mod values;
mod webinars;
mod wire;
