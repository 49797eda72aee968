//! Listing a whole list: by delta enumeration, or page by page where that is broken (facts §2.9).

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::schema::{Field, Stream};

use super::{COST_OTHER, COST_SINGLE, doing, item::Item, read::expand};
use crate::{
    Error,
    destination::{Listed, Lister},
    error::Kind,
    graph::{
        client::{Address, Answer, Call, Client, nonsense},
        paging::{self, Trail},
    },
};

/// Items asked for per page. The service's own default is 200, its most 5,000 [O]; pages must fit into memory.
pub(super) const PAGE_ITEMS: usize = 1_000;

/// Most pages of one listing: 30,000,000 items (facts §2.8) at the service's default page.
pub(super) const PAGES_MAX: usize = 150_000;

/// Lists whose delta enumeration is known to be broken.
pub(super) type BrokenDeltas = Arc<Mutex<BTreeSet<String>>>;

/// Remembers that the delta enumeration of a list is broken; there are as many as lists that were used.
pub(super) fn remember_broken(broken: &BrokenDeltas, list: &str) {
    broken.lock().unwrap_or_else(PoisonError::into_inner).insert(list.to_owned());
}

/// An open listing.
pub(super) struct Listing {
    client: Arc<Client>,
    list: String,
    stream: Stream,
    fields: Vec<Field>,
    broken: BrokenDeltas,
    way: Way,
    next: Next,
    trail: Trail,
    handed_out: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `items/delta`: shows deletions during the listing too.
    Delta,
    /// `items` with `$top`.
    Pages,
    /// `items` with the service's own page size, where it refuses ours.
    PlainPages,
}

#[derive(Debug)]
pub(super) enum Next {
    First,
    Link(String),
    End,
    Failed,
}

/// What a page came to.
pub(super) enum Outcome {
    Listed(Vec<Listed>, Next),
    /// Delta does not work on this list.
    BrokenDelta,
}

impl Listing {
    /// Opens a listing; nothing is sent yet.
    pub(super) fn open(
        client: Arc<Client>,
        list: &str,
        stream: &Stream,
        fields: &[Field],
        broken: &BrokenDeltas,
    ) -> Self {
        let is_broken = broken.lock().unwrap_or_else(PoisonError::into_inner).contains(&stream.id);
        Self {
            client,
            list: list.to_owned(),
            stream: stream.clone(),
            fields: fields.to_vec(),
            broken: Arc::clone(broken),
            way: if is_broken { Way::Pages } else { Way::Delta },
            next: Next::First,
            trail: Trail::of(PAGES_MAX),
            handed_out: false,
        }
    }

    async fn page(&mut self) -> Result<Option<Vec<Listed>>, Error> {
        loop {
            let answer = match &self.next {
                Next::End => return Ok(None),
                Next::Failed => return Err(Error::new(Kind::Protocol, "the listing failed before")),
                Next::First => self.fetch(Address::Path(&self.first())).await?,
                Next::Link(link) => self.fetch(Address::Link(link)).await?,
            };
            let first = matches!(self.next, Next::First);
            match (answer.status, self.way) {
                (200, way) => match read_page(&answer, &self.fields, way)? {
                    Outcome::Listed(items, next) => {
                        self.advance(next)?;
                        self.handed_out |= !items.is_empty();
                        return Ok(Some(items));
                    }
                    Outcome::BrokenDelta => self.fall_back()?,
                },
                // A page size it does not like, or no delta here (facts §1.5: refusing is one of the documented ways).
                (400, Way::Pages) if first => self.way = Way::PlainPages,
                (400 | 501, Way::Delta) if first => self.fall_back()?,
                _ => return Err(answer.refusal(doing::READ)),
            }
        }
    }

    fn first(&self) -> String {
        let Self { list, .. } = self;
        match self.way {
            // Options are encoded in the links and need not be repeated (facts §2.9).
            Way::Delta => format!("{list}/items/delta?$expand=fields&$top={PAGE_ITEMS}"),
            Way::Pages => format!("{list}/items?{}&$top={PAGE_ITEMS}", expand(&self.stream, &self.fields)),
            Way::PlainPages => format!("{list}/items?{}", expand(&self.stream, &self.fields)),
        }
    }

    /// Remembers that delta is broken here and starts over page by page. What was handed out cannot be taken back: items
    /// deleted since would stay, so then the listing fails, and the next one starts page by page.
    fn fall_back(&mut self) -> Result<(), Error> {
        tracing::warn!(list = self.stream.name, "delta enumeration is broken; listing page by page");
        remember_broken(&self.broken, &self.stream.id);
        if self.handed_out {
            return Err(Error::new(Kind::Protocol, "the service failed inside a delta page"));
        }
        self.way = Way::Pages;
        self.next = Next::First;
        self.trail.start_over();
        Ok(())
    }

