//! What each format means, and what becomes of records that mean nothing.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, Decimal128Array, FixedSizeBinaryArray, Float32Array, Int32Array, RecordBatch,
    StringArray, StructArray, Time32MillisecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    schema::{parser::parse_message_type, types::SchemaDescriptor},
};
use serde_json::json;
use syncline_connect::error::Kind;
use syncline_core::{schema::FieldType, value::Value};

use super::{
    batch, full,
    kit::{Directory, Format},
    rows, text,
};

const DECIMAL: FieldType = FieldType::Decimal { precision: None, scale: None };

#[tokio::test]
async fn an_empty_cell_is_null_and_an_empty_text_is_not() {
    let directory = Directory::new(Format::Csv);
    directory.put("t.csv", "\u{feff}a,b\r\n,\"\"\r\n\"\", \r\nNULL,\"x\"\"\r\ny\"\r\n\r\n");
    let expected = [[Value::Null, text("")], [text(""), text(" ")], [text("NULL"), text("x\"\r\ny")]];
    assert_eq!(rows(&directory, full("t.csv", &["a", "b"])).await, expected);
    directory.put("n.csv", "a;b\n;NULL\n\"NULL\";x\n");
    let options = json!({ "path": ".", "delimiter": ";", "null": "NULL" });
    let source = directory.open(options).await.unwrap_or_else(|e| panic!("{e}"));
    let mut reader = source.read(full("n.csv", &["a", "b"])).await.unwrap_or_else(|e| panic!("{e}"));
    let batch = reader.next().await.ok().flatten().expect("a batch");
    assert_eq!([batch.value(0, 0), batch.value(0, 1)], [text(""), Value::Null], "null has a word of its own");
    assert_eq!(batch.value(1, 0), text("NULL"), "quoted, it is a text");
}

#[tokio::test]
async fn without_a_header_columns_have_numbers_or_the_names_of_the_schema() {
    let directory = Directory::new(Format::Csv);
    directory.put("t.csv", "1,x\n2,y\n");
    let options = || json!({ "path": ".", "header": false });
    let source = directory.open(options()).await.unwrap_or_else(|e| panic!("{e}"));
    let names = |stream: syncline_core::schema::Stream| -> Vec<_> {
        stream.fields.into_iter().map(|f| (f.name, f.kind)).collect()
    };
    let described = source.describe("t.csv").await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(described.notes.len(), 1, "that columns are text is said");
    let text_of = |name: &str| (name.to_owned(), FieldType::Text);
    assert_eq!(names(described), [text_of("column_1"), text_of("column_2")]);
    directory
        .put("t.csv.schema.json", r#"{"fields":[{"name":"id","type":"int64"},{"name":"n","type":"text"}]}"#);
    let described = source.describe("t.csv").await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(names(described), [("id".to_owned(), FieldType::Int64), text_of("n")]);
    let mut reader = source.read(full("t.csv", &["n", "id"])).await.unwrap_or_else(|e| panic!("{e}"));
    let batch = reader.next().await.ok().flatten().expect("a batch");
    assert_eq!([batch.value(0, 0), batch.value(1, 1)], [text("x"), Value::Int64(2)]);
}

#[tokio::test]
async fn a_bad_csv_record_costs_itself() {
    let directory = Directory::new(Format::Csv);
    directory.put("t.csv", b"id,n\n1,10\n2\n3,secret\n\"4\"secret,1\n5,\xff\n6,\"\"\n7,70\n8,\n");
    directory.put(
        "t.csv.schema.json",
        r#"{"fields":[{"name":"id","type":"int64"},{"name":"n","type":"int64","nullable":false}]}"#,
    );
    let batch = batch(&directory, full("t.csv", &["id", "n"])).await;
    let problems: Vec<_> = (0..batch.len()).map(|row| batch.problem(row).unwrap_or_default()).collect();
    assert_eq!(
        problems,
        [
            "",
            "file \"t.csv\", line 3: 1 cells in a file of 2 columns",
            "file \"t.csv\", line 4: column \"n\" (int64): a text that is none",
            "file \"t.csv\", line 5: text behind a closing quote",
            "file \"t.csv\", line 6: column \"n\": not UTF-8",
            "file \"t.csv\", line 7: column \"n\" (int64): a text that is none",
            "",
            "file \"t.csv\", line 9: column \"n\": null, which it never is",
        ]
    );
    assert_eq!(batch.value(2, 0), Value::Int64(3), "what can be read of it is there");
    assert_eq!(batch.value(6, 1), Value::Int64(70));
}

#[tokio::test]
async fn files_that_make_no_sense_are_refused_by_name() {
    let directory = Directory::new(Format::Csv);
    for (name, bytes, part) in [
        ("utf16.csv", &b"\xff\xfea\0"[..], "UTF-16"),
        ("twice.csv", b"a,a\n", "column \"a\" comes twice"),
        ("open.csv", b"a\n1\n\"2\n3\n", "line 3: a quote is never closed"),
        ("text.parquet", b"no parquet at all", "not Parquet"),
        ("bad.csv", b"a\n", "no schema"),
    ] {
        directory.put(name, bytes);
        directory.put("bad.csv.schema.json", "{");
        let source = directory.source().await;
        let error = match source.read(full(name, &["a"])).await {
            Err(error) => error,
            Ok(mut reader) => loop {
                match reader.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{name} was read"),
                    Err(error) => break error,
                }
            },
        };
        assert_eq!(error.kind, Kind::Definition, "{error}");
        assert!(error.message.contains(part) && error.message.contains(name), "{error}");
    }
    directory.put("unnamed.csv", ",a\n1,2\n");
    let described = directory.source().await.describe("unnamed.csv").await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(described.unsupported.len(), 1, "a column without a name is not read: {described:?}");
    assert_eq!(rows(&directory, full("unnamed.csv", &["a"])).await, [[text("2")]]);
}

