//! `replace` by rename: a copy of the table is filled and indexed while everybody goes on reading the old one; then, in one
//! transaction, it takes its name, its indexes' names, its grants, its owner and its sequences.
//!
//! Only for tables on which nothing else hangs (`Table::dependents`); others are merged.

use sha2::{Digest, Sha256};
use syncline_core::value::hex;

use super::{bind::Param, client::Session, database::DEPENDENTS_OF};
use crate::{
    Error,
    database::{
        dialect::{Layout, Named, postgres::POSTGRES},
        sql::Stage,
    },
    error::Kind,
};

/// What the copy of an existing table is made with. Indexes and keys come when it is full, which is several times as fast.
/// `tablespace`: where the table is, quoted, if that is not the default.
fn create(stage: &Stage<'_>, tablespace: Option<String>) -> String {
    let staging = POSTGRES.table(stage.staging);
    if !stage.exists {
        let layout = Layout { columns: &stage.shape.columns, key: &[] };
        return POSTGRES.create_table(stage.staging, layout);
    }
    let place = tablespace.map(|name| format!(" TABLESPACE {name}")).unwrap_or_default();
    format!(
        "CREATE TABLE {staging} (LIKE {} INCLUDING ALL EXCLUDING INDEXES){place}",
        POSTGRES.table(stage.table)
    )
}

/// `$1`: the table, where that is not the default.
const TABLESPACE: &str = "SELECT quote_ident(s.spcname) FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace WHERE c.oid = to_regclass($1::text)";

/// `$1`: the table. Each index: its definition, its name, how definitions write it and its table, and for those of a
/// constraint its name, its kind and when it is checked.
const INDEXES: &str = "SELECT pg_get_indexdef(i.indexrelid), c.relname::text, quote_ident(c.relname), \
      quote_ident(n.nspname) || '.' || quote_ident(t.relname), quote_ident(t.relname), \
      k.conname::text, k.contype::text, CASE WHEN NOT k.condeferrable THEN '' \
        WHEN k.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED' ELSE ' DEFERRABLE' END \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace \
    LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid \
      AND k.contype IN ('p', 'u') \
    WHERE i.indrelid = to_regclass($1::text) ORDER BY c.relname";

struct Index {
    name: String,
    /// `UNIQUE ` or nothing.
    unique: &'static str,
    /// Its definition from ` USING` on.
    using: String,
    /// Name, kind, and when it is checked.
    constraint: Option<(String, String, String)>,
}

impl Index {
    /// Takes the server's rendering apart, which has one form: `CREATE [UNIQUE] INDEX name ON [schema.]table USING …`.
    fn of(row: Vec<Option<String>>) -> Option<Self> {
        let mut cells = row.into_iter();
        let mut next = || cells.next().flatten();
        let (definition, name, quoted, table, short) = (next()?, next()?, next()?, next()?, next()?);
        let constraint = next().zip(next()).zip(next()).map(|((name, kind), when)| (name, kind, when));
        let (unique, rest) = match definition.strip_prefix("CREATE UNIQUE INDEX ") {
            Some(rest) => ("UNIQUE ", rest),
            None => ("", definition.strip_prefix("CREATE INDEX ")?),
        };
        let rest = rest.strip_prefix(quoted.as_str())?.strip_prefix(" ON ")?;
        let using = rest.strip_prefix(table.as_str()).or_else(|| rest.strip_prefix(short.as_str()))?;
        Some(Self { name, unique, using: using.to_owned(), constraint })
    }

    /// Its name until the swap: the same as long as it is the same index, whatever others come and go.
    fn temporary(&self, stage: &Stage<'_>) -> String {
        let digest = Sha256::digest(format!("{}{}{}", self.name, self.unique, self.using).as_bytes());
        format!("{}_{}", stage.staging.name, hex(&digest[..4]))
    }

