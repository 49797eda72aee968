//! The whole store as parts, and back.

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, types::ValueRef};
use tokio::sync::mpsc;

use super::{SqliteStore, connection::blocking, fault::Fault, lease};
use crate::{
    Error,
    backup::{ALWAYS_THERE, Archive, Cell, PAGE, Part, TABLES},
};

#[async_trait::async_trait]
impl Archive for SqliteStore {
    async fn read_all(&self, parts: mpsc::Sender<Part>) -> Result<(), Error> {
        let (place, path) =
            (self.connections.path().display().to_string(), self.connections.path().to_owned());
        // A connection of its own: a copy may take long, and nobody is to wait for it.
        blocking(place, move || {
            let mut connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
            send_all(&transaction, &parts)
        })
        .await
    }

    async fn write_all(&self, parts: mpsc::Receiver<Part>, replace: bool) -> Result<(), Error> {
        let path = self.connections.path().to_owned();
        let none = (|| Ok(()), || Ok(()));
        let written = self.connections.write(none, move |transaction| {
            let syncs = syncs(transaction)?;
            // Held until everything is written: nobody begins a run in between.
            let locks =
                syncs.iter().map(|(sync, _)| lease::lock(&path, sync)).collect::<Result<Vec<_>, _>>()?;
            receive_all(transaction, parts, replace, &syncs)?;
            Ok(locks)
        });
        written.await.map(drop)
    }
}

fn send_all(transaction: &Transaction<'_>, parts: &mpsc::Sender<Part>) -> Result<(), Fault> {
    for table in TABLES {
        let columns = columns(transaction, table)?;
        send(parts, Part::Table { name: table.to_owned(), columns: columns.clone() })?;
        let mut statement = transaction.prepare(&format!("SELECT {} FROM {table}", list(&columns)))?;
        let mut rows = statement.query([])?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            let cells =
                (0..columns.len()).map(|at| cell(row.get_ref(at)?)).collect::<Result<Vec<_>, Fault>>()?;
            page.push(cells);
            if page.len() == PAGE {
                send(parts, Part::Rows(std::mem::take(&mut page)))?;
            }
        }
        if !page.is_empty() {
            send(parts, Part::Rows(page))?;
        }
    }
    let mut sequences = transaction.prepare("SELECT name, seq FROM sqlite_sequence ORDER BY name")?;
    let mut rows = sequences.query([])?;
    while let Some(row) = rows.next()? {
        send(parts, Part::Sequence { table: row.get(0)?, value: row.get(1)? })?;
    }
    send(parts, Part::End)
}

fn send(parts: &mpsc::Sender<Part>, part: Part) -> Result<(), Fault> {
    parts.blocking_send(part).map_err(|_| Fault::Broken("the copy was given up".to_owned()))
}

fn cell(value: ValueRef<'_>) -> Result<Cell, Fault> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Text(_) => Cell::Text(value.as_str().map_err(rusqlite::Error::from)?.to_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_owned()),
        ValueRef::Real(_) => return Err(Fault::Broken("a stored number is not whole".to_owned())),
    })
}

/// The columns of a table, by name.
fn columns(connection: &Connection, table: &str) -> Result<Vec<String>, Fault> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY name")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Names of columns, which come from the schema, for a statement.
fn list(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

/// Syncs and their epochs.
fn syncs(connection: &Connection) -> Result<Vec<(String, i64)>, Fault> {
    let mut statement = connection.prepare("SELECT name, epoch FROM sync")?;
    let syncs = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(syncs.collect::<Result<_, _>>()?)
}

fn receive_all(
    transaction: &Transaction<'_>,
    mut parts: mpsc::Receiver<Part>,
    replace: bool,
    before: &[(String, i64)],
) -> Result<(), Fault> {
    for table in TABLES.iter().rev() {
        let full: bool =
            transaction.query_row(&format!("SELECT EXISTS (SELECT 1 FROM {table})"), [], |row| row.get(0))?;
        if full && !replace && *table != ALWAYS_THERE {
            return Err(Fault::NotEmpty);
        }
        transaction.execute(&format!("DELETE FROM {table}"), [])?;
    }
    let mut insert = None;
    loop {
        match parts.blocking_recv() {
            Some(Part::Table { name, columns: given }) => {
                let known = columns(transaction, &name)?;
                if !TABLES.contains(&name.as_str()) || given.iter().any(|column| !known.contains(column)) {
                    return Err(Fault::Broken(
                        "the backup has a table or column that this store has not".to_owned(),
                    ));
                }
                let marks = vec!["?"; given.len()].join(", ");
                insert = Some(format!("INSERT INTO {name} ({}) VALUES ({marks})", list(&given)));
            }
            Some(Part::Rows(rows)) => {
                let sql = insert.as_ref().ok_or_else(|| Fault::Broken("rows without a table".to_owned()))?;
                let mut statement = transaction.prepare_cached(sql)?;
                for row in rows {
                    statement.execute(rusqlite::params_from_iter(row.iter().map(bound)))?;
                }
            }
            Some(Part::Sequence { table, value }) => {
                transaction.execute(
                    "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
                    (&table, value),
                )?;
                transaction.execute(
                    "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, ?2
                     WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)
                       AND EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1 AND sql LIKE '%AUTOINCREMENT%')",
                    (&table, value),
                )?;
            }
            Some(Part::End) => break,
            None => return Err(Fault::Broken("the backup could not be read to its end".to_owned())),
        }
    }
    // Whoever still has a lease of what was here before writes nothing into what is here now.
    let mut raise = transaction.prepare("UPDATE sync SET epoch = max(epoch, ?2) + 1 WHERE name = ?1")?;
    for (sync, epoch) in before {
        raise.execute((sync, epoch))?;
    }
    Ok(())
}

fn bound(cell: &Cell) -> rusqlite::types::Value {
    match cell {
        Cell::Null => rusqlite::types::Value::Null,
        Cell::Int(number) => (*number).into(),
        Cell::Text(text) => text.clone().into(),
        Cell::Bytes(bytes) => bytes.clone().into(),
    }
}
