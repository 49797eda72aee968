//! Types and tables that only PostgreSQL has.

use syncline_core::{schema::FieldType, value::Value};

use super::{batches, full, ids, incremental, kit::Database, rows};

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

#[tokio::test]
async fn domains_enums_and_types_without_a_field_type() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE TYPE mood AS ENUM ('sad', 'it''s ok'); CREATE DOMAIN money_t AS numeric(12,2) CHECK (value >= 0)").await;
        session.run("CREATE DOMAIN price AS money_t; CREATE DOMAIN tags AS text[]; CREATE TYPE pair AS (a int, b text)").await;
        session
            .run(
                "CREATE TABLE t (id int PRIMARY KEY, m mood, d price, tg tags, prices price[], moods mood[], i interval, \
                 net inet, ttz timetz, r int4range, p pair, c char(4), v varchar(9), n name, q \"char\", o oid, f real, \
                 x xml, tsv tsvector, cash money, bits bit(3), mac macaddr, nets inet[], s smallint)",
            )
            .await;
        session
            .run(
                "SET IntervalStyle = 'iso_8601'; INSERT INTO t VALUES (1, 'it''s ok', 450000.10, '{a,NULL}', '{1.50}', '{sad}', '1 day 2 h', \
                 '10.0.0.1/8', '10:00:00.5+02', '[1,5)', '(7,\"x,y\")', 'ab', 'vc', 'nm', 'q', 4294967295, 0.1, \
                 '<a/>', 'b a', 1234.56, B'101', '08:00:2b:01:02:03', '{10.0.0.1}', -32768)",
            )
            .await;
        let source = db.source().await;
        let stream = source.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
        let columns: Vec<_> = stream.fields.iter().map(|f| f.name.as_str()).collect();
        let decimal = |p, s| FieldType::Decimal { precision: Some(p), scale: Some(s) };
        assert_eq!(stream.fields[2].kind, decimal(12, 2));
        assert_eq!(stream.fields[4].kind, FieldType::List(Box::new(decimal(12, 2))));
        let row = rows(&source, full("t", &columns)).await.remove(0);
        let list = |v: &[Value<'static>]| Value::List(v.to_vec());
        let expected = vec![
            Value::Int64(1),
            text("it's ok"),
            Value::Decimal("450000.10".into()),
            list(&[text("a"), Value::Null]),
            list(&[Value::Decimal("1.50".into())]),
            list(&[text("sad")]),
            text("1 day 02:00:00"),
            text("10.0.0.1/8"),
            text("10:00:00.5+02"),
            text("[1,5)"),
            text("(7,\"x,y\")"),
            text("ab  "),
            text("vc"),
            text("nm"),
            text("q"),
            Value::Int64(4_294_967_295),
            Value::Float64(0.1f32.into()),
            text("<a/>"),
            text("'a' 'b'"),
            Value::Decimal("1234.56".into()),
            text("101"),
            text("08:00:2b:01:02:03"),
            list(&[text("10.0.0.1/32")]),
            Value::Int64(-32768),
        ];
        assert_eq!(row, expected);
    })
    .await;
}

#[tokio::test]
async fn keys_of_many_types_page_and_are_found() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE TYPE mood AS ENUM ('z', 'a', 'm'); CREATE DOMAIN code AS varchar(5)").await;
        let source = db.source().await;
        for (number, (kind, values)) in [
            ("mood", "'z', 'a', 'm'"),
            ("code", "'a', 'b', 'c'"),
            ("char(3)", "'a', 'b', 'c'"),
            ("inet", "'9.0.0.1', '10.0.0.1', '10.0.0.2'"),
            ("interval", "'9 min', '1 h', '1 day'"),
            ("smallint", "-1, 0, 1"),
            ("real", "-0.1, 0.1, 0.2"),
            ("oid", "1, 2, 4294967295"),
            ("\"char\"", "'a', 'b', 'c'"),
            ("money", "1, 2.5, 3"),
            ("name", "'a', 'b', 'c'"),
            ("timetz", "'10:00+02', '10:00+01', '10:00+00'"),
            ("jsonb", "'1', '2', '{\"a\": 1}'"),
        ]
        .into_iter()
        .enumerate()
        {
            let table = format!("k{number}");
            session.run(&format!("CREATE TABLE {table} (k {kind} PRIMARY KEY)")).await;
            session.run(&format!("INSERT INTO {table} SELECT unnest(ARRAY[{values}]::{kind}[])")).await;
            let mut request = full(&table, &["k"]);
            request.batch_rows = 1;
            let found = rows(&source, request).await;
            assert_eq!(found.len(), 3, "{kind}: {found:?}");
            let fetch = syncline_connect::source::Fetch {
                stream: table,
                columns: vec!["k".into()],
                key: vec!["k".into()],
                tombstone: None,
                keys: found,
                params: syncline_connect::source::Params::new(),
            };
            let batch = source.fetch(fetch).await.unwrap_or_else(|e| panic!("{kind}: {e}"));
            assert_eq!(batch.len(), 3, "{kind}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_value_that_cannot_be_carried_costs_one_record() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE TABLE t (id int PRIMARY KEY, grid int[], at timestamp)").await;
        session.run("INSERT INTO t VALUES (1, '{1}', now()), (2, '{{1,2},{3,4}}', now()), (3, '{}', '294276-12-31')").await;
        let source = db.source().await;
        let batch = batches(&source, full("t", &["id", "grid", "at"])).await.remove(0);
        assert_eq!(batch.len(), 3);
        assert_eq!(batch.problem(0), None);
        let problem = |row| batch.problem(row).unwrap_or_default();
        assert_eq!(problem(1), "column \"grid\" (integer[]): an array with more than one dimension");
        assert!(problem(2).starts_with("column \"at\" (timestamp without time zone): "), "{}", problem(2));
        assert_eq!((batch.value(1, 0), batch.value(1, 1)), (Value::Int64(2), Value::Null));
    })
    .await;
}

