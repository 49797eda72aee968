//! Staging tables, and `replace` by rename: a copy of the table is filled while everybody goes on reading the old one; then one
//! `RENAME TABLE` gives each the other's name, for everybody at once.
//!
//! Only for tables on which nothing else hangs (`Table::dependents`); others are merged.

use std::collections::BTreeMap;

use super::database::Connected;
use crate::{
    Error,
    database::{
        Change, Column,
        dialect::{Dialect, Layout, Named, TOMBSTONE, mysql::Declared},
        sql::{Link as _, Stage},
    },
    error::Kind,
};

/// Most bytes of a key.
const KEY_BYTES_MAX: u32 = 3_072;

/// What a staging table is filled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A merge.
    Merge,
    /// To take the table's place as it is filled.
    Place,
    /// To be copied, in the order of the key, into what takes the table's place: keys that come twice are found out before.
    Copy,
}

impl Purpose {
    fn of(stage: &Stage<'_>) -> Self {
        match stage.shape.takes_place {
            _ if stage.in_session => Self::Merge,
            false => Self::Merge,
            true if stage.shape.key_is_total || stage.shape.key.is_empty() => Self::Place,
            true => Self::Copy,
        }
    }
}

/// The encoding and collation of the texts of a table, by column. Parameters: database, table.
const COLLATIONS: &str = "SELECT column_name, character_set_name, collation_name FROM information_schema.columns \
    WHERE table_schema = ? AND table_name = ? AND collation_name IS NOT NULL";

/// Makes the staging table.
pub(super) async fn make_staging(
    dialect: &'static Dialect,
    link: &mut Connected,
    stage: &Stage<'_>,
) -> Result<(), Error> {
    let purpose = Purpose::of(stage);
    if stage.in_session {
        // a temporary table is of the database that is in use, too
        if let Some(schema) = &stage.table.schema {
            link.run(&format!("USE {}", dialect.quote(schema))).await?;
        }
    }
    if purpose == Purpose::Place {
        return make_copy(dialect, link, stage, stage.staging).await;
    }
    let collations = if stage.exists { collations(link, stage.table).await? } else { BTreeMap::new() };
    let columns = columns(stage, purpose, &collations);
    link.run(&create(dialect, stage, purpose, &columns)).await.map(drop)
}

async fn collations(link: &mut Connected, table: &Named) -> Result<BTreeMap<String, String>, Error> {
    let place = [table.schema.as_deref().unwrap_or_default(), &table.name];
    let mut collations = BTreeMap::new();
    for row in link.query(COLLATIONS, &place).await? {
        if let [Some(column), Some(charset), Some(collation)] = row.as_slice() {
            collations.insert(column.clone(), format!(" CHARACTER SET {charset} COLLATE {collation}"));
        }
    }
    Ok(collations)
}

/// The columns of a staging table for a merge or a copy. Texts have the encoding and the collation of the table's: they are
/// compared as the table compares them, by its indexes.
fn columns(stage: &Stage<'_>, purpose: Purpose, collations: &BTreeMap<String, String>) -> Vec<Column> {
    let shape = stage.shape;
    // the load itself adds to a staging table that takes a table's place what the table lacks
    let comes_later = |column: &Column| {
        purpose == Purpose::Copy
            && shape.changes.iter().any(|c| matches!(c, Change::Add(added) if added.name == column.name))
    };
    let with_collation = |column: &Column| {
        let is_text = ["char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"]
            .contains(&Declared::of(&column.declared).name.as_str());
        let collation = collations.get(&column.name).filter(|_| is_text);
        let declared = format!("{}{}", column.declared, collation.map_or("", String::as_str));
        Column { declared, nullable: true, ..column.clone() }
    };
    shape.columns.iter().filter(|c| !comes_later(c)).map(with_collation).collect()
}

fn create(dialect: &Dialect, stage: &Stage<'_>, purpose: Purpose, columns: &[Column]) -> String {
    let shape = stage.shape;
    if !is_keyed(stage, purpose, columns) {
        return dialect.create_staging(stage.staging, columns, shape.tombstones, stage.in_session);
    }
    // rows that come in the order of the key cost nothing more, and absent ones are found by it
    let flag = Column {
        name: TOMBSTONE.into(),
        kind: syncline_core::schema::FieldType::Boolean,
        declared: dialect.boolean.into(),
        nullable: true,
    };
    let columns: Vec<_> = columns.iter().cloned().chain(shape.tombstones.then_some(flag)).collect();
    dialect.create_table(stage.staging, Layout { columns: &columns, key: &shape.key })
}

/// Whether the staging table has the key as its own.
fn is_keyed(stage: &Stage<'_>, purpose: Purpose, columns: &[Column]) -> bool {
    let shape = stage.shape;
    purpose == Purpose::Merge
        && shape.key_is_total
        && !stage.in_session
        && !shape.key.is_empty()
        && can_be_indexed(columns, &shape.key)
}

/// Before a merge: statistics, without which the server takes any staging table for an empty one, and an index where neither
/// table has one on the key.
pub(super) async fn finish_staging(
    dialect: &'static Dialect,
    link: &mut Connected,
    stage: &Stage<'_>,
) -> Result<(), Error> {
    let (staging, shape) = (dialect.table(stage.staging), stage.shape);
    let lacks = stage.exists && !stage.indexed && !is_keyed(stage, Purpose::of(stage), &shape.columns);
    if lacks && !shape.key.is_empty() && can_be_indexed(&shape.columns, &shape.key) {
        let key: Vec<_> = shape.key.iter().map(|k| dialect.quote(k)).collect();
        link.run(&format!("ALTER TABLE {staging} ADD INDEX ({})", key.join(", "))).await?;
    }
    link.run(&format!("ANALYZE LOCAL TABLE {staging}")).await.map(drop)
}

