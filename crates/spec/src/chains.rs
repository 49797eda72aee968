//! Chains: steps that depend on each other.

use std::{collections::BTreeSet, time::Duration};

use syncline_core::{
    chain::{Chain, HttpCall, Step, StepKind},
    sync::Mode,
};

use crate::{
    connections::{NAMED_MAX, check_count, check_name},
    keys::{CHAIN, HTTP, SQL, STEP},
    names::Names,
    problem::{did_you_mean, echo},
    reader::{Reader, Record, Spot},
    requirements, schedule,
};

/// Most steps of a chain.
const STEPS_MAX: usize = 200;

/// Most statements of a step.
const STATEMENTS_MAX: usize = 100;

/// How long a step may take, unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// What a step does: exactly one of these keys is given.
const KINDS: [&str; 5] = ["sync", "sql", "check", "http", "report"];

/// Reads all chains.
pub(crate) fn read(reader: &mut Reader<'_>, spot: &Spot<'_>, names: &Names<'_>) -> Vec<Chain> {
    let Some(entries) = reader.named(spot, "chains") else { return Vec::new() };
    check_count(reader, spot, entries.len(), "chains");
    let read = entries.iter().take(NAMED_MAX).filter_map(|(name, spot)| {
        check_name(reader, spot, name, &echo(name));
        chain(reader, spot, name, names)
    });
    read.collect()
}

