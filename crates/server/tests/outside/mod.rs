//! What leaves the process, against real peers: a mail server, a web server, files.

mod calls;
mod documents;
mod kit;
mod letters;
mod notices;
mod smtp;
mod watch;
mod web;
