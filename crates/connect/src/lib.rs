//! Source and Destination traits and one module per system.
