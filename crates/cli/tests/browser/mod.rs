//! The web UI in a real browser: Debian's chromium, headless, looking at the real binary.

mod actions;
mod audit;
mod driver;
mod hostile;
mod large;
mod live;
mod pages;
mod world;
