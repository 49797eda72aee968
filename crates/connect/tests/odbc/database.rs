//! The `odbc` connector as a destination of loads.

use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use syncline_connect::{
    Database as Destination, Source,
    conformance::{
        database::{self as suite, Kit},
        source::Kit as _,
    },
    database::dialect::{Dialect, mysql::MYSQL, postgres::POSTGRES},
    error::Kind,
    odbc::Connector,
    registry::Connector as _,
};
use syncline_core::{schema::FieldType, value::Value};

use super::kit::{Through, mariadb, opening, postgres, sqlite};
use crate::{mysql, postgres::kit::Database};

async fn destination(connection_string: &str) -> Result<Arc<dyn Destination>, syncline_connect::Error> {
    let (connection, context) = opening(serde_json::json!({ "connection_string": connection_string }));
    Connector.database(&connection, &context).await
}

async fn opened(connection_string: &str) -> Arc<dyn Destination> {
    destination(connection_string).await.unwrap_or_else(|e| panic!("{e} ({:?})", e.hint))
}

struct Postgres(Through<Database>);

#[async_trait]
impl Kit for Postgres {
    async fn database(&self) -> Arc<dyn Destination> {
        opened(&self.0.connection_string).await
    }

    async fn source(&self) -> Arc<dyn Source> {
        self.0.source().await
    }

    async fn run(&self, sql: &str) {
        self.0.kit.session().await.run(sql).await;
    }

    async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let session = self.0.kit.session().await;
        let rows = session.client.query(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        rows.iter().map(|row| (0..row.len()).map(|at| row.get(at)).collect()).collect()
    }

    async fn tables(&self) -> Vec<String> {
        let sql = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
        self.rows(sql).await.into_iter().flatten().flatten().collect()
    }

    fn dialect(&self) -> &'static Dialect {
        &POSTGRES
    }

    fn count_updates(&self, table: &str) -> Vec<String> {
        let body = "BEGIN INSERT INTO touched VALUES (1); RETURN NEW; END";
        vec![
            format!("CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS '{body}'"),
            format!(
                "CREATE TRIGGER touched AFTER UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION touch()",
                POSTGRES.quote(table)
            ),
        ]
    }

    fn loads_parts_at_once(&self) -> bool {
        false
    }

    fn wider(&self) -> Option<(&'static str, &'static str)> {
        Some(("integer", "bigint"))
    }

    fn values(&self, kind: &FieldType) -> Vec<Value<'static>> {
        match kind {
            FieldType::Decimal { precision: Some(_), .. } => [
                "-9999999999999999999999999999.9999999999",
                "9999999999999999999999999999.9999999999",
                "0.0000000001",
                "450000.0000000000",
                "0.0000000000",
            ]
            .map(|v| Value::Decimal(v.into()))
            .into(),
            FieldType::Text => {
                let long = "ä🙂".repeat(3000);
                let texts = ["", " ", "a ", "'quoted\\'", "tab\tline\r\n", "ä", "🙂", "NULL", &long];
                texts.map(|t| Value::Text(t.to_owned().into())).into()
            }
            _ => self.0.values(kind),
        }
    }

    fn refused(&self, kind: &FieldType) -> Vec<Value<'static>> {
        match kind {
            FieldType::Text => vec![Value::Text("a\0b".into())],
            _ => Vec::new(),
        }
    }
}

struct MariaDb(Through<mysql::kit::Database>);

#[async_trait]
impl Kit for MariaDb {
    async fn database(&self) -> Arc<dyn Destination> {
        opened(&self.0.connection_string).await
    }

    async fn source(&self) -> Arc<dyn Source> {
        self.0.source().await
    }

    async fn run(&self, sql: &str) {
        self.0.kit.run(sql).await;
    }

    async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut session = self.0.kit.session().await;
        let rows: Vec<mysql_async::Row> =
            session.conn.query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let cells = |row: mysql_async::Row| (0..row.len()).map(|i| row.get(i).expect("a cell")).collect();
        rows.into_iter().map(cells).collect()
    }

    async fn tables(&self) -> Vec<String> {
        let sql = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()";
        self.rows(sql).await.into_iter().flatten().flatten().collect()
    }

    fn dialect(&self) -> &'static Dialect {
        &MYSQL
    }

    fn count_updates(&self, table: &str) -> Vec<String> {
        vec![format!(
            "CREATE TRIGGER touching AFTER UPDATE ON {} FOR EACH ROW INSERT INTO touched VALUES (1)",
            MYSQL.quote(table)
        )]
    }

    fn loads_parts_at_once(&self) -> bool {
        false
    }

    fn wider(&self) -> Option<(&'static str, &'static str)> {
        Some(("int", "bigint"))
    }

    fn values(&self, kind: &FieldType) -> Vec<Value<'static>> {
        match kind {
            FieldType::Decimal { precision: Some(_), .. } => [
                "-9999999999999999999999999999.9999999999",
                "9999999999999999999999999999.9999999999",
                "0.0000000001",
                "0.0000000000",
            ]
            .map(|v| Value::Decimal(v.into()))
            .into(),
            FieldType::Date => [-719_162, -1, 0, 20_000, 2_932_896].map(Value::Date).into(),
            FieldType::Timestamp { zoned: false } => {
                [-62_135_596_800_000_000, -1, 0, 1_769_853_600_000_001, 253_402_300_799_999_999]
                    .map(|micros| Value::Timestamp { micros, zoned: false })
                    .into()
            }
            // kept as types that come back as others
            FieldType::Decimal { .. }
            | FieldType::Uuid
            | FieldType::Json
            | FieldType::List(_)
            | FieldType::Timestamp { zoned: true } => Vec::new(),
            _ => self.0.values(kind),
        }
    }

    fn refused(&self, _: &FieldType) -> Vec<Value<'static>> {
        Vec::new()
    }
}

#[tokio::test]
async fn loads_conform_through_postgresql() {
    Database::with(|db| async move { suite::run(&Postgres(postgres(db))).await }).await;
}

#[tokio::test]
async fn loads_conform_through_mariadb() {
    mysql::kit::Database::with(|db| async move { suite::run(&MariaDb(mariadb(db))).await }).await;
}

#[tokio::test]
async fn a_server_that_cannot_be_loaded_says_so() {
    let Err(error) = destination(&sqlite().connection_string).await else { panic!("it was opened") };
    assert_eq!(error.kind, Kind::Definition, "{error}");
    assert_eq!(error.hint.as_deref(), Some("use a connection of type sqlite"));
}
