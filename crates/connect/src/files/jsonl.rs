//! JSON Lines: one object per line. Numbers keep their digits, for values are taken as the text they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use syncline_core::{
    schema::{Field, FieldType},
    value::Value,
};

use super::{
    blocks::Blocks,
    csv::RECORD_MAX,
    error,
    scan::Row,
    schema::COLUMNS_MAX,
    store::{Entry, Store},
    types::{self, Text},
};
use crate::Error;

/// Records from which types are told.
pub(super) const SAMPLE: usize = 1_000;

/// An open file.
#[derive(Debug)]
pub(super) struct Jsonl {
    blocks: Blocks,
    line: Vec<u8>,
    /// Of the line in hand, from 1.
    number: u64,
    too_long: bool,
    wanted: BTreeMap<String, usize>,
}

impl Jsonl {
    pub(super) fn open(store: Store, entry: Entry) -> Self {
        let blocks = Blocks::open(store, entry);
        Self { blocks, line: Vec::new(), number: 0, too_long: false, wanted: BTreeMap::new() }
    }

    /// Chooses the columns to give.
    pub(super) fn choose(&mut self, columns: &[Field]) {
        self.wanted = columns.iter().enumerate().map(|(at, field)| (field.name.clone(), at)).collect();
    }

    /// Goes to the next record; whether there is one. Empty lines are none.
    pub(super) fn advance(&mut self) -> Result<bool, Error> {
        while self.next_line()? {
            if self.too_long || !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn next_line(&mut self) -> Result<bool, Error> {
        self.line.clear();
        (self.too_long, self.number) = (false, self.number + 1);
        let mut any = false;
        loop {
            let block = self.blocks.fill()?;
            if block.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = block.iter().position(|b| *b == b'\n');
            let part = &block[..end.unwrap_or(block.len())];
            if self.line.len() + part.len() > RECORD_MAX {
                self.too_long = true;
                self.line.clear();
            }
            if !self.too_long {
                self.line.extend_from_slice(part);
            }
            let used = end.map_or(block.len(), |end| end + 1);
            self.blocks.used(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// The record in hand. A field that the object lacks is null.
    pub(super) fn row(&self, columns: &[Field]) -> Row<'_> {
        let cells = match self.cells(columns.len()) {
            Ok(cells) => cells,
            Err(problem) => return Row::broken(columns.len(), Some(problem)),
        };
        let mut row = Row::with_capacity(columns.len());
        for (field, cell) in columns.iter().zip(cells) {
            match cell {
                None => row.values.push(Value::Null),
                Some(raw) => row.push(types::of_json(raw.get(), &field.kind), field, kind_name(raw)),
            }
        }
        row
    }

    /// The values of the wanted columns.
    fn cells(&self, count: usize) -> Result<Vec<Option<&RawValue>>, String> {
        let mut cells = vec![None; count];
        self.visit(|key, raw| match self.wanted.get(key) {
            Some(at) if cells[*at].is_some() => Err("a name comes twice in the object"),
            Some(at) => {
                cells[*at] = Some(raw);
                Ok(())
            }
            None => Ok(()),
        })?;
        Ok(cells)
    }

    /// Shows every member of the object in hand.
    fn visit<'a>(
        &'a self,
        see: impl FnMut(&str, &'a RawValue) -> Result<(), &'static str>,
    ) -> Result<(), String> {
        if self.too_long {
            return Err("a line of more than 16 MiB".into());
        }
        let text = std::str::from_utf8(&self.line).map_err(|_| "not UTF-8".to_owned())?;
        let mut json = serde_json::Deserializer::from_str(text);
        let mut fault = None;
        let seen = Members { see, fault: &mut fault }.deserialize(&mut json).and_then(|()| json.end());
        // its own words may quote a value
        seen.map_err(|e| match fault {
            Some(fault) => fault.to_owned(),
            None if e.is_data() => "not a JSON object".to_owned(),
            None => format!("column {}: not JSON", e.column()),
        })
    }

    /// Where the record in hand is.
    pub(super) fn place(&self) -> String {
        format!("file {:?}, line {}", self.blocks.name(), self.number)
    }

    /// The fields that the first records show, in the order in which they appear, with the types that carry all of their
    /// values exactly.
    pub(super) fn sample(mut self) -> Result<Vec<Field>, Error> {
        let mut names: Vec<String> = Vec::new();
        let mut shapes: BTreeMap<String, BTreeSet<Shape>> = BTreeMap::new();
        for _ in 0..SAMPLE {
            if !self.advance()? {
                break;
            }
            // a line that is no object is a problem of its record, told when it is read
            let shown = self.visit(|key, raw| {
                if let Some(seen) = shapes.get_mut(key) {
                    seen.insert(Shape::of(raw));
                } else if names.len() < COLUMNS_MAX {
                    names.push(key.to_owned());
                    shapes.insert(key.to_owned(), BTreeSet::from([Shape::of(raw)]));
                } else {
                    return Err("more than 4,096 names");
                }
                Ok(())
            });
            shown.ok();
        }
        if names.len() == COLUMNS_MAX {
            return Err(error::malformed(self.blocks.name(), format_args!("{COLUMNS_MAX} columns or more")));
        }
        let kind = |name: &String| Shape::kind(shapes.get(name).into_iter().flatten().copied());
        Ok(names.iter().map(|name| Field::new(name, kind(name), true)).collect())
    }
}

/// What a JSON value is, as far as types go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    Nested,
}

impl Shape {
    fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'"') => Self::Text,
            Some(b'[' | b'{') => Self::Nested,
            _ if raw.get().parse::<i64>().is_ok() => Self::Integer,
            _ => Self::Number,
        }
    }