    fn create(&self, stage: &Stage<'_>) -> String {
        let (name, table) = (POSTGRES.quote(&self.temporary(stage)), POSTGRES.table(stage.staging));
        format!("CREATE {}INDEX {name} ON {table}{}", self.unique, self.using)
    }
}

async fn indexes(session: &Session, table: &Named) -> Result<Vec<Index>, Error> {
    let rows = session.texts(INDEXES, &[Param::Text(POSTGRES.table(table))]).await?;
    let index = |row: Vec<Option<String>>| {
        let name = row.get(1).cloned().flatten().unwrap_or_default();
        Index::of(row).ok_or_else(|| {
            Error::new(Kind::Protocol, format!("index {name:?}: its definition is not understood"))
        })
    };
    rows.into_iter().map(index).collect()
}

/// Builds what the filled copy needs: the indexes of the table, or the key of a new one.
pub(super) async fn finish_copy(session: &Session, stage: &Stage<'_>) -> Result<(), Error> {
    let staging = POSTGRES.table(stage.staging);
    if !stage.exists {
        if !stage.shape.key.is_empty() {
            let key: Vec<_> = stage.shape.key.iter().map(|k| POSTGRES.quote(k)).collect();
            session.batch(&format!("ALTER TABLE {staging} ADD PRIMARY KEY ({})", key.join(", "))).await?;
        }
        return session.batch(&format!("ANALYZE {staging}")).await;
    }
    for index in indexes(session, stage.table).await? {
        let built = session.batch(&index.create(stage)).await;
        built.map_err(|e| e.context(format_args!("building index {:?}", index.name)))?;
    }
    session.batch(&format!("ANALYZE {staging}")).await
}

/// The statement that lets the sequence of each identity column of the copy go on where that of the table is, or where it is
/// itself, whichever is further. `$1`: the table, `$2`: the copy.
const SEQUENCES: &str = "SELECT format('SELECT setval(%L, %s(o.last_value, n.last_value), o.is_called OR n.is_called) FROM %s o, %s n', \
      pg_get_serial_sequence($2::text, t.attname), CASE WHEN q.seqincrement > 0 THEN 'greatest' ELSE 'least' END, \
      pg_get_serial_sequence($1::text, t.attname), pg_get_serial_sequence($2::text, t.attname)) \
    FROM pg_catalog.pg_attribute t \
    JOIN pg_catalog.pg_sequence q ON q.seqrelid = pg_get_serial_sequence($1::text, t.attname)::regclass \
    WHERE t.attrelid = to_regclass($1::text) AND t.attnum > 0 AND t.attidentity <> ''";

/// Runs the statements that a query gives about the table and its copy.
async fn follow(session: &Session, query: &str, stage: &Stage<'_>) -> Result<(), Error> {
    let both = [stage.table, stage.staging].map(|table| Param::Text(POSTGRES.table(table)));
    for statement in session.texts(query, &both).await?.into_iter().flatten().flatten() {
        let done = session.batch(&statement).await;
        done.map_err(|e| e.context("carrying grants, owner, comments and sequences over"))?;
    }
    Ok(())
}

/// Makes the copy.
pub(super) async fn make(session: &Session, stage: &Stage<'_>) -> Result<(), Error> {
    let table = Param::Text(POSTGRES.table(stage.table));
    let tablespace = session.texts(TABLESPACE, &[table]).await?.into_iter().flatten().flatten().next();
    session.batch(&create(stage, tablespace)).await?;
    if stage.exists { follow(session, SEQUENCES, stage).await } else { Ok(()) }
}

