//! Connectors against real and simulated systems.

mod postgres;
mod sharepoint;
mod sqlite;
