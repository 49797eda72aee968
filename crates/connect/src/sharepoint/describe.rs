//! Finding the site and the list, and what the list's columns mean (facts §2.1, §2.3).

use serde::{Deserialize, de::IgnoredAny};
use syncline_core::schema::{Field, FieldType, Limits, Stream};
use url::Url;

use super::{COST_OTHER, COST_SINGLE, STAMP_FIELD, config::SiteAddress, doing, stamp};
use crate::{
    Error,
    destination::Stamp,
    error::Kind,
    graph::client::{Address, Call, Client, nonsense, segment},
};

/// Most characters of a single-line column that says nothing else (facts §2.5).
const TEXT_LENGTH: usize = 255;

/// Years SharePoint can hold.
const YEARS: (i32, i32) = (1900, 8900);

/// Pages of lists or columns that are followed. A site collection has at most 2,000 lists (facts §2.8).
const PAGES_MAX: usize = 100;

/// Names offered for "did you mean".
const NAMES_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// The id of the site.
pub(super) async fn site_id(client: &Client, address: &SiteAddress) -> Result<String, Error> {
    let path = address.request();
    let site: Id = client
        .get(Address::Path(&path), COST_SINGLE, doing::READ)
        .await
        .map_err(|e| e.context(format_args!("site {address}")))?;
    Ok(segment(&site.id).to_string())
}

/// One page of anything.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub(super) value: Vec<T>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

async fn all<T: serde::de::DeserializeOwned>(client: &Client, first: &str) -> Result<Vec<T>, Error> {
    let mut page: Page<T> = client.get(Address::Path(first), COST_OTHER, doing::READ).await?;
    let mut all = page.value;
    for _ in 1..PAGES_MAX {
        let Some(next) = page.next else { return Ok(all) };
        page = client.get(Address::Link(&next), COST_OTHER, doing::READ).await?;
        all.append(&mut page.value);
    }
    Err(Error::new(Kind::Protocol, "the service's pages do not end"))
}

/// A list (facts §2.1).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    web_url: String,
    system: Option<IgnoredAny>,
    list: Option<ListInfo>,
}

#[derive(Debug, Clone, Deserialize)]
struct ListInfo {
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    template: String,
}

impl List {
    /// Lists people see: not the service's own.
    fn is_visible(&self) -> bool {
        self.system.is_none() && !self.list.as_ref().is_some_and(|l| l.hidden)
    }

    fn is_library(&self) -> bool {
        self.list.as_ref().is_some_and(|l| l.template.eq_ignore_ascii_case("documentLibrary"))
    }

    /// Server-relative path without its first slash: `sites/ops/Lists/Projects`.
    fn path(&self) -> Option<String> {
        let url = Url::parse(&self.web_url).ok()?;
        let path = percent_encoding::percent_decode_str(url.path()).decode_utf8().ok()?;
        Some(path.trim_matches('/').to_owned())
    }
}

/// Titles of the lists people see.
pub(super) async fn names(client: &Client, site: &str) -> Result<Vec<String>, Error> {
    let lists: Vec<List> = all(client, &format!("{site}/lists")).await?;
    let visible = lists.into_iter().filter(List::is_visible).map(|l| l.display_name);
    Ok(visible.take(NAMES_MAX).collect())
}

/// Finds and describes a list by id, title, name or path, to be written.
pub(super) async fn stream(client: &Client, site: &str, asked: &str) -> Result<Stream, Error> {
    let named = |e: Error| e.context(format_args!("list {asked:?}"));
    let (list, mut columns) = look(client, site, asked).await.map_err(named)?;
    if !columns.iter().any(|c| c.name == STAMP_FIELD) {
        // Hidden columns appear only when asked for by name (facts §2.3 [D]).
        let path = format!("{site}/lists/{}", segment(&list.id));
        columns.extend(column(client, &path, STAMP_FIELD).await.map_err(named)?);
    }
    Ok(described(asked, &list, &columns))
}

/// The same, to be read: hidden columns are not among those that the service shows with changes (facts §2.3 [D]), and would
/// read as empty.
pub(super) async fn readable(client: &Client, site: &str, asked: &str) -> Result<Stream, Error> {
    let found = look(client, site, asked).await;
    let (list, columns) = found.map_err(|e| e.context(format_args!("list {asked:?}")))?;
    let (hidden, shown): (Vec<_>, Vec<_>) = columns.into_iter().partition(|c| c.hidden);
    let mut stream = described(asked, &list, &shown);
    let left_out = |column: Column| (column.name, "hidden in the list".to_owned());
    stream.unsupported.extend(hidden.into_iter().map(left_out));
    Ok(stream)
}

