//! What only tables have, and what they do not have.

use std::time::Duration;

use syncline_core::sync::{DeletePolicy, Deletes, Detect, Mode, SchemaPolicy, TableOptions, Write};

use crate::{
    destination::Destination,
    fields::{Mapping, check_mapped},
    params,
    reader::{Reader, Record},
};

/// Most statements that run after a load.
const AFTER_MAX: usize = 100;

/// How long to wait for locks, unless the sync says otherwise.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// Keys of a sync that have no meaning for tables, and what to do instead.
const NOT_FOR_TABLES: &[(&str, &str)] = &[
    ("route", "give every table a sync of its own, with from.filter"),
    ("adopt", "remove it: the records of a table are paired by to.match"),
    ("on_edit", "say in to.update_when which records are updated"),
    ("batch", "remove it: a run is written in one transaction"),
];

/// Reports what has no meaning for tables.
pub(crate) fn refuse(reader: &mut Reader<'_>, sync: &Record<'_>) {
    for (key, hint) in NOT_FOR_TABLES {
        if let Some(spot) = sync.get(key) {
            let message = format!("{} is not for tables", spot.path);
            reader.error(spot.key, &spot.path, message, Some((*hint).to_owned()));
        }
    }
}

/// How the table is loaded, as `to` says.
pub(crate) fn options(
    reader: &mut Reader<'_>,
    to: &Record<'_>,
    destination: Destination<'_>,
) -> TableOptions {
    destination.tables_only(reader, to, &["schema", "parallel"]);
    let of_databases = ["match", "update", "insert", "update_when", "partition", "after", "lock_timeout"];
    destination.databases_only(reader, to, &of_databases);
    TableOptions {
        schema: match to.word(reader, "schema") {
            Some("freeze") => SchemaPolicy::Freeze,
            _ => SchemaPolicy::Evolve,
        },
        match_on: to.texts(reader, "match"),
        update: to.texts(reader, "update"),
        insert: to.texts(reader, "insert"),
        update_when: to.sql(reader, "update_when"),
        partition: params::partition(reader, to),
        after: after(reader, to),
        lock_timeout: to.interval(reader, "lock_timeout").unwrap_or(LOCK_TIMEOUT),
        parallel: to.integer(reader, "parallel").and_then(|n| usize::try_from(n).ok()),
    }
}

fn after(reader: &mut Reader<'_>, to: &Record<'_>) -> Vec<String> {
    let Some(spot) = to.get("after") else { return Vec::new() };
    let items = reader.items(&spot, "statements").unwrap_or_default();
    if items.len() > AFTER_MAX {
        let message =
            format!("{} has {} statements; at most {AFTER_MAX} are allowed", spot.path, items.len());
        reader.error(spot.key, &spot.path, message, None);
    }
    items.iter().take(AFTER_MAX).filter_map(|item| reader.sql(item)).collect()
}

/// Columns that `to` names are mapped, where the sync lists them all.
pub(crate) fn check_columns(reader: &mut Reader<'_>, to: &Record<'_>, mapping: &Mapping) {
    if !mapping.rest {
        let partition = params::partition(reader, to);
        for key in ["match", "update", "insert"] {
            check_mapped(reader, to, key, mapping, &partition);
        }
    }
}

/// Warns of what is allowed but does nothing, or more than it seems to.
pub(crate) fn check_effects(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    to: &Record<'_>,
    write: Write,
    mode: Mode,
    deletes: &Deletes,
) {
    if let (Write::Append, Mode::Full, Some(spot)) = (write, mode, sync.get("write")) {
        let message = "write: append in mode full adds every record again at each run".to_owned();
        let hint =
            "name a column that grows with every change in from.cursor, or use write: replace".to_owned();
        reader.warning(spot.node.place, &spot.path, message, Some(hint));
    }
    if matches!(write, Write::Append | Write::Replace) {
        for spot in ["update", "update_when"].iter().filter_map(|key| to.get(key)) {
            let message = format!("{} has no effect with write: {}", spot.path, write.as_str());
            reader.warning(spot.key, &spot.path, message, None);
        }
    }
    let Some(spot) = sync.get("deletes") else { return };
    let message = match (write, deletes.detect, &deletes.policy) {
        (Write::Append, _, _) => "has no effect with write: append",
        (_, Detect::Keys, DeletePolicy::Ignore) => "has detect: keys and a policy that does nothing about it",
        _ => return,
    };
    reader.warning(spot.key, &spot.path, format!("{} {message}", spot.path), None);
}