#[tokio::test]
async fn json_lines_are_typed_by_what_they_hold() {
    let directory = Directory::new(Format::Jsonl);
    directory.put(
        "t.jsonl",
        concat!(
            "{\"id\":1,\"amount\":12.50,\"big\":12345678901234567890,\"ok\":true,\"name\":\"a\\u00e4\"}\n",
            "\n",
            "{\"id\":2,\"amount\":100000000000000000000000000000.01,\"big\":1,\"tags\":[1,{}],\"late\":null}\r\n",
        ),
    );
    let stream = directory.source().await.describe("t.jsonl").await.unwrap_or_else(|e| panic!("{e}"));
    let kinds: Vec<_> = stream.fields.iter().map(|f| (f.name.as_str(), f.kind.clone())).collect();
    assert_eq!(
        kinds,
        [
            ("id", FieldType::Int64),
            ("amount", DECIMAL),
            ("big", DECIMAL),
            ("ok", FieldType::Boolean),
            ("name", FieldType::Text),
            ("tags", FieldType::Json),
            ("late", FieldType::Json),
        ]
    );
    let decimal = |text: &'static str| Value::Decimal(text.into());
    assert_eq!(
        rows(&directory, full("t.jsonl", &["id", "amount", "big", "name", "tags"])).await,
        [
            [Value::Int64(1), decimal("12.50"), decimal("12345678901234567890"), text("aä"), Value::Null],
            [
                Value::Int64(2),
                decimal("100000000000000000000000000000.01"),
                decimal("1"),
                Value::Null,
                Value::Json("[1,{}]".into()),
            ],
        ]
    );
}

