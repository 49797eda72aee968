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
