//! Oracle 12.2 or newer, which is reached through ODBC.
//! <https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/MERGE.html>

use syncline_core::schema::{FieldType, Limits};

use super::{Dialect, Length, MergeSql, UpdateForm};
use crate::database::Column;

/// The facts.
pub static ORACLE: Dialect = Dialect {
    name: "oracle",
    quotes: ('"', '"'),
    name_max: Length::Bytes(128),
    transactional_ddl: false,
    parameter: |_| "?".to_owned(),
    declare,
    limits,
    differ,
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("TO_CHAR({value})"),
    limited: |select, limit| format!("SELECT {select} FETCH FIRST {limit} ROWS ONLY"),
    update: UpdateForm::None { names_alias: false },
    delete_names_alias: false,
    alias: "",
    // from 18c on
    create_staging: ("CREATE TABLE", "CREATE PRIVATE TEMPORARY TABLE"),
    session_table: ("ORA$PTT_", " ON COMMIT PRESERVE DEFINITION"),
    nullable: "",
    table_suffix: "",
    // it may not be said again that a column is null or not
    retype: |table, column, declared, _| format!("ALTER TABLE {table} MODIFY ({column} {declared})"),
    drop_table: |table| format!("DROP TABLE {table} PURGE"),
    merge: Some(merge),
    now: "SYSTIMESTAMP",
    truth: "1",
    falsehood: "0",
    boolean: "NUMBER(1)",
    own_types: ("VARCHAR2(200 CHAR)", "CLOB", "NUMBER(19)"),
    // the first statement begins a transaction by itself
    begin: "SET TRANSACTION READ WRITE",
    for_update: " FOR UPDATE",
    widens,
};

/// A key has some 6,400 bytes on the usual pages. An empty text is null there.
fn declare(kind: &FieldType, key: bool) -> String {
    match kind {
        FieldType::Boolean => "NUMBER(1)".into(),
        FieldType::Int64 => "NUMBER(19)".into(),
        FieldType::Float64 => "BINARY_DOUBLE".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } if *p <= 38 && s <= p => {
            format!("NUMBER({p},{s})")
        }
        FieldType::Decimal { .. } => "NUMBER".into(),
        FieldType::Text if key => "VARCHAR2(390 CHAR)".into(),
        FieldType::Binary if key => "RAW(1560)".into(),
        FieldType::Binary => "BLOB".into(),
        FieldType::Date => "DATE".into(),
        // there is no type for it
        FieldType::Time => "VARCHAR2(15)".into(),
        FieldType::Timestamp { zoned: true } => "TIMESTAMP(6) WITH TIME ZONE".into(),
        FieldType::Timestamp { zoned: false } => "TIMESTAMP(6)".into(),
        FieldType::Uuid => "VARCHAR2(36)".into(),
        FieldType::Text | FieldType::Json | FieldType::List(_) => "CLOB".into(),
    }
}

fn limits(column: &Column) -> Limits {
    let length = || parts(&column.declared).1.first().and_then(|n| usize::try_from(*n).ok());
    match column.kind {
        FieldType::Text => Limits { empty_is_null: true, max_chars: length(), ..Limits::default() },
        FieldType::Date | FieldType::Timestamp { .. } => {
            Limits { years: Some((1, 9999)), ..Limits::default() }
        }
        _ => Limits::default(),
    }
}

/// DECODE takes nulls for the same; it does not take large objects.
fn differ(left: &str, right: &str, column: &Column) -> String {
    match column.declared.to_ascii_uppercase().as_str() {
        "CLOB" | "NCLOB" | "BLOB" => format!(
            "(DBMS_LOB.COMPARE({left}, {right}) <> 0 OR ({left} IS NULL AND {right} IS NOT NULL) OR ({left} IS NOT NULL \
             AND {right} IS NULL))"
        ),
        _ => format!("DECODE({left}, {right}, 0, 1) = 1"),
    }
}

