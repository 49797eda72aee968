//! What differs between the databases behind the drivers: a record of facts for each.

/// Names for the option `dialect`.
pub(super) const NAMES: &[&str] =
    &["postgres", "mysql", "sqlite", "sqlserver", "oracle", "sybase", "db2", "generic"];

/// The SQL a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    /// MariaDB too.
    Mysql,
    Sqlite,
    SqlServer,
    Oracle,
    /// Adaptive Server Enterprise, 15.5 or newer.
    Sybase,
    /// For Linux, Unix and Windows.
    Db2,
    /// What the standard says, and no more.
    Generic,
}

/// How a statement says that it wants the first rows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    /// `SELECT TOP 3 …`
    Top,
    /// `… LIMIT 3`
    Limit,
    /// `… FETCH FIRST 3 ROWS ONLY`
    Fetch,
    /// Not at all: rows that nobody wants are left in the cursor.
    No,
}

/// What is known about a dialect. Statements give texts; times are `2026-01-31 10:00:00.123456`.
pub(super) struct Facts {
    /// Attributes of the driver that keep memory bounded, where the connection string does not say otherwise.
    pub(super) attributes: &'static [(&'static str, &'static str)],
    /// Statements for a new session.
    pub(super) session: &'static [&'static str],
    /// The time in UTC.
    pub(super) now: Option<&'static str>,
    /// The time by the wall clock that columns without zone are written by.
    pub(super) wall: Option<&'static str>,
    /// The schema (MySQL: database) of names without one.
    pub(super) schema: Option<&'static str>,
    /// Whether that is a catalog to the driver.
    pub(super) schema_is_catalog: bool,
    /// Columns of a table, as the driver would list them (see `describe`), where it cannot be asked about every name.
    /// Parameters: schema, table.
    pub(super) columns: Option<&'static str>,
    /// Columns of the indexes of a table that hold every row, in order: index, whether it is unique, whether it is the
    /// primary key, column (null: an expression or a part of a column). Parameters: schema, table.
    pub(super) indexes: Option<&'static str>,
    /// Columns of a table as a destination: name, type in the server's words, whether it must be given, whether it cannot
    /// be. Parameters: schema, table. None: tables there are not loaded.
    pub(super) declared: Option<&'static str>,
    pub(super) first: First,
    /// Whether the driver's word on the longest text of a column is the server's.
    pub(super) lengths_hold: bool,
    /// First year that a time may have in a statement.
    pub(super) first_year: i32,
}

const UNKNOWN: Facts = Facts {
    attributes: &[],
    session: &[],
    now: None,
    wall: None,
    schema: None,
    schema_is_catalog: false,
    columns: None,
    indexes: None,
    declared: None,
    first: First::No,
    lengths_hold: false,
    first_year: 1,
};

const POSTGRES: Facts = Facts {
    // without it the driver holds the whole answer
    attributes: &[("UseDeclareFetch", "1"), ("Fetch", "1000")],
    now: Some("SELECT CAST(now() AT TIME ZONE 'UTC' AS text)"),
    wall: Some("SELECT CAST(localtimestamp AS text)"),
    schema: Some("SELECT current_schema()"),
    indexes: Some(
        "SELECT i.relname, CAST(x.indisunique AS int), CAST(x.indisprimary AS int), a.attname \
         FROM pg_catalog.pg_index x \
         JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid \
         JOIN pg_catalog.pg_class c ON c.oid = x.indrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         CROSS JOIN LATERAL generate_series(0, x.indnkeyatts - 1) AS k(at) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[k.at] \
         WHERE n.nspname = CAST(? AS text) AND c.relname = CAST(? AS text) \
           AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL \
         ORDER BY x.indexrelid, k.at",
    ),
    declared: Some(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), \
           CAST(a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS int), \
           CAST(a.attgenerated <> '' OR a.attidentity = 'a' AS int) \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = CAST(? AS text) AND c.relname = CAST(? AS text) AND a.attnum > 0 AND NOT a.attisdropped",
    ),
    first: First::Limit,
    ..UNKNOWN
};