/// Reads one chain.
pub(crate) fn chain(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    name: &str,
    names: &Names<'_>,
) -> Option<Chain> {
    let record = reader.record(spot, &CHAIN)?;
    let schedules = schedule::of_chain(reader, &record);
    let entries = record.get("steps").and_then(|spot| reader.named(&spot, "steps"))?;
    if entries.len() > STEPS_MAX {
        let message = format!("{} steps; at most {STEPS_MAX} are allowed", entries.len());
        reader.error(spot.key, &spot.path, message, None);
        return None;
    }
    let known: Vec<&str> = entries.iter().map(|(name, _)| *name).collect();
    let mut needs: Vec<(&str, Vec<String>, &Spot<'_>)> = Vec::new();
    let mut steps = Vec::new();
    for (name, spot) in &entries {
        check_name(reader, spot, name, &echo(name));
        let Some(record) = reader.record(spot, &STEP) else { continue };
        let needed = needed(reader, &record, name, &known);
        steps.extend(step(reader, &record, name, needed.clone(), names));
        needs.push((name, needed, spot));
    }
    if let Some(circle) = circle(&needs) {
        let at = needs.iter().find(|(name, _, _)| circle.first() == Some(name)).map(|(_, _, spot)| *spot);
        let shown: Vec<&str> = circle.iter().chain(circle.first()).copied().collect();
        let at = at.unwrap_or(spot);
        reader.error(
            at.key,
            &at.path,
            format!("steps need each other in a circle: {}", shown.join(" → ")),
            None,
        );
    }
    Some(Chain { name: name.to_owned(), schedules, steps })
}

fn step(
    reader: &mut Reader<'_>,
    step: &Record<'_>,
    name: &str,
    needs: Vec<String>,
    names: &Names<'_>,
) -> Option<Step> {
    let given: Vec<&str> = KINDS.into_iter().filter(|kind| step.gives(kind)).collect();
    if given.len() != 1 {
        step.exactly_one(reader, "sync, sql, check, http and report");
    }
    if let (false, Some(spot)) = (step.gives("sync"), step.get("mode")) {
        reader.error(spot.key, &spot.path, format!("{} is for steps with sync only", spot.path), None);
    }
    let requires =
        step.get("requires").map(|spot| requirements::read(reader, &spot, names)).unwrap_or_default();
    let timeout = step.interval(reader, "timeout").unwrap_or(TIMEOUT);
    let required = step.boolean(reader, "required").unwrap_or(true);
    // Every part that is given is read, so that all of them report their problems.
    let kinds: Vec<Option<StepKind>> = given.iter().map(|kind| does(reader, step, kind, names)).collect();
    let kind = kinds.into_iter().next()??;
    Some(Step { name: name.to_owned(), needs, required, requires, timeout, kind })
}

fn does(reader: &mut Reader<'_>, step: &Record<'_>, kind: &str, names: &Names<'_>) -> Option<StepKind> {
    let spot = step.get(kind)?;
    Some(match kind {
        "sync" => {
            let sync = names.sync_of_step(reader, step);
            let mode = step.word(reader, "mode").map(|word| match word {
                "full" => Mode::Full,
                _ => Mode::Incremental,
            });
            StepKind::Sync { sync: sync?, mode }
        }
        "sql" => sql(reader, &spot, names)?,
        "check" => StepKind::Check(requirements::requirement(reader, &spot, names)?),
        "http" => StepKind::Http(http(reader, &spot)?),
        _ => StepKind::Report { report: names.report(reader, step, "report")? },
    })
}

fn sql(reader: &mut Reader<'_>, spot: &Spot<'_>, names: &Names<'_>) -> Option<StepKind> {
    let record = reader.record(spot, &SQL)?;
    let connection = names.connection(reader, &record);
    let statements = match (record.get("statement"), record.get("statements")) {
        (Some(one), None) => reader.sql(&one).map(|one| vec![one]),
        (None, Some(many)) => {
            let items = reader.items(&many, "statements")?;
            if items.len() > STATEMENTS_MAX {
                let message = format!("{} statements; at most {STATEMENTS_MAX} are allowed", items.len());
                reader.error(many.key, &many.path, message, None);
            }
            let read: Vec<Option<String>> =
                items.iter().take(STATEMENTS_MAX).map(|item| reader.sql(item)).collect();
            read.into_iter().collect()
        }
        _ => {
            record.exactly_one(reader, "statement and statements");
            None
        }
    };
    Some(StepKind::Sql { connection: connection?, statements: statements? })
}

fn http(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<HttpCall> {
    let record = reader.record(spot, &HTTP)?;
    let url = record.address(reader, "url", &["https://", "http://"]);
    let method = record.word(reader, "method").unwrap_or("POST").to_owned();
    let headers = record.get("headers").map(|spot| headers(reader, &spot)).unwrap_or_default();
    let body = record.text(reader, "body");
    let mut expect = Vec::new();
    if let Some(items) = record.get("expect").and_then(|spot| reader.items(&spot, "statuses")) {
        for item in &items {
            expect.extend(reader.integer(item, 100, 599).and_then(|status| u16::try_from(status).ok()));
        }
    }
    Some(HttpCall { method, url: url?, headers, body, expect })
}

fn headers(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Vec<(String, String)> {
    let entries = reader.named(spot, "texts").unwrap_or_default();
    let mut headers = Vec::new();
    for (name, spot) in &entries {
        let valid = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(valid) {
            let message = format!("{} is not the name of a header", echo(name));
            reader.error(spot.key, &spot.path, message, None);
        }
        let Some(value) = reader.text(spot) else { continue };
        if value.chars().any(char::is_control) {
            let message = format!("{} must not contain line ends", spot.path);
            reader.error(spot.node.place, &spot.path, message, None);
        }
        headers.push(((*name).to_owned(), value));
    }
    headers
}

/// The steps that a step needs; those that are not there, or itself, are reported.
fn needed(reader: &mut Reader<'_>, step: &Record<'_>, name: &str, known: &[&str]) -> Vec<String> {
    let Some(spot) = step.get("needs") else { return Vec::new() };
    let mut needed = Vec::new();
    for (item, text) in reader.texts_at(&spot) {
        if text == name {
            let message = format!("{} is the step itself", item.path);
            reader.error(item.node.place, &item.path, message, None);
        } else if known.contains(&text.as_str()) {
            needed.push(text);
        } else {
            let message = format!("{} {} is not a step of this chain", item.path, reader.shown(&item));
            let hint = did_you_mean(&text, known, "its steps");
            reader.error(item.node.place, &item.path, message, hint);
        }
    }
    needed
}

/// Steps that need each other in a circle, in the order of needing; from the first in the file that is in one.
fn circle<'s>(needs: &'s [(&'s str, Vec<String>, &Spot<'_>)]) -> Option<Vec<&'s str>> {
    needs.iter().find_map(|(start, _, _)| {
        // The shortest way from the step back to itself, step by step.
        let mut seen = BTreeSet::new();
        let mut ways: Vec<Vec<&str>> = vec![vec![start]];
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let last = way.last().copied()?;
                let next = needs.iter().find(|(name, _, _)| *name == last).map(|(_, needed, _)| needed);
                for step in next.into_iter().flatten() {
                    if step == start {
                        return Some(way);
                    }
                    if seen.insert(step.as_str()) {
                        longer.push([way.as_slice(), &[step.as_str()]].concat());
                    }
                }
            }
            ways = longer;
        }
        None
    })
}
