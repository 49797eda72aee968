//! `replace` by rename: a copy of the table is filled and indexed while everybody goes on reading the old one; then, in one
//! transaction, it takes its name, its indexes' names, its grants, its owner and its sequences.
//!
//! Only for tables on which nothing else hangs (`Table::dependents`); others are merged.

use super::{bind::Param, client::Session};
use crate::{
    Error,
    database::{
        dialect::{Layout, Named, postgres::POSTGRES},
        sql::Stage,
    },
    error::Kind,
};

/// What the copy of an existing table is made with. Indexes and keys come when it is full, which is several times as fast.
pub(super) fn create(stage: &Stage<'_>) -> String {
    let staging = POSTGRES.table(stage.staging);
    if !stage.exists {
        let layout = Layout { columns: &stage.shape.columns, key: &[] };
        return POSTGRES.create_table(stage.staging, layout);
    }
    format!("CREATE TABLE {staging} (LIKE {} INCLUDING ALL EXCLUDING INDEXES)", POSTGRES.table(stage.table))
}

/// `$1`: the table. Each index: its definition, its name, and for those of a constraint that and its kind.
const INDEXES: &str = "SELECT pg_get_indexdef(i.indexrelid), c.relname::text, k.conname::text, k.contype::text, \
      (i.indisclustered)::text, (i.indisreplident)::text \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid \
      AND k.contype IN ('p', 'u', 'x') \
    WHERE i.indrelid = to_regclass($1::text) ORDER BY c.relname";

struct Index {
    definition: String,
    name: String,
    constraint: Option<(String, String)>,
}

async fn indexes(session: &Session, table: &Named) -> Result<Vec<Index>, Error> {
    let rows = session.texts(INDEXES, &[Param::Text(POSTGRES.table(table))]).await?;
    let index = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter();
        let mut next = || cells.next().flatten();
        let (definition, name) = (next()?, next()?);
        let constraint = next().zip(next());
        Some(Index { definition, name, constraint })
    };
    Ok(rows.into_iter().filter_map(index).collect())
}

/// The name that index `number` has until the swap.
fn temporary(stage: &Stage<'_>, number: usize) -> String {
    format!("{}_{number}", stage.staging.name)
}

/// The statement that makes the same index on the copy. The server's own rendering has one form:
/// `CREATE [UNIQUE] INDEX name ON [ONLY] schema.table USING …`.
fn on_copy(definition: &str, name: &str, stage: &Stage<'_>) -> Option<String> {
    let (create, rest) = definition.split_once(" INDEX ")?;
    let using = rest.find(" USING ")?;
    let table = POSTGRES.table(stage.staging);
    Some(format!("{create} INDEX {} ON {table}{}", POSTGRES.quote(name), &rest[using..]))
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
    for (number, index) in indexes(session, stage.table).await?.iter().enumerate() {
        let name = temporary(stage, number);
        let sql = on_copy(&index.definition, &name, stage)
            .ok_or_else(|| Error::new(Kind::Protocol, format!("index {:?} cannot be copied", index.name)))?;
        session.batch(&sql).await.map_err(|e| e.context(format_args!("building index {:?}", index.name)))?;
    }
    session.batch(&format!("ANALYZE {staging}")).await
}

/// Statements that carry owner, grants and sequences over to the copy. `$1`: the table, `$2`: the copy.
const CARRY: &str = "WITH old AS (SELECT * FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)), \
      new AS (SELECT * FROM pg_catalog.pg_class WHERE oid = to_regclass($2::text)) \
    SELECT format('ALTER TABLE %s OWNER TO %I', $2::text, pg_get_userbyid(old.relowner)) FROM old, new \
      WHERE old.relowner <> new.relowner \
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
    UNION ALL SELECT format('SELECT setval(%L, last_value, is_called) FROM %s', \
        pg_get_serial_sequence($2::text, t.attname), pg_get_serial_sequence($1::text, t.attname)) \
      FROM old JOIN pg_catalog.pg_attribute t ON t.attrelid = old.oid AND t.attidentity <> ''";

/// In the transaction: the copy takes the table's place.
pub(super) async fn swap(session: &Session, stage: &Stage<'_>) -> Result<(), Error> {
    let (table, staging) = (POSTGRES.table(stage.table), POSTGRES.table(stage.staging));
    let name = POSTGRES.quote(&stage.table.name);
    if !stage.exists {
        session.batch(&format!("ALTER TABLE {staging} RENAME TO {name}")).await?;
        let key = format!("{}_pkey", stage.staging.name);
        let wanted = format!("{}_pkey", stage.table.name);
        if !stage.shape.key.is_empty() && POSTGRES.name_max.holds(&wanted) {
            let sql = format!(
                "ALTER INDEX {} RENAME TO {}",
                POSTGRES.table(&stage.table.beside(key)),
                POSTGRES.quote(&wanted)
            );
            session.batch(&sql).await?;
        }
        return Ok(());
    }
    let locked = session.batch(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await;
    locked.map_err(|e| e.context(format_args!("waiting for readers of {} to end", stage.table)))?;
    let indexes = indexes(session, stage.table).await?;
    let carry = session.texts(CARRY, &[Param::Text(table.clone()), Param::Text(staging.clone())]).await?;
    for statement in carry.into_iter().flatten().flatten() {
        session
            .batch(&statement)
            .await
            .map_err(|e| e.context("carrying grants, owner and sequences over"))?;
    }
    session.batch(&format!("DROP TABLE {table}; ALTER TABLE {staging} RENAME TO {name}")).await?;
    for (number, index) in indexes.iter().enumerate() {
        let from = POSTGRES.table(&stage.table.beside(temporary(stage, number)));
        let to = POSTGRES.quote(&index.name);
        session.batch(&format!("ALTER INDEX {from} RENAME TO {to}")).await?;
        if let Some((constraint, kind)) = &index.constraint {
            let kind = match kind.as_str() {
                "p" => "PRIMARY KEY",
                "u" => "UNIQUE",
                _ => continue,
            };
            let constraint = POSTGRES.quote(constraint);
            session
                .batch(&format!("ALTER TABLE {table} ADD CONSTRAINT {constraint} {kind} USING INDEX {to}"))
                .await?;
        }
    }
    Ok(())
}
