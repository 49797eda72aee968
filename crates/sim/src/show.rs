//! Sites, lists and items as answers show them (facts §2.1, §2.4).

use crate::clock::iso_utc;
use crate::item::{Actor, Item};
use crate::json_out::JsonOut;
use crate::list::List;
use crate::query::{FieldsShape, Shape};
use crate::site::Site;
use crate::value::FieldValue;

/// Where an item is shown: the caller's own base URL and the item's place.
pub(crate) struct Place<'a> {
    pub(crate) base: &'a str,
    pub(crate) site: &'a Site,
    pub(crate) list: &'a List,
}

/// Writes a site.
pub(crate) fn site(out: &mut JsonOut, site: &Site, context: Option<&str>) {
    out.open();
    if let Some(base) = context {
        out.text_field("@odata.context", &format!("{base}/v1.0/$metadata#sites/$entity"));
    }
    out.text_field("createdDateTime", &iso_utc(site.created_ms));
    out.text_field("description", "");
    out.text_field("displayName", &site.display_name);
    out.text_field("id", &site.id);
    out.text_field("lastModifiedDateTime", &iso_utc(site.created_ms));
    out.text_field("name", site.name());
    out.text_field("webUrl", &site.web_url());
    if site.path.is_empty() {
        out.value_field("root", &serde_json::json!({}));
    }
    out.value_field("siteCollection", &serde_json::json!({ "hostname": site.host }));
    out.close();
}

/// Writes a list, with its columns when asked.
pub(crate) fn list(out: &mut JsonOut, place: &Place<'_>, context: bool, with_columns: bool) {
    let list = place.list;
    out.open();
    if context {
        out.text_field(
            "@odata.context",
            &format!("{}/v1.0/$metadata#sites('{}')/lists/$entity", place.base, escaped(&place.site.id)),
        );
    }
    let etag = format!("\"{},{}\"", list.id, list.version);
    out.text_field("@odata.etag", &etag);
    out.text_field("createdDateTime", &iso_utc(list.created_ms));
    out.text_field("description", &list.description);
    out.text_field("displayName", &list.display_name);
    out.text_field("eTag", &etag);
    out.text_field("id", &list.id.to_string());
    out.text_field("lastModifiedDateTime", &iso_utc(list.modified_ms));
    out.text_field("name", &list.name);
    out.text_field("webUrl", &list_url(place));
    out.key("parentReference");
    out.open();
    out.text_field("siteId", &place.site.id);
    out.close();
    out.key("list");
    out.open();
    out.bool_field("contentTypesEnabled", false);
    out.bool_field("hidden", list.hidden);
    out.text_field("template", &list.template);
    out.close();
    if list.system {
        out.value_field("system", &serde_json::json!({}));
    }
    if with_columns {
        out.key("columns");
        out.open_array();
        for column in list.columns() {
            column.write(out);
        }
        out.close_array();
    }
    out.close();
}

fn list_url(place: &Place<'_>) -> String {
    format!("{}/Lists/{}", place.site.web_url(), place.list.name.replace(' ', "%20"))
}

/// Commas of a site id inside a context URL.
fn escaped(site_id: &str) -> String {
    site_id.replace(',', "%2C")
}

/// Writes an item in the given shape. `context` is the `@odata.context` of a single-item answer.
pub(crate) fn item(out: &mut JsonOut, place: &Place<'_>, item: &Item, shape: &Shape, context: bool) {
    let etag = item.etag();
    out.open();
    if context {
        let site = escaped(&place.site.id);
        out.text_field(
            "@odata.context",
            &format!(
                "{}/v1.0/$metadata#sites('{site}')/lists('{}')/items/$entity",
                place.base, place.list.id
            ),
        );
    }
    out.text_field("@odata.etag", &etag);
    properties(out, place, item, shape, &etag);
    if shape.fields != FieldsShape::Absent {
        let context = fields_context(place, item);
        out.text_field("fields@odata.context", &context);
        out.key("fields");
        fields(out, place.list, item, &shape.fields, None);
    }
    out.close();
}

fn properties(out: &mut JsonOut, place: &Place<'_>, item: &Item, shape: &Shape, etag: &str) {
    if shape.shows("createdDateTime") {
        out.text_field("createdDateTime", &iso_utc(item.created_ms));
    }
    if shape.shows("eTag") {
        out.text_field("eTag", etag);
    }
    if shape.shows("id") {
        out.text_field("id", &item.id.to_string());
    }
    if shape.shows("lastModifiedDateTime") {
        out.text_field("lastModifiedDateTime", &iso_utc(item.modified_ms));
    }
    if shape.shows("webUrl") {
        out.text_field("webUrl", &format!("{}/{}_.000", list_url(place), item.id));
    }
    if shape.shows("createdBy") {
        out.key("createdBy");
        actor(out, &item.author);
    }
    if shape.shows("lastModifiedBy") {
        out.key("lastModifiedBy");
        actor(out, &item.editor);
    }
    if shape.shows("parentReference") {
        out.key("parentReference");
        out.open();
        out.text_field("id", &place.list.id.to_string());
        out.text_field("siteId", &place.site.id);
        out.close();
    }
    if shape.shows("contentType") {
        content_type(out, place.list);
    }
}

