//! The parameters of a sync: who names them, and whether they are there.

use std::time::Duration;

use syncline_core::{
    partition::{BUILT_IN, OWNER},
    placeholder::{Syntax, placeholders},
    sync::{DeletePolicy, Deletes, Detect, Each, FieldMap, Origin, TableOptions, Write},
};

use crate::{
    connections::{self, Named, Role},
    destination::Destination,
    keys::EACH,
    problem::{did_you_mean, echo},
    reader::{Reader, Record, Spot},
    source::place_in,
    tree::Value,
};

/// Most parameters of a sync, and longest name of one.
const PARAMS_MAX: usize = 20;
const NAME_MAX: usize = 40;

/// What a sync says of its parameters.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pub(crate) names: Vec<String>,
    pub(crate) fresh: Option<Duration>,
    pub(crate) each: Option<Each>,
}

/// Reads `params`, `fresh` and `each`.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    connections: &[Named<'_>],
    destination: Destination<'_>,
) -> Params {
    destination.tables_only(reader, sync, &["params", "fresh", "each"]);
    let names = sync.get("params").map(|spot| names(reader, &spot)).unwrap_or_default();
    let fresh = sync.interval(reader, "fresh");
    let each = sync.get("each").and_then(|spot| each(reader, &spot, connections, &names));
    Params { names, fresh, each }
}

