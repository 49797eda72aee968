//! What goes wrong: logging in, TLS, a server or a table that goes away in mid-read.

use std::time::Duration;

use serde_json::json;
use syncline_connect::{Error, error::Kind};

use super::{
    full,
    kit::{Database, Session, authority, open, server},
};

const PASSWORD: &str = "hunter2";

async fn refused(options: serde_json::Value) -> Error {
    let Err(error) = open(options).await else { panic!("the connection was opened") };
    let told = format!("{error} {:?} {error:?}", error.hint);
    assert!(!told.contains(PASSWORD) && !told.contains("mysql://"), "no secret is told: {told}");
    assert!(told.contains("\"cms\""), "the connection is named: {told}");
    assert!(error.hint.is_some(), "what to do is told: {told}");
    error
}

/// The server's address with another user, database or query.
fn url(user: &str, database: &str) -> String {
    let server = server();
    let host = server.rsplit('@').next().unwrap_or_default();
    let host = host.split('/').next().unwrap_or_default();
    format!("mysql://{user}@{host}/{database}")
}

#[tokio::test]
async fn a_wrong_password() {
    let mut admin = Session::open(&server()).await;
    let there = admin.text("SELECT COUNT(*) FROM mysql.user WHERE user = 'syncline_pw'").await;
    assert_eq!(there, "1", "scripts/with-mariadb makes the user syncline_pw");
    let error = refused(json!({ "url": url(&format!("syncline_pw:{PASSWORD}"), "") })).await;
    assert_eq!(error.kind, Kind::Unauthenticated, "{error}");
    let error = refused(json!({ "url": url("syncline_pw", "") })).await;
    assert_eq!(error.kind, Kind::Unauthenticated, "{error}");
    let right = json!({ "url": url("syncline_pw:syncline-test", "") });
    assert!(open(right).await.is_ok(), "the right one is accepted");
}

#[tokio::test]
async fn an_unknown_database_host_or_port() {
    let error = refused(json!({ "url": url("root", "no_such_database") })).await;
    assert_eq!(error.kind, Kind::StreamMissing, "{error}");
    assert!(error.message.contains("no_such_database"));
    let error = refused(json!({ "url": format!("mysql://u:{PASSWORD}@127.0.0.1:1/d") })).await;
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.message.contains("127.0.0.1:1"), "the host is told: {error}");
    let error = refused(json!({ "url": format!("mysql://u:{PASSWORD}@no-such-host.invalid/d") })).await;
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("its address");
    let error =
        refused(json!({ "url": format!("mysql://u:{PASSWORD}@{address}/d"), "connect_timeout": 50 })).await;
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.message.contains("50 ms"), "{error}");
}

#[tokio::test]
async fn tls_is_required_and_checked() {
    let at = |mode: &str| format!("{}?ssl-mode={mode}", url("root", "mysql"));
    let mut admin = Session::open(&server()).await;
    if admin.text("SELECT @@have_ssl").await != "YES" {
        let error = refused(json!({ "url": at("REQUIRED") })).await;
        assert_eq!(error.kind, Kind::Unreachable, "{error}");
        assert!(error.message.contains("TLS"), "{error}");
        return;
    }
    let error = refused(json!({ "url": at("REQUIRED") })).await;
    assert_eq!(error.kind, Kind::Unreachable, "the system's authorities do not know the test's: {error}");
    assert!(error.message.contains("TLS"), "{error}");
    assert!(open(json!({ "url": at("PREFERRED") })).await.is_ok(), "PREFERRED asks for no proof");
    assert!(open(json!({ "url": at("DISABLED") })).await.is_ok());
    let error = refused(json!({ "url": at("REQUIRED"), "ca_file": "/no/such/file.pem" })).await;
    assert_eq!(error.kind, Kind::Definition, "{error}");
    let stranger = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let other = directory.path().join("other.pem");
    std::fs::write(&other, stranger.cert.pem()).expect("a file");
    let error = refused(json!({ "url": at("REQUIRED"), "ca_file": other })).await;
    assert_eq!(error.kind, Kind::Unreachable, "another authority: {error}");
    if let Some(ca) = authority() {
        let source = open(json!({ "url": at("REQUIRED"), "ca_file": ca })).await;
        assert!(source.is_ok(), "the test's authority is accepted: {:?}", source.err());
    }
}

#[tokio::test]
async fn a_table_that_is_not_there() {
    Database::with(|db| async move {
        db.run("CREATE TABLE projects (id int PRIMARY KEY)").await;
        let source = db.source().await;
        for name in ["project", "other.projects", &format!("{}.project", db.name)] {
            let Err(error) = source.describe(name).await else { panic!("{name} was found") };
            assert_eq!(error.kind, Kind::StreamMissing, "{error}");
            assert!(error.hint.is_some() && error.message.contains(name), "{error}");
        }
        let near = source.streams().await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(near, ["projects"], "what the user may have meant");
        let nowhere = open(json!({ "url": url("root", "") })).await.unwrap_or_else(|e| panic!("{e}"));
        let Err(error) = nowhere.describe("projects").await else { panic!("found without a database") };
        assert_eq!(error.kind, Kind::StreamMissing, "{error}");
        let listed = nowhere.streams().await.unwrap_or_else(|e| panic!("{e}"));
        assert!(listed.contains(&format!("{}.projects", db.name)), "with their databases: {listed:?}");
    })
    .await;
}