fn content_type(out: &mut JsonOut, list: &List) {
    out.key("contentType");
    out.open();
    out.text_field("id", &list.content_type_id);
    out.text_field("name", "Item");
    out.close();
}

fn actor(out: &mut JsonOut, actor: &Actor) {
    out.open();
    if let Some((id, name)) = &actor.app {
        out.key("application");
        out.open();
        out.text_field("id", id);
        out.text_field("displayName", name);
        out.close();
    }
    out.key("user");
    out.open();
    out.text_field("email", &actor.email);
    out.text_field("id", &actor.user_id);
    out.text_field("displayName", &actor.user_name);
    out.close();
    out.close();
}

/// The context URL of a `fields` value.
pub(crate) fn fields_context(place: &Place<'_>, item: &Item) -> String {
    format!(
        "{}/v1.0/$metadata#sites('{}')/lists('{}')/items('{}')/fields/$entity",
        place.base,
        escaped(&place.site.id),
        place.list.id,
        item.id
    )
}

/// Writes a `fieldValueSet`: empty columns are absent (facts §2.4 \[O\]), hidden ones appear only when selected by
/// name and so do lookup values (facts §2.3, §2.4 \[D\]).
pub(crate) fn fields(
    out: &mut JsonOut,
    list: &List,
    item: &Item,
    shape: &FieldsShape,
    context: Option<&str>,
) {
    out.open();
    if let Some(context) = context {
        out.text_field("@odata.context", context);
    }
    out.text_field("@odata.etag", &item.etag());
    let names = match shape {
        FieldsShape::Named(names) => Some(names.as_slice()),
        FieldsShape::All | FieldsShape::Absent => None,
    };
    for (number, value) in &item.values {
        let Some(column) = list.column(*number) else { continue };
        let named = |name: &str| names.is_some_and(|names| names.iter().any(|n| n == name));
        let single_lookup = matches!(value, FieldValue::Lookup(_));
        if single_lookup {
            let id_name = format!("{}LookupId", column.name);
            if names.map_or(!column.hidden, |_| named(&id_name)) {
                out.key(&id_name);
                value.write(out);
            }
            if named(&column.name) {
                out.key(&column.name);
                value.write(out);
            }
        } else if names.map_or(!column.hidden, |_| named(&column.name)) {
            out.key(&column.name);
            value.write(out);
        }
    }
    built_in_fields(out, list, item, names);
    out.close();
}

fn built_in_fields(out: &mut JsonOut, list: &List, item: &Item, names: Option<&[String]>) {
    let shows = |name: &str| names.is_none_or(|names| names.iter().any(|n| n == name));
    let title = || match list.column_number("Title").and_then(|n| item.value(n)) {
        Some(FieldValue::Text(text)) => Some(&**text),
        _ => None,
    };
    if shows("id") {
        out.text_field("id", &item.id.to_string());
    }
    if shows("ContentType") {
        out.text_field("ContentType", "Item");
    }
    if shows("Modified") {
        out.text_field("Modified", &iso_utc(item.modified_ms));
    }
    if shows("Created") {
        out.text_field("Created", &iso_utc(item.created_ms));
    }
    if shows("AuthorLookupId") {
        out.text_field("AuthorLookupId", &item.author.lookup_id.to_string());
    }
    if shows("EditorLookupId") {
        out.text_field("EditorLookupId", &item.editor.lookup_id.to_string());
    }
    if shows("_UIVersionString") {
        out.text_field("_UIVersionString", &format!("{}.0", item.version));
    }
    if shows("Attachments") {
        out.bool_field("Attachments", false);
    }
    for name in ["LinkTitleNoMenu", "LinkTitle"] {
        if let Some(title) = title().filter(|_| shows(name)) {
            out.text_field(name, title);
        }
    }
    for (name, value) in CONSTANT_FIELDS {
        if shows(name) {
            out.text_field(name, value);
        }
    }
    for (name, actor) in [("AppAuthorLookupId", &item.author), ("AppEditorLookupId", &item.editor)] {
        if actor.app.is_some() && shows(name) {
            out.text_field(name, "23");
        }
    }
}

/// Fields that hold the same in every item of a plain list (facts §2.4, the captured item).
const CONSTANT_FIELDS: [(&str, &str); 7] = [
    ("Edit", ""),
    ("ItemChildCount", "0"),
    ("FolderChildCount", "0"),
    ("_ComplianceFlags", ""),
    ("_ComplianceTag", ""),
    ("_ComplianceTagWrittenTime", ""),
    ("_ComplianceTagUserId", ""),
];

/// Writes the tombstone of a deleted item: no fields, no times (facts §2.9 \[D\]).
pub(crate) fn tombstone(out: &mut JsonOut, place: &Place<'_>, id: u64) {
    out.open();
    out.text_field("id", &id.to_string());
    out.key("parentReference");
    out.open();
    out.text_field("siteId", &place.site.id);
    out.close();
    content_type(out, place.list);
    out.value_field("deleted", &serde_json::json!({ "state": "deleted" }));
    out.close();
}
