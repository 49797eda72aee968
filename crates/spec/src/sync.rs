//! One sync: the source, the destination, and how records are written.

use std::{collections::BTreeSet, time::Duration};

use syncline_core::{
    connection::ConnectorSpec,
    expr::Expr,
    sync::{
        DeletePolicy, Deletes, Detect, From, Key, KeyColumns, Mode, OnEdit, Overlap, Route, Sync,
        TableOptions, To, Write,
    },
};

use crate::{
    connections::{NAMED_MAX, Named, check_count, check_name},
    fields,
    keys::{
        ADOPT, DELETE_POLICIES, DELETES, FROM, GUARD, HASHED_WORDS, KEY, KEY_WORDS, ROUTE, SYNC, TO, Words,
    },
    problem::{did_you_mean, nearest},
    reader::{Reader, Record, Spot},
    schedule,
    tree::Value,
    units,
};

/// Field that soft deletes are marked in, unless the sync names another.
const SOFT_FIELD: &str = "DeletedAt";

/// Operations between two checkpoints, unless the sync says otherwise.
const BATCH: u64 = 500;

const OVERLAP: Overlap = Overlap { time: Duration::from_secs(120), count: 1000 };

/// Reads all syncs.
pub(crate) fn read(reader: &mut Reader<'_>, spot: &Spot<'_>, connections: &[Named<'_>]) -> Vec<Sync> {
    let Some(entries) = reader.named(spot, "syncs") else { return Vec::new() };
    check_count(reader, spot, entries.len(), "syncs");
    let read = entries.iter().take(NAMED_MAX).filter_map(|(name, spot)| {
        check_name(reader, spot, name);
        sync(reader, spot, name, connections)
    });
    read.collect()
}

/// Reads every part before it gives up on any, so that all of them report their problems.
fn sync(reader: &mut Reader<'_>, spot: &Spot<'_>, name: &str, connections: &[Named<'_>]) -> Option<Sync> {
    let record = reader.record(spot, &SYNC)?;
    let from = record.get("from").and_then(|spot| from(reader, &spot, connections));
    let to = record.get("to").and_then(|spot| to(reader, &spot, connections));
    let mode = mode(reader, &record);
    let write = match record.word(reader, "write") {
        Some("mirror") => Write::Mirror,
        _ => Write::Upsert,
    };
    let fields = record.get("fields").and_then(|spot| fields::read(reader, &spot));
    let deletes = deletes(reader, &record, write);
    let routes = record.get("route").map(|spot| routes(reader, &spot)).unwrap_or_default();
    let adopt = record.get("adopt").and_then(|spot| adopt(reader, &spot, fields.as_deref()));
    let on_edit = match record.word(reader, "on_edit") {
        Some("report") => OnEdit::Report,
        _ => OnEdit::Overwrite,
    };
    let batch = record.integer(reader, "batch").unwrap_or(BATCH);
    if let Some(spot) = record.get("schedule") {
        schedule::check(reader, &spot);
    }
    let fields = fields?;
    check_soft_field(reader, &record, &deletes, &fields);
    Some(Sync {
        name: name.to_owned(),
        from: from?,
        to: to?,
        mode,
        write,
        deletes,
        fields,
        routes,
        adopt,
        on_edit,
        batch: usize::try_from(batch).ok()?,
        rest: false,
        schedules: Vec::new(),
    })
}

/// What a connection is used for.
#[derive(Clone, Copy)]
enum Role {
    Source,
    Destination,
}

impl Role {
    fn fits(self, connector: &ConnectorSpec) -> bool {
        match self {
            Self::Source => connector.source,
            Self::Destination => connector.destination,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Source => "read from",
            Self::Destination => "written to",
        }
    }
}

/// The name of a connection that exists and can play the role.
fn connection(reader: &mut Reader<'_>, side: &Record<'_>, named: &[Named<'_>], role: Role) -> Option<String> {
    let name = side.text(reader, "connection")?;
    let spot = side.get("connection")?;
    let fitting: Vec<&str> =
        named.iter().filter(|n| n.connector.is_none_or(|c| role.fits(c))).map(|n| n.name.as_str()).collect();
    let what = format!("connections that can be {}", role.verb());
    match named.iter().find(|n| n.name == name).map(|n| n.connector) {
        None => {
            let message = format!("{} {} is not a connection", spot.path, reader.shown(&spot));
            reader.error(spot.node.place, &spot.path, message, did_you_mean(&name, &fitting, &what));
            None
        }
        Some(Some(connector)) if !role.fits(connector) => {
            let message = format!(
                "{} {} is of type {}, which cannot be {}",
                spot.path,
                reader.shown(&spot),
                connector.name,
                role.verb()
            );
            let hint = (!fitting.is_empty()).then(|| format!("{what}: {}", fitting.join(", ")));
            reader.error(spot.node.place, &spot.path, message, hint);
            None
        }
        Some(_) => Some(name),
    }
}

fn from(reader: &mut Reader<'_>, spot: &Spot<'_>, connections: &[Named<'_>]) -> Option<From> {
    let record = reader.record(spot, &FROM)?;
    let connection = connection(reader, &record, connections, Role::Source);
    let stream = record.text(reader, "table");
    let primary = Key { columns: KeyColumns::PrimaryKey, ignore_case: false };
    let key = record.get("key").map_or(Some(primary), |spot| key(reader, &spot));
    let cursor = record.text(reader, "cursor");
    let overlap = record.get("overlap").map_or(Some(OVERLAP), |spot| overlap(reader, &spot));
    let lag = record.duration(reader, "lag").unwrap_or_default();
    let tombstone = record.text(reader, "tombstone");
    let filter = condition(reader, &record, "filter");
    if let (Some(false), Some(spot)) = (filter.as_ref().and_then(constant), record.get("filter")) {
        let message = format!("{} never holds: nothing is synced", spot.path);
        reader.warning(spot.node.place, &spot.path, message, None);
    }
    Some(From {
        connection: connection?,
        stream: stream?,
        mass_query: None,
        key: key?,
        cursor,
        overlap: overlap?,
        lag,
        tombstone,
        tombstone_values: Vec::new(),
        filter,
    })
}

fn to(reader: &mut Reader<'_>, spot: &Spot<'_>, connections: &[Named<'_>]) -> Option<To> {
    let record = reader.record(spot, &TO)?;
    let connection = connection(reader, &record, connections, Role::Destination);
    let stream = record.text(reader, "list");
    Some(To { connection: connection?, stream: stream?, table: TableOptions::default() })
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

/// An incremental sync needs a cursor; with one and no mode, it is meant.
fn mode(reader: &mut Reader<'_>, record: &Record<'_>) -> Mode {
    let from = record.get("from");
    let cursor = match from.as_ref().map(|f| &f.node.value) {
        Some(Value::Map(entries)) => entries.iter().any(|e| e.key == "cursor"),
        _ => false,
    };
    match record.word(reader, "mode") {
        Some("full") => Mode::Full,
        Some(_) => {
            if let (false, Some(Value::Map(_)), Some(spot)) =
                (cursor, from.map(|f| &f.node.value), record.get("mode"))
            {
                let message = format!("{} incremental needs a cursor", spot.path);
                let hint = "name a column that grows with every change in from.cursor, or use mode: full";
                reader.error(spot.node.place, &spot.path, message, Some(hint.to_owned()));
            }
            Mode::Incremental
        }
        None if cursor => Mode::Incremental,
        None => Mode::Full,
    }
}

/// A word or a map; what is absent or wrong is as the write mode implies.
fn deletes(reader: &mut Reader<'_>, sync: &Record<'_>, write: Write) -> Deletes {
    let implied = match write {
        Write::Append | Write::Upsert | Write::Replace => "ignore",
        Write::Mirror => "delete",
    };
    let mut deletes = Deletes {
        policy: policy(implied, None),
        guard_count: 10,
        guard_percent: 10.0,
        out_of_filter: false,
        detect: Detect::Listing,
    };
    let Some(spot) = sync.get("deletes") else { return deletes };
    if !matches!(spot.node.value, Value::Map(_)) {
        let word = reader.word(&spot, &DELETE_POLICIES);
        check_mirror(reader, &spot, write, word);
        deletes.policy = policy(word.unwrap_or(implied), None);
        return deletes;
    }
    let Some(record) = reader.record(&spot, &DELETES) else { return deletes };
    let word = record.word(reader, "policy");
    check_mirror(reader, &spot, write, word);
    let field = record.text(reader, "field");
    deletes.policy = policy(word.unwrap_or(implied), field);
    if let (false, Some(spot)) = (matches!(deletes.policy, DeletePolicy::Soft { .. }), record.get("field")) {
        let message = format!("{} is for soft deletes only", spot.path);
        reader.error(spot.key, &spot.path, message, Some("add policy: soft, or remove it".to_owned()));
    }
    if let Some(guard) = record.get("guard").and_then(|spot| reader.record(&spot, &GUARD)) {
        deletes.guard_count = guard.integer(reader, "count").unwrap_or(deletes.guard_count);
        deletes.guard_percent = guard.number(reader, "percent").unwrap_or(deletes.guard_percent);
    }
    deletes.out_of_filter = record.boolean(reader, "out_of_filter").unwrap_or(false);
    let filtered = matches!(sync.get("from").map(|f| &f.node.value),
        Some(Value::Map(entries)) if entries.iter().any(|e| e.key == "filter"));
    if let (true, false, Some(spot)) = (deletes.out_of_filter, filtered, record.get("out_of_filter")) {
        let message = format!("{} has no effect: the sync has no filter", spot.path);
        reader.warning(spot.key, &spot.path, message, None);
    }
    deletes
}

fn policy(word: &str, field: Option<String>) -> DeletePolicy {
    match word {
        "soft" => DeletePolicy::Soft { field: field.unwrap_or_else(|| SOFT_FIELD.to_owned()) },
        "delete" => DeletePolicy::Delete,
        _ => DeletePolicy::Ignore,
    }
}

fn check_mirror(reader: &mut Reader<'_>, spot: &Spot<'_>, write: Write, word: Option<&str>) {
    if write == Write::Mirror && word == Some("ignore") {
        let message =
            "write: mirror with deletes: ignore removes nothing: it is the same as upsert".to_owned();
        reader.warning(spot.node.place, &spot.path, message, None);
    }
}

/// The field that marks a delete has one writer.
fn check_soft_field(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    deletes: &Deletes,
    fields: &[syncline_core::sync::FieldMap],
) {
    let DeletePolicy::Soft { field } = &deletes.policy else { return };
    let (true, Some(spot)) = (fields.iter().any(|f| f.to == *field), sync.get("deletes")) else { return };
    let message = format!("{field:?} is mapped in fields and marks soft deletes");
    let hint = "choose another with deletes: { policy: soft, field: ... }, or do not map it".to_owned();
    reader.error(spot.node.place, &spot.path, message, Some(hint));
}

/// A condition: an expression that can be true or false.
fn condition(reader: &mut Reader<'_>, record: &Record<'_>, name: &str) -> Option<Expr> {
    let expr = record.expression(reader, name)?;
    let spot = record.get(name)?;
    if let (true, Err(why)) = (expr.variables().is_empty(), test(&expr)) {
        reader.error(
            spot.node.place,
            &spot.path,
            format!("{} is not a condition: it {why}", spot.path),
            None,
        );
        return None;
    }
    Some(expr)
}

fn test(expr: &Expr) -> Result<bool, String> {
    expr.test(|_| syncline_core::value::Value::Null)
}

/// The value of a condition that no column can change.
fn constant(expr: &Expr) -> Option<bool> {
    if expr.variables().is_empty() { test(expr).ok() } else { None }
}

fn routes(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut always: Option<usize> = None;
    for (index, spot) in
        reader.items(spot, "maps with the keys when, list").unwrap_or_default().iter().enumerate()
    {
        let Some(record) = reader.record(spot, &ROUTE) else { continue };
        let when = condition(reader, &record, "when");
        let list = record.text(reader, "list");
        let value = when.as_ref().and_then(constant);
        if let Some(first) = always {
            let message = format!("{} is never reached: route[{first}] takes every record", spot.path);
            reader.warning(spot.key, &spot.path, message, None);
        } else if value == Some(false) {
            reader.warning(spot.key, &spot.path, format!("{} never takes a record", spot.path), None);
        } else if list.is_some() && list.as_ref() == routes.last().map(|r| &r.stream) {
            let message = format!("{} goes to the same list as the route before it", spot.path);
            reader.warning(spot.key, &spot.path, message, Some("join their conditions with ||".to_owned()));
        }
        if value == Some(true) {
            always.get_or_insert(index);
        }
        if let (Some(when), Some(stream)) = (when, list) {
            routes.push(Route { when, stream });
        }
    }
    routes
}

/// Natural-key fields; they must be written by the sync, or there is nothing to compare.
fn adopt(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    fields: Option<&[syncline_core::sync::FieldMap]>,
) -> Option<Vec<String>> {
    let record = reader.record(spot, &ADOPT)?;
    let by = record.texts(reader, "by")?;
    let Some(fields) = fields else { return Some(by) };
    let mapped: Vec<&str> = fields.iter().map(|f| f.to.as_str()).collect();
    let known: BTreeSet<&str> = mapped.iter().copied().collect();
    for item in reader.items(&record.get("by")?, "names")? {
        let Some(name) = reader.text(&item) else { continue };
        if !known.contains(name.as_str()) {
            let message = format!("{} {} is not mapped in fields", item.path, reader.shown(&item));
            reader.error(item.node.place, &item.path, message, did_you_mean(&name, &mapped, "mapped"));
        }
    }
    Some(by)
}
