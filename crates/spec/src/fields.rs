//! The mapping: destination field ← source column or expression.

use std::collections::BTreeSet;

use syncline_core::{
    expr::Expr,
    sync::{As, Direction, FieldMap, Origin},
};

use crate::{
    destination::Destination,
    keys::{FIELD, TRANSFORMS},
    problem::{any_of, did_you_mean, echo},
    reader::{Reader, Record, Spot},
    tree::Value,
};

/// Stands for every other column.
const REST: &str = "*";

/// What a destination's fields are given.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// In the file's order.
    pub(crate) fields: Vec<FieldMap>,
    /// Whether every other source column is written under its own name.
    pub(crate) rest: bool,
}

/// Reads the mapping, in the file's order; without one a table takes every column. A field with a problem is left in
/// as far as it is known, so that what refers to it by name is not reported too.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    destination: Destination<'_>,
) -> Option<Mapping> {
    let Some(spot) = sync.get("fields") else {
        if destination.is_api() {
            reader.require(sync, "fields", None);
        }
        return destination.loads().then(|| Mapping { fields: Vec::new(), rest: true });
    };
    let entries = reader.named(&spot, "source columns")?;
    let mut mapping = Mapping { fields: Vec::new(), rest: false };
    for (to, spot) in &entries {
        if *to == REST {
            mapping.rest = true;
            check_rest(reader, spot, destination);
        } else {
            mapping.fields.push(field(reader, spot, to, destination));
        }
    }
    let all_pull = mapping.fields.iter().all(|f| f.direction == Direction::Pull);
    if all_pull && !mapping.fields.is_empty() && !destination.loads() {
        let message = format!("{} has only fields with direction pull: nothing would be written", spot.path);
        reader.error(spot.key, &spot.path, message, None);
    }
    Some(mapping)
}

/// `"*": "*"`
fn check_rest(reader: &mut Reader<'_>, spot: &Spot<'_>, destination: Destination<'_>) {
    if destination.is_api() {
        let hint = "name every field".to_owned();
        reader.error(spot.key, &spot.path, format!("{} is for tables only", spot.path), Some(hint));
    } else if !matches!(&spot.node.value, Value::Scalar(scalar) if scalar.text.as_deref() == Some(REST)) {
        reader.wrong(spot, "must be \"*\": every other column under its own name");
    }
}

fn field(reader: &mut Reader<'_>, spot: &Spot<'_>, to: &str, destination: Destination<'_>) -> FieldMap {
    let mut field = FieldMap {
        to: to.to_owned(),
        from: Origin::Column(String::new()),
        direction: Direction::Push,
        required: false,
        default: None,
        kind: None,
    };
    if to.trim().is_empty() || to.trim() != to || to.contains(char::is_control) {
        let message = format!("{} is not the name of a field", echo(to));
        reader.error(spot.key, &spot.path, message, None);
    }
    match &spot.node.value {
        Value::Map(_) => {
            if let Some(record) = reader.record(spot, &FIELD) {
                field_map(reader, &record, &mut field, destination);
                check_table(reader, &record, field.direction, destination);
            }
        }
        Value::Scalar(scalar) if !scalar.is_null() => {
            if let Some(column) = reader.text(spot) {
                field.from = Origin::Column(column);
            }
        }
        _ => {
            let keys = any_of(origins(destination));
            reader.wrong(spot, &format!("must be a source column or a map with {keys}"));
        }
    }
    field
}