/// Whether an index can hold these columns whole.
fn can_be_indexed(columns: &[Column], key: &[String]) -> bool {
    let bytes = |name: &String| {
        let column = columns.iter().find(|c| c.name == *name)?;
        let declared = Declared::of(&column.declared);
        let length = declared.numbers.first().copied().unwrap_or(1);
        match declared.name.as_str() {
            "char" | "varchar" => Some(length.saturating_mul(4)),
            "binary" | "varbinary" => Some(length),
            "json" | "geometry" => None,
            name if name.ends_with("text") || name.ends_with("blob") => None,
            _ => Some(64),
        }
    };
    let all: Option<Vec<u32>> = key.iter().map(bytes).collect();
    all.is_some_and(|all| all.iter().fold(0_u32, |sum, n| sum.saturating_add(*n)) <= KEY_BYTES_MAX)
}

/// Makes `copy`, an empty table like the one it will replace, or a new one. Columns that the table lacks come later.
async fn make_copy(
    dialect: &'static Dialect,
    link: &mut Connected,
    stage: &Stage<'_>,
    copy: &Named,
) -> Result<(), Error> {
    let sql = if stage.exists {
        format!("CREATE TABLE {} LIKE {}", dialect.table(copy), dialect.table(stage.table))
    } else {
        dialect.create_table(copy, Layout { columns: &stage.shape.columns, key: &stage.shape.key })
    };
    link.run(&sql).await.map(drop)
}

/// Before the swap: what was staged becomes a full copy of the table, with the number that the next record will get.
pub(super) async fn finish_copy(
    dialect: &'static Dialect,
    link: &mut Connected,
    stage: &Stage<'_>,
) -> Result<(), Error> {
    if Purpose::of(stage) == Purpose::Copy {
        copy(dialect, link, stage).await?;
    }
    if !stage.exists {
        return Ok(());
    }
    let next = "SELECT CAST(auto_increment AS CHAR) FROM information_schema.tables \
                WHERE table_schema = ? AND table_name = ? AND auto_increment IS NOT NULL";
    let place = [stage.table.schema.as_deref().unwrap_or_default(), &stage.table.name];
    if let Some(next) = link.texts(next, &place).await?.pop().and_then(|n| n.parse::<u64>().ok()) {
        // a smaller one than the rows need is raised by the server
        let sql = format!("ALTER TABLE {} AUTO_INCREMENT = {next}", dialect.table(stage.staging));
        link.run(&sql).await?;
    }
    Ok(())
}

async fn copy(dialect: &'static Dialect, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
    let full = stage.table.beside(format!("{}_full", stage.staging.name));
    make_copy(dialect, link, stage, &full).await?;
    for change in stage.shape.changes.iter().filter(|_| stage.exists) {
        let sql = match change {
            Change::Add(column) => dialect.add_column(&full, column),
            Change::Widen(column) => dialect.widen_column(&full, column),
            Change::Create { .. } => continue,
        };
        link.run(&sql).await?;
    }
    let names = |names: &mut dyn Iterator<Item = &String>| {
        names.map(|name| dialect.quote(name)).collect::<Vec<_>>().join(", ")
    };
    let columns = names(&mut stage.shape.columns.iter().map(|c| &c.name));
    let living = match stage.shape.tombstones {
        true => format!(" WHERE {} <> 1", dialect.quote(TOMBSTONE)),
        false => String::new(),
    };
    let (from, into) = (dialect.table(stage.staging), dialect.table(&full));
    let order = names(&mut stage.shape.key.iter());
    let sql = format!("INSERT INTO {into} ({columns}) SELECT {columns} FROM {from}{living} ORDER BY {order}");
    link.run(&sql).await.map_err(|e| e.context("copying the staged rows"))?;
    link.run(&dialect.drop_table(stage.staging)).await?;
    link.run(&format!("RENAME TABLE {into} TO {from}")).await.map(drop)
}

/// The copy takes the table's place, and the old table the name of the staging table, under which it is dropped when the load
/// is closed, or by the next one.
///
/// `RENAME TABLE` is atomic, also across a crash, but it commits: the transaction that began before it (and has seen that the
/// epoch is still ours, which nobody can raise while our session holds the table's lock) ends here, and another one begins, for
/// the `after` statements and the state. When the process dies between the two, the new rows are there and the cursor is the
/// old one: the next load reads the same again and swaps again. For rows that are appended that would be twice, so the engine
/// never swaps those in.
pub(super) async fn swap(
    dialect: &'static Dialect,
    link: &mut Connected,
    stage: &Stage<'_>,
) -> Result<(), Error> {
    let (table, staging) = (dialect.table(stage.table), dialect.table(stage.staging));
    let sql = if stage.exists {
        let aside = dialect.table(&stage.table.beside(format!("{}_old", stage.staging.name)));
        format!("RENAME TABLE {table} TO {aside}, {staging} TO {table}, {aside} TO {staging}")
    } else {
        format!("RENAME TABLE {staging} TO {table}")
    };
    let waiting = || format!("waiting for readers of {} to end", stage.table);
    match link.run(&sql).await {
        Ok(_) => link.run(dialect.begin).await.map(drop),
        Err(error) if error.kind == Kind::Locked => Err(error.context(waiting())),
        Err(error) => Err(error.context(format_args!("swapping {}", stage.table))),
    }
}
