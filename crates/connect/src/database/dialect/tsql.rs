//! T-SQL: SQL Server 2016 or newer and Sybase ASE 15.7 or newer, which are reached through ODBC.
//! <https://learn.microsoft.com/sql/t-sql/statements/merge-transact-sql>

use syncline_core::schema::{FieldType, Limits};

use super::{Dialect, Length, MergeSql, UpdateForm};
use crate::database::Column;

/// The facts of SQL Server.
pub static SQL_SERVER: Dialect = Dialect {
    name: "sqlserver",
    quotes: ('[', ']'),
    name_max: Length::Chars(128),
    transactional_ddl: true,
    parameter: |_| "?".to_owned(),
    declare: declare_sql_server,
    limits,
    differ: differ_sql_server,
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("CAST({value} AS nvarchar(max))"),
    limited: |select, limit| format!("SELECT TOP {limit} {select}"),
    update: UpdateForm::None { names_alias: true },
    delete_names_alias: true,
    alias: "AS ",
    create_staging: ("CREATE TABLE", "CREATE TABLE"),
    session_table: ("#", ""),
    nullable: " NULL",
    table_suffix: "",
    retype: |table, column, declared, nullable| {
        format!("ALTER TABLE {table} ALTER COLUMN {column} {declared} {}", null(nullable))
    },
    drop_table: |table| format!("DROP TABLE IF EXISTS {table}"),
    // without the hint two merges at once may both insert a row
    merge: Some(|merge| render(merge, " WITH (HOLDLOCK)", " BY TARGET")),
    now: "SYSDATETIMEOFFSET()",
    truth: "1",
    falsehood: "0",
    boolean: "bit",
    // two short ones are the key of the states: 900 bytes hold them
    own_types: ("nvarchar(200)", "nvarchar(max)", "bigint"),
    begin: "BEGIN TRANSACTION",
    // it would be a hint in another place of the statement; the epoch is compared again when it is written
    for_update: "",
    widens,
};

/// The facts of Sybase ASE. Tables are made and changed in a transaction only where a database has the option `ddl in tran`,
/// so they are taken to commit by themselves.
pub static SYBASE: Dialect = Dialect {
    name: "sybase",
    // brackets cannot be doubled there; quotes need the option quoted_identifier
    quotes: ('"', '"'),
    name_max: Length::Bytes(255),
    transactional_ddl: false,
    parameter: |_| "?".to_owned(),
    declare: declare_sybase,
    limits,
    differ: differ_sybase,
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("CONVERT(varchar(16384), {value})"),
    limited: |select, limit| format!("SELECT TOP {limit} {select}"),
    update: UpdateForm::None { names_alias: true },
    delete_names_alias: true,
    alias: "AS ",
    create_staging: ("CREATE TABLE", "CREATE TABLE"),
    session_table: ("#", ""),
    nullable: " NULL",
    table_suffix: "",
    retype: |table, column, declared, nullable| {
        format!("ALTER TABLE {table} MODIFY {column} {declared} {}", null(nullable))
    },
    drop_table: |table| format!("DROP TABLE {table}"),
    merge: Some(|merge| render(merge, "", "")),
    now: "current_bigdatetime()",
    truth: "1",
    falsehood: "0",
    boolean: "tinyint",
    own_types: ("varchar(200)", "text", "bigint"),
    begin: "BEGIN TRANSACTION",
    for_update: "",
    widens,
};

fn null(nullable: bool) -> &'static str {
    if nullable { "NULL" } else { "NOT NULL" }
}

