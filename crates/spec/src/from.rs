//! The source of a sync: what is read, and how its records are known.

use std::time::Duration;

use syncline_core::sync::{From, Key, KeyColumns, Overlap};

use crate::{
    connections::{self, Named, Role},
    destination::Destination,
    expressions::{condition, constant},
    keys::{FROM, HASHED_WORDS, KEY, KEY_WORDS, TOMBSTONE, Words},
    problem::nearest,
    reader::{Reader, Record, Spot},
    tree::Value,
    units,
};

const OVERLAP: Overlap = Overlap { time: Duration::from_secs(120), count: 1000 };

/// Reads `from`.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    connections: &[Named<'_>],
    destination: Destination<'_>,
) -> Option<From> {
    let record = reader.record(spot, &FROM)?;
    let connection = connections::used(reader, &record, connections, Role::Source).map(|c| c.name.clone());
    let stream = stream(reader, &record);
    let mass_query = record.get("mass_query").and_then(|spot| statement(reader, &spot));
    destination.tables_only(reader, &record, &["mass_query"]);
    let primary = Key { columns: KeyColumns::PrimaryKey, ignore_case: false };
    let key = record.get("key").map_or(Some(primary), |spot| key(reader, &spot));
    check_key_of_query(reader, &record, key.as_ref());
    let cursor = record.text(reader, "cursor");
    let overlap = record.get("overlap").map_or(Some(OVERLAP), |spot| overlap(reader, &spot));
    let lag = record.duration(reader, "lag").unwrap_or_default();
    let (tombstone, tombstone_values) = tombstone(reader, &record, destination);
    let filter = condition(reader, &record, "filter");
    if let (Some(false), Some(spot)) = (filter.as_ref().and_then(constant), record.get("filter")) {
        let message = format!("{} never holds: nothing is synced", spot.path);
        reader.warning(spot.node.place, &spot.path, message, None);
    }
    Some(From {
        connection: connection?,
        stream: stream?,
        mass_query,
        key: key?,
        cursor,
        overlap: overlap?,
        lag,
        tombstone,
        tombstone_values,
        filter,
    })
}

/// A table, a statement in parentheses, or what an API calls a list or a resource.
fn stream(reader: &mut Reader<'_>, from: &Record<'_>) -> Option<String> {
    const KEYS: [&str; 4] = ["table", "query", "resource", "list"];
    let given: Vec<&str> = KEYS.into_iter().filter(|key| from.gives(key)).collect();
    match given.as_slice() {
        ["resource" | "list"] => return from.text(reader, given[0]),
        ["table", "query"] | ["table" | "query"] | [] => {}
        several => {
            let spot = &from.spot;
            let several = several.join(" and ");
            let message = format!("{} has {several}; only one of them can say what is read", spot.path);
            reader.error(spot.key, &spot.path, message, None);
            return None;
        }
    }
    match (from.get("table"), from.get("query")) {
        (Some(_), Some(_)) => {
            let spot = &from.spot;
            let message =
                format!("{} has both table and query; only one of them can say what is read", spot.path);
            reader.error(spot.key, &spot.path, message, None);
            None
        }
        (None, Some(spot)) => statement(reader, &spot),
        (Some(spot), None) => {
            let table = reader.text(&spot)?;
            if table.trim_start().starts_with('(') {
                let hint = "write a statement in from.query, without parentheses".to_owned();
                reader.wrong_with(&spot, "must be the name of a table or view", Some(hint));
                return None;
            }
            Some(table)
        }
        (None, None) => {
            reader.require(from, "table", Some("name a table or view, or write a statement in query"));
            None
        }
    }
}