/// Statements that carry owner, grants and sequences over to the copy. `$1`: the table, `$2`: the copy.
const CARRY: &str = "WITH old AS (SELECT * FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)), \
      new AS (SELECT * FROM pg_catalog.pg_class WHERE oid = to_regclass($2::text)) \
    SELECT format('ALTER TABLE %s OWNER TO %I', $2::text, pg_get_userbyid(old.relowner)) FROM old, new \
      WHERE old.relowner <> new.relowner \
    UNION ALL SELECT format('REVOKE ALL ON %s FROM %s', $2::text, \
        CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END) \
      FROM (SELECT DISTINCT a.grantee FROM new, aclexplode(new.relacl) a WHERE a.grantee <> new.relowner) g \
    UNION ALL SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, $2::text, \
        CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
        CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
      FROM old, aclexplode(old.relacl) a WHERE a.grantee <> old.relowner \
    UNION ALL SELECT format('GRANT %s (%I) ON %s TO %s', a.privilege_type, t.attname, $2::text, \
        CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) \
      FROM old JOIN pg_catalog.pg_attribute t ON t.attrelid = old.oid, aclexplode(t.attacl) a WHERE t.attnum > 0 \
    UNION ALL SELECT format('COMMENT ON TABLE %s IS %L', $2::text, obj_description(old.oid, 'pg_class')) FROM old \
      WHERE obj_description(old.oid, 'pg_class') IS NOT NULL \
    UNION ALL SELECT format('ALTER TABLE %s SET (%s)', $2::text, array_to_string(old.reloptions, ', ')) FROM old \
      WHERE old.reloptions IS NOT NULL \
    UNION ALL SELECT format('ALTER SEQUENCE %s OWNED BY %s.%I', s.oid::regclass, $2::text, t.attname) \
      FROM old JOIN pg_catalog.pg_depend d ON d.refobjid = old.oid AND d.deptype = 'a' \
        AND d.classid = 'pg_class'::regclass AND d.refobjsubid > 0 \
      JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' \
      JOIN pg_catalog.pg_attribute t ON t.attrelid = old.oid AND t.attnum = d.refobjsubid \
    UNION ALL SELECT format('GRANT %s ON SEQUENCE %s TO %s', a.privilege_type, \
        pg_get_serial_sequence($2::text, t.attname), \
        CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) \
      FROM old JOIN pg_catalog.pg_attribute t ON t.attrelid = old.oid AND t.attidentity <> '' \
      JOIN pg_catalog.pg_class s ON s.oid = pg_get_serial_sequence($1::text, t.attname)::regclass, \
      aclexplode(s.relacl) a WHERE a.grantee <> s.relowner \
    UNION ALL SELECT format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', $2::text, t.attname, t.attstattarget) \
      FROM old JOIN pg_catalog.pg_attribute t ON t.attrelid = old.oid WHERE t.attnum > 0 AND t.attstattarget > 0";

/// Statements that can only be run when the copy has its names: sequences of identity columns are called as before, and what
/// was said about indexes and constraints. `$1`: the table, `$2`: the copy.
const NAMES: &str = "WITH old AS (SELECT * FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)) \
    SELECT format('ALTER SEQUENCE %s RENAME TO %I', n.oid::regclass, o.relname) \
      FROM old JOIN pg_catalog.pg_attribute t ON t.attrelid = old.oid AND t.attidentity <> '' \
      JOIN pg_catalog.pg_class o ON o.oid = pg_get_serial_sequence($1::text, t.attname)::regclass \
      JOIN pg_catalog.pg_class n ON n.oid = pg_get_serial_sequence($2::text, t.attname)::regclass \
    UNION ALL SELECT format('COMMENT ON INDEX %I.%I IS %L', old.relnamespace::regnamespace::text, c.relname, \
        obj_description(c.oid, 'pg_class')) \
      FROM old JOIN pg_catalog.pg_index i ON i.indrelid = old.oid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
      WHERE obj_description(c.oid, 'pg_class') IS NOT NULL \
    UNION ALL SELECT format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, $1::text, \
        obj_description(k.oid, 'pg_constraint')) \
      FROM old JOIN pg_catalog.pg_constraint k ON k.conrelid = old.oid AND k.contype IN ('p', 'u') \
      WHERE obj_description(k.oid, 'pg_constraint') IS NOT NULL \
    UNION ALL SELECT format('ALTER TABLE %s CLUSTER ON %I', $1::text, c.relname) \
      FROM old JOIN pg_catalog.pg_index i ON i.indrelid = old.oid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
      WHERE i.indisclustered";

