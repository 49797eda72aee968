//! Schedules: when a sync or a chain runs and what is different then, with defaults that a sync overrides by name, key by
//! key.

use std::{collections::BTreeSet, time::Duration};

use syncline_core::{
    calendar,
    schedule::{Misfire, Overlap},
    sync::{Mode, Schedule, Write},
};

use crate::{
    connections::check_name,
    destination::Destination,
    keys::{ALL, DEFAULTS, MISFIRES, SCHEDULE},
    problem::{did_you_mean, nearest},
    reader::{Reader, Record, Spot},
    tree::Value,
};

/// Most schedules of a sync or chain, and most defaults.
const SCHEDULES_MAX: usize = 100;

/// Runs for times that were missed, unless `all` says how many.
const ALL_MAX: u32 = 100;

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
    misfire: Option<Misfire>,
    overlap: Option<Overlap>,
    jitter: Option<Duration>,
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
    check_labels(reader, sync, &schedules);
    schedules
}

/// Reads the schedules of a chain.
pub(crate) fn of_chain(reader: &mut Reader<'_>, chain: &Record<'_>) -> Vec<Schedule> {
    let own = chain.get("schedule").map(|spot| own(reader, &spot)).unwrap_or_default();
    for draft in &own {
        for spot in ["mode", "lookback", "prepurge", "reindex"].iter().filter_map(|key| draft.record.get(key))
        {
            reader.error(spot.key, &spot.path, format!("{} is for syncs only", spot.path), None);
        }
    }
    let schedules: Vec<Schedule> = own.iter().map(|draft| join(reader, &[draft], &[])).collect();
    check_labels(reader, chain, &schedules);
    schedules
}

/// What ran is remembered by a schedule's name, or else by its time.
fn check_labels(reader: &mut Reader<'_>, of: &Record<'_>, schedules: &[Schedule]) {
    let mut seen = BTreeSet::new();
    let unnamed = schedules.iter().filter(|s| s.name.is_none() && (s.every.is_some() || s.cron.is_some()));
    let twice = unnamed.map(Schedule::label).find(|label| !seen.insert(label.clone()));
    if let (Some(_), Some(spot)) = (twice, of.get("schedule")) {
        let message = format!("{} has the same time twice", spot.path);
        reader.error(spot.key, &spot.path, message, Some("give these schedules names".to_owned()));
    }
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
        cron: cron(reader, &record),
        zone: zone(reader, &record),
        mode,
        lookback: record.number(reader, "lookback"),
        prepurge: record.boolean(reader, "prepurge"),
        reindex: record.boolean(reader, "reindex"),
        misfire: record.get("misfire").and_then(|spot| misfire(reader, &spot)),
        overlap: record.word(reader, "overlap").map(|word| match word {
            "queue" => Overlap::Queue,
            _ => Overlap::Skip,
        }),
        jitter: record.duration(reader, "jitter"),
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
        misfire: layers.iter().find_map(|d| d.misfire).unwrap_or(Misfire::Latest),
        overlap: layers.iter().find_map(|d| d.overlap).unwrap_or(Overlap::Skip),
        jitter: layers.iter().find_map(|d| d.jitter),
        enabled: flag(|d| d.enabled).unwrap_or(true),
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

/// A pattern that comes at some time.
fn cron(reader: &mut Reader<'_>, record: &Record<'_>) -> Option<String> {
    let (text, spot) = (record.text(reader, "cron")?, record.get("cron")?);
    let Err(why) = calendar::check_cron(&text) else { return Some(text) };
    if reader.is_filled(&spot) {
        // The parser's words may quote the values of the variables.
        reader.wrong(&spot, "must be a cron pattern when its variables are filled in");
    } else if why.starts_with("must ") {
        reader.wrong(&spot, &why);
    } else {
        let message = format!("{} {} {why}", spot.path, reader.shown(&spot));
        reader.error(spot.node.place, &spot.path, message, None);
    }
    None
}

/// A zone of the database that is part of the program.
fn zone(reader: &mut Reader<'_>, record: &Record<'_>) -> Option<String> {
    let (text, spot) = (record.text(reader, "zone")?, record.get("zone")?);
    if calendar::zone(&text).is_ok() {
        return Some(text);
    }
    let hint = like(&text).filter(|_| !reader.is_filled(&spot)).map(|zone| format!("did you mean {zone:?}?"));
    reader.wrong_with(&spot, "must be an IANA time zone, such as Europe/Berlin or UTC", hint);
    None
}

/// The zone that was probably meant: another one of the same region, or of a city without its region.
fn like(text: &str) -> Option<String> {
    let zones = calendar::zones();
    let region = |zone: &str| zone.split_once('/').map(|(region, _)| region.to_lowercase());
    let near = match region(text) {
        Some(wanted) => {
            nearest(text, zones.iter().map(String::as_str).filter(|z| region(z).as_ref() == Some(&wanted)))
        }
        None => {
            let city = text.replace(' ', "_").to_lowercase();
            zones
                .iter()
                .map(String::as_str)
                .find(|z| z.to_lowercase().rsplit('/').next() == Some(city.as_str()))
        }
    };
    near.map(ToOwned::to_owned)
}

/// A word, or `{ all: 10 }`.
fn misfire(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<Misfire> {
    if matches!(spot.node.value, Value::Map(_)) {
        let most = reader.record(spot, &ALL)?.integer(reader, "all")?;
        return Some(Misfire::All(u32::try_from(most).unwrap_or(u32::MAX)));
    }
    Some(match reader.word(spot, &MISFIRES)? {
        "skip" => Misfire::Skip,
        "all" => Misfire::All(ALL_MAX),
        _ => Misfire::Latest,
    })
}