async fn look(client: &Client, site: &str, asked: &str) -> Result<(List, Vec<Column>), Error> {
    let list = find(client, site, asked).await?;
    let columns = all(client, &format!("{site}/lists/{}/columns", segment(&list.id))).await?;
    Ok((list, columns))
}

/// Where people find an item; `None`: there is no such item.
pub(super) async fn link(client: &Client, list: &str, id: &str) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Linked {
        web_url: Option<String>,
    }
    let path = format!("{list}/items/{}?$select=id,webUrl", segment(id));
    let answer = client.send(Call::get(Address::Path(&path), COST_SINGLE)).await?;
    match answer.status {
        200 => serde_json::from_slice::<Linked>(&answer.body)
            .map(|linked| linked.web_url)
            .map_err(|e| nonsense(&answer.request, &e)),
        404 => Ok(None),
        _ => Err(answer.refusal(doing::READ_ITEM)),
    }
}

/// One column by its internal name.
pub(super) async fn column(client: &Client, list: &str, name: &str) -> Result<Option<Column>, Error> {
    let path = format!("{list}/columns/{name}");
    let answer = client.send(Call::get(Address::Path(&path), COST_SINGLE)).await?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map(Some).map_err(|e| nonsense(&answer.request, &e)),
        400 | 404 => Ok(None),
        _ => Err(answer.refusal(doing::READ)),
    }
}

/// Whether the list is still there.
pub(super) async fn exists(client: &Client, list: &str) -> Result<bool, Error> {
    let answer = client.send(Call::get(Address::Path(list), COST_SINGLE)).await?;
    match answer.status {
        200 => Ok(true),
        404 => Ok(false),
        _ => Err(answer.refusal(doing::READ)),
    }
}

async fn find(client: &Client, site: &str, asked: &str) -> Result<List, Error> {
    if let Ok(id) = uuid::Uuid::try_parse(asked) {
        let path = format!("{site}/lists/{id}");
        return client.get(Address::Path(&path), COST_SINGLE, doing::READ).await;
    }
    // Titles in the place of ids work in practice but are not documented (facts §2.1 [K]): look through the lists.
    let lists: Vec<List> = all(client, &format!("{site}/lists")).await?;
    choose(lists, asked)
}

/// The one list that is meant: the most exact way of naming that fits any, and then it must fit one alone.
pub(super) fn choose(mut lists: Vec<List>, asked: &str) -> Result<List, Error> {
    let asked_path = Url::parse(asked).ok().map_or_else(|| asked.to_owned(), |u| u.path().to_owned());
    let asked_path = percent_encoding::percent_decode_str(asked_path.trim_matches('/')).decode_utf8_lossy();
    let by_path = |l: &List| {
        let path = l.path().unwrap_or_default();
        asked_path.contains('/')
            && (path == *asked_path
                || path.strip_suffix(asked_path.as_ref()).is_some_and(|p| p.ends_with('/')))
    };
    let ways: [&dyn Fn(&List) -> bool; 4] =
        [&|l| l.display_name == asked, &|l| l.name == asked, &by_path, &|l| {
            l.display_name.to_lowercase() == asked.to_lowercase()
        }];
    for fits in ways {
        let found: Vec<usize> = (0..lists.len()).filter(|i| fits(&lists[*i])).collect();
        match found[..] {
            [] => {}
            [one] => return Ok(lists.swap_remove(one)),
            _ => {
                let ids: Vec<&str> = found.iter().take(5).map(|i| lists[*i].id.as_str()).collect();
                return Err(Error::new(Kind::Definition, "several lists have this name")
                    .hint(format!("name it by its id, one of {}", ids.join(", "))));
            }
        }
    }
    Err(Error::new(Kind::StreamMissing, "the site has no such list"))
}

