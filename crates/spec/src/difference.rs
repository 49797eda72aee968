//! What changed between two versions of a definition, for people.

use similar::{Algorithm, TextDiff};

/// Longest text that is compared line by line; the search grows with the square of what differs.
const LINES_MAX: usize = 5_000;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// The difference in the unified format; empty when there is none. Of texts with more than 5,000 lines, all lines count as
/// changed.
pub fn diff(old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    if old.lines().count().max(new.lines().count()) > LINES_MAX {
        let with =
            |sign: char, text: &str| text.lines().map(|line| format!("{sign}{line}\n")).collect::<String>();
        return format!("{}{}", with('-', old), with('+', new));
    }
    let difference = TextDiff::configure().algorithm(Algorithm::Patience).diff_lines(old, new);
    difference.unified_diff().context_radius(CONTEXT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_stand_with_what_is_around_them() {
        let old = "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\n";
        assert_eq!(diff(old, old), "");
        assert_eq!(
            diff(old, &old.replace("e: 5", "e: 6")),
            "@@ -2,4 +2,4 @@\n b: 2\n c: 3\n d: 4\n-e: 5\n+e: 6\n"
        );
        assert_eq!(diff("", "a: 1\n"), "@@ -0,0 +1 @@\n+a: 1\n");
        let long = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(diff(&long, "y\n").lines().count(), LINES_MAX + 2);
    }
}