#[tokio::test]
async fn a_bad_line_costs_itself() {
    let directory = Directory::new(Format::Jsonl);
    directory.put("t.jsonl", b"{\"a\":1}\n{\"a\":secret}\n[1]\n{\"a\":1,\"a\":2}\n\"\xff\"\n{\"a\":\"secret\"}\n{\"a\":1} {}\n{}\n");
    directory.put("t.jsonl.schema.json", r#"{"fields":[{"name":"a","type":"int64"}]}"#);
    let batch = batch(&directory, full("t.jsonl", &["a"])).await;
    let problems: Vec<_> = (0..batch.len()).map(|row| batch.problem(row).unwrap_or_default()).collect();
    assert_eq!(
        problems,
        [
            "",
            "file \"t.jsonl\", line 2: column 6: not JSON",
            "file \"t.jsonl\", line 3: not a JSON object",
            "file \"t.jsonl\", line 4: a name comes twice in the object",
            "file \"t.jsonl\", line 5: not UTF-8",
            "file \"t.jsonl\", line 6: column \"a\" (int64): a text that is none",
            "file \"t.jsonl\", line 7: column 9: not JSON",
            "",
        ]
    );
}

#[tokio::test]
async fn a_line_without_end_costs_no_memory_and_one_record() {
    let directory = Directory::new(Format::Jsonl);
    let long = "x".repeat(17 << 20);
    directory.put("t.jsonl", format!("{{\"a\":1}}\n{{\"a\":\"{long}\"}}\n{{\"a\":3}}\n"));
    let batch = batch(&directory, full("t.jsonl", &["a"])).await;
    assert_eq!(batch.problem(1), Some("file \"t.jsonl\", line 2: a line of more than 16 MiB"));
    assert_eq!(batch.value(2, 0), Value::Int64(3));
}

#[tokio::test]
async fn parquet_types_are_those_of_its_schema() {
    let message = "message t {
        optional binary j (JSON); optional fixed_len_byte_array(16) u (UUID); required int64 nanos (TIMESTAMP(NANOS,true));
        optional int64 millis (TIMESTAMP(MILLIS,false)); optional int32 clock (TIME(MILLIS,true));
        optional int64 unsigned (INTEGER(64,false)); optional int32 small (INTEGER(16,true)); optional float f;
        optional fixed_len_byte_array(16) d (DECIMAL(38,2)); optional binary b; optional group s { optional int32 x; }
    }";
    let schema = SchemaDescriptor::new(Arc::new(parse_message_type(message).expect("a schema")));
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let field = Arc::new(arrow_schema::Field::new("x", arrow_schema::DataType::Int32, true));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("j", Arc::new(StringArray::from(vec![Some("{\"a\": 1.0}"), None]))),
        ("u", Arc::new(FixedSizeBinaryArray::try_from_iter([[7; 16], [8; 16]].iter()).expect("ids"))),
        ("nanos", Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001]).with_timezone("UTC"))),
        ("millis", Arc::new(TimestampMillisecondArray::from(vec![-1, i64::MAX]))),
        ("clock", Arc::new(Time32MillisecondArray::from(vec![1, 2]))),
        ("unsigned", Arc::new(UInt64Array::from(vec![u64::MAX, 0]))),
        ("small", Arc::new(arrow_array::Int16Array::from(vec![-7, 7]))),
        ("f", Arc::new(Float32Array::from(vec![0.5, 1.5]))),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![-5, i128::from(i64::MAX)])
                    .with_precision_and_scale(38, 2)
                    .expect("a decimal"),
            ),
        ),
        ("b", Arc::new(BinaryArray::from(vec![Some(&b"\0"[..]), None]))),
        ("s", Arc::new(StructArray::from(vec![(field, inner)]))),
    ];
    let nullable = columns.into_iter().map(|(name, array)| (name, array, name != "nanos"));
    let records = RecordBatch::try_from_iter_with_nullable(nullable).expect("a batch");
    let options = ArrowWriterOptions::new().with_parquet_schema(schema);
    let mut writer =
        ArrowWriter::try_new_with_options(Vec::new(), records.schema(), options).expect("a writer");
    writer.write(&records).expect("a batch");
    let directory = Directory::new(Format::Parquet);
    directory.put("t.parquet", writer.into_inner().expect("a file"));
    let stream = directory.source().await.describe("t.parquet").await.unwrap_or_else(|e| panic!("{e}"));
    let kinds: Vec<_> = stream.fields.iter().map(|f| format!("{} {}", f.name, f.kind)).collect();
    assert_eq!(
        kinds,
        [
            "j json",
            "u uuid",
            "nanos timestamp with zone",
            "millis timestamp",
            "clock time",
            "unsigned decimal(20,0)",
            "small int64",
            "f float64",
            "d decimal(38,2)",
            "b binary",
        ]
    );
    assert_eq!(stream.unsupported, [("s".to_owned(), "a nested column".to_owned())]);
    assert_eq!((stream.records, stream.fields[2].nullable), (Some(2), false));
    let names: Vec<_> = stream.fields.iter().map(|f| f.name.as_str()).collect();
    let batch = batch(&directory, full("t.parquet", &names)).await;
    let first: Vec<_> = (0..names.len()).map(|c| batch.value(0, c)).collect();
    assert_eq!(
        first,
        [
            Value::Json("{\"a\": 1.0}".into()),
            Value::Uuid([7; 16]),
            Value::Timestamp { micros: 1, zoned: true },
            Value::Timestamp { micros: -1_000, zoned: false },
            Value::Time(1_000),
            Value::Decimal("18446744073709551615".into()),
            Value::Int64(-7),
            Value::Float64(0.5),
            Value::Decimal("-0.05".into()),
            Value::Binary(vec![0].into()),
        ]
    );
    assert_eq!(
        batch.problem(1),
        Some("file \"t.parquet\", record 2: column \"nanos\" (timestamp with zone): a value that is none"),
        "what microseconds cannot hold is refused"
    );
    assert_eq!(batch.value(1, 8), Value::Decimal("92233720368547758.07".into()));
}
