//! Directories, names, changes while reading, and where an incremental listing starts and ends.

use serde_json::json;
use syncline_connect::{
    Error,
    database::Rows,
    error::Kind,
    source::{Fetch, Scan},
};
use syncline_core::{cursor::Position, value::Value};

use super::{
    batch, full,
    kit::{Directory, Format},
    rows, text,
};

fn failure<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_directory_is_its_files_in_the_order_of_their_names() {
    let directory = Directory::new(Format::Csv);
    directory.put("orders/2.csv", "name,id\nb,2\n");
    directory.put("orders/1.csv", "id,name\n1,a\n");
    directory.put("orders/3.csv", "id,name,more\n3,c,x\n");
    directory.put("orders/_manifest.csv", "x\n");
    directory.put("orders/.hidden.csv", "x\n");
    directory.put("orders/notes.txt", "x\n");
    directory.put("orders/old/0.csv", "id,name\n0,z\n");
    directory.put("orders/4.csv", "");
    let expected = [[text("1"), text("a")], [text("2"), text("b")], [text("3"), text("c")]];
    for name in ["orders/", "orders"] {
        assert_eq!(rows(&directory, full(name, &["id", "name"])).await, expected, "{name}");
        let stream = directory.source().await.describe(name).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((stream.name.as_str(), stream.id.as_str()), (name, "orders/"));
    }
    directory.put("orders/5.csv", "id\n5\n");
    let mut request = full("orders/", &["id", "name"]);
    request.batch_rows = 1;
    let mut reader = directory.source().await.read(request).await.unwrap_or_else(|e| panic!("{e}"));
    let error = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a file without the column was read"),
            Err(error) => break error,
        }
    };
    assert!(error.message.contains("\"orders/5.csv\": there is no column \"name\""), "{error}");
    directory.put("orders/6.jsonl", "{}\n");
    let error = failure(directory.source().await.describe("orders/").await);
    assert_eq!((error.kind, error.message.contains("several formats")), (Kind::Definition, true), "{error}");
}

#[tokio::test]
async fn names_lead_nowhere_outside() {
    let directory = Directory::new(Format::Csv);
    directory.put("in/a.csv", "a\n1\n");
    directory.put("in/b/c.parquet", "");
    directory.put("in/d/e.txt", "");
    directory.put("in/a.csv.schema.json", r#"{"fields":[]}"#);
    directory.put("outside.csv", "secret\n1\n");
    let source = directory.open(json!({ "path": "in" })).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(source.streams().await.ok(), Some(vec!["a.csv".to_owned(), "b/".to_owned()]));
    let outside = directory.path("outside.csv").display().to_string();
    for name in
        ["../outside.csv", "x/../../outside.csv", outside.as_str(), "", "/", "d/", "none.csv", "a.csv/x"]
    {
        assert_eq!(failure(source.describe(name).await).kind, Kind::StreamMissing, "{name}");
    }
    assert_eq!(failure(source.describe("(select 1)").await).kind, Kind::Definition);
    let error = failure(directory.open(json!({ "path": "nowhere" })).await);
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.message.contains("\"exports\""), "the connection is named: {error}");
}

#[tokio::test]
async fn an_empty_directory_is_a_stream_where_a_schema_says_so() {
    let directory = Directory::new(Format::Csv);
    directory.put("drop/_ready", "");
    let options = json!({ "path": ".", "format": "csv" });
    let source = directory.open(options).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(failure(source.describe("drop/").await).kind, Kind::StreamMissing);
    directory.put("drop.schema.json", r#"{"fields":[{"name":"id","type":"int64"}],"primary_key":["id"]}"#);
    let stream = source.describe("drop/").await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(stream.primary_key, ["id"]);
    assert!(stream.fields[0].nullable, "no file keeps a key whole");
    let mut reader = source.read(full("drop/", &["id"])).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(reader.next().await.is_ok_and(|batch| batch.is_none()));
}

#[cfg(not(feature = "object-stores"))]
#[tokio::test]
async fn object_stores_that_were_not_built_in_are_named() {
    let directory = Directory::new(Format::Csv);
    let error = failure(directory.open(json!({ "url": "s3://bucket/x" })).await);
    assert_eq!(error.kind, Kind::Definition);
    assert!(error.message.contains("url s3://: this binary was built without object stores"), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("object-stores")));
}