/// A key has 900 bytes.
fn declare_sql_server(kind: &FieldType, key: bool) -> String {
    match kind {
        FieldType::Boolean => "bit".into(),
        FieldType::Int64 => "bigint".into(),
        FieldType::Float64 => "float".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } if *p <= 38 && s <= p => {
            format!("decimal({p},{s})")
        }
        FieldType::Decimal { .. } => "decimal(38,10)".into(),
        FieldType::Text if key => "nvarchar(225)".into(),
        FieldType::Binary if key => "varbinary(450)".into(),
        FieldType::Binary => "varbinary(max)".into(),
        FieldType::Date => "date".into(),
        FieldType::Time => "time(6)".into(),
        FieldType::Timestamp { zoned: true } => "datetimeoffset(6)".into(),
        FieldType::Timestamp { zoned: false } => "datetime2(6)".into(),
        FieldType::Uuid => "uniqueidentifier".into(),
        FieldType::Text | FieldType::Json | FieldType::List(_) => "nvarchar(max)".into(),
    }
}

/// A key has 600 bytes on the smallest pages.
fn declare_sybase(kind: &FieldType, key: bool) -> String {
    match kind {
        // a bit is never null there
        FieldType::Boolean => "tinyint".into(),
        FieldType::Int64 => "bigint".into(),
        FieldType::Float64 => "double precision".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } if *p <= 38 && s <= p => {
            format!("numeric({p},{s})")
        }
        FieldType::Decimal { .. } => "numeric(38,10)".into(),
        FieldType::Text if key => "varchar(190)".into(),
        FieldType::Binary if key => "varbinary(190)".into(),
        FieldType::Binary => "image".into(),
        FieldType::Date => "date".into(),
        FieldType::Time => "bigtime".into(),
        FieldType::Timestamp { .. } => "bigdatetime".into(),
        FieldType::Uuid => "char(36)".into(),
        FieldType::Text | FieldType::Json | FieldType::List(_) => "unitext".into(),
    }
}

fn limits(column: &Column) -> Limits {
    let length = || parts(&column.declared).1.first().and_then(|n| usize::try_from(*n).ok());
    match column.kind {
        // its lengths count units of UTF-16
        FieldType::Text => Limits { max_length: length(), ..Limits::default() },
        FieldType::Date | FieldType::Timestamp { .. } => {
            Limits { years: Some((1, 9999)), ..Limits::default() }
        }
        FieldType::Float64 => Limits { finite: true, ..Limits::default() },
        _ => Limits::default(),
    }
}

/// By EXCEPT, to which nulls are the same. Texts are compared byte by byte, for most collations take `a` and `A` for the same,
/// and all of them `a` and `a` with a blank.
fn differ_sql_server(left: &str, right: &str, column: &Column) -> String {
    let both =
        |form: fn(&str) -> String| format!("EXISTS (SELECT {} EXCEPT SELECT {})", form(left), form(right));
    match column.declared.split('(').next().unwrap_or_default() {
        "xml" | "text" | "ntext" => both(|v| format!("CAST(CAST({v} AS nvarchar(max)) AS varbinary(max))")),
        "char" | "varchar" | "nchar" | "nvarchar" | "image" => {
            both(|v| format!("CAST({v} AS varbinary(max))"))
        }
        _ => both(str::to_owned),
    }
}

/// There is no EXCEPT, and long texts and images can only be compared as far as their casts reach.
fn differ_sybase(left: &str, right: &str, column: &Column) -> String {
    let (a, b) = match column.declared.split('(').next().unwrap_or_default() {
        "char" | "varchar" | "nchar" | "nvarchar" | "univarchar" | "unichar" | "text" | "unitext"
        | "image" => {
            (format!("CONVERT(varbinary(16384), {left})"), format!("CONVERT(varbinary(16384), {right})"))
        }
        _ => (left.to_owned(), right.to_owned()),
    };
    format!(
        "({a} <> {b} OR ({left} IS NULL AND {right} IS NOT NULL) OR ({left} IS NOT NULL AND {right} IS NULL))"
    )
}

