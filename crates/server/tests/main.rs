//! The tests of the server.

mod api;
