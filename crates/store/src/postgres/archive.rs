//! The whole store of a tenant as parts, and back.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio_postgres::{Row, types::ToSql};

use super::{PostgresStore, connection::Work, fault::Fault};
use crate::{
    Error,
    backup::{ALWAYS_THERE, Archive, Cell, PAGE, Part, TABLES},
};

#[async_trait::async_trait]
impl Archive for PostgresStore {
    async fn read_all(&self, parts: mpsc::Sender<Part>) -> Result<(), Error> {
        let outcome = async {
            let mut session = self.connections.session().await?;
            let work = session.read().await?;
            send_all(&work, &parts).await
        };
        self.connections.told(outcome.await)
    }

    async fn write_all(&self, parts: mpsc::Receiver<Part>, replace: bool) -> Result<(), Error> {
        let outcome = async {
            let mut session = self.connections.session().await?;
            let work = session.write().await?;
            receive_all(&work, parts, replace).await?;
            work.commit((|| Ok(()), || Ok(()))).await
        };
        self.connections.told(outcome.await)
    }
}

/// A column, as the database knows it.
struct Column {
    name: String,
    kind: String,
}

impl Column {
    /// The expression that reads it in the form of a [`Cell`].
    fn read(&self) -> Result<String, Fault> {
        let name = format!("\"{}\"", self.name);
        Ok(match self.kind.as_str() {
            "integer" | "bigint" | "smallint" => format!("{name}::bigint"),
            "boolean" => format!("{name}::int::bigint"),
            "timestamp with time zone" => {
                format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
            "text" | "json" | "jsonb" => format!("{name}::text"),
            "bytea" => name,
            other => return Err(Fault::Broken(format!("a column of type {other} cannot be copied"))),
        })
    }

    /// The expression that makes its value of the text `given`.
    fn write(&self, given: &str) -> String {
        match self.kind.as_str() {
            "bytea" => format!("decode({given}, 'hex')"),
            kind => format!("{given}::{kind}"),
        }
    }
}

/// The columns of a table but the tenant, by name.
async fn columns(work: &Work<'_>, table: &str) -> Result<Vec<Column>, Fault> {
    let rows = work
        .rows(
            "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attname <> 'tenant'
             ORDER BY attname COLLATE \"C\"",
            &[&table],
        )
        .await?;
    rows.iter().map(|row| Ok(Column { name: row.try_get(0)?, kind: row.try_get(1)? })).collect()
}

/// Tables with numbers from a sequence, and the sequence.
async fn sequences(work: &Work<'_>) -> Result<BTreeMap<String, (String, String)>, Fault> {
    let tables: Vec<&str> = TABLES.to_vec();
    let rows = work
        .rows(
            "SELECT relname::text, attname::text, pg_get_serial_sequence(quote_ident(relname), attname)
             FROM unnest($1::text[]) AS given (name)
             JOIN pg_class ON pg_class.oid = to_regclass(given.name)
             JOIN pg_attribute ON attrelid = pg_class.oid AND attidentity <> ''",
            &[&tables],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)))).collect()
}

async fn send_all(work: &Work<'_>, parts: &mpsc::Sender<Part>) -> Result<(), Fault> {
    work.execute("SELECT set_config('statement_timeout', '0', true)", &[]).await?;
    for table in TABLES {
        let columns = columns(work, table).await?;
        let names = columns.iter().map(|column| column.name.clone()).collect();
        send(parts, Part::Table { name: table.to_owned(), columns: names }).await?;
        let reads = columns.iter().map(Column::read).collect::<Result<Vec<_>, _>>()?.join(", ");
        let sql = format!("SELECT {reads} FROM {table} WHERE tenant = $1");
        let mut portal = work.portal(&sql, &[&work.tenant]).await?;
        loop {
            let rows = portal.next(PAGE).await?;
            if rows.is_empty() {
                break;
            }
            let page = rows.iter().map(|row| cells(row, &columns)).collect::<Result<Vec<_>, _>>()?;
            send(parts, Part::Rows(page)).await?;
        }
    }
    for (table, (_, sequence)) in sequences(work).await? {
        // Of all tenants; higher than ours, perhaps, which does no harm.
        let row =
            work.one("SELECT coalesce(pg_sequence_last_value($1::text::regclass), 0)", &[&sequence]).await?;
        send(parts, Part::Sequence { table, value: row.try_get(0)? }).await?;
    }
    send(parts, Part::End).await
}

async fn send(parts: &mpsc::Sender<Part>, part: Part) -> Result<(), Fault> {
    parts.send(part).await.map_err(|_| Fault::Broken("the copy was given up".to_owned()))
}

fn cells(row: &Row, columns: &[Column]) -> Result<Vec<Cell>, Fault> {
    let cell = |(at, column): (usize, &Column)| {
        Ok(match column.kind.as_str() {
            "bytea" => row.try_get::<_, Option<Vec<u8>>>(at)?.map_or(Cell::Null, Cell::Bytes),
            "integer" | "bigint" | "smallint" | "boolean" => {
                row.try_get::<_, Option<i64>>(at)?.map_or(Cell::Null, Cell::Int)
            }
            _ => row.try_get::<_, Option<String>>(at)?.map_or(Cell::Null, Cell::Text),
        })
    };
    columns.iter().enumerate().map(cell).collect()
}

