//! Records that are committed late are not missed, and the bound is told in every kind of column.

use std::time::Duration;

use syncline_core::value::Value;

use super::{full, ids, incremental, kit::Database, rows};

const BEGINNING: Value<'static> = Value::Timestamp { micros: i64::MIN, zoned: true };

#[tokio::test]
async fn an_open_transaction_holds_the_bound() {
    Database::with(|db| async move {
        let (late, other) = (db.session().await, db.session().await);
        other.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz DEFAULT now())").await;
        other.run("CREATE INDEX ON t (at)").await;
        other.run("INSERT INTO t VALUES (1)").await;
        late.run("BEGIN; INSERT INTO t VALUES (2)").await;
        other.run("INSERT INTO t VALUES (3)").await;
        let source = db.source().await;
        let read = || incremental("t", &["id", "at"], "at", BEGINNING);
        assert_eq!(ids(&source, read()).await, [1], "3 came after 2, which nobody can see yet");
        let mut request = full("t", &["id", "at"]);
        request.cursor = Some("at".into());
        let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
        while reader.next().await.unwrap_or_else(|e| panic!("{e}")).is_some() {}
        let resume = reader.resume().expect("a place to resume");
        late.run("COMMIT").await;
        assert_eq!(ids(&source, read()).await, [1, 2, 3]);
        let mut after = read();
        after.from = Some(resume);
        assert_eq!(ids(&source, after).await, [2, 3], "a full read hands over below the late one");
    })
    .await;
}

#[tokio::test]
async fn transactions_elsewhere_do_not_hold_the_bound() {
    Database::with(|db| async move {
        let elsewhere = super::kit::Session::open(&super::kit::server()).await;
        elsewhere.run("BEGIN; SELECT 1").await;
        let session = db.session().await;
        session.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz DEFAULT now())").await;
        session.run("INSERT INTO t VALUES (1)").await;
        let source = db.source().await;
        assert_eq!(ids(&source, incremental("t", &["id", "at"], "at", BEGINNING)).await, [1]);
        elsewhere.run("ROLLBACK").await;
    })
    .await;
}

#[tokio::test]
async fn sessions_that_are_hidden_cost_the_lag() {
    Database::with(|db| async move {
        let session = db.session().await;
        let role = format!("{}_reader", db.name);
        session.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz)").await;
        session
            .run("INSERT INTO t VALUES (1, now() - interval '1 hour'), (2, now() - interval '10 s')")
            .await;
        session.run(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}")).await;
        let url = db.url.replacen("postgres@", &format!("{role}@"), 1);
        let source =
            super::kit::open(serde_json::json!({ "url": url })).await.unwrap_or_else(|e| panic!("{e}"));
        let read = |lag| {
            let mut request = incremental("t", &["id", "at"], "at", BEGINNING);
            request.lag = Duration::from_secs(lag);
            request
        };
        assert_eq!(ids(&source, read(60)).await, [1], "the superuser's session is hidden from the role");
        assert_eq!(ids(&source, read(1)).await, [1, 2]);
        let notes = source.describe("t").await.map(|s| s.notes).unwrap_or_default();
        assert!(notes.iter().any(|n| n.contains("pg_read_all_stats")), "{notes:?}");
        let seen = db.source().await.describe("t").await.map(|s| s.notes).unwrap_or_default();
        assert!(seen.is_empty(), "a superuser sees all: {seen:?}");
        drop(source);
        session.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    })
    .await;
}

#[tokio::test]
async fn wall_clocks_and_days_have_bounds_too() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run(&format!("ALTER DATABASE {} SET TimeZone = 'Asia/Kolkata'", db.name)).await;
        let session = db.session().await;
        session.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamp, day date)").await;
        session
            .run(
                "INSERT INTO t VALUES (1, localtimestamp, current_date), (2, localtimestamp + interval '1 hour', \
                 current_date + 1), (3, 'infinity', 'infinity'), (4, '-infinity', '-infinity'), (5, NULL, NULL)",
            )
            .await;
        let source = db.source().await;
        let wall = Value::Timestamp { micros: i64::MIN, zoned: false };
        let read = incremental("t", &["id", "at"], "at", wall);
        assert_eq!(ids(&source, read).await, [4, 1], "the wall clock is the session's");
        let read = || incremental("t", &["id", "day"], "day", Value::Date(i32::MIN));
        assert_eq!(ids(&source, read()).await, [4, 1], "today is read today");
        // a later read starts at today again, so that what is added to it is seen
        let today = rows(&source, read()).await.pop().map(|r| r[1].clone()).expect("today");
        session.run("INSERT INTO t VALUES (0, localtimestamp, current_date)").await;
        assert_eq!(ids(&source, incremental("t", &["id", "day"], "day", today)).await, [0, 1]);
        for (column, expected) in [("at", "timestamp"), ("day", "date")] {
            let mut request = full("t", &["id", column]);
            request.cursor = Some(column.into());
            let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
            assert!(reader.next().await.is_ok());
            let resume = reader.resume().expect("a bound");
            assert_eq!(resume.cursor.type_name(), expected);
        }
        let endless = incremental("t", &["id", "at"], "at", Value::Timestamp { micros: i64::MAX, zoned: false });
        assert!(ids(&source, endless).await.is_empty(), "from infinity on there is nothing, and no error");
    })
    .await;
}

#[tokio::test]
async fn microseconds_decide() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz)").await;
        session.run("CREATE INDEX ON t (at)").await;
        session
            .run(
                "INSERT INTO t SELECT i, timestamptz '2026-01-31 10:00:00.123456+00' + i * interval '1 microsecond' \
                 FROM generate_series(0, 9) i",
            )
            .await;
        let source = db.source().await;
        let at = |micros: i64| Value::Timestamp { micros: 1_769_853_600_123_456 + micros, zoned: true };
        for batch_rows in [1, 4, 100] {
            let mut request = incremental("t", &["id", "at"], "at", at(5));
            (request.batch_rows, request.overlap.time) = (batch_rows, Duration::from_micros(2));
            assert_eq!(ids(&source, request).await, [3, 4, 5, 6, 7, 8, 9]);
        }
    })
    .await;
}
