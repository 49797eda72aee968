//! Schedules: when a sync runs and what is different then, with defaults that a sync overrides by name, key by key.
//!
//! Nothing starts them yet, so their syntax is checked lightly and the user is told once.

use std::{collections::BTreeSet, time::Duration};

use syncline_core::sync::{Mode, Schedule, Write};

use crate::{
    connections::check_name,
    destination::Destination,
    keys::{DEFAULTS, SCHEDULE},
    problem::did_you_mean,
    reader::{Reader, Record, Spot},
    tree::Value,
};

/// Most schedules of a sync, and most defaults.
const SCHEDULES_MAX: usize = 100;

/// A schedule as far as one entry gives it.
#[derive(Debug)]
pub(crate) struct Draft<'t> {
    record: Record<'t>,
    name: Option<String>,
    every: Option<Duration>,
    cron: Option<String>,
    zone: Option<String>,
    mode: Option<Mode>,
    lookback: Option<f64>,
    prepurge: Option<bool>,
    reindex: Option<bool>,
    enabled: Option<bool>,
}

/// What decides whether a schedule can be followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    pub(crate) write: Write,
    /// Whether the sync has a cursor; `None`: it has no readable `from`.
    pub(crate) cursor: Option<bool>,
}

/// Reads the project's `defaults`: the schedules of every sync into a table.
pub(crate) fn defaults<'t>(reader: &mut Reader<'_>, spot: &Spot<'t>) -> Vec<Draft<'t>> {
    let Some(spot) = reader.record(spot, &DEFAULTS).and_then(|record| record.get("schedule")) else {
        return Vec::new();
    };
    reader.note_schedule(&spot);
    let items = reader.items(&spot, "schedules").unwrap_or_default();
    let drafts = drafts(reader, &spot, &items);
    for draft in drafts.iter().filter(|draft| !draft.record.gives("name")) {
        reader.require(&draft.record, "name", Some("a sync overrides a default by its name"));
    }
    drafts
}

/// Reads the schedules of a sync. Defaults come first, in their order.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    defaults: &[Draft<'_>],
    destination: Destination<'_>,
    means: Means,
) -> Vec<Schedule> {
    let own = sync.get("schedule").map(|spot| own(reader, &spot)).unwrap_or_default();
    for draft in &own {
        destination.tables_only(reader, &draft.record, &["lookback", "prepurge", "reindex"]);
    }
    let defaults = if destination.is_api() { &[] } else { defaults };
    let mut schedules = Vec::new();
    for default in defaults {
        let over = own.iter().find(|draft| draft.name.is_some() && draft.name == default.name);
        let layers: Vec<&Draft<'_>> = over.into_iter().chain([default]).collect();
        let schedule = join(reader, &layers, &[]);
        if destination.loads() {
            check_mode(reader, sync, &layers, &schedule, means);
        }
        schedules.push(schedule);
    }
    let names: BTreeSet<_> = defaults.iter().filter_map(|d| d.name.as_ref()).collect();
    for draft in own.iter().filter(|draft| draft.name.as_ref().is_none_or(|name| !names.contains(name))) {
        let schedule = join(reader, &[draft], defaults);
        check_mode(reader, sync, &[draft], &schedule, means);
        schedules.push(schedule);
    }
    if let Some(spot) = sync.get("schedule") {
        reader.note_schedule(&spot);
    }
    schedules
}

/// One schedule or a list of them.
fn own<'t>(reader: &mut Reader<'_>, spot: &Spot<'t>) -> Vec<Draft<'t>> {
    match &spot.node.value {
        Value::List(_) => {
            let items = reader.items(spot, "schedules").unwrap_or_default();
            drafts(reader, spot, &items)
        }
        _ => draft(reader, spot).into_iter().collect(),
    }
}

/// Reads a list of schedules; each name stands in it once.
fn drafts<'t>(reader: &mut Reader<'_>, list: &Spot<'t>, items: &[Spot<'t>]) -> Vec<Draft<'t>> {
    if items.len() > SCHEDULES_MAX {
        let message = format!("{} schedules; at most {SCHEDULES_MAX} are allowed", items.len());
        reader.error(list.key, &list.path, message, None);
    }
    let drafts: Vec<Draft<'t>> =
        items.iter().take(SCHEDULES_MAX).filter_map(|item| draft(reader, item)).collect();
    let mut seen = BTreeSet::new();
    for draft in &drafts {
        if let (Some(name), Some(spot)) = (&draft.name, draft.record.get("name"))
            && !seen.insert(name)
        {
            let message = format!("{} names {} twice", list.path, reader.shown(&spot));
            reader.error(spot.node.place, &spot.path, message, None);
        }
    }
    drafts
}

fn draft<'t>(reader: &mut Reader<'_>, spot: &Spot<'t>) -> Option<Draft<'t>> {
    let record = reader.record(spot, &SCHEDULE)?;
    let name = record.text(reader, "name");
    if let (Some(name), Some(spot)) = (&name, record.get("name")) {
        // The name is a value here, not a key.
        check_name(reader, &Spot { key: spot.node.place, ..spot.clone() }, name, &reader.shown(&spot));
    }
    let mode = record.word(reader, "mode").map(|word| match word {
        "full" => Mode::Full,
        _ => Mode::Incremental,
    });
    Some(Draft {
        name,
        every: record.interval(reader, "every"),
        cron: checked(reader, &record, "cron", looks_like_cron, CRON),
        zone: checked(reader, &record, "zone", looks_like_zone, ZONE),
        mode,
        lookback: record.number(reader, "lookback"),
        prepurge: record.boolean(reader, "prepurge"),
        reindex: record.boolean(reader, "reindex"),
        enabled: record.boolean(reader, "enabled"),
        record,
    })
}

