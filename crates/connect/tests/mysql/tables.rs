//! Types and tables that only MySQL and MariaDB have.

use syncline_connect::{error::Kind, source::Fetch};
use syncline_core::{schema::FieldType, value::Value};

use super::{batches, full, ids, incremental, kit::Database, rows};

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

fn decimal(digits: &str) -> Value<'static> {
    Value::Decimal(digits.to_owned().into())
}

#[tokio::test]
async fn types_have_the_values_and_the_words_of_the_server() {
    Database::with(|db| async move {
        db.run(
            "CREATE TABLE t (id int unsigned NOT NULL PRIMARY KEY, big bigint unsigned, flag tinyint(1), tiny tinyint, \
             b1 bit(1), b9 bit(9), b64 bit(64), y year, f float, d decimal(38,10), mood enum('sad','it''s ok'), \
             tags set('a','b','c'), c char(4), v varchar(9) CHARACTER SET latin1, j json, i6 inet6, bin binary(3), \
             z int(5) zerofill, twice bigint AS (id * 2) VIRTUAL, p point)",
        )
        .await;
        db.run(
            "INSERT INTO t (id, big, flag, tiny, b1, b9, b64, y, f, d, mood, tags, c, v, j, i6, bin, z, p) VALUES \
             (4294967295, 18446744073709551615, 1, -128, b'1', 256, 18446744073709551615, 2155, 0.1, \
             '1234567890123456789012345678.0123456789', 'it''s ok', 'a,c', 'ab', 'ä€', '{\"n\": 12345678901234567890}', \
             '::1', x'61', 42, POINT(1, 2))",
        )
        .await;
        let source = db.source().await;
        let stream = source.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(stream.dialect, Some("mysql"));
        let expected = [
            ("id", "int(10) unsigned", FieldType::Int64, Value::Int64(4_294_967_295)),
            ("big", "bigint(20) unsigned", whole(20), decimal("18446744073709551615")),
            ("flag", "tinyint(1)", FieldType::Boolean, Value::Boolean(true)),
            ("tiny", "tinyint(4)", FieldType::Int64, Value::Int64(-128)),
            ("b1", "bit(1)", FieldType::Boolean, Value::Boolean(true)),
            ("b9", "bit(9)", FieldType::Int64, Value::Int64(256)),
            ("b64", "bit(64)", whole(20), decimal("18446744073709551615")),
            ("y", "year(4)", FieldType::Int64, Value::Int64(2155)),
            ("f", "float", FieldType::Float64, Value::Float64(0.1_f32.into())),
            (
                "d",
                "decimal(38,10)",
                FieldType::Decimal { precision: Some(38), scale: Some(10) },
                decimal("1234567890123456789012345678.0123456789"),
            ),
            ("mood", "enum('sad','it''s ok')", FieldType::Text, text("it's ok")),
            ("tags", "set('a','b','c')", FieldType::Text, text("a,c")),
            ("c", "char(4)", FieldType::Text, text("ab")),
            ("v", "varchar(9)", FieldType::Text, text("ä€")),
            ("j", "json", FieldType::Json, Value::Json("{\"n\": 12345678901234567890}".into())),
            ("i6", "inet6", FieldType::Text, text("::1")),
            ("bin", "binary(3)", FieldType::Binary, Value::Binary(vec![0x61, 0, 0].into())),
            ("z", "int(5) unsigned zerofill", FieldType::Int64, Value::Int64(42)),
            ("twice", "bigint(20)", FieldType::Int64, Value::Int64(8_589_934_590)),
        ];
        let described: Vec<_> = stream
            .fields
            .iter()
            .map(|f| (f.name.as_str(), f.native.as_deref().unwrap_or_default(), f.kind.clone()))
            .collect();
        let facts: Vec<_> = expected.iter().map(|(name, native, kind, _)| (*name, *native, kind.clone())).collect();
        assert_eq!(described, facts);
        assert_eq!(stream.unsupported.len(), 1);
        assert!(stream.unsupported[0].1.contains("ST_AsText"), "{:?}", stream.unsupported);
        let columns: Vec<_> = expected.iter().map(|(name, ..)| *name).collect();
        let row = rows(&source, full("t", &columns)).await.remove(0);
        assert_eq!(row, expected.map(|(.., value)| value));
        let Err(error) = source.read(full("t", &["id", "p"])).await else { panic!("a point was read") };
        assert!(error.hint.is_some_and(|h| h.contains("ST_AsText")));
    })
    .await;
}

