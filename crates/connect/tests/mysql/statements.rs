//! Single statements on a real MariaDB.

use std::sync::Arc;

use async_trait::async_trait;
use syncline_connect::{
    Statements,
    conformance::statements::{self, Kit},
    mysql::Connector,
    registry::Connector as _,
};
use syncline_core::value::Value;

use super::kit::{Database, connection};

/// Statements under way in this database, but for the one that asks, and transactions that are open in it.
const AT_WORK: &str = "SELECT CAST(count(*) AS CHAR) FROM information_schema.processlist p \
    LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id \
    WHERE p.db = DATABASE() AND p.id <> CONNECTION_ID() AND (p.command <> 'Sleep' OR t.trx_id IS NOT NULL)";

impl Database {
    /// Asks until `at_work` sessions are at work; each question is a round trip.
    async fn until(&self, at_work: &str) {
        let mut session = self.session().await;
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
        Self::run(self, sql).await;
    }

    async fn settled(&self) {
        self.until("0").await;
    }

    async fn busy(&self) {
        self.until("1").await;
    }

    fn endless(&self) -> &'static str {
        "SELECT SLEEP(60)"
    }

    fn samples(&self) -> Vec<(&'static str, Value<'static>)> {
        vec![
            ("NULL", Value::Null),
            ("-7", Value::Int64(-7)),
            ("9223372036854775807", Value::Int64(i64::MAX)),
            ("18446744073709551615", Value::Decimal("18446744073709551615".into())),
            ("CAST(0.1 AS double)", Value::Float64(0.1)),
            ("450000.00", Value::Decimal("450000.00".into())),
            ("'Zoë'", Value::Text("Zoë".into())),
            ("x'00ff'", Value::Binary(vec![0, 255].into())),
            ("DATE '1970-01-02'", Value::Date(1)),
            ("TIME '00:00:01'", Value::Time(1_000_000)),
            ("TIMESTAMP '1970-01-01 00:00:00.5'", Value::Timestamp { micros: 500_000, zoned: false }),
        ]
    }
}

#[tokio::test]
async fn statements_conform() {
    Database::with(|db| async move { statements::all(&db).await }).await;
}
