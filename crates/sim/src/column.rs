//! Columns of a list and their facets (facts §2.3).

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::Refusal;
use crate::chance::Chance;
use crate::json_out::JsonOut;

/// The largest double: the limits of a number column that sets none (facts §2.3, the sample).
const NUMBER_LIMIT: f64 = f64::MAX;

/// Longest text of a single-line column (facts §2.5).
const TEXT_LENGTH: usize = 255;

/// What kind of value a column holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Facet {
    Text {
        multiline: bool,
        rich: bool,
        max_length: usize,
    },
    Number {
        minimum: f64,
        maximum: f64,
    },
    Currency,
    Boolean,
    DateTime {
        date_only: bool,
    },
    Choice {
        choices: Vec<String>,
        allow_text: bool,
        multiple: bool,
    },
    Lookup {
        list_id: String,
        column: String,
        multiple: bool,
    },
    Person {
        multiple: bool,
    },
    Calculated,
    Hyperlink,
    Term,
    Geolocation,
    Thumbnail,
    /// Built-in columns that carry no facet, such as `ID`.
    None,
}

impl Facet {
    /// Lookup and person columns count against the lookup limit of a query (facts §2.5 \[D\]).
    pub(crate) fn is_lookup(&self) -> bool {
        matches!(self, Self::Lookup { .. } | Self::Person { .. })
    }

    /// Uniqueness exists for single-valued, comparable columns only (\[K\]).
    fn can_be_unique(&self) -> bool {
        match self {
            Self::Text { multiline, .. } => !multiline,
            Self::Choice { multiple, .. } | Self::Lookup { multiple, .. } | Self::Person { multiple } => {
                !multiple
            }
            Self::Number { .. } | Self::Currency | Self::DateTime { .. } => true,
            _ => false,
        }
    }

    fn can_be_indexed(&self) -> bool {
        self.can_be_unique() || matches!(self, Self::Boolean)
    }
}

/// The facet's name and properties as answers show them; some facets are never shown.
type ShownFacet = Option<(&'static str, Value)>;

/// A column definition.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) id: Uuid,
    /// The internal name, which `fields` uses.
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) group: String,
    pub(crate) hidden: bool,
    pub(crate) indexed: bool,
    pub(crate) read_only: bool,
    pub(crate) required: bool,
    pub(crate) unique: bool,
    pub(crate) default_value: Option<String>,
    pub(crate) facet: Facet,
    /// The facet's name and properties as sent back.
    facet_json: ShownFacet,
}

/// The facets that can be created, by their names in `columnDefinition` (facts §2.3 \[M\]).
const FACETS: [&str; 12] = [
    "text",
    "number",
    "currency",
    "dateTime",
    "boolean",
    "choice",
    "lookup",
    "personOrGroup",
    "calculated",
    "hyperlinkOrPicture",
    "term",
    "geolocation",
];

/// Read-only columns of every list: name, display name, facet.
const BUILT_IN: [(&str, &str, &str); 17] = [
    ("ContentType", "Content Type", "none"),
    ("Modified", "Modified", "dateTime"),
    ("Created", "Created", "dateTime"),
    ("Author", "Created By", "personOrGroup"),
    ("Editor", "Modified By", "personOrGroup"),
    ("ID", "ID", "none"),
    ("_UIVersionString", "Version", "text"),
    ("Attachments", "Attachments", "none"),
    ("Edit", "Edit", "none"),
    ("LinkTitleNoMenu", "Title", "none"),
    ("LinkTitle", "Title", "none"),
    ("ItemChildCount", "Item Child Count", "lookup"),
    ("FolderChildCount", "Folder Child Count", "lookup"),
    ("_ComplianceFlags", "Label setting", "none"),
    ("_ComplianceTag", "Retention label", "none"),
    ("AppAuthor", "App Created By", "lookup"),
    ("AppEditor", "App Modified By", "lookup"),
];

/// The columns of a new, empty list: `Title`, then the read-only ones.
pub(crate) fn initial_columns(chance: &mut Chance) -> Vec<Column> {
    let mut columns = vec![bare(chance.guid(), "Title", "Title", "text")];
    columns[0].group = "Custom Columns".into();
    for (name, display, facet) in BUILT_IN {
        let mut column = bare(chance.guid(), name, display, facet);
        column.read_only = true;
        columns.push(column);
    }
    columns
}