const MYSQL: Facts = Facts {
    // The first two are understood by MySQL's own driver; MariaDB's holds the whole answer. 2: an update tells how many rows
    // it found, and not only how many were other than before.
    attributes: &[("NO_CACHE", "1"), ("FORWARD_CURSOR", "1"), ("OPTION", "2")],
    session: &["SET time_zone = '+00:00'"],
    now: Some("SELECT CAST(UTC_TIMESTAMP(6) AS CHAR)"),
    wall: Some("SELECT CAST(CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', @@global.time_zone) AS CHAR)"),
    schema: Some("SELECT DATABASE()"),
    schema_is_catalog: true,
    // the driver does not tell a flag from a number, nor a number without sign from one with it
    columns: Some(
        "SELECT TABLE_SCHEMA, NULL, TABLE_NAME, COLUMN_NAME, \
           CASE DATA_TYPE WHEN 'tinyint' THEN -6 WHEN 'smallint' THEN 5 WHEN 'year' THEN 5 WHEN 'mediumint' THEN 4 \
             WHEN 'int' THEN 4 WHEN 'bigint' THEN -5 WHEN 'decimal' THEN 3 WHEN 'float' THEN 7 WHEN 'double' THEN 8 \
             WHEN 'bit' THEN IF(NUMERIC_PRECISION = 1, -7, IF(NUMERIC_PRECISION < 64, -5, 0)) WHEN 'date' THEN 91 \
             WHEN 'time' THEN 92 WHEN 'datetime' THEN 93 WHEN 'timestamp' THEN 93 WHEN 'binary' THEN -3 \
             WHEN 'varbinary' THEN -3 WHEN 'tinyblob' THEN -4 WHEN 'blob' THEN -4 WHEN 'mediumblob' THEN -4 \
             WHEN 'longblob' THEN -4 WHEN 'char' THEN -9 WHEN 'varchar' THEN -9 WHEN 'tinytext' THEN -10 \
             WHEN 'text' THEN -10 WHEN 'mediumtext' THEN -10 WHEN 'longtext' THEN -10 WHEN 'enum' THEN -9 \
             WHEN 'set' THEN -9 WHEN 'json' THEN -10 WHEN 'uuid' THEN -9 WHEN 'inet4' THEN -9 WHEN 'inet6' THEN -9 \
             ELSE 0 END, \
           IF(DATA_TYPE IN ('datetime', 'timestamp'), DATA_TYPE, COLUMN_TYPE), \
           COALESCE(CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION), NUMERIC_SCALE, IF(IS_NULLABLE = 'YES', 1, 0) \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
    ),
    indexes: Some(
        "SELECT INDEX_NAME, 1 - NON_UNIQUE, INDEX_NAME = 'PRIMARY', IF(SUB_PART IS NULL, COLUMN_NAME, NULL) \
         FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
         ORDER BY INDEX_NAME, SEQ_IN_INDEX",
    ),
    declared: Some(
        "SELECT COLUMN_NAME, COLUMN_TYPE, \
           IF(IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%auto_increment%', 1, 0), \
           IF(EXTRA LIKE '%GENERATED%', 1, 0) \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
    ),
    first: First::Limit,
    lengths_hold: true,
    first_year: 0,
};

const SQLITE: Facts = Facts {
    // without the first the driver holds the whole answer; without the second it takes large integers for small ones
    attributes: &[("StepAPI", "1"), ("BigInt", "1"), ("NoCreat", "1")],
    now: Some("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"),
    wall: Some("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"),
    columns: Some(
        "SELECT NULL, NULL, p.t, x.name, 12, x.type, NULL, NULL, \
           1 - (x.\"notnull\" OR (x.pk > 0 AND upper(x.type) = 'INTEGER' \
             AND (SELECT count(*) FROM pragma_table_xinfo(p.t) WHERE pk > 0) = 1)) \
         FROM (SELECT ? AS s, ? AS t) AS p, pragma_table_xinfo(p.t) AS x WHERE x.hidden IN (0, 2, 3) ORDER BY x.cid",
    ),
    // the key of a table with a rowid may have no index of its own
    indexes: Some(
        "WITH p AS (SELECT ? AS s, ? AS t) \
         SELECT name, \"unique\", key, column FROM ( \
           SELECT l.name, l.\"unique\", l.origin = 'pk' AS key, x.name AS column, -l.seq AS place, x.seqno AS part \
           FROM p, pragma_index_list(p.t) AS l, pragma_index_xinfo(l.name) AS x WHERE x.key AND NOT l.partial \
           UNION ALL SELECT '', 1, 1, x.name, 1, x.pk FROM p, pragma_table_xinfo(p.t) AS x WHERE x.pk > 0 \
         ) ORDER BY place, part",
    ),
    first: First::Limit,
    first_year: 0,
    ..UNKNOWN
};

