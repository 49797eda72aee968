//! Connectors against real and simulated systems.

mod files;
mod mysql;
mod postgres;
mod sharepoint;
mod sqlite;
