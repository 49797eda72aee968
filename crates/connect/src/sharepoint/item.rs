//! Items as Graph sends them, read in one pass into records.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use syncline_core::{schema::Field, value::Value};

use super::{STAMP_FIELD, types};
use crate::destination::Record;

/// A list item (facts §2.4), or what stands in its place in a delta page (facts §2.9).
#[derive(Deserialize)]
pub(super) struct Item<'a> {
    pub(super) id: Option<String>,
    #[serde(rename = "@odata.etag")]
    odata_etag: Option<String>,
    #[serde(rename = "eTag")]
    etag: Option<String>,
    #[serde(borrow, rename = "createdDateTime")]
    pub(super) created: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "lastModifiedDateTime")]
    pub(super) modified: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "webUrl")]
    pub(super) web_url: Option<Cow<'a, str>>,
    /// Present on a deleted item.
    pub(super) deleted: Option<IgnoredAny>,
    /// A fault of the service inside a page.
    pub(super) error: Option<IgnoredAny>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
}

impl<'a> Item<'a> {
    /// Reads an item.
    pub(super) fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Its version: opaque, and the same text in every answer that carries it.
    pub(super) fn version(&self) -> Option<String> {
        self.odata_etag.clone().or_else(|| self.etag.clone())
    }

    /// Whether its columns came with it.
    pub(super) fn has_fields(&self) -> bool {
        self.fields.is_some()
    }

    /// The record it is; columns that are absent are empty (facts §2.4). `None` without an id or columns.
    pub(super) fn record(&self, fields: &[Field]) -> Option<Record> {
        let id = self.id.clone().filter(|id| !id.is_empty())?;
        let mut columns = serde_json::Deserializer::from_str(self.fields?.get());
        let (stamp, values) = Columns { fields }.deserialize(&mut columns).ok()?;
        Some(Record { id, version: self.version(), stamp, values })
    }
}

/// Picks the wanted columns out of `fields`.
struct Columns<'f> {
    fields: &'f [Field],
}

impl<'de> DeserializeSeed<'de> for Columns<'_> {
    type Value = (Option<String>, Vec<Value<'static>>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = (Option<String>, Vec<Value<'static>>);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the columns of an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![Value::Null; self.fields.len()];
        let mut stamp = None;
        while let Some(name) = map.next_key_seed(Name { fields: self.fields })? {
            match name {
                Wanted::Field(index) => {
                    let json = map.next_value::<&RawValue>()?;
                    values[index] = types::read(&self.fields[index], json);
                }
                Wanted::Stamp => stamp = map.next_value::<Option<Cow<'de, str>>>()?.map(Cow::into_owned),
                Wanted::Nothing => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok((stamp, values))
    }
}

enum Wanted {
    Field(usize),
    Stamp,
    Nothing,
}

/// Looks a column's name up without copying it.
struct Name<'f> {
    fields: &'f [Field],
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Wanted;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Wanted, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Wanted;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Wanted, E> {
        Ok(match self.fields.iter().position(|f| f.name == name) {
            Some(index) => Wanted::Field(index),
            None if name == STAMP_FIELD => Wanted::Stamp,
            None => Wanted::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::schema::FieldType;

    #[test]
    fn an_item_of_the_facts_file() {
        let json = r#"{ "@odata.etag": "\"0d9f,3\"", "eTag": "\"0d9f,3\"", "id": "36", "contentType": {"id": "0x01"},
            "fields": { "@odata.etag": "\"0d9f,3\"", "Title": "Laptop \"1\"", "IsDeleted": true, "id": "36",
                        "SynclineKey": "ab", "AuthorLookupId": "25" } }"#;
        let fields = [
            Field::new("IsDeleted", FieldType::Boolean, true),
            Field::new("Title", FieldType::Text, true),
            Field::new("Absent", FieldType::Text, true),
        ];
        let item = Item::parse(json).unwrap();
        let expected = Record {
            id: "36".into(),
            version: Some("\"0d9f,3\"".into()),
            stamp: Some("ab".into()),
            values: vec![Value::Boolean(true), Value::Text("Laptop \"1\"".into()), Value::Null],
        };
        assert_eq!(item.record(&fields), Some(expected));
    }

    #[test]
    fn what_stands_in_for_items() {
        let deleted = Item::parse(r#"{"id":"3","deleted":{"state":"deleted"}}"#).unwrap();
        assert!(deleted.deleted.is_some() && deleted.record(&[]).is_none());
        let fault = Item::parse(r#"{"error":{"code":"InternalServerError"}}"#).unwrap();
        assert!(fault.error.is_some() && fault.id.is_none());
    }
}