/// A column (facts §2.3). At most one facet is there.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Column {
    pub(super) id: String,
    pub(super) name: String,
    display_name: String,
    pub(super) indexed: bool,
    pub(super) enforce_unique_values: bool,
    hidden: bool,
    read_only: bool,
    required: bool,
    text: Option<TextFacet>,
    number: Option<NumberFacet>,
    currency: Option<IgnoredAny>,
    boolean: Option<IgnoredAny>,
    date_time: Option<DateTimeFacet>,
    choice: Option<ChoiceFacet>,
    hyperlink_or_picture: Option<HyperlinkFacet>,
    lookup: Option<IgnoredAny>,
    person_or_group: Option<IgnoredAny>,
    calculated: Option<IgnoredAny>,
    term: Option<IgnoredAny>,
    geolocation: Option<IgnoredAny>,
    thumbnail: Option<IgnoredAny>,
    content_approval_status: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TextFacet {
    allow_multiple_lines: bool,
    max_length: Option<usize>,
    text_type: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct NumberFacet {
    minimum: Option<f64>,
    maximum: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct DateTimeFacet {
    format: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ChoiceFacet {
    allow_text_entry: bool,
    choices: Vec<String>,
    display_as: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HyperlinkFacet {
    is_picture: bool,
}

pub(super) fn described(asked: &str, list: &List, columns: &[Column]) -> Stream {
    let mut stream = Stream { name: asked.to_owned(), id: list.id.clone(), ..Stream::default() };
    for column in columns {
        match field(column) {
            Ok(field) => {
                if field.limits.unique {
                    stream.unique.push((field.name.clone(), vec![field.name.clone()]));
                }
                if field.limits.indexed {
                    stream.indexed.push(field.name.clone());
                }
                stream.fields.push(field);
            }
            Err(reason) => stream.unsupported.push((column.name.clone(), reason.to_owned())),
        }
    }
    stream.notes = notes(list, columns);
    if stamp::of(&stream) == Stamp::None {
        stream.notes.push(format!(
            "no indexed column {STAMP_FIELD}: a create whose answer is lost may double; syncline check --fix makes it"
        ));
    }
    stream
}

fn notes(list: &List, columns: &[Column]) -> Vec<String> {
    let mut notes = Vec::new();
    if list.is_library() {
        notes.push(
            "this is a document library: items there are made by uploading files, so creates fail".to_owned(),
        );
    }
    for column in columns {
        if column.text.as_ref().is_some_and(|t| t.text_type.as_deref() == Some("richText")) {
            notes.push(format!(
                "column {:?} is rich text: the service may rewrite the HTML in it",
                column.name
            ));
        }
    }
    notes
}

/// The field a column is, or why it is none.
fn field(column: &Column) -> Result<Field, &'static str> {
    let mut limits = Limits {
        required: column.required,
        read_only: column.read_only,
        unique: column.indexed && column.enforce_unique_values,
        indexed: column.indexed,
        ..Limits::default()
    };
    let kind = facet(column, &mut limits)?;
    let label = (column.display_name != column.name && !column.display_name.is_empty())
        .then(|| column.display_name.clone());
    Ok(Field { name: column.name.clone(), label, kind, nullable: !column.required, limits, native: None })
}

/// One of many facets (facts §2.3, §2.5): "no facet" is not text.
fn facet(column: &Column, limits: &mut Limits) -> Result<FieldType, &'static str> {
    let kind = if let Some(text) = &column.text {
        // The service may trim and change line ends (facts §2.5 [K]); an empty text is an empty column.
        (limits.loose_space, limits.empty_is_null, limits.no_control) = (true, true, true);
        limits.max_length =
            if text.allow_multiple_lines { None } else { Some(text.max_length.unwrap_or(TEXT_LENGTH)) };
        FieldType::Text
    } else if let Some(number) = &column.number {
        limits.as_double = true;
        // The largest double stands for "no limit".
        limits.minimum = number.minimum.filter(|m| *m > f64::MIN);
        limits.maximum = number.maximum.filter(|m| *m < f64::MAX);
        FieldType::Decimal { precision: None, scale: None }
    } else if column.currency.is_some() {
        limits.as_double = true;
        FieldType::Decimal { precision: None, scale: None }
    } else if column.boolean.is_some() {
        FieldType::Boolean
    } else if let Some(date) = &column.date_time {
        limits.years = Some(YEARS);
        if date.format.as_deref() == Some("dateOnly") {
            FieldType::Date
        } else {
            limits.whole_seconds = true;
            FieldType::Timestamp { zoned: true }
        }
    } else if let Some(choice) = &column.choice {
        (limits.empty_is_null, limits.no_control) = (true, true);
        limits.max_length = Some(TEXT_LENGTH);
        if !choice.allow_text_entry {
            limits.choices.clone_from(&choice.choices);
        }
        if choice.display_as.as_deref() == Some("checkBoxes") {
            FieldType::List(Box::new(FieldType::Text))
        } else {
            FieldType::Text
        }
    } else if let Some(link) = &column.hyperlink_or_picture {
        if link.is_picture {
            return Err("a picture");
        }
        (limits.hyperlink, limits.empty_is_null, limits.no_control) = (true, true, true);
        limits.max_length = Some(TEXT_LENGTH);
        FieldType::Text
    } else {
        return Err(unsupported(column));
    };
    Ok(kind)
}

fn unsupported(column: &Column) -> &'static str {
    let facets = [
        (&column.lookup, "a lookup: it holds ids of another list's items"),
        (&column.person_or_group, "a person: it holds ids of the site's own user list"),
        (&column.calculated, "calculated by the list"),
        (&column.term, "managed metadata"),
        (&column.geolocation, "a location"),
        (&column.thumbnail, "a picture"),
        (&column.content_approval_status, "the approval status"),
    ];
    let known = facets.iter().find(|(facet, _)| facet.is_some()).map(|(_, reason)| *reason);
    known.unwrap_or("Microsoft Graph does not tell its type (a hyperlink, or a built-in column)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(column: serde_json::Value) -> Result<Field, &'static str> {
        field(&serde_json::from_value(column).unwrap())
    }

    #[test]
    fn facets() {
        let decimal = FieldType::Decimal { precision: None, scale: None };
        for (facet, kind) in [
            (json!({ "text": {} }), FieldType::Text),
            (json!({ "text": { "allowMultipleLines": true, "maxLength": 255 } }), FieldType::Text),
            (json!({ "number": { "decimalPlaces": "two" } }), decimal.clone()),
            (json!({ "currency": { "locale": "en-us" } }), decimal),
            (json!({ "boolean": {} }), FieldType::Boolean),
            (json!({ "dateTime": { "format": "dateOnly" } }), FieldType::Date),
            (json!({ "dateTime": { "format": "dateTime" } }), FieldType::Timestamp { zoned: true }),
            (json!({ "choice": { "displayAs": "dropDownMenu" } }), FieldType::Text),
            (json!({ "choice": { "displayAs": "checkBoxes" } }), FieldType::List(Box::new(FieldType::Text))),
            (json!({ "hyperlinkOrPicture": { "isPicture": false } }), FieldType::Text),
        ] {
            assert_eq!(read(facet.clone()).map(|f| f.kind), Ok(kind), "{facet}");
        }
        for facet in
            ["lookup", "personOrGroup", "calculated", "term", "geolocation", "thumbnail", "somethingNew"]
        {
            assert!(read(json!({ facet: {} })).is_err(), "{facet}");
        }
        assert!(read(json!({ "name": "ContentType" })).is_err(), "no facet is no type");
    }

    #[test]
    fn limits() {
        let budget = read(json!({ "name": "BudgetAmount", "displayName": "Budget amount", "indexed": true,
            "required": true, "number": { "maximum": f64::MAX, "minimum": 0.0 } }))
        .unwrap();
        assert_eq!(budget.label.as_deref(), Some("Budget amount"));
        assert_eq!((budget.limits.minimum, budget.limits.maximum), (Some(0.0), None));
        assert!(
            budget.limits.as_double && budget.limits.indexed && !budget.limits.unique && !budget.nullable
        );
        assert_eq!(read(json!({ "text": {} })).unwrap().limits.max_length, Some(255));
        assert_eq!(read(json!({ "text": { "maxLength": 64 } })).unwrap().limits.max_length, Some(64));
        let note = read(json!({ "text": { "allowMultipleLines": true } })).unwrap();
        assert_eq!(note.limits.max_length, None);
        let open = read(json!({ "choice": { "allowTextEntry": true, "choices": ["A"] } })).unwrap();
        assert!(open.limits.choices.is_empty());
        let key = read(json!({ "text": {}, "indexed": true, "enforceUniqueValues": true })).unwrap();
        assert!(key.limits.unique);
    }

    fn list(id: &str, name: &str, title: &str, path: &str) -> List {
        serde_json::from_value(json!({ "id": id, "name": name, "displayName": title,
            "webUrl": format!("https://contoso.sharepoint.com/{path}") }))
        .unwrap()
    }

    #[test]
    fn lists_by_every_name() {
        let lists = || {
            vec![
                list("1", "Projects", "Active Projects", "sites/ops/Lists/Projects"),
                list("2", "Closed", "Projects", "sites/ops/Lists/My%20Closed"),
                list("3", "Twin", "Twins", "sites/ops/Lists/Twin"),
                list("4", "Twin2", "Twins", "sites/ops/Lists/Twin2"),
            ]
        };
        for (asked, id) in [
            ("Active Projects", "1"),
            ("Projects", "2"),
            ("Closed", "2"),
            ("Lists/Projects", "1"),
            ("/sites/ops/Lists/My Closed", "2"),
            ("https://contoso.sharepoint.com/sites/ops/Lists/My%20Closed", "2"),
            ("active projects", "1"),
        ] {
            assert_eq!(
                choose(lists(), asked).map(|l| l.id).map_err(|e| e.message),
                Ok(id.to_owned()),
                "{asked}"
            );
        }
        assert_eq!(choose(lists(), "Twins").unwrap_err().kind, Kind::Definition);
        assert_eq!(choose(lists(), "Nothing").unwrap_err().kind, Kind::StreamMissing);
        assert_eq!(choose(lists(), "ists/Projects").unwrap_err().kind, Kind::StreamMissing);
    }
}
