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
    assert!(!told.contains(PASSWORD) && !told.contains("postgres://"), "no secret is told: {told}");
    assert!(told.contains("\"erp\""), "the connection is named: {told}");
    assert!(error.hint.is_some(), "what to do is told: {told}");
    error
}

/// The server's address with another user, database or query.
fn url(user: &str, database: &str) -> String {
    let server = server();
    let host = server.rsplit('@').next().unwrap_or_default();
    let host = host.split('/').next().unwrap_or_default();
    format!("postgres://{user}@{host}/{database}")
}

#[tokio::test]
async fn a_wrong_password() {
    let admin = Session::open(&server()).await;
    let there = admin.text("SELECT count(*)::text FROM pg_roles WHERE rolname = 'syncline_pw'").await;
    assert_eq!(there, "1", "scripts/with-postgres makes the role syncline_pw");
    let error = refused(json!({ "url": url(&format!("syncline_pw:{PASSWORD}"), "postgres") })).await;
    assert_eq!(error.kind, Kind::Unauthenticated, "{error}");
    let error = refused(json!({ "url": url("syncline_pw", "postgres") })).await;
    assert_eq!(error.kind, Kind::Unauthenticated, "{error}");
    let right = json!({ "url": url("syncline_pw:syncline-test", "postgres") });
    assert!(open(right).await.is_ok(), "the right one is accepted");
}

#[tokio::test]
async fn an_unknown_database_host_or_port() {
    let error = refused(json!({ "url": url(&format!("postgres:{PASSWORD}"), "no_such_database") })).await;
    assert_eq!(error.kind, Kind::StreamMissing, "{error}");
    assert!(error.message.contains("no_such_database"));
    let error = refused(json!({ "url": format!("postgres://u:{PASSWORD}@127.0.0.1:1/d") })).await;
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.message.contains("127.0.0.1:1"), "the host is told: {error}");
    let error = refused(json!({ "url": format!("postgres://u:{PASSWORD}@no-such-host.invalid/d") })).await;
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("its address");
    let error =
        refused(json!({ "url": format!("postgres://u:{PASSWORD}@{address}/d"), "connect_timeout": 50 }))
            .await;
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.message.contains("50 ms"), "{error}");
}

#[tokio::test]
async fn tls_is_required_and_checked() {
    let host = server().rsplit('@').next().unwrap_or_default().to_owned();
    let at = |host: &str, mode: &str| format!("postgres://postgres@{host}?sslmode={mode}");
    let admin = Session::open(&server()).await;
    if admin.text("SHOW ssl").await == "off" {
        let error = refused(json!({ "url": at(&host, "require") })).await;
        assert_eq!(error.kind, Kind::Unreachable, "{error}");
        assert!(error.message.contains("TLS"), "{error}");
        return;
    }
    let error = refused(json!({ "url": at(&host, "require") })).await;
    assert_eq!(error.kind, Kind::Unreachable, "the system's authorities do not know the test's: {error}");
    assert!(error.message.contains("TLS"), "{error}");
    assert!(open(json!({ "url": at(&host, "prefer") })).await.is_ok(), "prefer asks for no proof");
    assert!(open(json!({ "url": at(&host, "disable") })).await.is_ok());
    let error = refused(json!({ "url": at(&host, "require"), "ca_file": "/no/such/file.pem" })).await;
    assert_eq!(error.kind, Kind::Definition, "{error}");
    if let Some(ca) = authority() {
        let source = open(json!({ "url": at(&host, "require"), "ca_file": ca })).await;
        assert!(source.is_ok(), "the test's authority is accepted: {:?}", source.err());
    }
}

#[tokio::test]
async fn a_session_killed_in_mid_read() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE TABLE t (id int PRIMARY KEY, v text)").await;
        session.run("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 50000) i").await;
        for key_is_total in [true, false] {
            let source = db.source().await;
            let mut request = full("t", &["id", "v"]);
            request.key_is_total = key_is_total;
            let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
            assert!(reader.next().await.is_ok());
            session
                .run(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name = 'syncline' AND datname = current_database()",
                )
                .await;
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
            assert!(source.describe("t").await.is_ok(), "the next question connects anew");
        }
    })
    .await;
}

#[tokio::test]
async fn a_table_dropped_or_changed_in_mid_read() {
    Database::with(|db| async move {
        let session = db.session().await;
        let source = db.source().await;
        let changes = [
            ("DROP TABLE t", Kind::StreamMissing),
            ("ALTER TABLE t DROP COLUMN v", Kind::Definition),
            ("ALTER TABLE t ALTER v TYPE int USING 1", Kind::Definition),
        ];
        for (change, expected) in changes {
            session.run("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, v text)").await;
            session.run("INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) i").await;
            let mut request = full("t", &["id", "v"]);
            request.batch_rows = 10;
            let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
            assert!(reader.next().await.is_ok());
            session.run(change).await;
            let error = loop {
                match reader.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{change}: the listing looks complete"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind, expected, "{change}: {error}");
            assert!(error.hint.is_some(), "{change}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn permissions_time_outs_and_values_in_messages() {
    Database::with(|db| async move {
        let session = db.session().await;
        let role = format!("{}_poor", db.name);
        session.run(&format!("CREATE ROLE {role} LOGIN; CREATE TABLE t (id int PRIMARY KEY)")).await;
        session.run("CREATE VIEW slow AS SELECT 1 AS id, pg_sleep(60)::text AS s").await;
        session.run("CREATE TABLE raw (v text); INSERT INTO raw VALUES ('hunter2')").await;
        session.run("CREATE VIEW cast_ AS SELECT v::int AS id FROM raw").await;
        let source = open(json!({ "url": db.url.replacen("postgres@", &format!("{role}@"), 1) })).await;
        let source = source.unwrap_or_else(|e| panic!("{e}"));
        let stream = source.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
        assert!(stream.notes.iter().any(|n| n.contains("GRANT SELECT") || n.contains("grant SELECT")));
        let mut reader = source.read(full("t", &["id"])).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(reader.next().await.err().map(|e| e.kind), Some(Kind::Forbidden));
        drop((reader, source));
        session.run(&format!("DROP ROLE {role}")).await;

        let source =
            open(json!({ "url": db.url, "statement_timeout": 100 })).await.unwrap_or_else(|e| panic!("{e}"));
        let failed = |stream: &'static str, columns: &'static [&'static str]| {
            let source = source.clone();
            async move {
                let mut request = full(stream, columns);
                request.key_is_total = false;
                let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
                let step = tokio::time::timeout(Duration::from_secs(20), reader.next()).await;
                step.expect("an answer").expect_err("an error")
            }
        };
        let error = failed("slow", &["id", "s"]).await;
        assert_eq!(error.kind, Kind::Unanswered, "{error}");
        assert!(error.hint.unwrap_or_default().contains("statement_timeout"));
        let error = failed("cast_", &["id"]).await;
        assert!(
            !format!("{error:?}").contains(PASSWORD),
            "a value that does not parse is not repeated: {error:?}"
        );
        assert_eq!(error.kind, Kind::Definition);
    })
    .await;
}