/// The keys that may say where a value comes from.
fn origins(destination: Destination<'_>) -> &'static [&'static str] {
    if destination.loads() { &["from", "cel", "sql", "param"] } else { &["from", "cel"] }
}

fn field_map(
    reader: &mut Reader<'_>,
    record: &Record<'_>,
    field: &mut FieldMap,
    destination: Destination<'_>,
) {
    let column = record.text(reader, "from").map(|column| from_column(reader, record, column));
    let expression = record.expression(reader, "cel").map(Origin::Expression);
    let sql = record.sql(reader, "sql").map(Origin::Sql);
    let param = record.text(reader, "param").map(Origin::Param);
    field.direction = match record.word(reader, "direction") {
        Some("both") => Direction::Both,
        Some("pull") => Direction::Pull,
        _ => Direction::Push,
    };
    field.required = record.boolean(reader, "required").unwrap_or(false);
    field.default = record.get("default").and_then(|spot| reader.json(&spot));
    field.kind = record.word(reader, "as").map(|_| As::Hyperlink);
    let spot = &record.spot;
    let given: Vec<&str> =
        ["from", "cel", "sql", "param"].into_iter().filter(|key| record.gives(key)).collect();
    if let (false, Some(transform)) = (record.gives("from"), record.get("transform")) {
        let message = format!("{} needs from: the source column it is applied to", transform.path);
        let hint = record.gives("cel").then(|| "write the functions into the expression".to_owned());
        reader.error(transform.key, &transform.path, message, hint);
    }
    match given.as_slice() {
        [] => {
            let or_sql =
                if destination.loads() { " or sql (an expression of the source) or param" } else { "" };
            let message =
                format!("{} needs from (a source column) or cel (an expression){or_sql}", spot.path);
            reader.error(spot.key, &spot.path, message, None);
        }
        ["from"] if record.get("transform").is_none() => {}
        [_] if field.direction == Direction::Push || destination.loads() => {}
        [_] => {
            if let Some(direction) = record.get("direction") {
                let message =
                    format!("{} must be push: an expression cannot be turned round", direction.path);
                reader.error(direction.node.place, &direction.path, message, None);
            }
        }
        several => {
            let both = if several.len() == 2 { "both " } else { "" };
            let several = several.join(" and ");
            let message = format!("{} has {both}{several}; only one of them can give the value", spot.path);
            reader.error(spot.key, &spot.path, message, None);
        }
    }
    if let Some(origin) = column.or(expression).or(sql).or(param) {
        field.from = origin;
    }
}

/// A source column, with the functions that are applied to it.
fn from_column(reader: &mut Reader<'_>, record: &Record<'_>, column: String) -> Origin {
    let Some(spot) = record.get("transform") else { return Origin::Column(column) };
    let mut names = Vec::new();
    if let Value::List(_) = &spot.node.value {
        for item in reader.items(&spot, "functions").unwrap_or_default() {
            names.extend(reader.word(&item, &TRANSFORMS));
        }
    } else {
        names.extend(reader.word(&spot, &TRANSFORMS));
    }
    match Expr::transform(&column, &names) {
        Ok(expr) => Origin::Expression(expr),
        Err(error) => {
            reader.error(spot.node.place, &spot.path, format!("{}: {}", spot.path, error.message), None);
            Origin::Column(column)
        }
    }
}

/// What a field of an API has and a column of a table has not, and the other way round.
fn check_table(
    reader: &mut Reader<'_>,
    record: &Record<'_>,
    direction: Direction,
    destination: Destination<'_>,
) {
    destination.tables_only(reader, record, &["sql", "param"]);
    if !destination.loads() {
        return;
    }
    if let Some(spot) = record.get("as") {
        let message = format!("{} is not for tables, which tell the types of their columns", spot.path);
        reader.error(spot.key, &spot.path, message, None);
    }
    if let (Direction::Both | Direction::Pull, Some(spot)) = (direction, record.get("direction")) {
        let message = format!("{} must be push: nothing is read back from a table", spot.path);
        reader.error(spot.node.place, &spot.path, message, None);
    }
}

/// Reports those of a list of destination fields that no entry of `fields` gives a value.
/// `partition`: columns that are given one beside `fields`.
pub(crate) fn check_mapped(
    reader: &mut Reader<'_>,
    record: &Record<'_>,
    key: &str,
    mapping: &Mapping,
    partition: &[(String, String)],
) {
    let beside = partition.iter().map(|(column, _)| column.as_str());
    let mapped: Vec<&str> = mapping.fields.iter().map(|f| f.to.as_str()).chain(beside).collect();
    let known: BTreeSet<&str> = mapped.iter().copied().collect();
    let Some(items) = record.get(key).and_then(|spot| reader.items(&spot, "names")) else { return };
    for item in items {
        let Some(name) = reader.text(&item) else { continue };
        if !known.contains(name.as_str()) {
            let message = format!("{} {} is not mapped in fields", item.path, reader.shown(&item));
            reader.error(item.node.place, &item.path, message, did_you_mean(&name, &mapped, "mapped"));
        }
    }
}