fn whole(digits: u32) -> FieldType {
    FieldType::Decimal { precision: Some(digits), scale: Some(0) }
}

#[tokio::test]
async fn unsigned_numbers_beyond_64_bits_with_a_sign() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (k bigint unsigned PRIMARY KEY)").await;
        db.run(
            "INSERT INTO t VALUES (18446744073709551615), (0), (9223372036854775807), (9223372036854775808)",
        )
        .await;
        let source = db.source().await;
        let all = ["0", "9223372036854775807", "9223372036854775808", "18446744073709551615"].map(decimal);
        let mut request = full("t", &["k"]);
        request.batch_rows = 1;
        assert_eq!(rows(&source, request).await.concat(), all, "pages by a key without a sign");
        let keys =
            all.iter().map(|k| vec![k.clone()]).chain([vec![decimal("-1")], vec![decimal("0.5")]]).collect();
        let (columns, key) = (vec!["k".into()], vec!["k".into()]);
        let fetch = Fetch {
            stream: "t".into(),
            columns,
            key,
            tombstone: None,
            keys,
            params: syncline_connect::source::Params::new(),
        };
        assert_eq!(source.fetch(fetch).await.unwrap_or_else(|e| panic!("{e}")).len(), 4);
        for (from, back, expected) in [
            ("9223372036854775808", 0, 2),
            ("9223372036854775808", 1, 3),
            ("0", 5, 4),
            ("18446744073709551615", 0, 1),
        ] {
            let mut request = incremental("t", &["k"], "k", decimal(from));
            request.overlap.count = back;
            assert_eq!(rows(&source, request).await.len(), expected, "from {from}, {back} back");
        }
    })
    .await;
}

