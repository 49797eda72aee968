//! The `sqlite` source.
