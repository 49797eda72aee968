//! Laws of the nouns and rules, through the crate's public face. proptest prints what it found in the smallest form.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod canonical;
mod convert;
mod cursor;
mod decisions;
mod fuzz;
mod fuzzing;
mod identity;
mod limits;
mod mapping;
mod values;