/// Columns of the table `$1` that the copy `$2` lacks.
const LACKS: &str = "SELECT 'column ' || quote_ident(a.attname) FROM pg_catalog.pg_attribute a \
    WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped \
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute b WHERE b.attrelid = to_regclass($2::text) \
        AND b.attname = a.attname AND b.attnum > 0 AND NOT b.attisdropped)";

/// A table that got something while the copy was filled would lose it.
async fn check_unchanged(session: &Session, both: &[Param], table: &Named) -> Result<(), Error> {
    let mut new = session.texts(LACKS, both).await?;
    new.extend(session.texts(DEPENDENTS_OF, &both[..1]).await?);
    let Some(what) = new.into_iter().flatten().flatten().next() else { return Ok(()) };
    let message = format!("{table} was changed while it was loaded (it now has {what}); nothing was changed");
    Err(Error::new(Kind::Locked, message).hint("run again"))
}

/// The name that the server would give the key of a new table, or one like it that is free.
async fn key_name(session: &Session, table: &Named) -> Result<String, Error> {
    let mut name = String::new();
    for number in 0..100 {
        let end = if number == 0 { "_pkey".to_owned() } else { format!("_pkey{number}") };
        let mut cut = table.name.as_str();
        while !POSTGRES.name_max.holds(&format!("{cut}{end}")) {
            cut = cut.char_indices().last().map_or("", |(at, _)| &cut[..at]);
        }
        name = format!("{cut}{end}");
        let quoted = Param::Text(POSTGRES.table(&table.beside(name.as_str())));
        let taken = session.texts("SELECT to_regclass($1::text)::text", &[quoted]).await?;
        if taken.into_iter().flatten().flatten().next().is_none() {
            break;
        }
    }
    Ok(name)
}

/// In the transaction: the copy takes the table's place.
pub(super) async fn swap(session: &Session, stage: &Stage<'_>) -> Result<(), Error> {
    let (table, staging) = (POSTGRES.table(stage.table), POSTGRES.table(stage.staging));
    let name = POSTGRES.quote(&stage.table.name);
    if !stage.exists {
        session.batch(&format!("ALTER TABLE {staging} RENAME TO {name}")).await?;
        if !stage.shape.key.is_empty() {
            let key = POSTGRES.table(&stage.table.beside(format!("{}_pkey", stage.staging.name)));
            let wanted = POSTGRES.quote(&key_name(session, stage.table).await?);
            session.batch(&format!("ALTER INDEX {key} RENAME TO {wanted}")).await?;
        }
        return Ok(());
    }
    let locked = session.batch(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
    locked.map_err(|e| e.context(format_args!("waiting for readers of {} to end", stage.table)))?;
    let both = [Param::Text(table.clone()), Param::Text(staging.clone())];
    check_unchanged(session, &both, stage.table).await?;
    let indexes = indexes(session, stage.table).await?;
    let names = session.texts(NAMES, &both).await?;
    follow(session, SEQUENCES, stage).await?;
    follow(session, CARRY, stage).await?;
    session.batch(&format!("DROP TABLE {table}; ALTER TABLE {staging} RENAME TO {name}")).await?;
    for index in &indexes {
        let from = POSTGRES.table(&stage.table.beside(index.temporary(stage)));
        let to = POSTGRES.quote(&index.name);
        session.batch(&format!("ALTER INDEX {from} RENAME TO {to}")).await?;
        let Some((constraint, kind, when)) = &index.constraint else { continue };
        let kind = if kind == "p" { "PRIMARY KEY" } else { "UNIQUE" };
        let constraint = POSTGRES.quote(constraint);
        let add = format!("ALTER TABLE {table} ADD CONSTRAINT {constraint} {kind} USING INDEX {to}{when}");
        session.batch(&add).await?;
    }
    for statement in names.into_iter().flatten().flatten() {
        session.batch(&statement).await?;
    }
    Ok(())
}
