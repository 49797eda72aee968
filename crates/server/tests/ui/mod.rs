//! The pages, asked for over HTTP as a browser without scripts asks for them.

mod access;
mod hostile;
mod kit;
mod pages;
mod scale;