/// One statement that updates what differs and adds what is new, where there is anything to update or to add.
fn merge(merge: &MergeSql<'_>) -> String {
    let dialect = merge.dialect;
    let mut sql = format!(
        "MERGE INTO {} d USING {} s ON ({})",
        dialect.table(merge.table),
        dialect.table(merge.staging),
        merge.same_key("d", "s")
    );
    if let Some(conditions) = merge.update_conditions() {
        let set: Vec<_> = merge.assignments().iter().map(|(c, v)| format!("d.{c} = {v}")).collect();
        sql +=
            &format!(" WHEN MATCHED THEN UPDATE SET {} WHERE {}", set.join(", "), conditions.join(" AND "));
    }
    if !merge.insert.is_empty() {
        let living = merge.living().map(|l| format!(" WHERE {l}")).unwrap_or_default();
        sql += &format!(
            " WHEN NOT MATCHED THEN INSERT ({}) VALUES ({}){living}",
            dialect.quoted("", merge.insert).join(", "),
            dialect.quoted("s.", merge.insert).join(", ")
        );
    }
    sql
}

fn widens(from: &str, to: &str) -> bool {
    let upper = (from.to_ascii_uppercase(), to.to_ascii_uppercase());
    let ((a, x), (b, y)) = (parts(&upper.0), parts(&upper.1));
    match (a, b, x.as_slice(), y.as_slice()) {
        ("NUMBER", "NUMBER", given, []) => !given.is_empty(),
        ("NUMBER", "NUMBER", [p, given @ ..], [q, wanted @ ..]) => {
            let (s, t) = (given.first().unwrap_or(&0), wanted.first().unwrap_or(&0));
            (q, t) != (p, s) && t >= s && q.saturating_sub(*t) >= p.saturating_sub(*s)
        }
        ("VARCHAR2" | "RAW", _, [n], [m]) if a == b => m > n,
        ("BINARY_FLOAT", "BINARY_DOUBLE", ..) => true,
        _ => false,
    }
}

