//! Laws of the nouns and rules, through the crate's public face. proptest prints what it found in the smallest form.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod calendar;
mod canonical;
mod convert;
mod cursor;
mod decisions;
mod fuzz;
#[expect(clippy::print_stdout, reason = "who repeats a run needs its seed")]
mod fuzzing;
mod identity;
mod limits;
mod mapping;
mod precedence;
mod values;
