//! Registrations known from change notifications, for tenants in which a user may read each but not list them (facts §4.3,
//! §6.6).
//!
//! Whatever receives the notifications adds a line for each: a webinar id, a blank, a registration id. What is listed is
//! then what was notified, never the whole.

use std::{collections::BTreeSet, io::Read, path::Path};

use crate::{Error, error::Kind};

/// Largest file that is read.
const BYTES_MAX: u64 = 32 << 20;

/// Why such a listing is not the whole.
pub(super) const SHORTFALL: &str = "only registrations known from notifications were read";

/// The registrations of a webinar in the file, each once, by id.
///
/// # Errors
/// [`Kind::Definition`]: the file cannot be read, is too large, or has a line of another form.
pub(super) fn read(file: &Path, webinar: &str) -> Result<Vec<String>, Error> {
    let wrong = |why: &dyn std::fmt::Display| {
        Error::new(Kind::Definition, format!("option registration_ids_file: {}: {why}", file.display()))
    };
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(|e| wrong(&e))?;
    opened.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| wrong(&e))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(wrong(&format!("larger than {BYTES_MAX} bytes")));
    }
    of(&text, webinar).map_err(|line| wrong(&format!("line {line}: not a webinar id and a registration id")))
}

/// Or the number of the line that is wrong.
fn of(text: &str, webinar: &str) -> Result<Vec<String>, usize> {
    let mut ids = BTreeSet::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [of, id] if of == webinar => {
                ids.insert(id.to_owned());
            }
            [_, _] => {}
            _ => return Err(index + 1),
        }
    }
    Ok(ids.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(of("w1 r2\n\nw2 r9\nw1 r1\r\nw1\tr2\n", "w1"), Ok(vec!["r1".to_owned(), "r2".to_owned()]));
        assert_eq!(of("w1 r1\nw1\n", "w1"), Err(2));
        assert_eq!(of("", "w1"), Ok(vec![]));
    }
}
