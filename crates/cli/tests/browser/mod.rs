//! The web UI in a real browser: Debian's chromium, headless, looking at the real binary.

mod audit;
mod driver;
mod pages;