fn bare(id: Uuid, name: &str, display: &str, facet_name: &str) -> Column {
    let (facet, facet_json) = match facet_name {
        "text" => (
            Facet::Text { multiline: false, rich: false, max_length: TEXT_LENGTH },
            Some(("text", text_json(false, false, TEXT_LENGTH))),
        ),
        "dateTime" => (
            Facet::DateTime { date_only: false },
            Some(("dateTime", json!({ "displayAs": "default", "format": "dateTime" }))),
        ),
        "personOrGroup" => (
            Facet::Person { multiple: false },
            Some((
                "personOrGroup",
                json!({ "allowMultipleSelection": false, "chooseFromType": "peopleOnly", "displayAs": "nameWithPresence" }),
            )),
        ),
        "lookup" => (
            // Built-in lookups point at service data, so they name no list and do not count for the limit.
            Facet::None,
            Some(("lookup", json!({ "allowMultipleValues": false, "allowUnlimitedLength": false }))),
        ),
        _ => (Facet::None, None),
    };
    Column {
        id,
        name: name.into(),
        display_name: display.into(),
        description: String::new(),
        group: "_Hidden".into(),
        hidden: false,
        indexed: false,
        read_only: false,
        required: false,
        unique: false,
        default_value: None,
        facet,
        facet_json,
    }
}

fn text_json(multiline: bool, rich: bool, max_length: usize) -> Value {
    let mut json = json!({
        "allowMultipleLines": multiline,
        "appendChangesToExistingText": false,
        "linesForEditing": if multiline { 6 } else { 0 },
    });
    if multiline {
        json["textType"] = Value::from(if rich { "richText" } else { "plain" });
    } else {
        json["maxLength"] = Value::from(max_length);
    }
    json
}

impl Column {
    /// Reads a `columnDefinition` from a request body.
    pub(crate) fn parse(body: &Map<String, Value>, chance: &mut Chance) -> Result<Self, Refusal> {
        let display_given = text_of(body, "displayName")?;
        let Some(name) = text_of(body, "name")?.or_else(|| display_given.clone()) else {
            return Err(Refusal::invalid("A column needs a name"));
        };
        if name.is_empty() || name.len() > 255 {
            return Err(Refusal::invalid("A column name has 1 to 255 characters"));
        }
        let (facet, facet_json) = parse_facet(body)?;
        let mut column = Self {
            id: chance.guid(),
            display_name: display_given.unwrap_or_else(|| name.clone()),
            name: internal_name(&name),
            description: text_of(body, "description")?.unwrap_or_default(),
            group: text_of(body, "columnGroup")?.unwrap_or_else(|| "Custom Columns".into()),
            hidden: flag(body, "hidden")?.unwrap_or(false),
            indexed: false,
            read_only: flag(body, "readOnly")?.unwrap_or(facet == Facet::Calculated),
            required: false,
            unique: false,
            default_value: default_value(body)?,
            facet,
            facet_json,
        };
        column.apply_flags(body)?;
        Ok(column)
    }

    /// Applies a PATCH; the facet may change within its kind, such as more choices.
    pub(crate) fn patched(&self, body: &Map<String, Value>) -> Result<Self, Refusal> {
        let mut column = self.clone();
        if body.contains_key("name") && text_of(body, "name")?.as_deref() != Some(self.name.as_str()) {
            return Err(Refusal::invalid("The internal name of a column cannot be changed"));
        }
        if let Some(name) = text_of(body, "displayName")? {
            column.display_name = name;
        }
        if let Some(text) = text_of(body, "description")? {
            column.description = text;
        }
        if let Some(hidden) = flag(body, "hidden")? {
            column.hidden = hidden;
        }
        if body.contains_key("defaultValue") {
            column.default_value = default_value(body)?;
        }
        if FACETS.iter().any(|name| body.contains_key(*name)) {
            let (facet, json) = parse_facet(body)?;
            if std::mem::discriminant(&facet) != std::mem::discriminant(&self.facet) {
                return Err(Refusal::invalid("The type of a column cannot be changed"));
            }
            column.facet = facet;
            column.facet_json = json;
        }
        column.apply_flags(body)?;
        Ok(column)
    }