const SQL_SERVER: Facts = Facts {
    now: Some("SELECT CONVERT(varchar(26), SYSUTCDATETIME(), 121)"),
    wall: Some("SELECT CONVERT(varchar(26), SYSDATETIME(), 121)"),
    schema: Some("SELECT SCHEMA_NAME()"),
    indexes: Some(
        "SELECT i.name, CAST(i.is_unique AS int), CAST(i.is_primary_key AS int), c.name FROM sys.indexes i \
         JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id \
         JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id \
         JOIN sys.objects o ON o.object_id = i.object_id JOIN sys.schemas s ON s.schema_id = o.schema_id \
         WHERE s.name = ? AND o.name = ? AND i.has_filter = 0 AND i.is_disabled = 0 AND k.key_ordinal > 0 \
         ORDER BY i.index_id, k.key_ordinal",
    ),
    declared: Some(
        "SELECT c.name, t.name + CASE WHEN t.name IN ('decimal', 'numeric') \
             THEN CONCAT('(', c.precision, ',', c.scale, ')') \
           WHEN t.name IN ('datetime2', 'datetimeoffset', 'time') THEN CONCAT('(', c.scale, ')') \
           WHEN t.name IN ('char', 'varchar', 'binary', 'varbinary', 'nchar', 'nvarchar') \
             THEN CASE WHEN c.max_length = -1 THEN '(max)' \
               ELSE CONCAT('(', c.max_length / CASE WHEN t.name LIKE 'n%' THEN 2 ELSE 1 END, ')') END \
           ELSE '' END, \
           CASE WHEN c.is_nullable = 0 AND c.default_object_id = 0 AND c.is_identity = 0 THEN 1 ELSE 0 END, \
           CASE WHEN c.is_identity = 1 OR c.is_computed = 1 OR t.name = 'timestamp' THEN 1 ELSE 0 END \
         FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.system_type_id \
         JOIN sys.objects o ON o.object_id = c.object_id JOIN sys.schemas s ON s.schema_id = o.schema_id \
         WHERE s.name = ? AND o.name = ?",
    ),
    first: First::Top,
    lengths_hold: true,
    ..UNKNOWN
};

const ORACLE: Facts = Facts {
    // comparisons and numbers must not depend on where the client stands
    session: &[
        "ALTER SESSION SET NLS_NUMERIC_CHARACTERS = '.,' NLS_SORT = BINARY NLS_COMP = BINARY TIME_ZONE = 'UTC'",
    ],
    now: Some("SELECT TO_CHAR(SYS_EXTRACT_UTC(SYSTIMESTAMP), 'YYYY-MM-DD HH24:MI:SS.FF6') FROM dual"),
    wall: Some("SELECT TO_CHAR(SYSTIMESTAMP, 'YYYY-MM-DD HH24:MI:SS.FF6') FROM dual"),
    schema: Some("SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM dual"),
    indexes: Some(
        "SELECT i.index_name, CASE i.uniqueness WHEN 'UNIQUE' THEN 1 ELSE 0 END, \
           CASE WHEN k.constraint_name IS NULL THEN 0 ELSE 1 END, c.column_name \
         FROM all_indexes i \
         JOIN all_ind_columns c ON c.index_owner = i.owner AND c.index_name = i.index_name \
         LEFT JOIN all_constraints k ON k.index_name = i.index_name AND k.owner = i.table_owner \
           AND k.constraint_type = 'P' \
         WHERE i.table_owner = TO_CHAR(?) AND i.table_name = TO_CHAR(?) AND i.index_type = 'NORMAL' \
         ORDER BY i.index_name, c.column_position",
    ),
    declared: Some(
        "SELECT column_name, data_type || CASE \
           WHEN data_type = 'NUMBER' AND data_precision IS NOT NULL THEN '(' || data_precision || ',' || data_scale || ')' \
           WHEN data_type IN ('VARCHAR2', 'CHAR') AND char_used = 'C' THEN '(' || char_length || ' CHAR)' \
           WHEN data_type IN ('VARCHAR2', 'CHAR', 'RAW') THEN '(' || data_length || ')' END, \
           CASE WHEN nullable = 'N' AND default_length IS NULL AND identity_column = 'NO' THEN 1 ELSE 0 END, \
           CASE WHEN virtual_column = 'YES' THEN 1 ELSE 0 END \
         FROM all_tab_cols WHERE owner = TO_CHAR(?) AND table_name = TO_CHAR(?) AND hidden_column = 'NO'",
    ),
    first: First::Fetch,
    lengths_hold: true,
    ..UNKNOWN
};

