//! The service: what it decides, and nodes at work over a real store and real databases.

mod agenda;
mod backfills;
mod chains;
mod health;
mod house;
mod kit;
mod nodes;
mod steps;
