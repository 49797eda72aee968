//! `syncline schedules`: reads the project file alone.

use jiff::{Timestamp, Zoned};
use serde_json::{Value as Json, json};
use syncline_core::{
    calendar::{self, Timing},
    project::Project,
    schedule::Schedule,
};
use syncline_spec::did_you_mean;

use crate::{
    args::{Global, SchedulesArgs},
    exit::{Exit, Failure},
    output, project,
    table::{Set, Table},
    wiring,
};

/// A schedule, and whose it is.
struct Row<'p> {
    kind: &'static str,
    name: &'p str,
    schedule: &'p Schedule,
    /// None when it is switched off.
    next: Vec<Zoned>,
}

pub(crate) fn run(global: &Global, args: &SchedulesArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let project = &opened.loaded.project;
    check(project, &args.names)?;
    let now = wiring::clock().now();
    let mut rows = Vec::new();
    for (kind, name, schedules) in owners(project) {
        if !args.names.is_empty() && !args.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        for schedule in schedules {
            let next = next(schedule, now, usize::from(args.next)).map_err(|why| {
                Failure::usage(format!("{kind} {name}: schedule {:?}: {why}", schedule.label()))
            })?;
            rows.push(Row { kind, name, schedule, next });
        }
    }
    if args.json {
        rows.iter().for_each(|row| output::json(&as_json(row)));
    } else if rows.is_empty() {
        output::chat("no schedules; `schedule: { every: 1h }` in a sync or chain is one");
    } else {
        print(&rows);
    }
    Ok(Exit::Done)
}

/// Syncs, then chains, in the file's order.
fn owners(project: &Project) -> impl Iterator<Item = (&'static str, &str, &[Schedule])> {
    let syncs = project.syncs.iter().map(|sync| ("sync", sync.name.as_str(), sync.schedules.as_slice()));
    let chains =
        project.chains.iter().map(|chain| ("chain", chain.name.as_str(), chain.schedules.as_slice()));
    syncs.chain(chains)
}

/// Every name that was typed is one of a sync or a chain.
fn check(project: &Project, names: &[String]) -> Result<(), Failure> {
    let known: Vec<&str> = owners(project).map(|(_, name, _)| name).collect();
    let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    let failure = Failure::usage(format!("there is neither a sync nor a chain {name:?} in the project"));
    Err(match did_you_mean(name, &known, "its syncs and chains") {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

fn next(schedule: &Schedule, now: Timestamp, count: usize) -> Result<Vec<Zoned>, String> {
    let timing = Timing::of(schedule)?;
    let count = if schedule.enabled { count } else { 0 };
    let zone = timing.zone();
    Ok(timing.next(now, count).into_iter().map(|instant| instant.to_zoned(zone.clone())).collect())
}

fn print(rows: &[Row<'_>]) {
    let columns = ["", "name", "schedule", "local", "UTC"].map(|name| (name, Set::Left));
    let mut table = Table::new(&columns);
    for row in rows {
        let whose = [row.kind.to_owned(), row.name.to_owned(), what(row.schedule)];
        let none = Some(["switched off".to_owned(), String::new()]).filter(|_| row.next.is_empty());
        let times = row.next.iter().map(times).chain(none);
        for (index, times) in times.enumerate() {
            let whose = if index == 0 { whose.clone() } else { Default::default() };
            table.row(whose.into_iter().chain(times).collect());
        }
    }
    table.lines().for_each(output::line);
}

/// In the zone of the schedule, and in UTC.
fn times(at: &Zoned) -> [String; 2] {
    let utc = at.timestamp().to_zoned(jiff::tz::TimeZone::UTC);
    [at.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string(), utc.strftime("%Y-%m-%d %H:%M:%SZ").to_string()]
}

/// `mass (every 7d)`, `every 15m`, `0 2 * * * Europe/Berlin`.
fn what(schedule: &Schedule) -> String {
    let time = match &schedule.every {
        Some(every) => format!("every {}", compact(*every)),
        None => Schedule { name: None, ..schedule.clone() }.label(),
    };
    match &schedule.name {
        Some(name) => format!("{name} ({time})"),
        None => time,
    }
}

/// `7d`, `1h30m`, as it may be written in a project file.
fn compact(time: std::time::Duration) -> String {
    let mut rest = time.as_millis();
    let mut text = String::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    text
}

fn as_json(row: &Row<'_>) -> Json {
    let Row { kind, name, schedule, next } = row;
    let next: Vec<Json> = next
        .iter()
        .map(|at| json!({ "at": at.timestamp(), "local": at.datetime(), "zone": at.time_zone().iana_name() }))
        .collect();
    json!({
        "kind": kind,
        "name": name,
        "schedule": schedule.label(),
        "enabled": schedule.enabled,
        "every_seconds": schedule.every.map(|every| every.as_secs_f64()),
        "cron": schedule.cron,
        "zone": schedule.zone,
        "spread_seconds": calendar::spread(schedule).as_secs_f64(),
        "next": next,
    })
}
