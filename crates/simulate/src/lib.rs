//! Whole runs of the real engine, simulated: one seed gives a source that changes while it is read, a far side that loses
//! answers, a store that fails, processes that die at any await point, and what must hold in spite of it all.
//!
//! Real: planner, engine, recovery, budgets, first contact, verification, the in-memory store (which is shown elsewhere to
//! answer as SQLite does). Simulated: time, the two systems behind their traits, the network, people.
//!
//! Start reading at [`life`], the script of one simulation; `rest` has the checks at its end; [`world`] what outlives a
//! process. `docs/testing.md` tells how to read a failure.

pub mod campaign;
pub mod destination;
pub mod far;
pub mod life;
pub mod node;
pub mod oracle;
pub mod rest;
pub mod scenario;
pub mod source;
pub mod store;
pub mod table;
pub mod trace;
pub mod world;
