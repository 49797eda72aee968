//! What must hold of the data: a check step, and what a step requires.

use syncline_core::chain::Requirement;

use crate::{
    keys::{CHECK, FRESH, ROWS, SYNCED},
    names::Names,
    reader::{Reader, Spot},
};

/// Most requirements of a step.
const REQUIREMENTS_MAX: usize = 20;

/// Reads a list of requirements.
pub(crate) fn read(reader: &mut Reader<'_>, spot: &Spot<'_>, names: &Names<'_>) -> Vec<Requirement> {
    let items = reader.items(spot, "maps with one of the keys rows, fresh, synced").unwrap_or_default();
    if items.len() > REQUIREMENTS_MAX {
        let message = format!("{} requirements; at most {REQUIREMENTS_MAX} are allowed", items.len());
        reader.error(spot.key, &spot.path, message, None);
    }
    let read = items.iter().take(REQUIREMENTS_MAX).filter_map(|item| requirement(reader, item, names));
    read.collect()
}

/// Reads one requirement.
pub(crate) fn requirement(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    names: &Names<'_>,
) -> Option<Requirement> {
    let record = reader.record(spot, &CHECK)?;
    match (record.get("rows"), record.get("fresh"), record.get("synced")) {
        (Some(spot), None, None) => rows(reader, &spot, names),
        (None, Some(spot), None) => {
            let record = reader.record(&spot, &FRESH)?;
            let connection = names.connection(reader, &record);
            let (query, within) = (record.sql(reader, "query"), record.interval(reader, "within"));
            Some(Requirement::Fresh { connection: connection?, query: query?, within: within? })
        }
        (None, None, Some(spot)) => {
            let record = reader.record(&spot, &SYNCED)?;
            let (sync, within) = (names.sync(reader, &record, "sync"), record.interval(reader, "within"));
            Some(Requirement::Synced { sync: sync?, within: within? })
        }
        _ => {
            record.exactly_one(reader, "rows, fresh and synced");
            None
        }
    }
}

fn rows(reader: &mut Reader<'_>, spot: &Spot<'_>, names: &Names<'_>) -> Option<Requirement> {
    let record = reader.record(spot, &ROWS)?;
    let connection = names.connection(reader, &record);
    let query = record.sql(reader, "query");
    let limit =
        |reader: &mut Reader<'_>, name| record.integer(reader, name).and_then(|n| i64::try_from(n).ok());
    let (min, max) = (limit(reader, "min"), limit(reader, "max"));
    if let (Some(low), Some(high), Some(spot)) = (min, max, record.get("max"))
        && low > high
    {
        reader.error(spot.node.place, &spot.path, format!("{} is less than min", spot.path), None);
    }
    // Without a limit, the question is whether there is anything.
    let min = if record.gives("min") || record.gives("max") { min } else { Some(1) };
    Some(Requirement::Rows { connection: connection?, query: query?, min, max })
}
