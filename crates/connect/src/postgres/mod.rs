//! The `postgres` source.