#[tokio::test]
async fn a_session_killed_in_mid_read() {
    Database::with(|db| async move {
        let mut session = db.session().await;
        session.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
        session.run("INSERT INTO t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_50000").await;
        for key_is_total in [true, false] {
            let source = db.source().await;
            let mut request = full("t", &["id", "v"]);
            request.key_is_total = key_is_total;
            let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
            assert!(reader.next().await.is_ok());
            let own = session.conn.id();
            let others = format!(
                "SELECT GROUP_CONCAT(id) FROM information_schema.processlist WHERE db = '{}' AND id <> {own}",
                db.name
            );
            for id in session.text(&others).await.split(',') {
                // one of them may be gone by now
                drop(
                    mysql_async::prelude::Queryable::query_drop(&mut session.conn, format!("KILL {id}"))
                        .await,
                );
            }
            let error = loop {
                match reader.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("a broken listing looks complete"),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error.kind, Kind::Unreachable | Kind::Unanswered), "{error}");
            assert!(error.message.contains("\"t\""), "{error}");
            assert!(reader.next().await.is_err(), "after an error the listing is over and not complete");
            // the session for questions was killed too: at most one question fails
            let first = source.describe("t").await;
            assert!(first.is_ok() || source.describe("t").await.is_ok(), "the next question connects anew");
        }
    })
    .await;
}

#[tokio::test]
async fn a_listing_given_up_ends_the_servers_statement() {
    Database::with(|db| async move {
        let mut session = db.session().await;
        session.run("CREATE TABLE t (id int, v text)").await;
        session.run("INSERT INTO t SELECT seq, REPEAT('x', 1000) FROM seq_1_to_100000").await;
        let source = db.source().await;
        let mut request = full("t", &["id", "v"]);
        (request.key_is_total, request.batch_rows) = (false, 10);
        let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
        assert!(reader.next().await.is_ok());
        let running = format!(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND info LIKE 'SELECT t.`id`%'",
            db.name
        );
        assert_eq!(session.text(&running).await, "1", "the server waits for the reader");
        drop(reader);
        let ended = async {
            while session.text(&running).await != "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the statement ends");
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_outlives_changes_of_the_rows() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (id int PRIMARY KEY, v int)").await;
        db.run("INSERT INTO t SELECT seq, 0 FROM seq_1_to_100").await;
        let source = db.source().await;
        let mut request = full("t", &["id", "v"]);
        request.batch_rows = 10;
        let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
        assert!(reader.next().await.is_ok());
        db.run("UPDATE t SET v = 1").await;
        db.run("DELETE FROM t WHERE id > 50").await;
        let mut seen = 10;
        while let Some(batch) = reader.next().await.unwrap_or_else(|e| panic!("{e}")) {
            seen += batch.len();
            assert!((0..batch.len()).all(|row| batch.value(row, 1) == syncline_core::value::Value::Int64(0)));
        }
        assert_eq!(seen, 100, "all pages see the table as it was");
    })
    .await;
}

#[tokio::test]
async fn permissions_time_outs_and_values_in_messages() {
    Database::with(|db| async move {
        let mut session = db.session().await;
        let user = format!("{}_poor", db.name);
        session.run("CREATE TABLE t (id int PRIMARY KEY, secret int)").await;
        session
            .run(&format!("CREATE USER {user}@'127.0.0.1';\nGRANT SELECT (id) ON t TO {user}@'127.0.0.1'"))
            .await;
        session.run("CREATE VIEW slow AS SELECT 1 AS id, SLEEP(60) AS s").await;
        session.run("CREATE TABLE raw (v text);\nINSERT INTO raw VALUES ('hunter2')").await;
        session
            .run(
                "CREATE FUNCTION leak(v text) RETURNS int DETERMINISTIC BEGIN \
                 SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = v; RETURN 1; END",
            )
            .await;
        session.run("CREATE VIEW failing AS SELECT 1 AS id, leak(v) AS x FROM raw").await;
        let source = open(json!({ "url": db.url.replacen("root@", &format!("{user}@"), 1) })).await;
        let source = source.unwrap_or_else(|e| panic!("{e}"));
        let stream = source.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(stream.fields.len(), 1, "what may not be read is not shown");
        let Err(error) = source.describe("(select * from t)").await else { panic!("all columns were read") };
        assert_eq!(error.kind, Kind::Forbidden, "{error}");
        drop(source);
        session.run(&format!("DROP USER {user}@'127.0.0.1'")).await;

        let source =
            open(json!({ "url": db.url, "statement_timeout": 100 })).await.unwrap_or_else(|e| panic!("{e}"));
        let failed = |stream: &'static str, columns: &'static [&'static str]| {
            let source = source.clone();
            async move {
                let mut request = full(stream, columns);
                request.key_is_total = false;
                let mut reader = match source.read(request).await {
                    Ok(reader) => reader,
                    Err(error) => return error,
                };
                let step = tokio::time::timeout(Duration::from_secs(20), reader.next()).await;
                step.expect("an answer").expect_err("an error")
            }
        };
        let error = failed("slow", &["id", "s"]).await;
        assert_eq!(error.kind, Kind::Unanswered, "{error}");
        assert!(error.hint.unwrap_or_default().contains("statement_timeout"));
        let error = failed("failing", &["id", "x"]).await;
        assert!(!format!("{error:?}").contains(PASSWORD), "a value is not repeated: {error:?}");
    })
    .await;
}