const SYBASE: Facts = Facts {
    session: &["SET quoted_identifier ON"],
    now: Some("SELECT CONVERT(varchar(26), getutcdate(), 140)"),
    wall: Some("SELECT CONVERT(varchar(26), current_bigdatetime(), 140)"),
    schema: Some("SELECT user_name()"),
    first: First::Top,
    lengths_hold: true,
    ..UNKNOWN
};

const DB2: Facts = Facts {
    now: Some(
        "SELECT VARCHAR_FORMAT(CURRENT TIMESTAMP - CURRENT TIMEZONE, 'YYYY-MM-DD HH24:MI:SS.FF6') FROM SYSIBM.SYSDUMMY1",
    ),
    wall: Some("SELECT VARCHAR_FORMAT(CURRENT TIMESTAMP, 'YYYY-MM-DD HH24:MI:SS.FF6') FROM SYSIBM.SYSDUMMY1"),
    schema: Some("SELECT RTRIM(CURRENT SCHEMA) FROM SYSIBM.SYSDUMMY1"),
    indexes: Some(
        "SELECT i.INDNAME, CASE i.UNIQUERULE WHEN 'D' THEN 0 ELSE 1 END, CASE i.UNIQUERULE WHEN 'P' THEN 1 ELSE 0 END, \
           c.COLNAME FROM SYSCAT.INDEXES i \
         JOIN SYSCAT.INDEXCOLUSE c ON c.INDSCHEMA = i.INDSCHEMA AND c.INDNAME = i.INDNAME \
         WHERE i.TABSCHEMA = ? AND i.TABNAME = ? AND c.COLORDER <> 'I' ORDER BY i.IID, c.COLSEQ",
    ),
    first: First::Fetch,
    lengths_hold: true,
    ..UNKNOWN
};

impl Dialect {
    /// By the name that users write.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "postgres" => Self::Postgres,
            "mysql" => Self::Mysql,
            "sqlite" => Self::Sqlite,
            "sqlserver" => Self::SqlServer,
            "oracle" => Self::Oracle,
            "sybase" => Self::Sybase,
            "db2" => Self::Db2,
            "generic" => Self::Generic,
            _ => return None,
        })
    }

    /// By the name that the driver tells (`SQL_DBMS_NAME`).
    pub(super) fn of_server(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let has = |part: &str| name.contains(part);
        match () {
            () if has("postgres") => Self::Postgres,
            () if has("mysql") || has("mariadb") => Self::Mysql,
            () if has("sqlite") => Self::Sqlite,
            () if has("microsoft sql server") || has("azure sql") => Self::SqlServer,
            () if has("oracle") => Self::Oracle,
            () if has("adaptive server enterprise")
                || has("sybase")
                || name == "ase"
                || name == "sql server" =>
            {
                Self::Sybase
            }
            () if name.starts_with("db2") => Self::Db2,
            () => Self::Generic,
        }
    }

    pub(super) fn facts(self) -> &'static Facts {
        match self {
            Self::Postgres => &POSTGRES,
            Self::Mysql => &MYSQL,
            Self::Sqlite => &SQLITE,
            Self::SqlServer => &SQL_SERVER,
            Self::Oracle => &ORACLE,
            Self::Sybase => &SYBASE,
            Self::Db2 => &DB2,
            Self::Generic => &UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_by_their_names() {
        for (name, dialect) in [
            ("PostgreSQL", Dialect::Postgres),
            ("MariaDB", Dialect::Mysql),
            ("SQLite", Dialect::Sqlite),
            ("Microsoft SQL Server", Dialect::SqlServer),
            ("SQL Server", Dialect::Sybase),
            ("Adaptive Server Enterprise", Dialect::Sybase),
            ("Oracle", Dialect::Oracle),
            ("DB2/LINUXX8664", Dialect::Db2),
            ("Firebird 3.0", Dialect::Generic),
        ] {
            assert_eq!(Dialect::of_server(name), dialect, "{name}");
        }
        assert!(NAMES.iter().all(|name| Dialect::named(name).is_some()));
    }
}
