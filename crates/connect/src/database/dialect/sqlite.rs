//! SQLite 3.35 or newer (ours is bundled). <https://www.sqlite.org/lang.html>

use syncline_core::schema::{FieldType, Limits};

use super::{Dialect, Length, UpdateForm};
use crate::database::Column;

/// The facts.
pub static SQLITE: Dialect = Dialect {
    name: "sqlite",
    quotes: ('"', '"'),
    // it has no limit of its own; this one keeps messages readable
    name_max: Length::Bytes(1000),
    transactional_ddl: true,
    parameter: |n| format!("?{n}"),
    declare,
    limits,
    differ,
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("CAST({value} AS TEXT)"),
    limited: |select, limit| format!("SELECT {select} LIMIT {limit}"),
    update: UpdateForm::From,
    delete_names_alias: false,
    alias: "AS ",
    create_staging: ("CREATE TEMPORARY TABLE", "CREATE TEMPORARY TABLE"),
    session_table: ("", ""),
    nullable: "",
    table_suffix: "",
    // the type of a column is fixed; but it limits neither lengths nor digits
    retype: |_, _, _, _| String::new(),
    drop_table: |table| format!("DROP TABLE IF EXISTS {table}"),
    merge: None,
    // in the form in which the connector writes times
    now: "strftime('%Y-%m-%d %H:%M:%f000Z', 'now')",
    truth: "1",
    falsehood: "0",
    boolean: "boolean",
    own_types: ("TEXT", "TEXT", "INTEGER"),
    begin: "BEGIN IMMEDIATE",
    for_update: "",
    widens: |_, _| false,
};

/// What a column makes of the values that it is given. <https://www.sqlite.org/datatype3.html#type_affinity>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// Numbers become texts.
    Text,
    /// Texts that look like numbers become numbers, and decimals doubles.
    Number,
    /// Everything stays.
    None,
}

/// The affinity of a declared type.
pub(crate) fn affinity(declared: &str) -> Affinity {
    let upper = declared.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| upper.contains(part));
    match () {
        () if has(&["INT"]) => Affinity::Number,
        () if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
        () if has(&["BLOB"]) || upper.trim().is_empty() => Affinity::None,
        () => Affinity::Number,
    }
}

/// What a column that is declared so does not store as it is given.
fn limits(column: &Column) -> Limits {
    let number = affinity(&column.declared) == Affinity::Number;
    let none = Limits::default();
    match column.kind {
        FieldType::Float64 => Limits { no_nan: true, ..none },
        FieldType::Decimal { .. } => Limits { finite: true, as_double: number, ..none },
        FieldType::Text | FieldType::Json => Limits { no_number: number, ..none },
        FieldType::Date | FieldType::Timestamp { .. } => {
            Limits { years: Some((-9999, 9999)), infinity: true, ..none }
        }
        _ => none,
    }
}

/// Every form of one time, uuid or boolean is the same value; the functions are the connector's (`sqlite/types.rs`), and are
/// called only where what is stored differs. One that is no value of its type gives way to null, too.
fn differ(left: &str, right: &str, column: &Column) -> String {
    let differ = format!("{left} IS NOT {right}");
    let function = match column.kind {
        FieldType::Timestamp { zoned: true } => "syncline_instant",
        FieldType::Timestamp { zoned: false } => "syncline_wall",
        FieldType::Date => "syncline_date",
        FieldType::Time => "syncline_time",
        FieldType::Uuid => "syncline_uuid",
        FieldType::Boolean => "syncline_boolean",
        _ => return differ,
    };
    format!("({differ} AND ({right} IS NULL OR {function}({left}) IS NOT {function}({right})))")
}