async fn receive_all(work: &Work<'_>, mut parts: mpsc::Receiver<Part>, replace: bool) -> Result<(), Fault> {
    let before = empty(work, replace).await?;
    let (mut insert, mut last): (Option<String>, BTreeMap<String, i64>) = Default::default();
    loop {
        match parts.recv().await {
            Some(Part::Table { name, columns: given }) => {
                let known =
                    if TABLES.contains(&name.as_str()) { columns(work, &name).await? } else { Vec::new() };
                insert = Some(insert_into(&name, &known, &given)?);
            }
            Some(Part::Rows(rows)) => {
                let sql = insert.as_ref().ok_or_else(|| Fault::Broken("rows without a table".to_owned()))?;
                write_rows(work, sql, rows).await?;
            }
            Some(Part::Sequence { table, value }) => {
                last.insert(table, value);
            }
            Some(Part::End) => break,
            None => return Err(Fault::Broken("the backup could not be read to its end".to_owned())),
        }
    }
    // Numbers go on after those that were given out here, there, and to what is here now.
    for (table, (column, sequence)) in sequences(work).await? {
        let value = last.get(&table).copied().unwrap_or(1);
        work.execute(
            &format!(
                "SELECT setval($2::text::regclass, greatest($3, pg_sequence_last_value($2::text::regclass),
                   (SELECT max(\"{column}\") FROM {table} WHERE tenant = $1), 1))"
            ),
            &[&work.tenant, &sequence, &value],
        )
        .await?;
    }
    // Whoever still has a lease of what was here before writes nothing into what is here now.
    let (names, epochs): (Vec<String>, Vec<i64>) = before.into_iter().unzip();
    work.execute(
        "UPDATE sync SET epoch = greatest(sync.epoch, given.epoch) + 1
         FROM unnest($2::text[], $3::bigint[]) AS given (name, epoch)
         WHERE sync.tenant = $1 AND sync.name = given.name",
        &[&work.tenant, &names, &epochs],
    )
    .await?;
    Ok(())
}

/// Sees that the store is empty, or makes it; returns the epochs of the syncs that were there. Their rows are locked, so that
/// nobody claims one in between.
async fn empty(work: &Work<'_>, replace: bool) -> Result<Vec<(String, i64)>, Fault> {
    let syncs = work
        .rows("SELECT name, epoch FROM sync WHERE tenant = $1 ORDER BY number FOR UPDATE", &[&work.tenant])
        .await?;
    let held = work
        .row(
            "SELECT sync.name, lease.holder FROM lease JOIN sync ON sync.tenant = $1 AND sync.number = lease.sync
             WHERE lease.tenant = $1 AND lease.until > clock_timestamp() LIMIT 1",
            &[&work.tenant],
        )
        .await?;
    if let Some(row) = held {
        return Err(Fault::Busy { sync: row.try_get(0)?, holder: row.try_get(1)? });
    }
    for table in TABLES.iter().rev() {
        let deleted =
            work.execute(&format!("DELETE FROM {table} WHERE tenant = $1"), &[&work.tenant]).await?;
        if deleted > 0 && !replace && *table != ALWAYS_THERE {
            return Err(Fault::NotEmpty);
        }
    }
    syncs.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The statement that writes rows with the given columns; one array for each.
fn insert_into(table: &str, known: &[Column], given: &[String]) -> Result<String, Fault> {
    let unknown = || Fault::Broken("the backup has a table or column that this store has not".to_owned());
    let mut values = Vec::new();
    for (at, name) in given.iter().enumerate() {
        let column = known.iter().find(|column| column.name == *name).ok_or_else(unknown)?;
        values.push(column.write(&format!("given.c{at}")));
    }
    let names = given.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let arrays = (0..given.len()).map(|at| format!("${}::text[]", at + 2)).collect::<Vec<_>>().join(", ");
    let aliases = (0..given.len()).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", ");
    Ok(format!(
        "INSERT INTO {table} (tenant, {names}) SELECT $1, {} FROM unnest({arrays}) AS given ({aliases})",
        values.join(", ")
    ))
}

async fn write_rows(work: &Work<'_>, sql: &str, rows: Vec<Vec<Cell>>) -> Result<(), Fault> {
    let width = rows.first().map_or(0, Vec::len);
    let mut arrays: Vec<Vec<Option<String>>> = vec![Vec::with_capacity(rows.len()); width];
    for row in rows {
        for (array, cell) in arrays.iter_mut().zip(row) {
            array.push(match cell {
                Cell::Null => None,
                Cell::Int(number) => Some(number.to_string()),
                Cell::Text(text) => Some(text),
                Cell::Bytes(bytes) => Some(syncline_core::value::hex(&bytes)),
            });
        }
    }
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&work.tenant];
    params.extend(arrays.iter().map(|array| array as &(dyn ToSql + Sync)));
    work.execute(sql, &params).await?;
    Ok(())
}