/// A statement, in the parentheses that let it stand where a table does.
fn statement(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<String> {
    let sql = reader.sql(spot)?;
    if !sql.contains(char::is_whitespace) {
        let hint = "a table or view is named in from.table".to_owned();
        reader.wrong_with(spot, "must be a statement, such as SELECT a, b FROM t", Some(hint));
        return None;
    }
    let last = sql.lines().next_back().unwrap_or_default();
    // A comment goes to the end of its line.
    let end = if last.contains("--") || last.contains('#') { "\n)" } else { ")" };
    Some(format!("({sql}{end}"))
}

/// A statement has no constraints that could tell its key.
fn check_key_of_query(reader: &mut Reader<'_>, from: &Record<'_>, key: Option<&Key>) {
    let (Some(query), Some(key)) = (from.get("query"), key) else { return };
    if matches!(key.columns, KeyColumns::Columns(_) | KeyColumns::Hashed(_)) {
        return;
    }
    let spot = from.get("key").unwrap_or(query);
    let message =
        format!("{} is read by a query, which has no constraints: its key must be named", from.spot.path);
    reader.error(spot.key, &spot.path, message, Some("add the columns of the key: key: [a, b]".to_owned()));
}

/// A column, or a map of a column and the values that count.
fn tombstone(
    reader: &mut Reader<'_>,
    from: &Record<'_>,
    destination: Destination<'_>,
) -> (Option<String>, Vec<String>) {
    let Some(spot) = from.get("tombstone") else { return (None, Vec::new()) };
    if !matches!(spot.node.value, Value::Map(_)) {
        return (reader.text(&spot), Vec::new());
    }
    let Some(record) = reader.record(&spot, &TOMBSTONE) else { return (None, Vec::new()) };
    destination.tables_only(reader, &record, &["values"]);
    (record.text(reader, "column"), record.texts(reader, "values").unwrap_or_default())
}

/// `primary`, a list of columns, or a map with exactly one of `columns`, `unique` and `hashed`.
fn key(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<Key> {
    let columns = match &spot.node.value {
        Value::Scalar(_) => {
            word_or_list(reader, spot, &KEY_WORDS, "must be primary, a list of columns, or a map")?;
            KeyColumns::PrimaryKey
        }
        Value::List(_) => KeyColumns::Columns(reader.texts(spot)?),
        Value::Map(_) => return key_map(reader, spot),
    };
    Some(Key { columns, ignore_case: false })
}

/// A word where a list may stand too: what is not the word was most likely meant as a list of one.
fn word_or_list(reader: &mut Reader<'_>, spot: &Spot<'_>, words: &'static Words, must: &str) -> Option<()> {
    let (scalar, text) = reader.scalar(spot, must)?;
    if words.words.contains(&text) {
        return Some(());
    }
    let near = nearest(text, words.words.iter().copied()).map(|near| format!("did you mean {near:?}?"));
    let list = || format!("write [{}] for a list of one", scalar.written.escape_debug());
    reader.wrong_with(spot, must, Some(near.unwrap_or_else(list)));
    None
}

fn key_map(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<Key> {
    let record = reader.record(spot, &KEY)?;
    let ignore_case = record.boolean(reader, "ignore_case").unwrap_or(false);
    let strategies: Vec<&str> =
        ["columns", "unique", "hashed"].into_iter().filter(|name| record.get(name).is_some()).collect();
    if strategies.len() > 1 {
        let message = format!(
            "{} has {}; only one of them can say which columns are the key",
            spot.path,
            strategies.join(" and ")
        );
        reader.error(spot.key, &spot.path, message, None);
        return None;
    }
    let columns = match strategies.first() {
        None => KeyColumns::PrimaryKey,
        Some(&"columns") => KeyColumns::Columns(record.texts(reader, "columns")?),
        Some(&"unique") => KeyColumns::UniqueConstraint(record.text(reader, "unique")?),
        Some(_) => {
            let hashed = record.get("hashed")?;
            match &hashed.node.value {
                Value::List(_) => KeyColumns::Hashed(reader.texts(&hashed)?),
                _ => {
                    word_or_list(reader, &hashed, &HASHED_WORDS, "must be all or a list of columns")?;
                    KeyColumns::Hashed(Vec::new())
                }
            }
        }
    };
    Some(Key { columns, ignore_case })
}

/// A duration, or a number for integer cursors; the other keeps its default.
fn overlap(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<Overlap> {
    const MUST: &str = "must be a duration with its unit, such as 2m, or a whole number for integer cursors";
    let (scalar, text) = reader.scalar(spot, MUST)?;
    let count = if scalar.is_plain() { text.parse::<u64>().ok() } else { None };
    match (count.filter(|c| i64::try_from(*c).is_ok()), units::duration(text)) {
        (Some(count), _) => Some(Overlap { count, ..OVERLAP }),
        (None, Ok(time)) => Some(Overlap { time, ..OVERLAP }),
        (None, Err(_)) => {
            reader.wrong(spot, MUST);
            None
        }
    }
}
