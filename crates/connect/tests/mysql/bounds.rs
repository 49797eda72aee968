//! Records that are committed late are not missed, and the bound is told in every kind of column.

use std::time::Duration;

use syncline_core::value::Value;

use super::{full, ids, incremental, kit::Database, rows};

const BEGINNING: Value<'static> = Value::Timestamp { micros: i64::MIN, zoned: true };

#[tokio::test]
async fn an_open_transaction_holds_the_bound() {
    Database::with(|db| async move {
        let (mut late, mut other) = (db.session().await, db.session().await);
        other.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamp(6) NULL, INDEX (at))").await;
        other.run("INSERT INTO t VALUES (1, NOW(6) - INTERVAL 2 SECOND)").await;
        late.run("BEGIN;\nINSERT INTO t VALUES (2, NOW(6))").await;
        other.run("INSERT INTO t VALUES (3, NOW(6))").await;
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
async fn a_statement_that_waits_holds_the_bound_before_it_has_a_transaction() {
    Database::with(|db| async move {
        let (mut holder, mut waiting, mut other) =
            (db.session().await, db.session().await, db.session().await);
        other.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamp(6) NULL, INDEX (at))").await;
        holder.run("LOCK TABLES t READ").await;
        let id = waiting.conn.id();
        let write = waiting.run("INSERT INTO t VALUES (1, NOW(6))");
        let read = async {
            let waits = format!("SELECT state FROM information_schema.processlist WHERE id = {id}");
            let wait = async {
                while !other.text(&waits).await.contains("lock") {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the statement waits");
            let source = db.source().await;
            let mut request = full("t", &["id", "at"]);
            request.cursor = Some("at".into());
            let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
            assert!(reader.next().await.is_ok_and(|batch| batch.is_none()), "nothing is there yet");
            let resume = reader.resume();
            holder.run("UNLOCK TABLES").await;
            (source, resume)
        };
        let ((), (source, resume)) = tokio::join!(write, read);
        let mut request = incremental("t", &["id", "at"], "at", BEGINNING);
        request.from = resume;
        assert_eq!(
            ids(&source, request).await,
            [1],
            "the record that had been stamped before it was written"
        );
    })
    .await;
}

#[tokio::test]
async fn transactions_that_are_hidden_cost_the_lag() {
    Database::with(|db| async move {
        let mut session = db.session().await;
        let user = format!("{}_reader", db.name);
        session.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamp(6) NULL)").await;
        session
            .run("INSERT INTO t VALUES (1, NOW(6) - INTERVAL 1 HOUR), (2, NOW(6) - INTERVAL 10 SECOND)")
            .await;
        session
            .run(&format!(
                "CREATE USER {user}@'127.0.0.1';\nGRANT SELECT ON {}.t TO {user}@'127.0.0.1'",
                db.name
            ))
            .await;
        let url = db.url.replacen("root@", &format!("{user}@"), 1);
        let source =
            super::kit::open(serde_json::json!({ "url": url })).await.unwrap_or_else(|e| panic!("{e}"));
        let read = |lag| {
            let mut request = incremental("t", &["id", "at"], "at", BEGINNING);
            request.lag = Duration::from_secs(lag);
            request
        };
        assert_eq!(ids(&source, read(60)).await, [1], "other users' transactions are hidden");
        assert_eq!(ids(&source, read(1)).await, [1, 2]);
        let notes = source.describe("t").await.map(|s| s.notes).unwrap_or_default();
        assert!(notes.iter().any(|n| n.contains("GRANT PROCESS")), "{notes:?}");
        let seen = db.source().await.describe("t").await.map(|s| s.notes).unwrap_or_default();
        assert!(seen.is_empty(), "root sees all: {seen:?}");
        drop(source);
        session.run(&format!("DROP USER {user}@'127.0.0.1'")).await;
    })
    .await;
}

#[tokio::test]
async fn wall_clocks_and_days_have_bounds_too() {
    Database::with(|db| async move {
        let mut session = db.session().await;
        session.run("SET GLOBAL time_zone = '+05:30'").await;
        session.run("SET time_zone = '+05:30'").await;
        session.run("CREATE TABLE t (id bigint PRIMARY KEY, at datetime(6), day date)").await;
        session
            .run(
                "INSERT INTO t VALUES (1, NOW(6), CURRENT_DATE), (2, NOW(6) + INTERVAL 1 HOUR, \
                 CURRENT_DATE + INTERVAL 1 DAY), (3, '9999-12-31 23:59:59.999999', '9999-12-31'), \
                 (4, '0000-01-01', '0000-01-01'), (5, NULL, NULL)",
            )
            .await;
        let source = db.source().await;
        let wall = Value::Timestamp { micros: i64::MIN, zoned: false };
        let read = incremental("t", &["id", "at"], "at", wall);
        assert_eq!(ids(&source, read).await, [4, 1], "the wall clock is the server's");
        let read = || incremental("t", &["id", "day"], "day", Value::Date(i32::MIN));
        assert_eq!(ids(&source, read()).await, [4, 1], "today is read today");
        // a later read starts at today again, so that what is added to it is seen
        let today = rows(&source, read()).await.pop().map(|r| r[1].clone()).expect("today");
        session.run("INSERT INTO t VALUES (0, NOW(6), CURRENT_DATE)").await;
        assert_eq!(ids(&source, incremental("t", &["id", "day"], "day", today)).await, [0, 1]);
        for (column, expected) in [("at", "timestamp"), ("day", "date")] {
            let mut request = full("t", &["id", column]);
            request.cursor = Some(column.into());
            let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
            assert!(reader.next().await.is_ok());
            let resume = reader.resume().expect("a bound");
            assert_eq!(resume.cursor.type_name(), expected);
        }
        let endless =
            incremental("t", &["id", "at"], "at", Value::Timestamp { micros: i64::MAX, zoned: false });
        assert!(ids(&source, endless).await.is_empty(), "from infinity on there is nothing, and no error");
        session.run("SET GLOBAL time_zone = 'SYSTEM'").await;
    })
    .await;
}

#[tokio::test]
async fn microseconds_decide() {
    Database::with(|db| async move {
        let mut session = db.session().await;
        session.run("CREATE TABLE t (id bigint PRIMARY KEY, at timestamp(6) NULL, INDEX (at))").await;
        session
            .run(
                "INSERT INTO t SELECT seq, '2026-01-31 10:00:00.123456' + INTERVAL seq MICROSECOND FROM seq_0_to_9",
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
