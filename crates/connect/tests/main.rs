//! Connectors against real and simulated systems.

mod sharepoint;
