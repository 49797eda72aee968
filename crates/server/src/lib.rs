//! What a service says to the outside: the REST API, the web UI, health, metrics, reports and alerts.
//!
//! Deliberately absent: decisions about what runs ([`syncline_engine::service`]), concrete systems (they come in through
//! [`Systems`](syncline_engine::service::Systems)), the environment, printing.
#![warn(missing_docs)]

pub mod api;
pub mod auth;
pub mod metrics;
pub mod outside;
pub mod serve;
mod ui;
pub mod users;