/// A schedule from its layers, the overriding one first. `defaults` are what its name may have been meant to be.
fn join(reader: &mut Reader<'_>, layers: &[&Draft<'_>], defaults: &[Draft<'_>]) -> Schedule {
    let timed = layers.iter().position(|d| d.record.gives("every") || d.record.gives("cron"));
    let timing = timed.and_then(|at| layers.get(at));
    let every = timing.is_some_and(|d| d.record.gives("every"));
    let cron = timing.is_some_and(|d| d.record.gives("cron"));
    if every == cron {
        report_timing(reader, layers, defaults);
    }
    // A default's zone has no place beside an interval that overrides its cron, and is dropped with it.
    let beside = layers.iter().take(timed.map_or(1, |at| at + 1));
    let zoned = beside.filter(|d| d.zone.is_some()).find_map(|d| d.record.get("zone"));
    if let (false, Some(spot)) = (cron, zoned) {
        reader.error(spot.key, &spot.path, format!("{} is for cron only", spot.path), None);
    }
    let lookback = layers.iter().find_map(|d| d.lookback).unwrap_or(0.0);
    let lookback_spot = layers.iter().find_map(|d| d.record.get("lookback"));
    if let (true, true, Some(spot)) = (lookback > 0.0, cron && !every, lookback_spot) {
        let message =
            format!("{} is a multiple of every, which a schedule with cron does not have", spot.path);
        reader.error(spot.key, &spot.path, message, Some("use every, or from.overlap".to_owned()));
    }
    let flag = |of: fn(&Draft<'_>) -> Option<bool>| layers.iter().find_map(|d| of(d));
    Schedule {
        name: layers.iter().find_map(|d| d.name.clone()),
        every: timing.and_then(|d| d.every),
        cron: timing.and_then(|d| d.cron.clone()),
        zone: layers.iter().find_map(|d| d.zone.clone()).filter(|_| cron),
        mode: layers.iter().find_map(|d| d.mode),
        lookback,
        prepurge: flag(|d| d.prepurge).unwrap_or(false),
        reindex: flag(|d| d.reindex).unwrap_or(false),
        enabled: flag(|d| d.enabled).unwrap_or(true),
        ..Schedule::EMPTY
    }
}

fn report_timing(reader: &mut Reader<'_>, layers: &[&Draft<'_>], defaults: &[Draft<'_>]) {
    let Some(first) = layers.first() else { return };
    let spot = &first.record.spot;
    let shown: Vec<String> =
        defaults.iter().filter_map(|d| d.record.get("name")).map(|spot| reader.shown(&spot)).collect();
    let known: Vec<&str> = shown.iter().map(|name| name.trim_matches('"')).collect();
    let hint = first.name.as_ref().and_then(|name| did_you_mean(name, &known, "default schedules"));
    let message = format!("{} needs exactly one of every and cron", spot.path);
    reader.error(spot.key, &spot.path, message, hint);
}

/// An incremental run needs a cursor, and a write that does not start from nothing.
fn check_mode(
    reader: &mut Reader<'_>,
    sync: &Record<'_>,
    layers: &[&Draft<'_>],
    schedule: &Schedule,
    means: Means,
) {
    if schedule.mode != Some(Mode::Incremental) || !schedule.enabled {
        return;
    }
    let (why, hint) = match means {
        Means { write: Write::Replace, .. } => ("is not for write: replace, which reads everything", ""),
        Means { cursor: Some(false), .. } => ("needs a cursor", "name one in from.cursor, "),
        Means { .. } => return,
    };
    let Some(spot) = layers.iter().find_map(|d| d.record.get("mode")) else { return };
    let own = spot.path.starts_with(&sync.spot.path);
    let message = if own {
        format!("{} incremental {why}", spot.path)
    } else {
        format!("mode incremental of the default schedule at {} {why}, in {}", spot.path, sync.spot.path)
    };
    let hint = match own {
        true => format!("{hint}use mode: full or enabled: false"),
        false => format!("{hint}override it with mode: full or enabled: false in the sync's schedule"),
    };
    let at = if own { spot.node.place } else { sync.spot.key };
    reader.error(at, if own { &spot.path } else { &sync.spot.path }, message, Some(hint));
}

const CRON: &str = "must have five fields: minute, hour, day of month, month, day of week";
const ZONE: &str = "must be an IANA time zone, such as Europe/Berlin or UTC";

/// A text that looks as it must.
fn checked(
    reader: &mut Reader<'_>,
    record: &Record<'_>,
    name: &str,
    looks: fn(&str) -> bool,
    must: &str,
) -> Option<String> {
    let text = record.text(reader, name)?;
    if !looks(&text) {
        reader.wrong(&record.get(name)?, must);
        return None;
    }
    Some(text)
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
