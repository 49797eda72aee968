//! `--schedule`: which syncs are meant, and what it makes of their runs.

use crate::kit::Place;

const PROJECT: &str = "connections:
  here: { type: sqlite, path: projects.db }
  cache: { type: sqlite, path: cache.db }
defaults:
  schedule:
    - { name: mass, every: 7d, mode: full, prepurge: true, reindex: true }
    - { name: hourly, every: 1h, lookback: 3 }
syncs:
  orders:
    from: { connection: here, table: orders, cursor: at }
    to: { connection: cache }
  journal:
    from: { connection: here, table: orders, cursor: at }
    to: { connection: cache, table: journal }
    write: append
    schedule: { name: hourly, enabled: false }
";

/// Two orders, the later one of now.
fn place() -> Place {
    let place = Place::empty();
    place.write("syncline.yaml", PROJECT);
    place.sql(
        "CREATE TABLE orders (id INTEGER NOT NULL PRIMARY KEY, at TIMESTAMP NOT NULL);
         CREATE INDEX orders_at ON orders (at);
         INSERT INTO orders VALUES (1, datetime('now', '-9 hours')), (2, datetime('now'))",
    );
    place
}

fn rows(place: &Place, table: &str) -> i64 {
    let cache = rusqlite::Connection::open(place.path("cache.db")).unwrap();
    cache.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn who_has_no_such_schedule_is_left_out() {
    let place = place();
    let run = place.syncline(&["run", "--schedule", "hourly"]).with_code(0);
    assert!(
        run.err.contains("schedule \"hourly\": 1 sync is left out, without it: journal\n"),
        "{}",
        run.err
    );
    assert!(run.out.starts_with("orders: succeeded") && run.out.lines().count() == 1, "{}", run.out);
    place.syncline(&["plan", "--schedule", "hourly", "--exit-code"]).with_code(0).saying("left out");
    for command in ["plan", "run"] {
        let named = place.syncline(&[command, "journal", "--schedule", "hourly"]).with_code(2);
        named.saying("schedule \"hourly\" is switched off");
        let slip = place.syncline(&[command, "--schedule", "hurly"]).with_code(2);
        slip.saying("no sync has a schedule \"hurly\"").saying("did you mean \"hourly\"?");
    }
}

#[test]
fn a_schedule_looks_back() {
    let place = place();
    place.syncline(&["run", "orders", "--schedule", "mass"]).with_code(0).saying("2 read = 2 created");
    // stamped long before it was committed
    place.sql("INSERT INTO orders VALUES (3, datetime('now', '-2 hours'))");
    place.syncline(&["plan", "orders", "--exit-code"]).with_code(0);
    place
        .syncline(&["plan", "orders", "--schedule", "hourly", "--exit-code"])
        .with_code(4)
        .saying("+ create 3");
    place.syncline(&["run", "orders"]).with_code(0);
    assert_eq!(rows(&place, "orders"), 2);
    place.syncline(&["run", "orders", "--schedule", "hourly"]).with_code(0).saying("1 created");
    assert_eq!(rows(&place, "orders"), 3);
}

#[test]
fn a_journal_that_is_purged_first_is_not_doubled() {
    let place = place();
    for _ in 0..2 {
        place.syncline(&["run", "journal", "--schedule", "mass"]).with_code(0).saying("2 read = 2 created");
        assert_eq!(rows(&place, "journal"), 2);
    }
}

#[test]
fn the_next_times_of_every_schedule_are_shown() {
    let place = Place::empty();
    let chains = "chains:
  nightly:
    schedule: { cron: '30 2 * * *', zone: Europe/Berlin }
    steps: { orders: { sync: orders } }
receivers:
  ops: { slack: { url: \"${NOBODY_SET_THIS}\" } }
";
    place.write("syncline.yaml", format!("{PROJECT}{chains}"));
    let shown = place.syncline(&["schedules"]).with_code(0).out;
    let lines: Vec<&str> = shown.lines().collect();
    // A header; five times of mass, hourly, mass, nightly; one line for what is switched off.
    assert_eq!(lines.len(), 1 + 5 + 5 + 5 + 1 + 5, "{shown}");
    assert!(
        lines[1].starts_with("sync   orders   mass (every 7d)") && lines[1].contains(" 00:00:00 UTC"),
        "{shown}"
    );
    assert!(lines[16].contains("hourly (every 1h)") && lines[16].contains("switched off"), "{shown}");
    assert!(lines[17].starts_with("chain  nightly  30 2 * * * Europe/Berlin"), "{shown}");

    let ended = place.syncline(&["schedules", "nightly", "--json", "--next", "400"]).with_code(0);
    let [nightly] = ended.json().try_into().unwrap();
    let field = |name: &str| nightly[name].as_str().map(str::to_owned);
    assert_eq!(
        field("kind").zip(field("schedule")),
        Some(("chain".into(), "30 2 * * * Europe/Berlin".into()))
    );
    let next = nightly["next"].as_array().unwrap();
    assert_eq!((next.len(), next[0]["zone"].as_str()), (400, Some("Europe/Berlin")));
    // More than a year has summer and winter, and one night without half past two.
    let at = |text: &str, hour: &str| {
        next.iter().filter(|time| time[text].as_str().unwrap().contains(hour)).count()
    };
    assert!(at("at", "T00:30:00Z") > 0 && at("at", "T01:30:00Z") > 0);
    assert!((1..=2).contains(&at("local", "T03:00:00")) && at("local", "T02:30:00") > 397, "{nightly}");

    place.syncline(&["schedules", "order"]).with_code(2).saying("did you mean \"orders\"?");
}

#[test]
fn where_the_store_is_must_be_known() {
    let place = Place::empty();
    place.write("syncline.yaml", format!("{PROJECT}store: {{ path: \"${{NOBODY_SET_THIS}}\" }}\n"));
    // Other variables may be missing when only the store is asked.
    place.syncline(&["status"]).with_code(2).saying("the environment variable NOBODY_SET_THIS is not set");
}
