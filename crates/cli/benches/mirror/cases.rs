//! The cases between two PostgreSQL databases of one server.

use crate::{
    bench::{Bench, Case, Goal},
    measure::Cost,
    place::{Database, Runner, pipe},
    table,
};

const UPSERT: &str = "    write: upsert\n";
const REPLACE: &str = "    write: replace\n";
const DELETES: &str = "    write: upsert\n    deletes: { policy: delete, detect: keys }\n";

/// A full load into an empty destination, beside the pipe with and without the primary key that we make too.
pub(crate) fn full(bench: &Bench, runner: &Runner) -> [Case; 2] {
    let is_ours = matches!(runner, Runner::Syncline);
    let mut whole =
        case(runner, "full load", "full_ratio", "COPY pipe, then the primary key", Goal::Ratio(1.10));
    let mut bare = case(runner, "full load", "full_ratio_bare", "COPY pipe alone", Goal::None);
    for repetition in 0..bench.settings.repeat {
        let (ours, raw) = (bench.database("ours"), bench.database("raw"));
        let place = bench.place(&bench.source, &ours, UPSERT);
        bench.in_turn(
            repetition,
            || whole.ours.extend(bench.load(is_ours, || runner.full(&place))),
            || {
                let (copied, key) = bench.raw_copy(&raw, &table::names());
                bare.limit.push(copied);
                whole.limit.push(copied.then(key));
            },
        );
        bench.expect_equal(&whole.name, &raw, &table::names());
        match runner {
            Runner::Syncline if bench.settings.limits_only => {}
            Runner::Syncline => {
                bench.expect_equal(&whole.name, &ours, &table::names());
                assert_eq!(ours.ask(table::SHAPE), bench.source.ask(table::SHAPE), "columns, types and key");
            }
            Runner::Peer(_) => expect_rows(bench, &whole.name, &ours),
        }
    }
    bare.ours.clone_from(&whole.ours);
    [whole, bare]
}

/// The same with three expressions on every row.
pub(crate) fn full_cel(bench: &Bench) -> Case {
    let mut case = Case::new(
        "full load, three expressions".to_owned(),
        "full_cel_ratio",
        "COPY pipe, then the primary key",
        Goal::Ratio(1.5),
    );
    let fields = table::EXPRESSIONS.map(|(name, cel, _)| format!("      {name}: {{ cel: \"{cel}\" }}\n"));
    let rest = format!("{UPSERT}    fields:\n      \"*\": \"*\"\n{}", fields.concat());
    for repetition in 0..bench.settings.repeat {
        let (ours, raw) = (bench.database("ours"), bench.database("raw"));
        let place = bench.place(&bench.source, &ours, &rest);
        bench.in_turn(
            repetition,
            || case.ours.extend(bench.load(true, || Runner::Syncline.full(&place))),
            || {
                let (copied, key) = bench.raw_copy(&raw, &table::names());
                case.limit.push(copied.then(key));
            },
        );
        if !bench.settings.limits_only {
            bench.expect_equal(&case.name, &ours, &table::computed());
        }
    }
    case
}

/// A full reload over a table that is in use, with its key and two indexes.
pub(crate) fn replace(bench: &Bench) -> Case {
    let mut case = Case::new(
        "replace".to_owned(),
        "replace_ratio",
        "COPY pipe into a new table, then key and two indexes",
        Goal::Ratio(1.15),
    );
    let ours = bench.database("ours");
    let place = bench.place(&bench.source, &ours, REPLACE);
    if !bench.settings.limits_only {
        Runner::Syncline.full(&place);
        ours.execute(&table::INDEXES);
        ours.execute(&["VACUUM ANALYZE"]);
    }
    let indexes =
        "SELECT string_agg(indexdef, ' ' ORDER BY indexdef) FROM pg_indexes WHERE tablename = 'projects'";
    for repetition in 0..bench.settings.repeat {
        let raw = bench.database("raw");
        bench.in_turn(
            repetition,
            || case.ours.extend(bench.load(true, || Runner::Syncline.full(&place))),
            || {
                let (copied, key) = bench.raw_copy(&raw, &table::names());
                case.limit.push(copied.then(key).then(raw.execute(&table::INDEXES)));
            },
        );
        if !bench.settings.limits_only {
            bench.expect_equal(&case.name, &ours, &table::names());
            assert_eq!(ours.ask(indexes), raw.ask(indexes), "the indexes survive");
        }
    }
    case
}