/// One statement that updates what differs and adds what is new, where there is anything to update or to add.
fn render(merge: &MergeSql<'_>, hint: &str, by_target: &str) -> String {
    let dialect = merge.dialect;
    let mut sql = format!(
        "MERGE INTO {}{hint} AS d USING {} AS s ON {}",
        dialect.table(merge.table),
        dialect.table(merge.staging),
        merge.same_key("d", "s")
    );
    if let Some(conditions) = merge.update_conditions() {
        let set: Vec<_> = merge.assignments().iter().map(|(c, v)| format!("{c} = {v}")).collect();
        sql += &format!(" WHEN MATCHED AND {} THEN UPDATE SET {}", conditions.join(" AND "), set.join(", "));
    }
    if !merge.insert.is_empty() {
        let living = merge.living().map(|l| format!(" AND {l}")).unwrap_or_default();
        sql += &format!(
            " WHEN NOT MATCHED{by_target}{living} THEN INSERT ({}) VALUES ({})",
            dialect.quoted("", merge.insert).join(", "),
            dialect.quoted("s.", merge.insert).join(", ")
        );
    }
    sql + ";"
}

fn widens(from: &str, to: &str) -> bool {
    let whole = ["tinyint", "smallint", "int", "bigint"];
    let place = |name: &str| whole.iter().position(|n| *n == name);
    if let (Some(x), Some(y)) = (place(from), place(to)) {
        return y > x;
    }
    let ((a, x), (b, y)) = (parts(from), parts(to));
    match (a, b, x.as_slice(), y.as_slice()) {
        ("decimal" | "numeric", "decimal" | "numeric", [p, s], [q, t]) => {
            (q, t) != (p, s) && t >= s && q.saturating_sub(*t) >= p.saturating_sub(*s)
        }
        ("real", "float" | "double precision", ..) => true,
        // `max` is no number
        (a, b, [n], m) if a == b && ["varchar", "nvarchar", "varbinary", "univarchar"].contains(&a) => {
            m.first().is_none_or(|m| m > n)
        }
        ("varchar", "nvarchar", n, m) => m.is_empty() || matches!((n, m), ([n], [m]) if m >= n),
        _ => false,
    }
}

