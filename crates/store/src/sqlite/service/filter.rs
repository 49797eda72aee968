//! Conditions that may be absent. Each is in the text only when it is asked for, so that SQLite can use its index.

use std::fmt;

use rusqlite::types::Value;

/// A `WHERE` and its values; the placeholders are `?`, in order.
#[derive(Default)]
pub(super) struct Filter {
    text: String,
    values: Vec<Value>,
}

impl Filter {
    /// Adds a condition with one `?`, if there is a value for it.
    pub(super) fn and(mut self, condition: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.text.push_str(if self.text.is_empty() { "WHERE " } else { " AND " });
            self.text.push_str(condition);
            self.values.push(value.into());
        }
        self
    }

    /// The values, and one more for a `LIMIT ?` at the end.
    pub(super) fn values(self, limit: usize) -> Vec<Value> {
        let mut values = self.values;
        values.push(super::codec::limit(limit).into());
        values
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A number to compare ids with; above 2^63 there are none.
pub(super) fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