/// A type and its length or digits.
fn parts(declared: &str) -> (&str, Vec<u32>) {
    let (name, rest) = declared.split_once('(').unwrap_or((declared, ""));
    let numbers = rest.split([',', ' ', ')']).filter_map(|n| n.parse().ok()).collect();
    // TIMESTAMP(6) WITH TIME ZONE: the words after the brackets belong to the name
    if rest.contains(") ") { (declared, numbers) } else { (name, numbers) }
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
    fn merges() {
        let example = Example::of(&ORACLE, "HR");
        let merge = example.merge(&Gone::Stay);
        assert_snapshot!((ORACLE.merge.expect("a merge"))(&merge), @r#"MERGE INTO "HR"."projects" d USING "HR"."syncline_0_1" s ON (d."id" = s."id" AND d."co]de""" = s."co]de""") WHEN MATCHED THEN UPDATE SET d."price" = s."price", d."note" = s."note", d."at" = s."at" WHERE s."syncline_tombstone" <> 1 AND (DECODE(d."price", s."price", 0, 1) = 1 OR (DBMS_LOB.COMPARE(d."note", s."note") <> 0 OR (d."note" IS NULL AND s."note" IS NOT NULL) OR (d."note" IS NOT NULL AND s."note" IS NULL)) OR DECODE(d."at", s."at", 0, 1) = 1) AND (s.price > d.price) WHEN NOT MATCHED THEN INSERT ("id", "co]de""", "price", "note", "at") VALUES (s."id", s."co]de""", s."price", s."note", s."at") WHERE s."syncline_tombstone" <> 1"#);
        assert_snapshot!(merge.update().expect("an update"), @r#"MERGE INTO "HR"."projects" d USING "HR"."syncline_0_1" s ON (d."id" = s."id" AND d."co]de""" = s."co]de""") WHEN MATCHED THEN UPDATE SET d."price" = s."price", d."note" = s."note", d."at" = s."at" WHERE s."syncline_tombstone" <> 1 AND (DECODE(d."price", s."price", 0, 1) = 1 OR (DBMS_LOB.COMPARE(d."note", s."note") <> 0 OR (d."note" IS NULL AND s."note" IS NOT NULL) OR (d."note" IS NOT NULL AND s."note" IS NULL)) OR DECODE(d."at", s."at", 0, 1) = 1) AND (s.price > d.price)"#);
        assert_snapshot!(merge.insert_new(), @r#"INSERT INTO "HR"."projects" ("id", "co]de""", "price", "note", "at") SELECT s."id", s."co]de""", s."price", s."note", s."at" FROM "HR"."syncline_0_1" s WHERE s."syncline_tombstone" <> 1 AND NOT EXISTS (SELECT 1 FROM "HR"."projects" d WHERE d."id" = s."id" AND d."co]de""" = s."co]de""")"#);
        let delete = example.merge(&Gone::Delete);
        assert_snapshot!(delete.remove(Which::Unstaged).expect("a delete"), @r#"DELETE FROM "HR"."projects" d WHERE NOT EXISTS (SELECT 1 FROM "HR"."syncline_0_1" s WHERE s."id" = d."id" AND s."co]de""" = d."co]de""")"#);
        let gone = Gone::Mark { column: "gone]at".into(), flag: false };
        let mark = example.merge(&gone);
        assert_snapshot!(mark.remove(Which::Tombstones).expect("a mark"), @r#"UPDATE "HR"."projects" d SET "gone]at" = SYSTIMESTAMP WHERE EXISTS (SELECT 1 FROM "HR"."syncline_0_1" s WHERE s."id" = d."id" AND s."co]de""" = d."co]de""" AND s."syncline_tombstone" = 1) AND d."gone]at" IS NULL"#);
        assert_snapshot!(mark.list_gone(Which::Unstaged, 10), @r#"SELECT TO_CHAR(d."id"), TO_CHAR(d."co]de""") FROM "HR"."projects" d WHERE NOT EXISTS (SELECT 1 FROM "HR"."syncline_0_1" s WHERE s."id" = d."id" AND s."co]de""" = d."co]de""") AND d."gone]at" IS NULL FETCH FIRST 10 ROWS ONLY"#);
        assert_snapshot!(merge.delete_doubled(), @r#"DELETE FROM "HR"."syncline_0_1" s WHERE EXISTS (SELECT 1 FROM (SELECT s."id", s."co]de""" FROM "HR"."syncline_0_1" s GROUP BY s."id", s."co]de""" HAVING count(*) > 1) c WHERE s."id" = c."id" AND s."co]de""" = c."co]de""")"#);
    }

    #[test]
    fn tables() {
        let table = Named { schema: Some("HR".into()), name: "it's \"a\"".into() };
        let columns = Example::columns(&ORACLE);
        let key = ["id".to_owned()];
        assert_snapshot!(ORACLE.create_table(&table, Layout { columns: &columns, key: &key }), @r#"CREATE TABLE "HR"."it's ""a""" ("id" NUMBER(19) NOT NULL, "co]de""" VARCHAR2(390 CHAR) NOT NULL, "price" NUMBER(14,2), "note" CLOB, "at" TIMESTAMP(6) WITH TIME ZONE, PRIMARY KEY ("id"))"#);
        assert_snapshot!(ORACLE.drop_table(&table), @r#"DROP TABLE "HR"."it's ""a""" PURGE"#);
        let own = ORACLE.in_session(&table.beside("syncline_0_1"));
        assert_snapshot!(ORACLE.create_staging(&own, &columns[..1], false, true), @r#"CREATE PRIVATE TEMPORARY TABLE "ORA$PTT_syncline_0_1" ("id" NUMBER(19)) ON COMMIT PRESERVE DEFINITION"#);
        assert_snapshot!(ORACLE.widen_column(&table, &columns[1]), @r#"ALTER TABLE "HR"."it's ""a""" MODIFY ("co]de""" VARCHAR2(390 CHAR))"#);
        assert_snapshot!(ORACLE.create_staging(&table.beside("syncline_0_1"), &columns, true, false), @r#"CREATE TABLE "HR"."syncline_0_1" ("id" NUMBER(19), "co]de""" VARCHAR2(390 CHAR), "price" NUMBER(14,2), "note" CLOB, "at" TIMESTAMP(6) WITH TIME ZONE, "syncline_tombstone" NUMBER(1))"#);
    }

    #[test]
    fn only_wider_types_are_wider() {
        for (from, to, expected) in [
            ("NUMBER(10)", "NUMBER(19)", true),
            ("NUMBER(10,2)", "NUMBER(14,2)", true),
            ("NUMBER(10,2)", "NUMBER(11,4)", false),
            ("NUMBER(10,2)", "NUMBER", true),
            ("NUMBER", "NUMBER(10,2)", false),
            ("VARCHAR2(20 CHAR)", "VARCHAR2(40 CHAR)", true),
            ("VARCHAR2(40)", "VARCHAR2(20)", false),
            ("VARCHAR2(40)", "CLOB", false),
            ("TIMESTAMP(6)", "TIMESTAMP(6) WITH TIME ZONE", false),
        ] {
            assert_eq!(widens(from, to), expected, "{from} to {to}");
        }
    }
}
