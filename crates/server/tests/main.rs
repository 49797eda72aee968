//! The tests of the server.

mod outside;