/// Names of parameters: such that they can stand behind a colon, and are not taken.
fn names(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Vec<String> {
    let names = reader.texts(spot).unwrap_or_default();
    if names.len() > PARAMS_MAX {
        let message = format!("{} has {} names; at most {PARAMS_MAX} are allowed", spot.path, names.len());
        reader.error(spot.key, &spot.path, message, None);
    }
    for item in reader.items(spot, "names").unwrap_or_default() {
        let Some(name) = reader.text(&item) else { continue };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let message = if BUILT_IN.contains(&name.as_str()) {
            format!("{} {} is a parameter that every run has", item.path, echo(&name))
        } else if !name.chars().all(plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
            || name.len() > NAME_MAX
        {
            format!("{} {} is not the name of a parameter", item.path, echo(&name))
        } else {
            continue;
        };
        let hint =
            format!("small letters, digits and _, at most {NAME_MAX}, and not {}", BUILT_IN.join(", "));
        reader.error(item.node.place, &item.path, message, Some(hint));
    }
    names
}

/// How the partitions of a series are found.
fn each(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    connections: &[Named<'_>],
    params: &[String],
) -> Option<Each> {
    let record = reader.record(spot, &EACH)?;
    if params.is_empty() {
        let message =
            format!("{} is for syncs with params: a row of its query is a value for each", spot.path);
        reader.error(spot.key, &spot.path, message, Some("add params".into()));
    }
    let connection = connections::used(reader, &record, connections, Role::Source);
    let given = record.get("params").map(|spot| names(reader, &spot)).unwrap_or_default();
    let query = record.sql(reader, "query");
    let mut known: Vec<&str> = given.iter().map(String::as_str).collect();
    known.push(OWNER);
    let database = connection.and_then(|named| named.connector).map_or("", |c| c.name);
    if let Some(spot) = record.get("query") {
        check_statement(reader, &spot, database, &known);
    }
    Some(Each { connection: connection?.name.clone(), query: query?, params: given })
}

/// The columns of `to.partition`, each with the parameter that it holds.
pub(crate) fn partition(reader: &mut Reader<'_>, to: &Record<'_>) -> Vec<(String, String)> {
    let Some(spot) = to.get("partition") else { return Vec::new() };
    let entries = reader.named(&spot, "columns, each with the parameter that it holds").unwrap_or_default();
    entries.iter().filter_map(|(column, spot)| Some(((*column).to_owned(), reader.text(spot)?))).collect()
}

/// What else the sync says, as far as parameters touch it.
pub(crate) struct Sync<'s> {
    pub(crate) table: &'s TableOptions,
    pub(crate) write: Write,
    pub(crate) deletes: &'s Deletes,
    pub(crate) fields: &'s [FieldMap],
    pub(crate) destination: Destination<'s>,
}

/// Whether a run of the sync is about a part of it, or made for a user.
pub(crate) fn takes_values(params: &[String], table: &TableOptions, fields: &[FieldMap]) -> bool {
    let owner = |name: &str| name == OWNER;
    !params.is_empty()
        || !table.partition.is_empty()
        || fields.iter().any(|f| matches!(&f.from, Origin::Param(name) if owner(name)))
        || table.after.iter().any(|sql| placeholders(sql, Syntax::default()).iter().any(|p| owner(p.name)))
}

/// As [`takes_values`], of a sync that was read.
pub(crate) fn asked_for(sync: &syncline_core::sync::Sync) -> bool {
    takes_values(&sync.params, &sync.to.table, &sync.fields)
}

/// Reports parameters that are not there, and what does not go with them.
pub(crate) fn check(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    to: &Record<'_>,
    of: &Sync<'_>,
    params: &Params,
) {
    if !of.destination.loads() {
        return;
    }
    let table = of.table;
    let own = params.names.iter().map(String::as_str);
    let known: Vec<&str> = own.clone().chain(BUILT_IN.iter().copied()).collect();
    let of_partition: Vec<&str> = own.chain([OWNER]).collect();
    check_partition(reader, to, of, &of_partition);
    for item in to.get("after").and_then(|spot| reader.items(&spot, "statements")).unwrap_or_default() {
        check_statement(reader, &item, of.destination.type_name(), &known);
    }
    let entries = sync.get("fields").filter(|spot| matches!(spot.node.value, Value::Map(_)));
    let entries = entries.and_then(|spot| reader.named(&spot, "source columns")).unwrap_or_default();
    for ((_, spot), field) in
        entries.iter().filter_map(|entry| Some((entry, of.fields.iter().find(|field| field.to == entry.0)?)))
    {
        if let Origin::Param(name) = &field.from {
            check_known(reader, &of_map(spot, "param"), name, &known);
        }
    }
    if params.fresh.is_some() && !takes_values(&params.names, table, of.fields) {
        let spot = sync.get("fresh").unwrap_or_else(|| to.spot.clone());
        let message = format!("{} is for syncs that are run for a partition", spot.path);
        reader.error(spot.key, &spot.path, message, Some("add params, or remove it".into()));
    }
    let removes = of.deletes.policy != DeletePolicy::Ignore;
    if let (true, true, false, Some(spot)) =
        (removes, table.partition.is_empty(), params.names.is_empty(), sync.get("params"))
    {
        let message = format!(
            "{}: a run reads one part of the records, and would remove all the others as gone",
            spot.path
        );
        let hint = "say in to.partition which columns hold the parameters, or use deletes: ignore".to_owned();
        reader.error(spot.key, &spot.path, message, Some(hint));
    }
    if let (true, Some(spot)) = (takes_values(&params.names, table, of.fields), sync.get("schedule")) {
        let message = format!("{}: nobody gives values to the parameters of a run by schedule", spot.path);
        let hint = "remove it: such a sync is run when somebody asks for it".to_owned();
        reader.error(spot.key, &spot.path, message, Some(hint));
    }
}

fn check_partition(reader: &mut Reader<'_>, to: &Record<'_>, of: &Sync<'_>, known: &[&str]) {
    let Some(spot) = to.get("partition") else { return };
    let table = of.table;
    if matches!(of.write, Write::Append | Write::Replace) {
        let message = format!("{} is not for write: {}", spot.path, of.write.as_str());
        reader.error(spot.key, &spot.path, message, Some("use write: upsert or mirror".into()));
    }
    if of.deletes.detect == Detect::Keys {
        let message = format!("{} does not go with deletes: {{ detect: keys }}", spot.path);
        reader.error(spot.key, &spot.path, message, Some("use detect: listing".into()));
    }
    let columns = table.match_on.clone().unwrap_or_default();
    for (column, item) in reader.named(&spot, "columns").unwrap_or_default() {
        let Some(param) = table.partition.iter().find(|(name, _)| name == column).map(|(_, param)| param)
        else {
            continue;
        };
        check_known(reader, &item, param, known);
        if table.match_on.is_some() && !columns.iter().any(|name| name == column) {
            let message = format!("{} is not in to.match, and belongs to the key", item.path);
            let hint = format!("add {} to to.match", echo(column));
            reader.error(item.key, &item.path, message, Some(hint));
        }
        let mapped = of.fields.iter().find(|field| field.to == column).map(|field| &field.from);
        if mapped.is_some_and(|from| !matches!(from, Origin::Param(name) if name == param)) {
            let message = format!(
                "{} holds the parameter {}, and fields gives it another value",
                item.path,
                echo(param)
            );
            reader.error(item.key, &item.path, message, Some("leave it out of fields".into()));
        }
    }
}

/// The value of a key of a map that was read, for its place.
fn of_map<'t>(spot: &Spot<'t>, key: &str) -> Spot<'t> {
    match &spot.node.value {
        Value::Map(entries) => match entries.iter().find(|entry| entry.key == key) {
            Some(entry) => spot.child(entry),
            None => spot.clone(),
        },
        _ => spot.clone(),
    }
}

fn check_known(reader: &mut Reader<'_>, spot: &Spot<'_>, name: &str, known: &[&str]) {
    if !known.contains(&name) {
        let message = format!("{} {} is not a parameter", spot.path, reader.shown(spot));
        reader.error(spot.node.place, &spot.path, message, did_you_mean(name, known, "parameters"));
    }
}

/// Reports each `:name` of a statement that is not known, at its very place.
fn check_statement(reader: &mut Reader<'_>, spot: &Spot<'_>, database: &str, known: &[&str]) {
    let Value::Scalar(scalar) = &spot.node.value else { return };
    let text = scalar.text.clone().unwrap_or_default();
    for unknown in placeholders(&text, Syntax::named(database)).iter().filter(|p| !known.contains(&p.name)) {
        let exact = scalar.written == text && !scalar.filled;
        let place = match exact {
            true => place_in(reader.text, scalar, spot.node.place, unknown.at),
            false => spot.node.place,
        };
        let message = format!("{}: {} is not a parameter", spot.path, echo(unknown.name));
        reader.error(place, &spot.path, message, did_you_mean(unknown.name, known, "parameters"));
    }
}