/// A type and its length or digits; none for `max`.
fn parts(declared: &str) -> (&str, Vec<u32>) {
    let (name, rest) = declared.split_once('(').unwrap_or((declared, ""));
    (name, rest.trim_end_matches(')').split(',').filter_map(|n| n.trim().parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::database::{
        Gone,
        dialect::{Layout, Named, Which, merge::tests::Example},
    };

    #[test]
    fn merges_of_sql_server() {
        let example = Example::of(&SQL_SERVER, "dbo");
        let merge = example.merge(&Gone::Stay);
        assert_snapshot!((SQL_SERVER.merge.expect("a merge"))(&merge), @r#"MERGE INTO [dbo].[projects] WITH (HOLDLOCK) AS d USING [dbo].[syncline_0_1] AS s ON d.[id] = s.[id] AND d.[co]]de"] = s.[co]]de"] WHEN MATCHED AND s.[syncline_tombstone] <> 1 AND (EXISTS (SELECT d.[price] EXCEPT SELECT s.[price]) OR EXISTS (SELECT CAST(d.[note] AS varbinary(max)) EXCEPT SELECT CAST(s.[note] AS varbinary(max))) OR EXISTS (SELECT d.[at] EXCEPT SELECT s.[at])) AND (s.price > d.price) THEN UPDATE SET [price] = s.[price], [note] = s.[note], [at] = s.[at] WHEN NOT MATCHED BY TARGET AND s.[syncline_tombstone] <> 1 THEN INSERT ([id], [co]]de"], [price], [note], [at]) VALUES (s.[id], s.[co]]de"], s.[price], s.[note], s.[at]);"#);
        assert_snapshot!(merge.update().expect("an update"), @r#"MERGE INTO [dbo].[projects] WITH (HOLDLOCK) AS d USING [dbo].[syncline_0_1] AS s ON d.[id] = s.[id] AND d.[co]]de"] = s.[co]]de"] WHEN MATCHED AND s.[syncline_tombstone] <> 1 AND (EXISTS (SELECT d.[price] EXCEPT SELECT s.[price]) OR EXISTS (SELECT CAST(d.[note] AS varbinary(max)) EXCEPT SELECT CAST(s.[note] AS varbinary(max))) OR EXISTS (SELECT d.[at] EXCEPT SELECT s.[at])) AND (s.price > d.price) THEN UPDATE SET [price] = s.[price], [note] = s.[note], [at] = s.[at];"#);
        assert_snapshot!(merge.insert_new(), @r#"INSERT INTO [dbo].[projects] ([id], [co]]de"], [price], [note], [at]) SELECT s.[id], s.[co]]de"], s.[price], s.[note], s.[at] FROM [dbo].[syncline_0_1] AS s WHERE s.[syncline_tombstone] <> 1 AND NOT EXISTS (SELECT 1 FROM [dbo].[projects] AS d WHERE d.[id] = s.[id] AND d.[co]]de"] = s.[co]]de"])"#);
        let delete = example.merge(&Gone::Delete);
        assert_snapshot!(delete.remove(Which::Unstaged).expect("a delete"), @r#"DELETE d FROM [dbo].[projects] AS d WHERE NOT EXISTS (SELECT 1 FROM [dbo].[syncline_0_1] AS s WHERE s.[id] = d.[id] AND s.[co]]de"] = d.[co]]de"])"#);
        let gone = Gone::Mark { column: "gone]at".into(), flag: false };
        let mark = example.merge(&gone);
        assert_snapshot!(mark.remove(Which::Tombstones).expect("a mark"), @r#"UPDATE d SET [gone]]at] = SYSDATETIMEOFFSET() FROM [dbo].[projects] AS d WHERE EXISTS (SELECT 1 FROM [dbo].[syncline_0_1] AS s WHERE s.[id] = d.[id] AND s.[co]]de"] = d.[co]]de"] AND s.[syncline_tombstone] = 1) AND d.[gone]]at] IS NULL"#);
        assert_snapshot!(mark.list_gone(Which::Unstaged, 10), @r#"SELECT TOP 10 CAST(d.[id] AS nvarchar(max)), CAST(d.[co]]de"] AS nvarchar(max)) FROM [dbo].[projects] AS d WHERE NOT EXISTS (SELECT 1 FROM [dbo].[syncline_0_1] AS s WHERE s.[id] = d.[id] AND s.[co]]de"] = d.[co]]de"]) AND d.[gone]]at] IS NULL"#);
        assert_snapshot!(merge.count_doubled(), @r#"SELECT count(*), coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM [dbo].[syncline_0_1] AS s GROUP BY s.[id], s.[co]]de"] HAVING count(*) > 1) AS c"#);
    }

    #[test]
    fn merges_of_sybase() {
        let example = Example::of(&SYBASE, "dbo");
        let merge = example.merge(&Gone::Stay);
        assert_snapshot!((SYBASE.merge.expect("a merge"))(&merge), @r#"MERGE INTO "dbo"."projects" AS d USING "dbo"."syncline_0_1" AS s ON d."id" = s."id" AND d."co]de""" = s."co]de""" WHEN MATCHED AND s."syncline_tombstone" <> 1 AND ((d."price" <> s."price" OR (d."price" IS NULL AND s."price" IS NOT NULL) OR (d."price" IS NOT NULL AND s."price" IS NULL)) OR (CONVERT(varbinary(16384), d."note") <> CONVERT(varbinary(16384), s."note") OR (d."note" IS NULL AND s."note" IS NOT NULL) OR (d."note" IS NOT NULL AND s."note" IS NULL)) OR (d."at" <> s."at" OR (d."at" IS NULL AND s."at" IS NOT NULL) OR (d."at" IS NOT NULL AND s."at" IS NULL))) AND (s.price > d.price) THEN UPDATE SET "price" = s."price", "note" = s."note", "at" = s."at" WHEN NOT MATCHED AND s."syncline_tombstone" <> 1 THEN INSERT ("id", "co]de""", "price", "note", "at") VALUES (s."id", s."co]de""", s."price", s."note", s."at");"#);
        assert_snapshot!(merge.delete_doubled(), @r#"DELETE s FROM "dbo"."syncline_0_1" AS s WHERE EXISTS (SELECT 1 FROM (SELECT s."id", s."co]de""" FROM "dbo"."syncline_0_1" AS s GROUP BY s."id", s."co]de""" HAVING count(*) > 1) AS c WHERE s."id" = c."id" AND s."co]de""" = c."co]de""")"#);
    }

    #[test]
    fn tables() {
        let table = Named { schema: Some("dbo".into()), name: "it's [a]".into() };
        let key = ["id".to_owned()];
        let create = |dialect: &'static Dialect| {
            dialect.create_table(&table, Layout { columns: &Example::columns(dialect), key: &key })
        };
        assert_snapshot!(create(&SQL_SERVER), @r#"CREATE TABLE [dbo].[it's [a]]] ([id] bigint NOT NULL, [co]]de"] nvarchar(225) NOT NULL, [price] decimal(14,2) NULL, [note] nvarchar(max) NULL, [at] datetimeoffset(6) NULL, PRIMARY KEY ([id]))"#);
        assert_snapshot!(create(&SYBASE), @r#"CREATE TABLE "dbo"."it's [a]" ("id" bigint NOT NULL, "co]de""" varchar(190) NOT NULL, "price" numeric(14,2) NULL, "note" unitext NULL, "at" bigdatetime NULL, PRIMARY KEY ("id"))"#);
        assert_snapshot!(SQL_SERVER.drop_table(&table), @"DROP TABLE IF EXISTS [dbo].[it's [a]]]");
        assert_snapshot!(SYBASE.drop_table(&table), @r#"DROP TABLE "dbo"."it's [a]""#);
        assert_snapshot!(SYBASE.create_state(&table.beside("syncline_state")), @r#"CREATE TABLE "dbo"."syncline_state" ("sync" varchar(200) NOT NULL, "table_name" varchar(200) NOT NULL, "epoch" bigint NOT NULL, "position" text NULL, "started_at" bigint NULL, PRIMARY KEY ("sync", "table_name"))"#);
        let columns = Example::columns(&SQL_SERVER);
        let own = SQL_SERVER.in_session(&table.beside("syncline_0_1"));
        assert_snapshot!(SQL_SERVER.create_staging(&own, &columns[..1], false, true), @"CREATE TABLE [#syncline_0_1] ([id] bigint NULL)");
        assert_snapshot!(SQL_SERVER.widen_column(&table, &columns[1]), @r#"ALTER TABLE [dbo].[it's [a]]] ALTER COLUMN [co]]de"] nvarchar(225) NOT NULL"#);
        assert_snapshot!(SQL_SERVER.create_staging(&table.beside("syncline_0_1"), &columns, true, false), @r#"CREATE TABLE [dbo].[syncline_0_1] ([id] bigint NULL, [co]]de"] nvarchar(225) NULL, [price] decimal(14,2) NULL, [note] nvarchar(max) NULL, [at] datetimeoffset(6) NULL, [syncline_tombstone] bit NULL)"#);
    }

    #[test]
    fn only_wider_types_are_wider() {
        for (from, to, expected) in [
            ("int", "bigint", true),
            ("bigint", "int", false),
            ("decimal(10,2)", "decimal(14,2)", true),
            ("decimal(10,2)", "decimal(11,4)", false),
            ("nvarchar(20)", "nvarchar(max)", true),
            ("nvarchar(max)", "nvarchar(20)", false),
            ("varchar(20)", "nvarchar(20)", true),
            ("varchar(20)", "nvarchar(10)", false),
            ("datetime2(6)", "datetimeoffset(6)", false),
            ("real", "float", true),
        ] {
            assert_eq!(widens(from, to), expected, "{from} to {to}");
        }
    }
}