/// The words that our own source reads back as the same types (`sqlite/types.rs`). Those with TEXT in them keep every digit:
/// of a `DECIMAL` SQLite would make a double.
fn declare(kind: &FieldType, _: bool) -> String {
    match kind {
        FieldType::Boolean => "BOOLEAN".into(),
        // a single one as the key is the row's own number, so it needs no index
        FieldType::Int64 => "INTEGER".into(),
        FieldType::Float64 => "DOUBLE".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } => format!("DECIMAL_TEXT({p},{s})"),
        FieldType::Decimal { .. } => "DECIMAL_TEXT".into(),
        FieldType::Text => "TEXT".into(),
        FieldType::Binary => "BLOB".into(),
        FieldType::Date => "DATE".into(),
        FieldType::Time => "TIME".into(),
        FieldType::Timestamp { zoned: true } => "TIMESTAMP".into(),
        FieldType::Timestamp { zoned: false } => "TIMESTAMP WITHOUT TIME ZONE".into(),
        FieldType::Uuid => "UUID".into(),
        FieldType::Json | FieldType::List(_) => "JSON_TEXT".into(),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::database::{
        Gone, Shape,
        dialect::{Layout, MergeSql, Named, STATE, Which},
    };

    fn column(name: &str, kind: FieldType, nullable: bool) -> Column {
        let declared = declare(&kind, !nullable);
        Column { name: name.into(), kind, declared, nullable }
    }

    fn table() -> Named {
        Named { schema: None, name: "t\"; x".into() }
    }

    fn shape(tombstones: bool) -> Shape {
        let columns = vec![
            column("a", FieldType::Int64, false),
            column("or\"der", FieldType::Text, false),
            column("v", FieldType::Decimal { precision: Some(14), scale: Some(2) }, true),
            column("at", FieldType::Timestamp { zoned: true }, true),
        ];
        Shape { columns, key: vec!["a".into(), "or\"der".into()], tombstones, ..Shape::default() }
    }

    fn lines(statements: impl IntoIterator<Item = String>) -> String {
        statements.into_iter().collect::<Vec<_>>().join("\n")
    }

    /// Renders with a merge into the table.
    fn merged(gone: &Gone, tombstones: bool, render: impl Fn(&MergeSql<'_>) -> Vec<String>) -> String {
        let (table, shape) = (table(), shape(tombstones));
        let (update, insert) =
            (["v".to_owned(), "at".to_owned()], shape.columns.iter().map(|c| c.name.clone()));
        let insert: Vec<_> = insert.collect();
        let merge = MergeSql {
            dialect: &SQLITE,
            table: &table,
            staging: &table.beside("s1"),
            shape: &shape,
            update: &update,
            insert: &insert,
            update_when: Some("s.at > d.at"),
            gone,
            scope: &[],
        };
        lines(render(&merge))
    }

    #[test]
    fn tables() {
        let (table, shape) = (table(), shape(true));
        let sql = lines([
            SQLITE.create_table(&table, Layout { columns: &shape.columns, key: &shape.key }),
            SQLITE.create_table(&table, Layout { columns: &shape.columns[..1], key: &[] }),
            SQLITE.create_staging(&table.beside("s1"), &shape.columns, true, false),
            SQLITE.add_column(&table, &shape.columns[2]),
            SQLITE.widen_column(&table, &shape.columns[2]),
            SQLITE.drop_table(&table),
        ]);
        assert_snapshot!(sql, @r##"
        CREATE TABLE "t""; x" ("a" INTEGER NOT NULL, "or""der" TEXT NOT NULL, "v" DECIMAL_TEXT(14,2), "at" TIMESTAMP, PRIMARY KEY ("a", "or""der"))
        CREATE TABLE "t""; x" ("a" INTEGER NOT NULL)
        CREATE TEMPORARY TABLE "s1" ("a" INTEGER, "or""der" TEXT, "v" DECIMAL_TEXT(14,2), "at" TIMESTAMP, "syncline_tombstone" boolean)
        ALTER TABLE "t""; x" ADD "v" DECIMAL_TEXT(14,2)

        DROP TABLE IF EXISTS "t""; x"
        "##);
    }

    #[test]
    fn types() {
        let kinds = [
            FieldType::Boolean,
            FieldType::Int64,
            FieldType::Float64,
            FieldType::Decimal { precision: None, scale: None },
            FieldType::Binary,
            FieldType::Date,
            FieldType::Time,
            FieldType::Timestamp { zoned: false },
            FieldType::Uuid,
            FieldType::Json,
            FieldType::List(Box::new(FieldType::Int64)),
        ];
        assert_snapshot!(lines(kinds.map(|kind| declare(&kind, false))), @r##"
        BOOLEAN
        INTEGER
        DOUBLE
        DECIMAL_TEXT
        BLOB
        DATE
        TIME
        TIMESTAMP WITHOUT TIME ZONE
        UUID
        JSON_TEXT
        JSON_TEXT
        "##);
    }

    #[test]
    fn merges() {
        let sql = merged(&Gone::Stay, false, |m| {
            vec![m.update().unwrap_or_default(), m.insert_new(), m.insert_all()]
        });
        assert_snapshot!(sql, @r##"
        UPDATE "t""; x" AS d SET "v" = s."v", "at" = s."at" FROM "s1" AS s WHERE d."a" = s."a" AND d."or""der" = s."or""der" AND (d."v" IS NOT s."v" OR (d."at" IS NOT s."at" AND (s."at" IS NULL OR syncline_instant(d."at") IS NOT syncline_instant(s."at")))) AND (s.at > d.at)
        INSERT INTO "t""; x" ("a", "or""der", "v", "at") SELECT s."a", s."or""der", s."v", s."at" FROM "s1" AS s WHERE NOT EXISTS (SELECT 1 FROM "t""; x" AS d WHERE d."a" = s."a" AND d."or""der" = s."or""der")
        INSERT INTO "t""; x" ("a", "or""der", "v", "at") SELECT s."a", s."or""der", s."v", s."at" FROM "s1" AS s
        "##);
    }

    #[test]
    fn merges_with_tombstones() {
        let sql = merged(&Gone::Delete, true, |m| {
            let remove = m.remove(Which::Tombstones).unwrap_or_default();
            vec![m.update().unwrap_or_default(), m.insert_new(), m.count_tombstones(), remove]
        });
        assert_snapshot!(sql, @r##"
        UPDATE "t""; x" AS d SET "v" = s."v", "at" = s."at" FROM "s1" AS s WHERE d."a" = s."a" AND d."or""der" = s."or""der" AND s."syncline_tombstone" <> 1 AND (d."v" IS NOT s."v" OR (d."at" IS NOT s."at" AND (s."at" IS NULL OR syncline_instant(d."at") IS NOT syncline_instant(s."at")))) AND (s.at > d.at)
        INSERT INTO "t""; x" ("a", "or""der", "v", "at") SELECT s."a", s."or""der", s."v", s."at" FROM "s1" AS s WHERE s."syncline_tombstone" <> 1 AND NOT EXISTS (SELECT 1 FROM "t""; x" AS d WHERE d."a" = s."a" AND d."or""der" = s."or""der")
        SELECT count(*) FROM "s1" AS s WHERE s."syncline_tombstone" = 1
        DELETE FROM "t""; x" AS d WHERE EXISTS (SELECT 1 FROM "s1" AS s WHERE s."a" = d."a" AND s."or""der" = d."or""der" AND s."syncline_tombstone" = 1)
        "##);
    }

    #[test]
    fn deletes() {
        let gone = table().beside("g1");
        let sql = merged(&Gone::Delete, false, |m| {
            let remove = |which| m.remove(which).unwrap_or_default();
            let which = Which::Unstaged;
            vec![
                m.count_known(),
                m.count_gone(which),
                m.list_gone(which, 3),
                remove(which),
                remove(Which::Named(&gone)),
            ]
        });
        assert_snapshot!(sql, @r##"
        SELECT count(*) FROM "t""; x" AS d
        SELECT count(*) FROM "t""; x" AS d WHERE NOT EXISTS (SELECT 1 FROM "s1" AS s WHERE s."a" = d."a" AND s."or""der" = d."or""der")
        SELECT CAST(d."a" AS TEXT), CAST(d."or""der" AS TEXT) FROM "t""; x" AS d WHERE NOT EXISTS (SELECT 1 FROM "s1" AS s WHERE s."a" = d."a" AND s."or""der" = d."or""der") LIMIT 3
        DELETE FROM "t""; x" AS d WHERE NOT EXISTS (SELECT 1 FROM "s1" AS s WHERE s."a" = d."a" AND s."or""der" = d."or""der")
        DELETE FROM "t""; x" AS d WHERE EXISTS (SELECT 1 FROM "g1" AS g WHERE g."a" = d."a" AND g."or""der" = d."or""der")
        "##);
    }

    #[test]
    fn marks() {
        let sql = [false, true].map(|flag| {
            merged(&Gone::Mark { column: "gone".into(), flag }, false, |m| {
                let remove = m.remove(Which::Unstaged).unwrap_or_default();
                vec![m.update().unwrap_or_default(), remove, m.count_known()]
            })
        });
        assert_snapshot!(lines(sql), @r##"
        UPDATE "t""; x" AS d SET "v" = s."v", "at" = s."at", "gone" = NULL FROM "s1" AS s WHERE d."a" = s."a" AND d."or""der" = s."or""der" AND (d."v" IS NOT s."v" OR (d."at" IS NOT s."at" AND (s."at" IS NULL OR syncline_instant(d."at") IS NOT syncline_instant(s."at"))) OR d."gone" IS NOT NULL) AND (s.at > d.at)
        UPDATE "t""; x" AS d SET "gone" = strftime('%Y-%m-%d %H:%M:%f000Z', 'now') WHERE NOT EXISTS (SELECT 1 FROM "s1" AS s WHERE s."a" = d."a" AND s."or""der" = d."or""der") AND d."gone" IS NULL
        SELECT count(*) FROM "t""; x" AS d WHERE d."gone" IS NULL
        UPDATE "t""; x" AS d SET "v" = s."v", "at" = s."at", "gone" = 0 FROM "s1" AS s WHERE d."a" = s."a" AND d."or""der" = s."or""der" AND (d."v" IS NOT s."v" OR (d."at" IS NOT s."at" AND (s."at" IS NULL OR syncline_instant(d."at") IS NOT syncline_instant(s."at"))) OR d."gone" = 1) AND (s.at > d.at)
        UPDATE "t""; x" AS d SET "gone" = 1 WHERE NOT EXISTS (SELECT 1 FROM "s1" AS s WHERE s."a" = d."a" AND s."or""der" = d."or""der") AND (d."gone" IS NULL OR d."gone" <> 1)
        SELECT count(*) FROM "t""; x" AS d WHERE (d."gone" IS NULL OR d."gone" <> 1)
        "##);
    }

    #[test]
    fn previews() {
        let sql = merged(&Gone::Stay, false, |m| {
            let (changed, list) = (m.count_changed(), m.list_changed(2));
            vec![
                m.count_new(),
                m.list_new(2, true),
                m.list_new(2, false),
                changed.unwrap_or_default(),
                list.unwrap_or_default(),
            ]
        });
        assert_snapshot!(sql, @r##"
        SELECT count(*) FROM "s1" AS s WHERE NOT EXISTS (SELECT 1 FROM "t""; x" AS d WHERE d."a" = s."a" AND d."or""der" = s."or""der")
        SELECT CAST(s."a" AS TEXT), CAST(s."or""der" AS TEXT), CAST(s."a" AS TEXT), CAST(s."or""der" AS TEXT), CAST(s."v" AS TEXT), CAST(s."at" AS TEXT) FROM "s1" AS s WHERE NOT EXISTS (SELECT 1 FROM "t""; x" AS d WHERE d."a" = s."a" AND d."or""der" = s."or""der") LIMIT 2
        SELECT CAST(s."a" AS TEXT), CAST(s."or""der" AS TEXT), CAST(s."a" AS TEXT), CAST(s."or""der" AS TEXT), CAST(s."v" AS TEXT), CAST(s."at" AS TEXT) FROM "s1" AS s LIMIT 2
        SELECT count(*) FROM "s1" AS s JOIN "t""; x" AS d ON d."a" = s."a" AND d."or""der" = s."or""der" WHERE (d."v" IS NOT s."v" OR (d."at" IS NOT s."at" AND (s."at" IS NULL OR syncline_instant(d."at") IS NOT syncline_instant(s."at")))) AND (s.at > d.at)
        SELECT CAST(s."a" AS TEXT), CAST(s."or""der" AS TEXT), CAST(d."v" AS TEXT), CAST(d."at" AS TEXT), CAST(s."v" AS TEXT), CAST(s."at" AS TEXT) FROM "s1" AS s JOIN "t""; x" AS d ON d."a" = s."a" AND d."or""der" = s."or""der" WHERE (d."v" IS NOT s."v" OR (d."at" IS NOT s."at" AND (s."at" IS NULL OR syncline_instant(d."at") IS NOT syncline_instant(s."at")))) AND (s.at > d.at) LIMIT 2
        "##);
    }

    #[test]
    fn doubtful_keys() {
        let sql = merged(&Gone::Stay, false, |m| {
            let keyless = [m.count_keyless(), m.delete_keyless()];
            keyless.into_iter().chain([m.count_doubled(), m.list_doubled(2), m.delete_doubled()]).collect()
        });
        assert_snapshot!(sql, @r##"
        SELECT count(*) FROM "s1" AS s WHERE s."a" IS NULL OR s."or""der" IS NULL
        DELETE FROM "s1" AS s WHERE s."a" IS NULL OR s."or""der" IS NULL
        SELECT count(*), coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM "s1" AS s GROUP BY s."a", s."or""der" HAVING count(*) > 1) AS c
        SELECT CAST(s."a" AS TEXT), CAST(s."or""der" AS TEXT) FROM "s1" AS s GROUP BY s."a", s."or""der" HAVING count(*) > 1 LIMIT 2
        DELETE FROM "s1" AS s WHERE EXISTS (SELECT 1 FROM (SELECT s."a", s."or""der" FROM "s1" AS s GROUP BY s."a", s."or""der" HAVING count(*) > 1) AS c WHERE s."a" = c."a" AND s."or""der" = c."or""der")
        "##);
    }

    #[test]
    fn states() {
        let state = table().beside(STATE);
        let sql = lines([
            SQLITE.create_state(&state),
            SQLITE.select_state(&state, true),
            SQLITE.insert_state(&state),
            SQLITE.raise_epoch(&state),
            SQLITE.save_state(&state, 7, 5, true),
            SQLITE.save_state(&state, 7, 5, false),
        ]);
        assert_snapshot!(sql, @r##"
        CREATE TABLE "syncline_state" ("sync" TEXT NOT NULL, "table_name" TEXT NOT NULL, "epoch" INTEGER NOT NULL, "position" TEXT, "started_at" INTEGER, PRIMARY KEY ("sync", "table_name"))
        SELECT CAST("epoch" AS TEXT), CAST("position" AS TEXT), CAST("started_at" AS TEXT) FROM "syncline_state" WHERE "sync" = ?1 AND "table_name" = ?2
        INSERT INTO "syncline_state" ("sync", "table_name", "epoch") VALUES (?1, ?2, 1)
        UPDATE "syncline_state" SET "epoch" = "epoch" + 1 WHERE "sync" = ?1 AND "table_name" = ?2
        UPDATE "syncline_state" SET "position" = ?1, "started_at" = 5 WHERE "sync" = ?2 AND "table_name" = ?3 AND "epoch" = 7
        UPDATE "syncline_state" SET "started_at" = 5 WHERE "sync" = ?1 AND "table_name" = ?2 AND "epoch" = 7
        "##);
    }
}
