//! A list as a stream that is read: the columns of the list, and what the service tells of every item beside them. Pure.

use std::sync::Arc;

use syncline_core::{
    batch::{BatchBuilder, RecordOp},
    schema::{Field, FieldType, Limits, Stream},
    time,
    value::Value,
};

use super::item::Item;
use crate::{Error, error::Kind};

/// The key of every list: an item's number, which is never given twice (facts §2.4).
pub(super) const KEY: &str = "id";

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Id,
    CreatedAt,
    ModifiedAt,
    Etag,
    WebUrl,
    /// A column of the list, by its place among those that are asked for.
    Column(usize),
}

/// What the service tells of every item (facts §2.4).
const BUILT_IN: [(&str, Origin); 5] = [
    (KEY, Origin::Id),
    ("created_at", Origin::CreatedAt),
    ("modified_at", Origin::ModifiedAt),
    ("etag", Origin::Etag),
    ("web_url", Origin::WebUrl),
];

fn built_in(name: &str) -> Option<Origin> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, origin)| *origin)
}

fn built_in_field((name, origin): (&str, Origin)) -> Field {
    let kind = match origin {
        Origin::Id => FieldType::Int64,
        Origin::CreatedAt | Origin::ModifiedAt => FieldType::Timestamp { zoned: true },
        Origin::Etag | Origin::WebUrl | Origin::Column(_) => FieldType::Text,
    };
    Field::new(name, kind, origin != Origin::Id)
}

/// A list column as it is read: numbers are doubles there, and any item may lack any value (facts §2.5).
fn column(field: &Field) -> Field {
    let kind = match &field.kind {
        FieldType::Decimal { .. } => FieldType::Float64,
        other => other.clone(),
    };
    let limits = Limits { hyperlink: field.limits.hyperlink, ..Limits::default() };
    Field { kind, nullable: true, limits, ..field.clone() }
}

/// The list, described as a destination, as a stream that is read.
pub(super) fn as_source(list: Stream) -> Stream {
    let mut stream = Stream {
        primary_key: vec![KEY.into()],
        indexed: vec![KEY.into()],
        unique: Vec::new(),
        fields: BUILT_IN.into_iter().map(built_in_field).collect(),
        tells_changes: true,
        // What the destination notes is about writing.
        notes: Vec::new(),
        ..list
    };
    for field in &list.fields {
        if built_in(&field.name).is_some() {
            let why = "its name is that of what every item has".to_owned();
            stream.unsupported.push((field.name.clone(), why));
        } else {
            let limits = Limits::default();
            stream.fields.push(Field { limits, ..column(field) });
        }
    }
    stream
}

/// The columns that a listing gives, and where each comes from.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    fields: Arc<[Field]>,
    origins: Vec<Origin>,
    /// List columns that are asked for.
    asked: Vec<Field>,
    /// The column that marks a record as gone.
    tombstone: Option<usize>,
    /// The column with the item's number.
    key: Option<usize>,
}

/// An item as it is read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) id: i64,
    values: Vec<Value<'static>>,
    problem: Option<String>,
}

impl Row {
    /// About how many bytes it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let text = |value: &Value<'_>| match value {
            Value::Text(text) => text.len(),
            Value::List(values) => values.len() * 64,
            _ => 0,
        };
        size_of::<Self>() + self.values.iter().map(|v| size_of::<Value<'_>>() + text(v)).sum::<usize>()
    }
}