#[tokio::test]
async fn decimals_are_compared_with_all_their_digits() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (k decimal(38,10) PRIMARY KEY)").await;
        let all = ["1234567890123456789012345678.0000000001", "1234567890123456789012345678.0000000002"];
        db.run(&format!("INSERT INTO t VALUES ({}), ({})", all[0], all[1])).await;
        let source = db.source().await;
        let mut request = full("t", &["k"]);
        request.batch_rows = 1;
        request.batch_bytes = 1;
        assert_eq!(rows(&source, request).await.concat(), all.map(decimal));
        let keys = vec![vec![decimal(all[1])], vec![decimal("1234567890123456789012345678.00000000014")]];
        let (columns, key) = (vec!["k".into()], vec!["k".into()]);
        let fetch = Fetch {
            stream: "t".into(),
            columns,
            key,
            tombstone: None,
            keys,
            params: syncline_connect::source::Params::new(),
        };
        assert_eq!(
            source.fetch(fetch).await.unwrap_or_else(|e| panic!("{e}")).len(),
            1,
            "nothing is rounded"
        );
        let from = incremental("t", &["k"], "k", decimal(all[1]));
        assert_eq!(rows(&source, from).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn keys_of_many_types_page_and_are_found() {
    Database::with(|db| async move {
        let source = db.source().await;
        for (number, (kind, values)) in [
            ("enum('z','a','m')", "('z'), ('a'), ('m')"),
            ("set('z','a','m')", "('z'), ('a,m'), ('m')"),
            ("char(3)", "('a'), ('b'), ('c')"),
            ("varchar(5) COLLATE utf8mb4_general_ci", "('a'), ('B'), ('c')"),
            ("varchar(5) CHARACTER SET latin1", "('a'), ('ä'), ('ö')"),
            ("smallint", "(-1), (0), (1)"),
            ("float", "(-0.1), (0.1), (0.2)"),
            ("year", "(1901), (2000), (2155)"),
            ("bit(1)", "(0), (1)"),
            ("bit(12)", "(1), (256), (4095)"),
            ("bit(64)", "(1), (256), (18446744073709551615)"),
            ("inet6", "('::1'), ('::2'), ('1::')"),
            ("uuid", "('00000000-0000-1000-8000-000000000001'), ('00000000-0000-4000-8000-000000000000'), (UUID())"),
            ("binary(2)", "(x'00'), (x'ff00'), (x'ffff')"),
            ("time", "('00:00:00'), ('00:00:01'), ('23:59:59')"),
            ("timestamp(6)", "('1970-01-01 00:00:01'), ('2026-01-31 10:00:00.000001'), ('2038-01-19 03:14:07.999999')"),
        ]
        .into_iter()
        .enumerate()
        {
            let table = format!("k{number}");
            db.run(&format!("CREATE TABLE {table} (k {kind} NOT NULL PRIMARY KEY)")).await;
            db.run(&format!("INSERT INTO {table} VALUES {values}")).await;
            let expected = values.matches("),").count() + 1;
            let mut request = full(&table, &["k"]);
            (request.batch_rows, request.batch_bytes) = (1, 1);
            let found = rows(&source, request).await;
            assert_eq!(found.len(), expected, "{kind}: {found:?}");
            let keys = found;
            let (columns, key) = (vec!["k".into()], vec!["k".into()]);
            let fetch = Fetch { stream: table, columns, key, tombstone: None, keys, params: syncline_connect::source::Params::new() };
            let batch = source.fetch(fetch).await.unwrap_or_else(|e| panic!("{kind}: {e}"));
            assert_eq!(batch.len(), expected, "{kind}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_collation_calls_equal_is_one_key() {
    Database::with(|db| async move {
        db.run("CREATE TABLE t (k varchar(20) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, at datetime(6), INDEX (at))").await;
        db.run("INSERT INTO t VALUES ('b', '2026-01-01'), ('A', '2026-01-01'), ('c ', '2026-01-01'), ('Ä2', '2026-01-01')").await;
        let source = db.source().await;
        let keys = |list: &[&str]| list.iter().map(|k| text(k)).collect::<Vec<_>>();
        for batch_rows in [1, 2, 9] {
            let mut request = full("t", &["k"]);
            request.batch_rows = batch_rows;
            assert_eq!(rows(&source, request).await.concat(), keys(&["A", "Ä2", "b", "c "]), "the server's order");
            let from = Value::Timestamp { micros: 0, zoned: false };
            let mut request = incremental("t", &["k", "at"], "at", from);
            request.batch_rows = batch_rows;
            assert_eq!(rows(&source, request).await.len(), 4);
        }
        let (columns, key) = (vec!["k".into()], vec!["k".into()]);
        let fetch = Fetch { stream: "t".into(), columns, key, tombstone: None, keys: vec![vec![text("a")]], params: syncline_connect::source::Params::new() };
        assert_eq!(source.fetch(fetch).await.unwrap_or_else(|e| panic!("{e}")).len(), 1);
        db.run("CREATE TABLE d (k varchar(20) COLLATE utf8mb4_general_ci)").await;
        db.run("INSERT INTO d VALUES ('a'), ('A'), ('b')").await;
        let found = source.duplicate_keys("d", &["k".into()], 10).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(found.len(), 1, "a and A");
    })
    .await;
}

#[tokio::test]
async fn a_value_that_cannot_be_carried_costs_one_record() {
    Database::with(|db| async move {
        db.run("SET sql_mode = 'ALLOW_INVALID_DATES'").await;
        db.run("CREATE TABLE t (id int PRIMARY KEY, day date, at datetime(6), ts timestamp NULL, span time, flag tinyint(1), INDEX (at))").await;
        db.run(
            "INSERT INTO t VALUES (1, '2026-01-31', '2026-01-31', '2026-01-31', '10:00', 1), \
             (2, '0000-00-00', NULL, NULL, NULL, NULL), (3, NULL, '0000-00-00 00:00:00', NULL, NULL, NULL), \
             (4, NULL, NULL, '0000-00-00 00:00:00', NULL, NULL), (5, '2026-00-05', NULL, NULL, NULL, NULL), \
             (6, '2026-05-00', NULL, NULL, NULL, NULL), (7, '2026-02-31', NULL, NULL, NULL, NULL), \
             (8, NULL, NULL, NULL, '-00:00:01', NULL), (9, NULL, NULL, NULL, '24:00:01', NULL), \
             (10, NULL, NULL, NULL, NULL, 2), (11, NULL, '2026-00-05', NULL, NULL, NULL), \
             (12, NULL, '2026-05-00', NULL, NULL, NULL), (13, NULL, '2026-02-31', NULL, NULL, NULL)",
        )
        .await;
        let source = db.source().await;
        let request = full("t", &["id", "day", "at", "ts", "span", "flag"]);
        let batch = batches(&source, request).await.remove(0);
        let problems: Vec<_> = (0..batch.len()).map(|row| batch.problem(row).unwrap_or_default()).collect();
        let (zero, partial, none) =
            ("the zero date, which is no day", "a date without month or day", "a day that the calendar does not have");
        let span = "column \"span\" (time): a time that lies outside of a day";
        assert_eq!(
            problems,
            [
                String::new(),
                format!("column \"day\" (date): {zero}"),
                format!("column \"at\" (datetime(6)): {zero}"),
                format!("column \"ts\" (timestamp): {zero}"),
                format!("column \"day\" (date): {partial}"),
                format!("column \"day\" (date): {partial}"),
                format!("column \"day\" (date): {none}"),
                span.to_owned(),
                span.to_owned(),
                "column \"flag\" (tinyint(1)): a number other than 0 and 1, where the type stands for a boolean".to_owned(),
                format!("column \"at\" (datetime(6)): {partial}"),
                format!("column \"at\" (datetime(6)): {partial}"),
                format!("column \"at\" (datetime(6)): {none}"),
            ]
        );
        let beginning = Value::Timestamp { micros: i64::MIN, zoned: false };
        let read = incremental("t", &["id", "at"], "at", beginning);
        assert_eq!(ids(&source, read).await, [1], "what is no day is no position");
    })
    .await;
}

#[tokio::test]
async fn views_statements_and_names_of_other_databases() {
    Database::with(|db| async move {
        db.run("CREATE TABLE base (id int PRIMARY KEY, v varchar(9), n decimal(14,2), big bigint unsigned, flag tinyint(1), at timestamp(6) NULL, u varbinary(3))").await;
        db.run("INSERT INTO base VALUES (2, 'b', 1.5, 18446744073709551615, 1, '2026-01-31 10:00', x'ff'), (1, 'a', NULL, 0, 0, NULL, NULL)").await;
        db.run("CREATE VIEW seen AS SELECT * FROM base").await;
        let source = db.source().await;
        let view = source.describe("seen").await.unwrap_or_else(|e| panic!("{e}"));
        assert!(view.primary_key.is_empty() && view.notes[0].starts_with("A view"), "{:?}", view.notes);
        let mut request = full("seen", &["id"]);
        request.key_is_total = false;
        assert_eq!(ids(&source, request).await.len(), 2);
        assert_eq!(source.streams().await.unwrap_or_else(|e| panic!("{e}")), ["base", "seen"]);
        let qualified = source.describe(&format!("`{}`.base", db.name)).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((qualified.id, qualified.primary_key), (format!("{}.base", db.name), vec!["id".to_owned()]));

        let statement = "(select b.id, b.v AS `the value`, n * 2 AS n, big, flag, at, u, count(*) over () AS c, 'x' AS x from base b where b.id <= 9)";
        let stream = source.describe(statement).await.unwrap_or_else(|e| panic!("{e}"));
        let found: Vec<_> = stream.fields.iter().map(|f| (f.name.as_str(), f.kind.clone())).collect();
        assert_eq!(
            found,
            [
                ("id", FieldType::Int64),
                ("the value", FieldType::Text),
                ("n", FieldType::Decimal { precision: Some(15), scale: Some(2) }),
                ("big", whole(20)),
                ("flag", FieldType::Boolean),
                ("at", FieldType::Timestamp { zoned: true }),
                ("u", FieldType::Binary),
                ("c", FieldType::Int64),
                ("x", FieldType::Text),
            ]
        );
        let mut request = full(statement, &["id", "the value", "n", "big"]);
        request.key_is_total = false;
        let mut found = rows(&source, request).await;
        found.sort_by_key(|row| format!("{row:?}"));
        assert_eq!(found[0], [Value::Int64(1), text("a"), Value::Null, decimal("0")]);
        assert_eq!(found[1], [Value::Int64(2), text("b"), decimal("3.00"), decimal("18446744073709551615")]);
        let from = Value::Timestamp { micros: 0, zoned: true };
        assert_eq!(ids(&source, incremental(statement, &["id", "at"], "at", from)).await, [2]);
        let (columns, key) = (vec!["id".into()], vec!["id".into()]);
        let fetch = Fetch { stream: statement.into(), columns, key, tombstone: None, keys: vec![vec![Value::Int64(2)]], params: syncline_connect::source::Params::new() };
        assert_eq!(source.fetch(fetch).await.unwrap_or_else(|e| panic!("{e}")).len(), 1);
        for (wrong, kind) in [
            ("(select nothing from base)", Kind::Definition),
            ("(select 1 from no_such_table)", Kind::StreamMissing),
            ("(delete from base)", Kind::Definition),
            ("(select 1", Kind::Definition),
        ] {
            let Err(error) = source.describe(wrong).await else { panic!("{wrong} was accepted") };
            assert_eq!(error.kind, kind, "{wrong}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn only_constraints_that_bind_every_record_make_a_key() {
    Database::with(|db| async move {
        db.run(
            "CREATE TABLE t (id int, a int, b int, c varchar(50), d text, UNIQUE ab (a, b), UNIQUE part (c(10)), \
             INDEX wide (id, c), FULLTEXT words (d), UNIQUE long_text (d))",
        )
        .await;
        let stream = db.source().await.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
        let names = |v: &[&str]| v.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            stream.unique,
            [("ab".to_owned(), names(&["a", "b"])), ("long_text".to_owned(), names(&["d"]))]
        );
        assert_eq!(stream.indexed, ["a", "id"]);
    })
    .await;
}

#[tokio::test]
async fn names_that_need_quoting() {
    Database::with(|db| async move {
        let source = db.source().await;
        for name in ["select", "a.b", "say `hi`", "temps réel", "x; drop table y", "Größe €", "(odd)"] {
            let quoted = format!("`{}`", name.replace('`', "``"));
            db.run(&format!("CREATE TABLE {quoted} ({quoted} int PRIMARY KEY, `k``2` int)")).await;
            db.run(&format!("INSERT INTO {quoted} VALUES (1, 1), (2, 2), (3, 3)")).await;
            let mut request = full(&quoted, &[name, "k`2"]);
            (request.batch_rows, request.batch_bytes) = (1, 1);
            assert_eq!(ids(&source, request).await, [1, 2, 3], "{name}");
        }
        for listed in source.streams().await.unwrap_or_else(|e| panic!("{e}")) {
            assert!(source.describe(&listed).await.is_ok(), "{listed}");
        }
        assert!(source.describe("a.b.c").await.is_err());
    })
    .await;
}
