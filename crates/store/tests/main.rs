//! Tests of the stores: the suite of the trait on each, and what is particular to one.

mod backup;
mod equivalence;
mod memory;
mod postgres;
mod sqlite;
