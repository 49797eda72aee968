//! From an offset in a scalar's text back to the place in the file, through quotes, escapes and folded lines, so that a
//! mistake in an expression is shown at the very character.

use crate::{
    problem::Place,
    tree::{Scalar, Style},
};

/// The place of byte `offset` of `scalar.written`; the scalar's own place when the two cannot be aligned.
///
/// White space is not compared: YAML folds lines and strips indentation, but never touches anything else.
pub(crate) fn place_in(file: &str, scalar: &Scalar, start: Place, offset: usize) -> Place {
    let Some(raw) = file.get(scalar.span.clone()) else { return start };
    let mut raw = Raw { rest: raw, place: start, style: scalar.style };
    if matches!(scalar.style, Style::Single | Style::Double) {
        raw.step();
    }
    for (at, wanted) in scalar.written.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        let Some(place) = raw.find(wanted) else { return start };
        if at >= offset {
            return place;
        }
    }
    raw.place
}

struct Raw<'f> {
    rest: &'f str,
    place: Place,
    style: Style,
}

impl Raw<'_> {
    /// One character of the file.
    fn step(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        let crlf = c == '\r' && self.rest.starts_with('\n');
        if c == '\n' || (c == '\r' && !crlf) {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else if !crlf {
            self.place.column += 1;
        }
        Some(c)
    }

    /// The place of the next character that is not white space, if that is `wanted`.
    fn find(&mut self, wanted: char) -> Option<Place> {
        loop {
            let place = self.place;
            match self.character()? {
                c if c.is_whitespace() => {}
                c => return (c == wanted).then_some(place),
            }
        }
    }

    /// One character of the text: an escape counts as what it stands for.
    fn character(&mut self) -> Option<char> {
        match (self.style, self.step()?) {
            (Style::Single, '\'') => self.step(),
            (Style::Double, '\\') => self.escape(),
            (_, c) => Some(c),
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.step()? {
            '0' => '\0',
            'a' => '\u{7}',
            'b' => '\u{8}',
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'e' => '\u{1b}',
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            'x' => self.hex(2)?,
            'u' => self.hex(4)?,
            'U' => self.hex(8)?,
            other => other,
        })
    }

    fn hex(&mut self, digits: u32) -> Option<char> {
        let mut code = 0;
        for _ in 0..digits {
            code = code * 16 + self.step()?.to_digit(16)?;
        }
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    use crate::tree::{self, Value};

    use super::*;

    /// Where `needle` of the only value's text stands in the file.
    fn find(file: &str, needle: &str) -> (usize, usize) {
        let Value::Map(entries) = tree::read(file).unwrap().value else { panic!("{file}") };
        let Value::Scalar(scalar) = &entries[0].node.value else { panic!("{file}") };
        let offset = scalar.written.find(needle).unwrap_or(scalar.written.len());
        let place = place_in(file, scalar, entries[0].node.place, offset);
        (place.line, place.column)
    }

    #[test]
    fn every_style_is_followed() {
        for (file, expected) in [
            ("a: x == y", (1, 9)),
            ("a: 'x == ''é'' == y'", (1, 19)),
            (r#"a: "\x41 \"é\" == y""#, (1, 19)),
            ("a: x ==\n     y\n", (2, 6)),
            ("a: |-\n\n  x ==\n     y\n", (4, 6)),
            ("a: >\r\n  x ==\r\n\r\n  y\r\n", (4, 3)),
            ("a: \"x == \\\n    y\"\n", (2, 5)),
        ] {
            assert_eq!(find(file, "y"), expected, "{file}");
        }
        assert_eq!(find("a: 'x == '\n", "nothing"), (1, 9));
    }
}