    fn apply_flags(&mut self, body: &Map<String, Value>) -> Result<(), Refusal> {
        self.required = flag(body, "required")?.unwrap_or(self.required);
        self.indexed = flag(body, "indexed")?.unwrap_or(self.indexed);
        self.unique = flag(body, "enforceUniqueValues")?.unwrap_or(self.unique);
        if self.indexed && !self.facet.can_be_indexed() {
            return Err(Refusal::invalid(format!("Field '{}' cannot be indexed", self.name)));
        }
        if self.unique && !self.facet.can_be_unique() {
            return Err(Refusal::invalid(format!("Field '{}' cannot enforce unique values", self.name)));
        }
        if self.unique && !self.indexed {
            return Err(Refusal::invalid(format!(
                "Field '{}' must be indexed to enforce unique values",
                self.name
            )));
        }
        Ok(())
    }

    /// Writes the column as a response shows it: without the properties facts §2.3 \[D\] lists as absent, so that a
    /// hyperlink or term column shows no facet at all.
    pub(crate) fn write(&self, out: &mut JsonOut) {
        out.open();
        self.write_properties(out);
        out.close();
    }

    pub(crate) fn write_properties(&self, out: &mut JsonOut) {
        out.text_field("columnGroup", &self.group);
        out.text_field("description", &self.description);
        out.text_field("displayName", &self.display_name);
        out.bool_field("enforceUniqueValues", self.unique);
        out.bool_field("hidden", self.hidden);
        out.text_field("id", &self.id.to_string());
        out.bool_field("indexed", self.indexed);
        out.text_field("name", &self.name);
        out.bool_field("readOnly", self.read_only);
        out.bool_field("required", self.required);
        if let Some(value) = &self.default_value {
            out.value_field("defaultValue", &json!({ "value": value }));
        }
        if let Some((name, properties)) = &self.facet_json {
            out.value_field(name, properties);
        }
    }
}

fn parse_facet(body: &Map<String, Value>) -> Result<(Facet, ShownFacet), Refusal> {
    let mut named = FACETS.iter().filter(|name| body.get(**name).is_some_and(|v| !v.is_null()));
    let Some(&name) = named.next() else {
        return Err(Refusal::invalid("The column definition names no type"));
    };
    if named.next().is_some() {
        return Err(Refusal::invalid("The column definition names more than one type"));
    }
    let Some(given) = body[name].as_object() else {
        return Err(Refusal::invalid(format!("The type '{name}' must be an object")));
    };
    let facet = facet_of(name, given)?;
    let shown = facet_json(name, given, &facet);
    Ok((facet, shown.map(|json| (name, json))))
}

fn facet_of(name: &str, given: &Map<String, Value>) -> Result<Facet, Refusal> {
    Ok(match name {
        "text" => {
            let multiline = flag(given, "allowMultipleLines")?.unwrap_or(false);
            let rich = given.get("textType").and_then(Value::as_str) == Some("richText");
            let length = given.get("maxLength").and_then(Value::as_u64).unwrap_or(TEXT_LENGTH as u64);
            let max_length = usize::try_from(length).unwrap_or(TEXT_LENGTH);
            if !multiline && !(1..=TEXT_LENGTH).contains(&max_length) {
                return Err(Refusal::invalid("maxLength must be between 1 and 255"));
            }
            Facet::Text { multiline, rich, max_length }
        }
        "number" => Facet::Number {
            minimum: given.get("minimum").and_then(Value::as_f64).unwrap_or(-NUMBER_LIMIT),
            maximum: given.get("maximum").and_then(Value::as_f64).unwrap_or(NUMBER_LIMIT),
        },
        "currency" => Facet::Currency,
        "boolean" => Facet::Boolean,
        "dateTime" => {
            Facet::DateTime { date_only: given.get("format").and_then(Value::as_str) == Some("dateOnly") }
        }
        "choice" => {
            let choices = given.get("choices").and_then(Value::as_array).into_iter().flatten();
            Facet::Choice {
                choices: choices.filter_map(|c| c.as_str().map(str::to_owned)).collect(),
                allow_text: flag(given, "allowTextEntry")?.unwrap_or(false),
                multiple: given.get("displayAs").and_then(Value::as_str) == Some("checkBoxes"),
            }
        }
        "lookup" => Facet::Lookup {
            list_id: text_of(given, "listId")?.unwrap_or_default(),
            column: text_of(given, "columnName")?.unwrap_or_else(|| "Title".into()),
            multiple: flag(given, "allowMultipleValues")?.unwrap_or(false),
        },
        "personOrGroup" => {
            Facet::Person { multiple: flag(given, "allowMultipleSelection")?.unwrap_or(false) }
        }
        "calculated" => Facet::Calculated,
        "hyperlinkOrPicture" => Facet::Hyperlink,
        "geolocation" => Facet::Geolocation,
        "thumbnail" => Facet::Thumbnail,
        _ => Facet::Term,
    })
}

