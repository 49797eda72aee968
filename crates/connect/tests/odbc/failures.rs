//! What goes wrong: logging in, a driver that is not there, a server that is not there.

use serde_json::json;
use syncline_connect::{Error, error::Kind};

use super::kit::{open, postgres_string, sqlite};
use crate::postgres::kit::{Session, server};

const PASSWORD: &str = "hunter2";

async fn refused(options: serde_json::Value) -> Error {
    let Err(error) = open(options).await else { panic!("the connection was opened") };
    let told = format!("{error} {:?} {error:?}", error.hint);
    assert!(!told.contains(PASSWORD), "no secret is told: {told}");
    assert!(told.contains("\"erp\""), "the connection is named: {told}");
    assert!(error.hint.is_some(), "what to do is told: {told}");
    error
}

#[tokio::test]
async fn a_wrong_password() {
    let admin = Session::open(&server()).await;
    let there = admin.text("SELECT count(*)::text FROM pg_roles WHERE rolname = 'syncline_pw'").await;
    assert_eq!(there, "1", "scripts/with-postgres makes the role syncline_pw");
    let string = postgres_string(&server(), &format!("syncline_pw:{PASSWORD}"));
    let error = refused(json!({ "connection_string": string })).await;
    assert_eq!(error.kind, Kind::Unauthenticated, "{error}");
    let string = postgres_string(&server(), "syncline_pw:syncline-test");
    assert!(open(json!({ "connection_string": string })).await.is_ok(), "the right one is accepted");
}

#[tokio::test]
async fn a_missing_driver_or_data_source() {
    let error =
        refused(json!({ "connection_string": format!("Driver=No Such Driver;PWD={PASSWORD}") })).await;
    assert_eq!(error.kind, Kind::Definition, "{error}");
    assert!(error.hint.as_deref().is_some_and(|h| h.contains("odbcinst -q -d")), "{:?}", error.hint);
    let error = refused(json!({ "dsn": "no_such_source", "user": "u", "password": PASSWORD })).await;
    assert_eq!(error.kind, Kind::Definition, "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let string = postgres_string("postgres://u@127.0.0.1:1/d", &format!("u:{PASSWORD}"));
    let error = refused(json!({ "connection_string": string })).await;
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
}

#[tokio::test]
async fn a_missing_table() {
    let kit = sqlite();
    kit.kit.run("CREATE TABLE there (id INTEGER PRIMARY KEY)");
    let source =
        open(json!({ "connection_string": kit.connection_string })).await.unwrap_or_else(|e| panic!("{e}"));
    let Err(error) = source.describe("not_there").await else { panic!("it was found") };
    assert_eq!(error.kind, Kind::StreamMissing);
    assert!(error.message.contains("not_there"), "{error}");
    let Err(error) = source.describe("(select * from not_there)").await else { panic!("it was found") };
    assert_eq!(error.kind, Kind::StreamMissing, "{error}");
    assert_eq!(source.streams().await.unwrap_or_else(|e| panic!("{e}")), ["there"]);
}
