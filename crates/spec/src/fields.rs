//! The mapping: destination field ← source column or expression.

use syncline_core::sync::{As, Direction, FieldMap, Origin};

use crate::{
    keys::FIELD,
    reader::{Reader, Record, Spot},
    tree::Value,
};

/// Reads the mapping, in the file's order. A field with a problem is left in as far as it is known, so that what
/// refers to it by name is not reported too.
pub(crate) fn read(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<Vec<FieldMap>> {
    let entries = reader.named(spot, "source columns")?;
    let fields: Vec<FieldMap> = entries.iter().map(|(to, spot)| field(reader, spot, to)).collect();
    if !fields.is_empty() && fields.iter().all(|f| f.direction == Direction::Pull) {
        let message = format!("{} has only fields with direction pull: nothing would be written", spot.path);
        reader.error(spot.key, &spot.path, message, None);
    }
    Some(fields)
}

fn field(reader: &mut Reader<'_>, spot: &Spot<'_>, to: &str) -> FieldMap {
    let mut field = FieldMap {
        to: to.to_owned(),
        from: Origin::Column(String::new()),
        direction: Direction::Push,
        required: false,
        default: None,
        kind: None,
    };
    if to.trim().is_empty() || to.trim() != to || to.contains(char::is_control) {
        let message = format!("{} is not the name of a field", crate::problem::echo(to));
        reader.error(spot.key, &spot.path, message, None);
    }
    match &spot.node.value {
        Value::Map(_) => {
            if let Some(record) = reader.record(spot, &FIELD) {
                field_map(reader, &record, &mut field);
            }
        }
        Value::Scalar(scalar) if !scalar.is_null() => {
            if let Some(column) = reader.text(spot) {
                field.from = Origin::Column(column);
            }
        }
        _ => reader.wrong(spot, "must be a source column or a map with from or cel"),
    }
    field
}

fn field_map(reader: &mut Reader<'_>, record: &Record<'_>, field: &mut FieldMap) {
    let column = record.text(reader, "from").map(Origin::Column);
    let expression = record.expression(reader, "cel").map(Origin::Expression);
    field.direction = match record.word(reader, "direction") {
        Some("both") => Direction::Both,
        Some("pull") => Direction::Pull,
        _ => Direction::Push,
    };
    field.required = record.boolean(reader, "required").unwrap_or(false);
    field.default = record.get("default").and_then(|spot| reader.json(&spot));
    field.kind = record.word(reader, "as").map(|_| As::Hyperlink);
    let spot = &record.spot;
    match (record.get("from"), record.get("cel")) {
        (Some(_), Some(_)) => {
            let message = format!("{} has both from and cel; only one of them can give the value", spot.path);
            reader.error(spot.key, &spot.path, message, None);
        }
        (None, None) => {
            let message = format!("{} needs from (a source column) or cel (an expression)", spot.path);
            reader.error(spot.key, &spot.path, message, None);
        }
        (None, Some(_)) if field.direction != Direction::Push => {
            if let Some(direction) = record.get("direction") {
                let message =
                    format!("{} must be push: an expression cannot be turned round", direction.path);
                reader.error(direction.node.place, &direction.path, message, None);
            }
        }
        _ => {}
    }
    if let Some(origin) = column.or(expression) {
        field.from = origin;
    }
}