/// The facet as answers show it, defaults filled in; `None` where facts §2.3 \[D\] says it is absent.
fn facet_json(name: &str, given: &Map<String, Value>, facet: &Facet) -> Option<Value> {
    let word = |key: &str, default: &str| given.get(key).cloned().unwrap_or_else(|| default.into());
    Some(match facet {
        Facet::Text { multiline, rich, max_length } => text_json(*multiline, *rich, *max_length),
        Facet::Number { minimum, maximum } => json!({
            "decimalPlaces": word("decimalPlaces", "automatic"),
            "displayAs": word("displayAs", "number"), "maximum": maximum, "minimum": minimum,
        }),
        Facet::Currency => json!({ "locale": word("locale", "en-us") }),
        Facet::DateTime { .. } => json!({
            "displayAs": word("displayAs", "default"), "format": word("format", "dateTime"),
        }),
        Facet::Choice { choices, allow_text, .. } => json!({
            "allowTextEntry": allow_text, "choices": choices, "displayAs": word("displayAs", "dropDownMenu"),
        }),
        Facet::Lookup { list_id, column, multiple } => json!({
            "allowMultipleValues": multiple, "allowUnlimitedLength": false,
            "columnName": column, "listId": list_id,
        }),
        Facet::Person { multiple } => json!({
            "allowMultipleSelection": multiple,
            "chooseFromType": word("chooseFromType", "peopleOnly"),
            "displayAs": word("displayAs", "nameWithPresence"),
        }),
        Facet::Hyperlink | Facet::Term | Facet::Thumbnail => return None,
        _ if name == "calculated" => Value::Object(given.clone()),
        _ => json!({}),
    })
}

/// Characters other than letters, digits and `_` are escaped in internal names (facts §2.3 \[O\]).
fn internal_name(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            escaped.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("_x{unit:04x}_"));
            }
        }
    }
    escaped
}

fn default_value(body: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    match body.get("defaultValue") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(given)) => text_of(given, "value"),
        Some(_) => Err(Refusal::invalid("defaultValue must be an object")),
    }
}

pub(crate) fn text_of(body: &Map<String, Value>, key: &str) -> Result<Option<String>, Refusal> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::invalid(format!("Property '{key}' must be a string"))),
    }
}

fn flag(body: &Map<String, Value>, key: &str) -> Result<Option<bool>, Refusal> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(Refusal::invalid(format!("Property '{key}' must be true or false"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_names_are_escaped() {
        assert_eq!(internal_name("Picture Column"), "Picture_x0020_Column");
        assert_eq!(internal_name("SynclineKey"), "SynclineKey");
    }

    #[test]
    fn a_unique_column_needs_an_index_and_a_single_value() {
        let mut chance = Chance::new(1);
        let mut parse = |body: Value| {
            Column::parse(body.as_object().expect("object"), &mut chance).map_err(|r| r.message)
        };
        assert!(parse(json!({"name":"K","text":{},"enforceUniqueValues":true})).is_err());
        assert!(parse(json!({"name":"K","text":{},"enforceUniqueValues":true,"indexed":true})).is_ok());
        assert!(parse(json!({"name":"K","text":{"allowMultipleLines":true},"indexed":true})).is_err());
        assert!(parse(json!({"name":"K","text":{},"number":{}})).is_err());
    }
}
