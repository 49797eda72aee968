//! Connectors against real and simulated systems.

mod files;
mod mysql;
#[cfg(feature = "odbc")]
mod odbc;
mod postgres;
mod sharepoint;
mod sqlite;
mod teams_webinars;
