//! Finding items by stamp and by id (facts §2.7).

use std::collections::BTreeSet;

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::{
    identity::Identity,
    schema::{Field, Stream},
};

use super::{
    COST_OTHER, COST_SINGLE, STAMP_FIELD,
    batch::{self, Part, PartAnswer},
    describe, doing,
    item::Item,
    stamp,
};
use crate::{
    Error,
    destination::Record,
    error::Kind,
    graph::{
        client::{Address, Call, Client, nonsense, segment},
        errors::Doing,
    },
};

/// Pages of one look-up that are followed: pages may be empty and still go on (facts §1.5).
const PAGES_MAX: usize = 1_000;

/// `$expand=fields($select=…)` for these fields and the stamp.
pub(super) fn expand(stream: &Stream, fields: &[Field]) -> String {
    let mut names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
    if stamp::is_present(stream) {
        names.push(STAMP_FIELD);
    }
    if names.is_empty() {
        names.push("id");
    }
    format!("$expand=fields($select={})", names.join(","))
}

fn get_part(doing: Doing, path: String, cost: u64) -> Part {
    Part { doing, method: Method::GET, path, if_match: None, body: None, cost }
}

/// A page of items.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
    #[serde(rename = "@odata.nextLink")]
    next: Option<String>,
}

/// Items that carry one of these stamps.
pub(super) async fn lookup(
    client: &Client,
    list: &str,
    stream: &Stream,
    fields: &[Field],
    identities: &[Identity],
) -> Result<Vec<Record>, Error> {
    if identities.is_empty() {
        return Ok(Vec::new());
    }
    let named = |e: Error| e.context(format_args!("list {:?}: look-up by {STAMP_FIELD}", stream.name));
    let expand = expand(stream, fields);
    let wanted: BTreeSet<String> = identities.iter().map(Identity::stamp).collect();
    // One indexed field at a time, and `or` is nowhere promised (facts §2.7): a request for each, twenty to a batch.
    let filter = |s: &String| format!("{list}/items?{expand}&$filter=fields/{STAMP_FIELD}%20eq%20'{s}'");
    let parts: Vec<Part> = wanted.iter().map(|s| get_part(doing::READ, filter(s), COST_OTHER)).collect();
    let mut found = Vec::new();
    for answer in batch::exchange(client, &stream.id, &parts).await {
        let answer = answer.map_err(named)?;
        if answer.status != 200 {
            return Err(named(answer.refusal(doing::READ)));
        }
        let mut next = matches(&answer.body, answer.request(), fields, &wanted, &mut found).map_err(named)?;
        for page in 0.. {
            let Some(link) = next else { break };
            if page >= PAGES_MAX {
                return Err(named(Error::new(Kind::Protocol, "the service's pages do not end")));
            }
            let call = Call::get(Address::Link(&link), COST_OTHER).of_list(&stream.id);
            let answer = client.send(call).await.map_err(named)?;
            if answer.status != 200 {
                return Err(named(answer.refusal(doing::READ)));
            }
            next = matches(&answer.body, &answer.request, fields, &wanted, &mut found).map_err(named)?;
        }
    }
    Ok(found)
}

/// Takes the matching items of a page; returns the link to the next one.
pub(super) fn matches(
    body: &[u8],
    request: &str,
    fields: &[Field],
    wanted: &BTreeSet<String>,
    found: &mut Vec<Record>,
) -> Result<Option<String>, Error> {
    let page: Page<'_> = serde_json::from_slice(body).map_err(|e| nonsense(request, &e))?;
    for json in page.value {
        let item = Item::parse(json.get()).map_err(|e| nonsense(request, &e))?;
        let record =
            item.record(fields).ok_or_else(|| nonsense(request, &"an item without id or columns"))?;
        match &record.stamp {
            Some(stamp) if wanted.contains(stamp) => found.push(record),
            // The service compares without regard to case [K]; another stamp is another record.
            Some(_) => {}
            None => return Err(nonsense(request, &"an item without the stamp it was found by")),
        }
    }
    Ok(page.next)
}

/// The items with these ids, in order.
pub(super) async fn get(
    client: &Client,
    list: &str,
    stream: &Stream,
    fields: &[Field],
    ids: &[String],
) -> Result<Vec<Option<Record>>, Error> {
    let answers = items(client, list, stream, &expand(stream, fields), ids).await?;
    let read = |answer: PartAnswer| {
        record(&answer.body, answer.request(), fields)
            .map_err(|e| e.context(format_args!("list {:?}", stream.name)))
    };
    answers.into_iter().map(|answer| answer.map(read).transpose()).collect()
}

/// The answers for the items with these ids, in order; `None` for one that does not exist.
pub(super) async fn items(
    client: &Client,
    list: &str,
    stream: &Stream,
    expand: &str,
    ids: &[String],
) -> Result<Vec<Option<PartAnswer>>, Error> {
    let named = |e: Error| e.context(format_args!("list {:?}", stream.name));
    let path = |id: &String| format!("{list}/items/{}?{expand}", segment(id));
    let parts: Vec<Part> = ids.iter().map(|id| get_part(doing::READ_ITEM, path(id), COST_SINGLE)).collect();
    let mut found = Vec::with_capacity(ids.len());
    for answer in batch::exchange(client, &stream.id, &parts).await {
        let answer = answer.map_err(named)?;
        found.push(match answer.status {
            200 => Some(answer),
            404 => None,
            _ => return Err(named(answer.refusal(doing::READ_ITEM))),
        });
    }
    // "Missing" is a strong word: say it only of items, not of a list that went away with all of them.
    if found.iter().any(Option::is_none) && !describe::exists(client, list).await.map_err(named)? {
        return Err(named(Error::new(Kind::StreamMissing, "the list does not exist")));
    }
    Ok(found)
}

fn record(body: &[u8], request: &str, fields: &[Field]) -> Result<Record, Error> {
    let text = std::str::from_utf8(body).map_err(|e| nonsense(request, &e))?;
    let item = Item::parse(text).map_err(|e| nonsense(request, &e))?;
    item.record(fields).ok_or_else(|| nonsense(request, &"an item without id or columns"))
}
