//! The service: what it decides, and nodes at work over a real store and real databases.

mod agenda;
mod chains;
mod health;
mod kit;