impl Shape {
    /// `list`: as [described](super::describe::stream) for writing.
    ///
    /// # Errors
    /// A column that the list does not have.
    pub(super) fn of(list: &Stream, wanted: &[String], tombstone: Option<&str>) -> Result<Self, Error> {
        let (mut fields, mut origins, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for name in wanted {
            match (built_in(name), list.field(name)) {
                (Some(origin), _) => {
                    fields.push(built_in_field((name, origin)));
                    origins.push(origin);
                }
                (None, Some(field)) => {
                    fields.push(Field { limits: Limits::default(), ..column(field) });
                    origins.push(Origin::Column(asked.len()));
                    asked.push(column(field));
                }
                (None, None) => {
                    let message = format!("list {:?} has no column {name:?}", list.name);
                    return Err(Error::new(Kind::Definition, message));
                }
            }
        }
        let position = |name: &str| wanted.iter().position(|w| w == name);
        let key = origins.iter().position(|o| *o == Origin::Id);
        let tombstone = tombstone.and_then(position);
        Ok(Self { fields: fields.into(), origins, asked, tombstone, key })
    }

    /// The fields of the batches.
    pub(super) fn fields(&self) -> &Arc<[Field]> {
        &self.fields
    }

    /// Whether a record of which only the number is known can be told: that it is gone.
    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// `$expand=fields($select=…)`, so that no more is sent than is wanted.
    pub(super) fn expand(&self) -> String {
        let names: Vec<&str> = self.asked.iter().map(|f| f.name.as_str()).collect();
        format!("$expand=fields($select={})", if names.is_empty() { KEY.to_owned() } else { names.join(",") })
    }

    /// Reads an item; `None` when it has no number or its columns did not come with it.
    pub(super) fn read(&self, item: &Item<'_>) -> Option<Row> {
        let id = number(item.id.as_deref()?)?;
        let mut columns = item.record(&self.asked)?.values;
        let mut problem = None;
        let mut values = Vec::with_capacity(self.origins.len());
        for (field, origin) in self.fields.iter().zip(&self.origins) {
            let value = match origin {
                Origin::Id => Value::Int64(id),
                Origin::CreatedAt => instant(item.created.as_deref()),
                Origin::ModifiedAt => instant(item.modified.as_deref()),
                Origin::Etag => text(item.version()),
                Origin::WebUrl => text(item.web_url.as_deref().map(str::to_owned)),
                Origin::Column(index) => std::mem::replace(&mut columns[*index], Value::Null),
            };
            if value.fits(&field.kind) {
                values.push(value);
            } else {
                problem.get_or_insert_with(|| {
                    format!(
                        "column {:?} holds what is no {}: its type may have changed",
                        field.name, field.kind
                    )
                });
                values.push(Value::Null);
            }
        }
        Some(Row { id, values, problem })
    }

    /// Adds a record to a batch.
    pub(super) fn push(&self, row: &Row, batch: &mut BatchBuilder) -> Result<(), Error> {
        for (index, value) in row.values.iter().enumerate() {
            put(batch, index, value)?;
        }
        if let Some(problem) = &row.problem {
            batch.problem(problem.clone());
        }
        let gone =
            self.tombstone.is_some_and(|at| !matches!(row.values[at], Value::Null | Value::Boolean(false)));
        batch.end_record(if gone { RecordOp::Delete } else { RecordOp::Upsert });
        Ok(())
    }

    /// Adds the tombstone of an item: of it nothing but the number is known (facts §2.9).
    pub(super) fn push_gone(&self, id: i64, batch: &mut BatchBuilder) -> Result<(), Error> {
        for index in 0..self.fields.len() {
            let value = if self.key == Some(index) { Value::Int64(id) } else { Value::Null };
            put(batch, index, &value)?;
        }
        batch.end_record(RecordOp::Delete);
        Ok(())
    }
}

fn put(batch: &mut BatchBuilder, index: usize, value: &Value<'_>) -> Result<(), Error> {
    batch.push(index, value).map_err(|e| Error::new(Kind::Protocol, e.to_string()))
}

/// The number of an item (facts §2.4: a decimal text that rises).
pub(super) fn number(id: &str) -> Option<i64> {
    id.parse().ok().filter(|n| *n > 0)
}

fn text(text: Option<String>) -> Value<'static> {
    text.map_or(Value::Null, |text| Value::Text(text.into()))
}

