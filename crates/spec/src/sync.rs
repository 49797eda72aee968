//! One sync: the source, the destination, and how records are written.

use syncline_core::sync::{DeletePolicy, Deletes, Detect, FieldMap, Mode, OnEdit, Route, Sync, Write};

use crate::{
    connections::{self, NAMED_MAX, Named, Role, check_count, check_name},
    destination::{self, Destination},
    expressions::{condition, constant},
    fields::{self, Mapping, check_mapped},
    from,
    keys::{ADOPT, DELETE_POLICIES, DELETES, GUARD, ROUTE, SYNC, TO},
    params,
    problem::echo,
    reader::{Reader, Record, Spot},
    schedule::{self, Means},
    tables,
    tree::Value,
};

/// Field that soft deletes are marked in, unless the sync names another.
const SOFT_FIELD: &str = "DeletedAt";

/// Operations between two checkpoints, unless the sync says otherwise.
const BATCH: usize = 500;

/// Reads all syncs. `defaults` are the schedules of those that are loaded into tables.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    connections: &[Named<'_>],
    defaults: &[schedule::Draft<'_>],
) -> Vec<Sync> {
    let Some(entries) = reader.named(spot, "syncs") else { return Vec::new() };
    check_count(reader, spot, entries.len(), "syncs");
    let read = entries.iter().take(NAMED_MAX).filter_map(|(name, spot)| {
        check_name(reader, spot, name, &echo(name));
        sync(reader, spot, name, connections, defaults)
    });
    read.collect()
}

/// Reads every part before it gives up on any, so that all of them report their problems.
pub(crate) fn sync(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    name: &str,
    connections: &[Named<'_>],
    defaults: &[schedule::Draft<'_>],
) -> Option<Sync> {
    let record = reader.record(spot, &SYNC)?;
    let to_record = record.get("to").and_then(|spot| reader.record(&spot, &TO));
    let named =
        to_record.as_ref().and_then(|to| connections::used(reader, to, connections, Role::Destination));
    let destination = Destination(named.and_then(|n| n.connector));
    let from = record.get("from").and_then(|spot| from::read(reader, &spot, connections, destination));
    let connection = named.map(|n| n.name.clone());
    let to = to_record
        .as_ref()
        .and_then(|to| destination::read(reader, to, destination, connection, from.as_ref()));
    let write = destination::write(reader, &record, destination);
    let mode = mode(reader, &record, write);
    let mapping = fields::read(reader, &record, destination);
    let deletes = deletes(reader, &record, write, destination);
    let cursor = record.side_gives("from", "cursor");
    let params = params::read(reader, &record, connections, destination);
    let schedules = schedule::read(reader, &record, defaults, destination, Means { write, cursor });
    let apis = apis_only(reader, &record, mapping.as_ref(), destination);
    let mapping = mapping?;
    check_soft_field(reader, &record, &deletes, &mapping.fields);
    if let (true, Some(to)) = (destination.loads(), &to_record) {
        tables::check_columns(reader, to, &mapping);
        tables::check_effects(reader, &record, to, write, mode, &deletes);
    }
    let to = to?;
    if let Some(to_record) = &to_record {
        let of =
            params::Sync { table: &to.table, write, deletes: &deletes, fields: &mapping.fields, destination };
        params::check(reader, &record, to_record, &of, &params);
    }
    let asked_for = params::takes_values(&params.names, &to.table, &mapping.fields);
    Some(Sync {
        name: name.to_owned(),
        from: from?,
        to,
        mode,
        write,
        deletes,
        fields: mapping.fields,
        routes: apis.routes,
        adopt: apis.adopt,
        on_edit: apis.on_edit,
        batch: apis.batch,
        rest: mapping.rest,
        schedules: if asked_for { Vec::new() } else { schedules },
        params: params.names,
        fresh: params.fresh,
        each: params.each,
    })
}

/// What has a meaning for APIs only.
struct ApisOnly {
    routes: Vec<Route>,
    adopt: Option<Vec<String>>,
    on_edit: OnEdit,
    batch: usize,
}

fn apis_only(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    mapping: Option<&Mapping>,
    destination: Destination<'_>,
) -> ApisOnly {
    let mut read = ApisOnly { routes: Vec::new(), adopt: None, on_edit: OnEdit::Overwrite, batch: BATCH };
    if destination.loads() {
        tables::refuse(reader, sync);
        return read;
    }
    if let Some(spot) = sync.get("route") {
        read.routes = routes(reader, &spot);
    }
    read.adopt = sync.get("adopt").and_then(|spot| adopt(reader, &spot, mapping));
    if sync.word(reader, "on_edit") == Some("report") {
        read.on_edit = OnEdit::Report;
    }
    let batch = sync.integer(reader, "batch").and_then(|batch| usize::try_from(batch).ok());
    read.batch = batch.unwrap_or(BATCH);
    read
}

/// An incremental sync needs a cursor; with one and no mode, it is meant, unless every run starts from nothing.
fn mode(reader: &mut Reader<'_>, sync: &Record<'_>, write: Write) -> Mode {
    let cursor = sync.side_gives("from", "cursor");
    // whether an API tells what changed is known when it was asked
    let may_tell = ["resource", "list"].iter().any(|key| sync.side_gives("from", key) == Some(true));
    let why = match (write, cursor) {
        (Write::Replace, _) => {
            Some(("is not for write: replace, which reads everything", "remove it, or choose another write"))
        }
        (_, Some(false)) if !may_tell => Some((
            "needs a cursor",
            "name a column that grows with every change in from.cursor, or use mode: full",
        )),
        _ => None,
    };
    match (sync.word(reader, "mode"), why) {
        (Some("full"), _) => Mode::Full,
        (Some(_), Some((why, hint))) => {
            if let Some(spot) = sync.get("mode") {
                let message = format!("{} incremental {why}", spot.path);
                reader.error(spot.node.place, &spot.path, message, Some(hint.to_owned()));
            }
            Mode::Incremental
        }
        (Some(_), None) => Mode::Incremental,
        (None, _) if write != Write::Replace && cursor == Some(true) => Mode::Incremental,
        (None, _) => Mode::Full,
    }
}

/// A word or a map; what is absent or wrong is as the write mode implies.
fn deletes(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    write: Write,
    destination: Destination<'_>,
) -> Deletes {
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
    destination.databases_only(reader, &record, &["detect"]);
    if record.word(reader, "detect") == Some("keys") {
        deletes.detect = Detect::Keys;
    }
    let filtered = sync.side_gives("from", "filter") == Some(true);
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
fn check_soft_field(reader: &mut Reader<'_>, sync: &Record<'_>, deletes: &Deletes, fields: &[FieldMap]) {
    let DeletePolicy::Soft { field } = &deletes.policy else { return };
    let (true, Some(spot)) = (fields.iter().any(|f| f.to == *field), sync.get("deletes")) else { return };
    let message = format!("{field:?} is mapped in fields and marks soft deletes");
    let hint = "choose another with deletes: { policy: soft, field: ... }, or do not map it".to_owned();
    reader.error(spot.node.place, &spot.path, message, Some(hint));
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
fn adopt(reader: &mut Reader<'_>, spot: &Spot<'_>, mapping: Option<&Mapping>) -> Option<Vec<String>> {
    let record = reader.record(spot, &ADOPT)?;
    let by = record.texts(reader, "by")?;
    if let Some(mapping) = mapping {
        check_mapped(reader, &record, "by", mapping, &[]);
    }
    Some(by)
}