/// A file of this many records, longer than what is read at once.
fn long(records: usize, filler: &str) -> String {
    let line = |i: usize| format!("{{\"id\":{i},\"filler\":\"{filler}\"}}\n");
    (0..records).map(line).collect()
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_no_listing() {
    for what in ["replaced", "shorter", "gone"] {
        // the second is read to its end before the change is seen
        for records in [3_000, 300] {
            let directory = Directory::new(Format::Jsonl);
            directory.put("t.jsonl", long(records, &"a".repeat(40)));
            let mut request = full("t.jsonl", &["id"]);
            request.batch_rows = 10;
            let source = directory.source().await;
            let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
            assert!(reader.next().await.is_ok_and(|batch| batch.is_some()));
            match what {
                "replaced" => directory.put("t.jsonl", long(records, &"a".repeat(41))),
                "shorter" => directory.put("t.jsonl", long(10, "x")),
                _ => std::fs::remove_file(directory.path("t.jsonl")).expect("the file"),
            }
            let error = loop {
                match reader.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{what}: the listing looks complete"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind, Kind::Locked, "{what}: {error}");
            assert!(error.message.contains("\"t.jsonl\" changed while it was read"), "{error}");
            assert!(reader.next().await.is_err(), "after an error the listing is over and not complete");
            assert_eq!(reader.resume(), None);
        }
    }
}

#[tokio::test]
async fn an_incremental_listing_takes_as_many_passes_as_it_needs() {
    const RECORDS: usize = 60_000;
    let directory = Directory::new(Format::Jsonl);
    // backwards, and each cursor three times
    let line = |i: usize| format!("{{\"id\":{i},\"version\":{}}}\n", (RECORDS - i) / 3);
    directory.put("t.jsonl", (0..RECORDS).map(line).collect::<String>());
    let mut request = full("t.jsonl", &["id", "version"]);
    request.cursor = Some("version".into());
    request.batch_rows = 7_000;
    let mut from = request.clone();
    from.from = Some(Position { cursor: Value::Int64(1_000), key: Vec::new() });
    let source = directory.source().await;
    let mut reader = source.read(from).await.unwrap_or_else(|e| panic!("{e}"));
    let mut seen: Vec<(Value<'static>, Value<'static>)> = Vec::new();
    while let Some(batch) = reader.next().await.unwrap_or_else(|e| panic!("{e}")) {
        assert!(batch.len() <= 7_000);
        seen.extend(
            (0..batch.len()).map(|r| (batch.value(r, 1).into_owned(), batch.value(r, 0).into_owned())),
        );
    }
    let mut expected: Vec<_> =
        (0..RECORDS).map(|i| ((RECORDS - i) / 3, i)).filter(|(v, _)| *v >= 1_000).collect();
    expected.sort_unstable();
    let int = |n: usize| Value::Int64(i64::try_from(n).expect("small"));
    assert!(seen.iter().eq(&expected.iter().map(|(v, i)| (int(*v), int(*i))).collect::<Vec<_>>()));
    let mut reader = source.read(request).await.unwrap_or_else(|e| panic!("{e}"));
    while reader.next().await.unwrap_or_else(|e| panic!("{e}")).is_some() {}
    let highest = Position { cursor: int(RECORDS / 3), key: Vec::new() };
    assert_eq!(reader.resume(), Some(highest), "the highest cursor of the files");
}

#[tokio::test]
async fn what_may_come_once_comes_once() {
    let directory = Directory::new(Format::Csv);
    directory.put("t.csv.schema.json", r#"{"fields":[{"name":"id","type":"int64"}]}"#);
    let source = directory.source().await;
    let mut from = None;
    for (file, expected) in
        [("id\n3\n1\n", vec![3, 1]), ("id\n3\n1\n", vec![]), ("id\n5\n3\n4\n", vec![4, 5])]
    {
        directory.put("t.csv", file);
        let mut read = full("t.csv", &["id"]);
        (read.cursor, read.from) = (Some("id".into()), from.take().or(read.from));
        let before = read.from.clone();
        let scan = Scan { read, parts: 4, copy: None, once: true };
        let mut parts = source.scan(scan).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(parts.len(), 1);
        let mut seen = Vec::new();
        while let Some(portion) = parts[0].next().await.unwrap_or_else(|e| panic!("{e}")) {
            let Rows::Batch(batch) = portion.rows else { panic!("no batch") };
            seen.extend((0..batch.len()).map(|row| batch.value(row, 0).into_owned()));
        }
        assert_eq!(seen, expected.into_iter().map(Value::Int64).collect::<Vec<_>>());
        from = parts[0].resume().or(before);
    }
    assert_eq!(from.map(|p| p.cursor), Some(Value::Int64(6)));
}

#[tokio::test]
async fn where_nothing_was_seen_everything_comes_next() {
    let directory = Directory::new(Format::Csv);
    directory.put("t.csv.schema.json", r#"{"fields":[{"name":"at","type":"timestamp with zone"}]}"#);
    directory.put("t.csv", "at\n");
    let source = directory.source().await;
    let mut request = full("t.csv", &["at"]);
    request.cursor = Some("at".into());
    let mut reader = source.read(request.clone()).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(reader.next().await.is_ok_and(|batch| batch.is_none()));
    request.from = reader.resume();
    assert!(request.from.is_some());
    // written after the listing, and stamped long before it
    directory.put("t.csv", "at\n1999-12-31T23:59:59Z\n");
    assert_eq!(batch(&directory, request).await.len(), 1);
}

#[tokio::test]
async fn keys_are_the_same_by_value() {
    let directory = Directory::new(Format::Csv);
    directory.put("t.csv", "price,n\n1.50,a\n1.5,b\n2,c\n,d\n,e\n");
    directory.put(
        "t.csv.schema.json",
        r#"{"fields":[{"name":"price","type":"decimal"},{"name":"n","type":"text"}]}"#,
    );
    let source = directory.source().await;
    let fetch = Fetch {
        stream: "t.csv".into(),
        columns: vec!["n".into()],
        key: vec!["price".into()],
        tombstone: None,
        keys: vec![vec![Value::Decimal("1.500".into())]],
        params: syncline_connect::source::Params::new(),
    };
    let found = source.fetch(fetch).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!([found.value(0, 0), found.value(1, 0)], [text("a"), text("b")]);
    let repeated = source.duplicate_keys("t.csv", &["price".into()], 9).await;
    assert_eq!(repeated.ok(), Some(vec![vec![Value::Decimal("1.5".into())]]), "null is no key");
}