#[tokio::test]
async fn views_partitions_and_inheritance() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE TABLE base (id int PRIMARY KEY, v text); INSERT INTO base VALUES (2, 'b'), (1, 'a')").await;
        session.run("CREATE VIEW seen AS SELECT * FROM base; CREATE MATERIALIZED VIEW kept AS SELECT * FROM base").await;
        session.run("CREATE MATERIALIZED VIEW empty AS SELECT * FROM base WITH NO DATA").await;
        session.run("CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)").await;
        session.run("CREATE TABLE p1 PARTITION OF parts FOR VALUES FROM (0) TO (10)").await;
        session.run("CREATE TABLE p2 PARTITION OF parts FOR VALUES FROM (10) TO (20); INSERT INTO parts VALUES (11), (1)").await;
        session.run("CREATE TABLE child () INHERITS (base); INSERT INTO child VALUES (1, 'again')").await;
        let source = db.source().await;
        for view in ["seen", "kept"] {
            let mut request = full(view, &["id"]);
            request.key_is_total = false;
            let mut found = ids(&source, request).await;
            found.sort_unstable();
            assert!(found == [1, 1, 2] || found == [1, 2], "{view}: {found:?}");
        }
        let parts = source.describe("parts").await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(parts.primary_key, ["id"]);
        let mut request = full("parts", &["id"]);
        request.batch_rows = 1;
        assert_eq!(ids(&source, request).await, [1, 11]);
        let base = source.describe("base").await.unwrap_or_else(|e| panic!("{e}"));
        assert!(base.primary_key.is_empty() && base.notes.len() == 1, "a child repeats the key: {:?}", base.notes);
        let names = source.streams().await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(names, ["public.base", "public.child", "public.empty", "public.kept", "public.parts", "public.seen"]);
        let notes = source.describe("empty").await.map(|s| s.notes).unwrap_or_default();
        assert!(notes[0].contains("REFRESH"), "{notes:?}");
    })
    .await;
}

#[tokio::test]
async fn only_constraints_that_bind_every_record_make_a_key() {
    Database::with(|db| async move {
        let session = db.session().await;
        session
            .run(
                "CREATE TABLE t (id int, a int, b int, c text, UNIQUE (a, b), UNIQUE (b) DEFERRABLE); \
                 CREATE UNIQUE INDEX part ON t (id) WHERE a > 0; CREATE UNIQUE INDEX expr ON t (lower(c)); \
                 CREATE UNIQUE INDEX wide ON t (id) INCLUDE (c); CREATE INDEX hashed ON t USING hash (b)",
            )
            .await;
        let stream = db.source().await.describe("t").await.unwrap_or_else(|e| panic!("{e}"));
        let names = |v: &[&str]| v.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            stream.unique,
            [("t_a_b_key".to_owned(), names(&["a", "b"])), ("wide".to_owned(), names(&["id"]))]
        );
        assert_eq!(stream.indexed, ["a", "b", "id"]);
    })
    .await;
}

#[tokio::test]
async fn names_resolve_as_in_the_server() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE SCHEMA app; CREATE TABLE app.t (id int); CREATE TABLE \"Mixed\" (id int)").await;
        session.run(&format!("ALTER DATABASE {} SET search_path = app, public", db.name)).await;
        let source = db.source().await;
        for (name, id) in [
            ("t", "app.t"),
            ("APP.T", "app.t"),
            ("\"app\".\"t\"", "app.t"),
            ("\"Mixed\"", "public.Mixed"),
            ("public.Mixed", "public.Mixed"),
        ] {
            let stream = source.describe(name).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(stream.id, id, "{name}");
        }
        assert!(source.describe("\"T\"").await.is_err(), "quotes are exact");
        assert!(source.describe("a.b.c").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_cursor_without_index_is_sorted_once() {
    Database::with(|db| async move {
        let session = db.session().await;
        session.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i % 5 FROM generate_series(1, 50) i").await;
        let source = db.source().await;
        let mut request = incremental("t", &["id", "n"], "n", Value::Int64(3));
        request.batch_rows = 7;
        let found = ids(&source, request).await;
        assert_eq!(found.len(), 20);
        assert!(found[..10].is_sorted() && found[10..].is_sorted());
    })
    .await;
}
