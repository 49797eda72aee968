//! Single statements on a real file.

use std::sync::Arc;

use async_trait::async_trait;
use syncline_connect::{
    Statements,
    conformance::statements::{self, Kit},
    registry::Connector as _,
    sqlite::Connector,
};
use syncline_core::value::Value;

use super::kit::{File, Times, connection, context};

/// Whether somebody holds the lock of writers.
fn is_locked(file: &File) -> bool {
    let connection = file.connection();
    connection.busy_timeout(std::time::Duration::ZERO).expect("a time-out");
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
}

async fn until(file: &File, locked: bool) {
    for _ in 0..2_000_000 {
        if is_locked(file) == locked {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the lock of writers was never {locked}");
}

#[async_trait]
impl Kit for File {
    async fn statements(&self) -> Arc<dyn Statements> {
        let directory = self.path().parent().expect("a folder").to_owned();
        Connector
            .statements(&connection("test.db"), &context(&directory))
            .await
            .unwrap_or_else(|e| panic!("{e}"))
    }

    async fn run(&self, sql: &str) {
        Self::run(self, sql);
    }

    async fn settled(&self) {
        until(self, false).await;
    }

    async fn busy(&self) {
        until(self, true).await;
    }

    fn endless(&self) -> &'static str {
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    }

    fn samples(&self) -> Vec<(&'static str, Value<'static>)> {
        vec![
            ("NULL", Value::Null),
            ("-7", Value::Int64(-7)),
            ("9223372036854775807", Value::Int64(i64::MAX)),
            ("0.1", Value::Float64(0.1)),
            ("'Zoë'", Value::Text("Zoë".into())),
            ("x'00ff'", Value::Binary(vec![0, 255].into())),
        ]
    }
}

#[tokio::test]
async fn statements_conform() {
    statements::all(&File::new(Times::Iso)).await;
}

#[tokio::test]
async fn columns_that_are_declared_have_their_type() {
    let file = File::new(Times::Iso);
    file.run(
        "CREATE TABLE t (b BOOLEAN, d DATE, at DATETIME, n DECIMAL_TEXT(10, 2), u UUID, j JSON, wrong DATE); \
         INSERT INTO t VALUES (1, '1970-01-02', '1970-01-01 00:00:01', '450000.00', \
         '00000000-0000-0000-0000-000000000007', '{}', 'soon')",
    );
    let on = Kit::statements(&file).await;
    let rows = on.query("SELECT * FROM t", 1, std::time::Duration::from_secs(60)).await.expect("a row");
    assert_eq!(
        rows.rows,
        [[
            Value::Boolean(true),
            Value::Date(1),
            Value::Timestamp { micros: 1_000_000, zoned: true },
            Value::Decimal("450000.00".into()),
            Value::Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
            Value::Json("{}".into()),
            Value::Text("soon".into()),
        ]]
    );
}