/// What is no time stays a text, which does not fit.
fn instant(given: Option<&str>) -> Value<'static> {
    match given.map(|given| time::parse_timestamp(given).ok_or(given)) {
        None => Value::Null,
        Some(Ok((micros, _))) => Value::Timestamp { micros, zoned: true },
        Some(Err(given)) => text(Some(given.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use syncline_core::batch::Positions;

    use super::*;

    fn list() -> Stream {
        let mut home = Field::new("Home", FieldType::Text, true);
        home.limits.hyperlink = true;
        let mut title = Field::new("Title", FieldType::Text, false);
        title.limits.max_length = Some(255);
        Stream {
            name: "Projects".into(),
            fields: vec![
                title,
                Field::new("Budget", FieldType::Decimal { precision: None, scale: None }, true),
                Field::new("IsDeleted", FieldType::Boolean, true),
                home,
                Field::new("etag", FieldType::Text, true),
            ],
            unique: vec![("Title".into(), vec!["Title".into()])],
            notes: vec!["no stamp".into()],
            ..Stream::default()
        }
    }

    const ITEM: &str = r#"{ "@odata.etag": "\"0d9f,3\"", "id": "36", "createdDateTime": "2025-11-16T06:25:32Z",
        "lastModifiedDateTime": "2025-11-16T06:36:14Z", "webUrl": "https://c/Lists/A/36_.000",
        "fields": { "Title": "Laptop \"1\"", "Budget": 0.1, "IsDeleted": true,
                    "Home": { "Url": "https://x", "Description": "x" } } }"#;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_list_as_a_source() {
        let stream = as_source(list());
        let shown: Vec<_> =
            stream.fields.iter().map(|f| (f.name.as_str(), f.kind.to_string(), f.nullable)).collect();
        let time = "timestamp with zone";
        let expected = [
            ("id", "int64", false),
            ("created_at", time, true),
            ("modified_at", time, true),
            ("etag", "text", true),
            ("web_url", "text", true),
            ("Title", "text", true),
            ("Budget", "float64", true),
            ("IsDeleted", "boolean", true),
            ("Home", "text", true),
        ];
        assert_eq!(shown, expected.map(|(name, kind, nullable)| (name, kind.to_owned(), nullable)));
        assert!(stream.fields.iter().all(|f| f.limits == Limits::default()));
        assert_eq!(stream.unsupported[0].0, "etag", "what every item has comes first");
        assert!(
            stream.tells_changes
                && stream.is_unique(&names(&["id"]))
                && !stream.is_unique(&names(&["Title"]))
        );
        assert!(stream.notes.is_empty());
    }

    #[test]
    fn an_item_and_a_tombstone() {
        let wanted = names(&[
            "Home",
            "id",
            "created_at",
            "modified_at",
            "etag",
            "web_url",
            "Budget",
            "Title",
            "IsDeleted",
        ]);
        let shape = Shape::of(&list(), &wanted, Some("IsDeleted")).unwrap();
        assert_eq!(shape.expand(), "$expand=fields($select=Home,Budget,Title,IsDeleted)");
        let row = shape.read(&Item::parse(ITEM).unwrap()).unwrap();
        let mut batch = BatchBuilder::new(Arc::clone(shape.fields()));
        shape.push(&row, &mut batch).unwrap();
        shape.push_gone(7, &mut batch).unwrap();
        let batch = batch.finish(Positions::None);
        let values =
            |row: usize| (0..wanted.len()).map(|c| batch.value(row, c).into_owned()).collect::<Vec<_>>();
        let text = |t: &'static str| Value::Text(t.into());
        let at = |micros| Value::Timestamp { micros, zoned: true };
        assert_eq!(
            values(0),
            [
                text("https://x"),
                Value::Int64(36),
                at(1_763_274_332_000_000),
                at(1_763_274_974_000_000),
                text("\"0d9f,3\""),
                text("https://c/Lists/A/36_.000"),
                Value::Float64(0.1),
                text("Laptop \"1\""),
                Value::Boolean(true),
            ]
        );
        let mut gone = vec![Value::Null; wanted.len()];
        gone[1] = Value::Int64(7);
        assert_eq!(values(1), gone);
        assert_eq!([batch.op(0), batch.op(1)], [RecordOp::Delete; 2], "by its column, and by the service");
        assert_eq!(batch.problem(0), None);
    }

    #[test]
    fn what_does_not_fit_is_a_problem_of_its_record() {
        let shape = Shape::of(&list(), &names(&["id", "Budget", "created_at"]), None).unwrap();
        for (json, column) in [
            (r#"{"id":"1","createdDateTime":"soon","fields":{}}"#, "created_at"),
            (r#"{"id":"1","fields":{"Budget":"12"}}"#, "Budget"),
            (r#"{"id":"1","fields":{"Budget":1e999}}"#, "Budget"),
        ] {
            let row = shape.read(&Item::parse(json).unwrap()).unwrap();
            assert!(row.problem.as_deref().unwrap().contains(column), "{row:?}");
            assert_eq!(row.values[1..], [Value::Null, Value::Null]);
        }
        for broken in
            [r#"{"id":"1"}"#, r#"{"id":"x","fields":{}}"#, r#"{"id":"0","fields":{}}"#, r#"{"fields":{}}"#]
        {
            assert_eq!(shape.read(&Item::parse(broken).unwrap()), None, "{broken}");
        }
        let missing = Shape::of(&list(), &names(&["id", "Nope"]), None).unwrap_err();
        assert_eq!(
            (missing.kind, missing.message.as_str()),
            (Kind::Definition, "list \"Projects\" has no column \"Nope\"")
        );
    }
}