    fn advance(&mut self, next: Next) -> Result<(), Error> {
        if let Next::Link(link) = &next {
            self.trail.follow(link)?;
        }
        self.next = next;
        Ok(())
    }

    async fn fetch(&self, address: Address<'_>) -> Result<Answer, Error> {
        let cost = match address {
            Address::Link(_) if self.way == Way::Delta => COST_SINGLE,
            _ => COST_OTHER,
        };
        paging::fetch(&self.client, Call::get(address, cost).of_list(&self.stream.id), doing::READ).await
    }
}

#[async_trait]
impl Lister for Listing {
    async fn next(&mut self) -> Result<Option<Vec<Listed>>, Error> {
        let page = self.page().await;
        if page.is_err() {
            self.next = Next::Failed;
        }
        page.map_err(|e| e.context(format_args!("list {:?}", self.stream.name)))
    }
}

/// A page of either way.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    pub(super) value: Vec<&'a RawValue>,
    #[serde(rename = "@odata.nextLink")]
    pub(super) next: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    pub(super) delta: Option<String>,
}

/// Reads a page of either way. Pure.
pub(super) fn read_page(answer: &Answer, fields: &[Field], way: Way) -> Result<Outcome, Error> {
    let page: Page<'_> = serde_json::from_slice(&answer.body).map_err(|e| nonsense(&answer.request, &e))?;
    let mut items = Vec::with_capacity(page.value.len());
    for json in page.value {
        let item = Item::parse(json.get()).map_err(|e| nonsense(&answer.request, &e))?;
        match (item.record(fields), way) {
            _ if item.deleted.is_some() && item.id.as_ref().is_some_and(|id| !id.is_empty()) => {
                items.extend(item.id.map(Listed::Deleted));
            }
            (Some(record), _) => items.push(Listed::Record(record)),
            // The known fault: an error in the place of an item (facts §2.9 [O]). And a delta that leaves the columns
            // out would read as every column being empty.
            (None, Way::Delta) if item.error.is_some() || !item.has_fields() => {
                return Ok(Outcome::BrokenDelta);
            }
            (None, _) => return Err(nonsense(&answer.request, &"an item without id or columns")),
        }
    }
    let next = match (page.next, page.delta, way) {
        (Some(link), _, _) => Next::Link(link),
        (None, Some(_), _) | (None, None, Way::Pages | Way::PlainPages) => Next::End,
        // Every complete enumeration ends with a delta link; without it, something is missing.
        (None, None, Way::Delta) => {
            return Err(nonsense(&answer.request, &"a delta page without a link to go on"));
        }
    };
    Ok(Outcome::Listed(items, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{errors::Acts, throttle::Signals};

    fn page(body: &str, way: Way) -> Result<Outcome, Kind> {
        let answer = Answer {
            status: 200,
            signals: Signals::default(),
            body: body.into(),
            request: "r".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            token: 1,
            acts: Acts::Application,
            challenge: None,
            location: None,
        };
        read_page(&answer, &[], way).map_err(|e| e.kind)
    }

    #[test]
    fn pages_of_both_ways() {
        let body = r#"{"value":[{"id":"1","eTag":"v","fields":{}},{"id":"3","deleted":{"state":"deleted"}}],
                       "@odata.deltaLink":"https://g/x?token=1"}"#;
        let Ok(Outcome::Listed(items, Next::End)) = page(body, Way::Delta) else { panic!("a last page") };
        assert!(matches!(&items[0], Listed::Record(r) if r.id == "1" && r.version.as_deref() == Some("v")));
        assert_eq!(items[1], Listed::Deleted("3".into()));
        let empty = r#"{"value":[],"@odata.nextLink":"https://g/y"}"#;
        assert!(
            matches!(page(empty, Way::Pages), Ok(Outcome::Listed(items, Next::Link(_))) if items.is_empty())
        );
        assert!(matches!(page(r#"{"value":[]}"#, Way::PlainPages), Ok(Outcome::Listed(_, Next::End))));
    }

    #[test]
    fn incomplete_is_never_complete() {
        for (body, way) in [
            (r#"{"value":[]}"#, Way::Delta),
            (r#"{}"#, Way::Pages),
            (r#"{"value":[{"id":"1"}]}"#, Way::Pages),
            (r#"{"value":[{"fields":{}}]}"#, Way::Delta),
            (r#"{"value":[{"error":{"code":"x"}}]}"#, Way::Pages),
            (r#"{"value":[{"id":"1","fie"#, Way::Delta),
        ] {
            assert!(matches!(page(body, way), Err(Kind::Protocol)), "{body}");
        }
        for broken in [r#"{"error":{"code":"InternalServerError"}}"#, r#"{"id":"1"}"#] {
            let body = format!(r#"{{"value":[{broken}],"@odata.deltaLink":"https://g/x"}}"#);
            assert!(matches!(page(&body, Way::Delta), Ok(Outcome::BrokenDelta)), "{broken}");
        }
    }
}
