//! What happened in a simulated world, as a timeline for people and as one number for comparing.

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
    time::Duration,
};

/// A timeline. Always hashed; kept as text only where somebody will read it.
#[derive(Debug)]
pub struct Trace {
    hasher: DefaultHasher,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty timeline; `keep`: also keep the text.
    pub fn new(keep: bool) -> Self {
        Self { hasher: DefaultHasher::new(), events: 0, lines: keep.then(Vec::new) }
    }

    /// Something happened at a virtual time.
    pub fn say(&mut self, at: Duration, who: &str, what: fmt::Arguments<'_>) {
        self.events += 1;
        self.hasher.write_u128(at.as_micros());
        self.hasher.write(who.as_bytes());
        // Writing into a hasher cannot fail.
        fmt::write(&mut Hashed(&mut self.hasher), what).ok();
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>12.3} s  {who:<6} {what}", at.as_secs_f64()));
        }
    }

    /// Two timelines are the same exactly when their numbers are.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    /// How many things happened.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The text, where it was kept.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// Formats into a hasher without making a text of it first.
struct Hashed<'a>(&'a mut DefaultHasher);

impl fmt::Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
