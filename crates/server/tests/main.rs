//! The tests of the server.

mod api;
mod outside;
mod ui;
