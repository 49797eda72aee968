//! Connectors against real and simulated systems.

mod mysql;
mod postgres;
mod sharepoint;
mod sqlite;
