//! What the far side should hold, worked out without the engine's own code for mapping, routing and filters.

use std::borrow::Cow;

use syncline_core::{canonical::canonical, identity::Identity, plan::Fields, value::Value};
use unicode_normalization::UnicodeNormalization;

use crate::{
    far::{FIELDS, Values, field},
    scenario::{Definition, KeyKind, Scenario},
    table::{REFUSED, Row, STATUSES},
};

/// What should become of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// An item in this list with these values.
    Item(usize, Values),
    /// Nothing: the filter leaves it out.
    Skipped,
    /// It cannot be written, and must be seen among the parked.
    Parked,
}

/// What should become of a row under a definition.
pub fn expected(definition: &Definition, row: &Row) -> Expected {
    if definition.filter && row.status == "Hidden" {
        return Expected::Skipped;
    }
    let list = match definition.large {
        Some(large) if row.cents >= large * 100 => 1,
        _ if definition.closed && row.status == "Closed" => 2,
        _ => 0,
    };
    let name = match (&row.name, definition.shouted) {
        (None, true) => return Expected::Parked,
        (name, false) => name.clone(),
        (Some(name), true) => Some(format!("{name}!")),
    };
    if !STATUSES.contains(&row.status.as_str()) || name.as_ref().is_some_and(|n| n.contains(REFUSED)) {
        return Expected::Parked;
    }
    let mut values = vec![Value::Null; FIELDS.len()];
    values[0] = row.value("code");
    values[1] = row.value("part");
    values[2] = name.filter(|n| !n.is_empty()).map_or(Value::Null, |n| Value::Text(Cow::Owned(n)));
    values[3] = row.value("amount");
    values[4] = row.value("status");
    values[5] = Value::Text(Cow::Owned(row.owner.to_ascii_lowercase()));
    Expected::Item(list, values)
}

/// The identity of a row; `None` for one that has none.
pub fn identity(scenario: &Scenario, row: &Row) -> Option<Identity> {
    let (code, part, name) = (row.value("code"), row.value("part"), row.value("name"));
    match scenario.key {
        KeyKind::Hashed => Some(Identity::of_keyless("hashed", &[code, name])),
        KeyKind::Composite => Identity::of(&[code, part], false).ok(),
        KeyKind::IgnoreCase => Identity::of(&[code], true).ok(),
        KeyKind::Single | KeyKind::Loose => Identity::of(&[code], false).ok(),
    }
}

/// Whether an item's values are those that are expected. Two spellings of one text are the same.
pub fn same(expected: &Values, found: &Values) -> bool {
    expected.iter().zip(found).all(|pair| match pair {
        (Value::Text(a), Value::Text(b)) => a.nfc().eq(b.nfc()),
        (Value::Decimal(a), Value::Decimal(b)) => cents(a) == cents(b),
        (a, b) => a == b,
    })
}

fn cents(decimal: &str) -> Option<i64> {
    let (whole, part) = decimal.split_once('.').unwrap_or((decimal, ""));
    format!("{whole}{part:0<2}").parse().ok()
}

/// Whether what the ledger says was written is what an item held.
pub fn agrees(ledger: &Fields, held: &Values) -> bool {
    ledger.iter().all(|(name, written)| {
        let Some(index) = FIELDS.iter().position(|f| f == name) else { return false };
        canonical(held[index].clone(), &field(index)).to_json() == *written
    })
}