/// An incremental run after 5 % of the rows have changed, and then runs that find nothing to do.
pub(crate) fn merge(bench: &Bench, runner: &Runner) -> [Case; 2] {
    let is_ours = matches!(runner, Runner::Syncline);
    let staging = "COPY pipe into a staging table, then INSERT … ON CONFLICT";
    let mut merge = case(runner, "merge of 5 %", "merge5_ratio", staging, Goal::Ratio(1.0));
    let (ours, raw) = (bench.database("ours"), bench.database("raw"));
    let place = bench.place(&bench.source, &ours, UPSERT);
    bench.load(is_ours, || runner.full(&place));
    bench.raw_copy(&raw, &table::names());
    for repetition in 0..bench.settings.repeat {
        bench.source.execute(&[&table::change(bench.next_round(), bench.settings.rows)]);
        for database in [&bench.source, &ours, &raw] {
            database.execute(&["VACUUM ANALYZE"]);
        }
        let since = raw.ask("SELECT max(updated_at) FROM projects");
        bench.in_turn(
            repetition,
            || merge.ours.extend(bench.load(is_ours, || runner.incremental(&place))),
            || merge.limit.push(raw_merge(bench, &raw, &since)),
        );
        bench.expect_equal(&merge.name, &raw, &table::names());
        match runner {
            Runner::Syncline if bench.settings.limits_only => {}
            Runner::Syncline => bench.expect_equal(&merge.name, &ours, &table::names()),
            Runner::Peer(_) => expect_rows(bench, &merge.name, &ours),
        }
    }

    let calls = "two calls of psql that select 1";
    let mut nothing = case(runner, "nothing to do", "nochange_ratio", calls, Goal::Seconds(0.1));
    for repetition in 0..bench.settings.repeat.max(5) {
        bench.in_turn(
            repetition,
            || nothing.ours.extend(bench.load(is_ours, || runner.incremental(&place))),
            || nothing.limit.push(bench.source.execute(&["SELECT 1"]).then(raw.execute(&["SELECT 1"]))),
        );
    }
    [merge, nothing]
}

/// The rows that changed after `since` through a pipe into an unlogged staging table, and from there into the table.
fn raw_merge(bench: &Bench, raw: &Database, since: &str) -> Cost {
    let names = table::names();
    let changed = format!("SELECT {names} FROM projects WHERE updated_at > '{since}'");
    let columns = table::COLUMNS.map(|(name, ..)| format!("{name} = excluded.{name}"));
    let merge = format!(
        "INSERT INTO projects ({names}) SELECT {names} FROM staging ON CONFLICT (id) DO UPDATE SET {}",
        columns[1..].join(", ")
    );
    let staging = "CREATE UNLOGGED TABLE staging (LIKE projects)";
    pipe(&bench.source, &changed, raw, &[staging], "staging", &[&merge, "DROP TABLE staging"])
}

/// An incremental run that finds 0.1 % of the rows deleted by comparing keys, beside our own full load.
pub(crate) fn deletes(bench: &Bench) -> Case {
    let mut case =
        Case::new("0.1 % deleted".to_owned(), "deletes_ratio", "our own full load", Goal::Ratio(0.25));
    for _ in 0..bench.settings.repeat {
        let ours = bench.database("ours");
        let place = bench.place(&bench.source, &ours, DELETES);
        bench.source.execute(&["CHECKPOINT"]);
        case.limit.push(Runner::Syncline.full(&place));
        bench.source.execute(&[&table::delete(bench.next_round())]);
        for database in [&bench.source, &ours] {
            database.execute(&["VACUUM ANALYZE", "CHECKPOINT"]);
        }
        case.ours.push(Runner::Syncline.incremental(&place));
        bench.expect_equal(&case.name, &ours, &table::names());
    }
    case
}

/// Full loads of few and, when asked for, very many rows: memory must not depend on them.
pub(crate) fn memory(bench: &Bench) -> Vec<Case> {
    let mut sizes = vec![("memory_200k", 200_000)];
    if bench.settings.big {
        sizes.push(("memory_20m", 20_000_000));
    }
    let mut cases = Vec::new();
    for (key, rows) in sizes {
        let (source, ours) = (bench.database("memory"), bench.database("ours"));
        source.execute(&[&table::fill(rows)]);
        let place = bench.place(&source, &ours, UPSERT);
        let cost = Runner::Syncline.full(&place);
        let checksum = table::checksum(&table::names());
        assert_eq!(ours.ask(&checksum), source.ask(&checksum), "{rows} rows");
        let case = Case::new(format!("full load of {rows} rows"), key, "", Goal::Peak(120.0));
        cases.push(Case { ours: vec![cost], ..case });
    }
    cases
}

/// Peers lose types on the way, so only rows can be counted: all, and those that were changed.
fn expect_rows(bench: &Bench, case: &str, ours: &Database) {
    let count = "SELECT count(*) || ' ' || count(*) FILTER (WHERE name LIKE 'Changed%') FROM projects";
    assert_eq!(ours.ask(count), bench.source.ask(count), "{case}: rows");
}

/// A case of ours, or the same one of a peer, which has no goal.
fn case(runner: &Runner, name: &str, key: &str, beside: &'static str, goal: Goal) -> Case {
    match runner {
        Runner::Syncline => Case::new(name.to_owned(), key, beside, goal),
        Runner::Peer(peer) => Case {
            is_ours: false,
            ..Case::new(format!("{peer}: {name}"), &format!("{peer}_{key}"), beside, Goal::None)
        },
    }
}
