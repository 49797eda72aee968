//! Single statements on a real server.

use std::sync::Arc;

use async_trait::async_trait;
use syncline_connect::{
    Statements,
    conformance::statements::{self, Kit},
    postgres::Connector,
    registry::Connector as _,
};
use syncline_core::value::Value;

use super::kit::{Database, connection};

/// Sessions at work but for the one that asks.
const AT_WORK: &str = "SELECT count(*)::text FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";

impl Database {
    /// Asks until `at_work` sessions are at work; each question is a round trip.
    async fn until(&self, at_work: &str) {
        let session = self.session().await;
        for _ in 0..200_000 {
            if session.text(AT_WORK).await == at_work {
                return;
            }
        }
        panic!("never {at_work} sessions at work");
    }
}

#[async_trait]
impl Kit for Database {
    async fn statements(&self) -> Arc<dyn Statements> {
        let (connection, context) = connection(serde_json::json!({ "url": self.url }));
        Connector.statements(&connection, &context).await.unwrap_or_else(|e| panic!("{e}"))
    }

    async fn run(&self, sql: &str) {
        self.session().await.run(sql).await;
    }

    async fn settled(&self) {
        self.until("0").await;
    }

    async fn busy(&self) {
        self.until("1").await;
    }

    fn endless(&self) -> &'static str {
        "SELECT pg_sleep(60)::text"
    }

    fn samples(&self) -> Vec<(&'static str, Value<'static>)> {
        vec![
            ("NULL", Value::Null),
            ("true", Value::Boolean(true)),
            ("-7::smallint", Value::Int64(-7)),
            ("9223372036854775807", Value::Int64(i64::MAX)),
            ("0.1::float8", Value::Float64(0.1)),
            ("450000.00", Value::Decimal("450000.00".into())),
            ("'NaN'::numeric", Value::Decimal("NaN".into())),
            ("12.5::money", Value::Decimal("12.50".into())),
            ("'Zoë'", Value::Text("Zoë".into())),
            ("'x'::char(3)", Value::Text("x  ".into())),
            ("interval '90 minutes'", Value::Text("01:30:00".into())),
            ("'10.0.0.1'::inet", Value::Text("10.0.0.1/32".into())),
            ("'\\x00ff'::bytea", Value::Binary(vec![0, 255].into())),
            ("date '1970-01-02'", Value::Date(1)),
            ("time '00:00:01'", Value::Time(1_000_000)),
            ("timestamp '1970-01-01 00:00:00.5'", Value::Timestamp { micros: 500_000, zoned: false }),
            ("timestamptz '1970-01-01 01:00:01+01'", Value::Timestamp { micros: 1_000_000, zoned: true }),
            ("'00000000-0000-0000-0000-000000000007'::uuid", {
                Value::Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7])
            }),
            ("'{\"a\": 1}'::jsonb", Value::Json("{\"a\": 1}".into())),
            ("ARRAY[1, NULL]", Value::List(vec![Value::Int64(1), Value::Null])),
            ("ARRAY[interval '1 day']", Value::List(vec![Value::Text("1 day".into())])),
        ]
    }
}

#[tokio::test]
async fn statements_conform() {
    Database::with(|db| async move { statements::all(&db).await }).await;
}
