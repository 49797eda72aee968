//! Schedules: nothing runs them yet, so their syntax is checked lightly and the user is told once.

use std::time::Duration;

use crate::{
    keys::SCHEDULE,
    reader::{Reader, Spot},
    tree::Value,
};

/// Checks one schedule or a list of them.
pub(crate) fn check(reader: &mut Reader<'_>, spot: &Spot<'_>) {
    match &spot.node.value {
        Value::List(_) => {
            for item in reader.items(spot, "schedules").unwrap_or_default() {
                one(reader, &item);
            }
        }
        _ => one(reader, spot),
    }
    reader.note_schedule(spot);
}

fn one(reader: &mut Reader<'_>, spot: &Spot<'_>) {
    let Some(record) = reader.record(spot, &SCHEDULE) else { return };
    let every = record.duration(reader, "every");
    if let (Some(Duration::ZERO), Some(spot)) = (every, record.get("every")) {
        reader.error(spot.node.place, &spot.path, format!("{} must be more than nothing", spot.path), None);
    }
    if let (Some(cron), Some(spot)) = (record.text(reader, "cron"), record.get("cron"))
        && !looks_like_cron(&cron)
    {
        let must = "must have five fields: minute, hour, day of month, month, day of week";
        reader.wrong(&spot, must);
    }
    if let (Some(zone), Some(spot)) = (record.text(reader, "zone"), record.get("zone")) {
        if !looks_like_zone(&zone) {
            reader.wrong(&spot, "must be an IANA time zone, such as Europe/Berlin or UTC");
        } else if record.get("cron").is_none() {
            reader.error(spot.key, &spot.path, format!("{} is for cron only", spot.path), None);
        }
    }
    record.word(reader, "mode");
    if record.get("every").is_some() == record.get("cron").is_some() {
        let message = format!("{} needs exactly one of every and cron", spot.path);
        reader.error(spot.key, &spot.path, message, None);
    }
}

fn looks_like_cron(text: &str) -> bool {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '*' | '/' | ',' | '-' | '?' | '#');
    fields.len() == 5 && fields.iter().all(|f| f.chars().all(valid))
}

fn looks_like_zone(text: &str) -> bool {
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_alphabetic())
            && p.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    text.split('/').all(part)
}