    /// The type that carries values of all these shapes exactly; JSON where no other does, and where only nulls were seen.
    fn kind(shapes: impl Iterator<Item = Self>) -> FieldType {
        let shapes: Vec<_> = shapes.filter(|s| *s != Self::Null).collect();
        match shapes.as_slice() {
            [Self::Boolean] => FieldType::Boolean,
            [Self::Integer] => FieldType::Int64,
            [Self::Number] | [Self::Integer, Self::Number] => {
                FieldType::Decimal { precision: None, scale: None }
            }
            [Self::Text] => FieldType::Text,
            _ => FieldType::Json,
        }
    }
}

fn kind_name(raw: &RawValue) -> &'static str {
    match Shape::of(raw) {
        Shape::Null => "null",
        Shape::Boolean => "boolean",
        Shape::Integer | Shape::Number => "number",
        Shape::Text => "text",
        Shape::Nested => "array or object",
    }
}

/// Hands every member of an object to a function.
struct Members<'f, F> {
    see: F,
    fault: &'f mut Option<&'static str>,
}

impl<'de, F: FnMut(&str, &'de RawValue) -> Result<(), &'static str>> DeserializeSeed<'de> for Members<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&str, &'de RawValue) -> Result<(), &'static str>> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            let raw = map.next_value::<&'de RawValue>()?;
            (self.see)(&key, raw).map_err(|fault| {
                *self.fault = Some(fault);
                A::Error::custom("refused")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_carries_everything_that_was_seen() {
        let decimal = FieldType::Decimal { precision: None, scale: None };
        for (values, expected) in [
            (&["1", "-7"][..], FieldType::Int64),
            (&["1", "1.50"], decimal.clone()),
            (&["9223372036854775808"], decimal.clone()),
            (&["1e3"], decimal),
            (&["true", "null"], FieldType::Boolean),
            (&["\"a\"", "null"], FieldType::Text),
            (&["\"a\"", "1"], FieldType::Json),
            (&["{}"], FieldType::Json),
            (&["[1]", "[2]"], FieldType::Json),
            (&["null"], FieldType::Json),
        ] {
            let raw = |v: &&str| RawValue::from_string((*v).to_owned()).unwrap();
            let shapes: BTreeSet<_> = values.iter().map(|v| Shape::of(&raw(v))).collect();
            assert_eq!(Shape::kind(shapes.into_iter()), expected, "{values:?}");
        }
    }
}
