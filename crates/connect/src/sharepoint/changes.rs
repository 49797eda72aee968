//! What changed in a list since a position: a delta query from the token of an earlier one (facts §2.9).
//!
//! All of it is collected before the first record is given: an item may come again on a later page, and the last state
//! counts; and when the service turns out not to know the token on the fourth page, nothing has to be taken back. What is
//! collected has a bound; when more changed, reading everything is about as cheap, and that is asked for.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions},
    cursor::Position,
    value::Value,
};

use super::{
    COST_SINGLE,
    columns::{Row, Shape, number},
    doing,
    item::Item,
    listing::{self, BrokenDeltas, PAGES_MAX, Page},
    whole::Size,
};
use crate::{
    Error,
    error::Kind,
    graph::{
        client::{Address, Answer, Call, Client, nonsense},
        errors::Envelope,
        paging::{self, Trail},
    },
    source::Reader,
};

/// Most bytes of changed items that are kept: some tens of thousands of items.
const BYTES_MAX: usize = 24 << 20;

/// A list that is read.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) client: Arc<Client>,
    /// `/sites/{id}/lists/{list}`.
    pub(super) list: String,
    /// The list's id.
    pub(super) id: String,
    /// The list as the user wrote it.
    pub(super) name: String,
    pub(super) broken: BrokenDeltas,
}

/// The position that a link of the service's stands for.
pub(super) fn position(link: String) -> Position {
    Position { cursor: Value::Text(link.into()), key: Vec::new() }
}

/// The link that a position stands for.
pub(super) fn link(position: &Position) -> Option<&str> {
    match &position.cursor {
        Value::Text(link) if position.key.is_empty() => Some(link),
        _ => None,
    }
}

fn lost(why: &str) -> Error {
    Error::new(Kind::PositionLost, why).hint("nothing is to be done: the next listing reads everything")
}

/// An open listing of changes.
pub(super) struct Changes {
    place: Place,
    shape: Shape,
    size: Size,
    state: State,
    resume: Option<Position>,
}

enum State {
    /// From this position.
    Begin(Position),
    /// Everything is known; what is not handed out yet.
    Known(BTreeMap<i64, Option<Row>>),
    Failed,
}

/// What a page led to.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    Page(String),
    /// That was all; where the next listing goes on.
    End(String),
}

/// The last state of each item that changed; `None`: deleted.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) items: BTreeMap<i64, Option<Row>>,
    bytes: usize,
}

impl Changes {
    /// Opens a listing; nothing is sent yet.
    pub(super) fn open(place: Place, shape: Shape, size: Size, from: Position) -> Self {
        Self { place, shape, size, state: State::Begin(from), resume: None }
    }

    async fn batch(&mut self) -> Result<Option<Batch>, Error> {
        let known = match &mut self.state {
            State::Failed => return Err(Error::new(Kind::Protocol, "the listing failed before")),
            State::Known(known) => known,
            State::Begin(from) => {
                let from = from.clone();
                let (items, end) = self.collect(&from).await?;
                self.resume = Some(position(end));
                self.state = State::Known(items);
                let State::Known(known) = &mut self.state else { return Ok(None) };
                known
            }
        };
        let mut batch = BatchBuilder::new(Arc::clone(self.shape.fields()));
        while !self.size.is_reached(&batch) {
            match known.pop_first() {
                None => break,
                Some((_, Some(row))) => self.shape.push(&row, &mut batch)?,
                Some((id, None)) => self.shape.push_gone(id, &mut batch)?,
            }
        }
        Ok((!batch.is_empty()).then(|| batch.finish(Positions::None)))
    }

    /// Every page, to the last.
    async fn collect(&self, from: &Position) -> Result<(BTreeMap<i64, Option<Row>>, String), Error> {
        let mut link = match link(from) {
            Some(link) if belongs(&self.place, link) => link.to_owned(),
            _ => return Err(lost("the stored position is not one of this list")),
        };
        let mut collected = Collected::default();
        let mut trail = Trail::of(PAGES_MAX);
        loop {
            trail.follow(&link)?;
            let call = Call::get(Address::Link(&link), COST_SINGLE).of_list(&self.place.id);
            let answer = paging::fetch(&self.place.client, call, doing::READ).await?;
            if answer.status != 200 {
                return Err(refused(&answer));
            }
            match self.take(&answer, &mut collected)? {
                Next::Page(next) => link = next,
                Next::End(end) => return Ok((collected.items, end)),
            }
        }
    }

    fn take(&self, answer: &Answer, collected: &mut Collected) -> Result<Next, Error> {
        let next = take(&answer.body, &answer.request, &self.shape, collected);
        if next.as_ref().is_err_and(|e| e.kind == Kind::PositionLost) {
            tracing::warn!(list = self.place.name, "the service failed inside a delta page");
            // For the destination's listings; the next position of a source may well be beyond what broke this one.
            listing::remember_broken(&self.place.broken, &self.place.id);
        }
        let next = next?;
        if collected.bytes > BYTES_MAX {
            return Err(lost("more has changed than is worth telling one by one"));
        }
        if !self.shape.has_key() && collected.items.values().any(Option::is_none) {
            return Err(lost("an item was deleted, which is told by its id alone, and id is not read"));
        }
        Ok(next)
    }
}

/// Whether the service would be asked about this list, and nobody else.
fn belongs(place: &Place, link: &str) -> bool {
    let list = place.id.to_ascii_lowercase();
    place.client.is_own(link) && !list.is_empty() && link.to_ascii_lowercase().contains(&list)
}

/// The error of an answer that is no success: any 410, and a 400 or 404 that is about the token, say that it is not known any
/// more.
fn refused(answer: &Answer) -> Error {
    let error = answer.refusal(doing::READ);
    if token_is_lost(answer.status, &Envelope::read(&answer.body)) {
        return Error { kind: Kind::PositionLost, hint: lost("").hint, ..error };
    }
    error
}

fn token_is_lost(status: u16, envelope: &Envelope) -> bool {
    let about_it = |text: &String| {
        let text = text.to_ascii_lowercase();
        text.contains("token") || text.starts_with("resync") || text == "syncstatenotfound"
    };
    match status {
        410 => true,
        400 | 404 => envelope.codes.iter().any(about_it) || about_it(&envelope.message),
        _ => false,
    }
}

/// Takes the items of a page. Pure.
///
/// # Errors
/// [`Kind::PositionLost`] for an error in the place of an item, and for items without the columns that were asked for.
pub(super) fn take(
    body: &[u8],
    request: &str,
    shape: &Shape,
    collected: &mut Collected,
) -> Result<Next, Error> {
    let page: Page<'_> = serde_json::from_slice(body).map_err(|e| nonsense(request, &e))?;
    for json in page.value {
        let item = Item::parse(json.get()).map_err(|e| nonsense(request, &e))?;
        let id = item.id.as_deref().and_then(number);
        let state = match (id, item.deleted.is_some()) {
            (Some(id), true) => (id, None),
            _ => match shape.read(&item) {
                Some(row) => (row.id, Some(row)),
                None if item.error.is_some() || id.is_some() => {
                    return Err(lost("the service failed inside a page of changes"));
                }
                None => return Err(nonsense(request, &"an item without a number")),
            },
        };
        collected.bytes += state.1.as_ref().map_or(64, Row::bytes);
        // The last occurrence counts (facts §2.9).
        let before = collected.items.insert(state.0, state.1);
        collected.bytes -= before.map_or(0, |row| row.as_ref().map_or(64, Row::bytes));
    }
    match (page.next, page.delta) {
        (Some(next), _) => Ok(Next::Page(next)),
        (None, Some(end)) => Ok(Next::End(end)),
        (None, None) => Err(nonsense(request, &"a delta page without a link to go on")),
    }
}

#[async_trait]
impl Reader for Changes {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        let batch = self.batch().await;
        if batch.is_err() {
            self.state = State::Failed;
        }
        batch.map_err(|e| e.context(format_args!("list {:?}: changes", self.place.name)))
    }

    fn resume(&self) -> Option<Position> {
        match &self.state {
            State::Known(left) if left.is_empty() => self.resume.clone(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use syncline_core::schema::{Field, FieldType, Stream};

    use super::*;

    fn shape() -> Shape {
        let fields = vec![Field::new("Title", FieldType::Text, true)];
        let list = Stream { name: "Projects".into(), fields, ..Stream::default() };
        Shape::of(&list, &["id".to_owned(), "Title".to_owned()], None).unwrap()
    }

    fn page(body: &str, collected: &mut Collected) -> Result<Next, Kind> {
        take(body.as_bytes(), "r", &shape(), collected).map_err(|e| e.kind)
    }

    #[test]
    fn the_last_state_of_an_item_counts() {
        let mut collected = Collected::default();
        let first = r#"{"value":[{"id":"1","fields":{"Title":"old"}},{"id":"2","deleted":{"state":"deleted"}},
            {"id":"1","fields":{"Title":"older"}},{"id":"3","fields":{}}],"@odata.nextLink":"https://g/2"}"#;
        assert_eq!(page(first, &mut collected), Ok(Next::Page("https://g/2".into())));
        assert_eq!(
            page(r#"{"value":[],"@odata.nextLink":"https://g/3"}"#, &mut collected),
            Ok(Next::Page("https://g/3".into())),
            "an empty page goes on"
        );
        let last = r#"{"value":[{"id":"1","fields":{"Title":"new"}},{"id":"2","fields":{"Title":"back"}},
            {"id":"3","deleted":{}}],"@odata.deltaLink":"https://g/end"}"#;
        assert_eq!(page(last, &mut collected), Ok(Next::End("https://g/end".into())));
        let mut batch = BatchBuilder::new(Arc::clone(shape().fields()));
        for (id, row) in &collected.items {
            match row {
                Some(row) => shape().push(row, &mut batch).unwrap(),
                None => shape().push_gone(*id, &mut batch).unwrap(),
            }
        }
        let batch = batch.finish(Positions::None);
        let told: Vec<_> =
            (0..batch.len()).map(|r| format!("{:?} {:?}", batch.value(r, 1), batch.op(r))).collect();
        assert_eq!(told, ["Text(\"new\") Upsert", "Text(\"back\") Upsert", "Null Delete"]);
    }

    #[test]
    fn what_is_no_item() {
        for (body, kind) in [
            (
                r#"{"value":[{"error":{"code":"InternalServerError"}}],"@odata.deltaLink":"x"}"#,
                Kind::PositionLost,
            ),
            (r#"{"value":[{"id":"1"}],"@odata.deltaLink":"x"}"#, Kind::PositionLost),
            (r#"{"value":[{"fields":{}}],"@odata.deltaLink":"x"}"#, Kind::Protocol),
            (r#"{"value":[{"deleted":{}}],"@odata.deltaLink":"x"}"#, Kind::Protocol),
            (r#"{"value":[]}"#, Kind::Protocol),
            (r#"{"value":[{"id":"1","fie"#, Kind::Protocol),
        ] {
            assert_eq!(page(body, &mut Collected::default()), Err(kind), "{body}");
        }
    }

    #[test]
    fn bytes_are_those_of_what_is_kept() {
        let mut collected = Collected::default();
        let body = |title: &str| {
            format!(r#"{{"value":[{{"id":"1","fields":{{"Title":"{title}"}}}}],"@odata.deltaLink":"x"}}"#)
        };
        page(&body("a"), &mut collected).unwrap();
        let small = collected.bytes;
        page(&body(&"b".repeat(1_000)), &mut collected).unwrap();
        assert_eq!(collected.bytes, small + 999);
        page(&body("c"), &mut collected).unwrap();
        assert_eq!(collected.bytes, small);
    }

    #[test]
    fn tokens_that_are_lost() {
        let of = |status, code: &str, message: &str| {
            let body = serde_json::json!({ "error": { "code": code, "message": message } }).to_string();
            token_is_lost(status, &Envelope::read(body.as_bytes()))
        };
        for code in ["resyncRequired", "resyncChangesUploadDifferences", "syncStateNotFound", ""] {
            assert!(of(410, code, ""), "{code}");
        }
        assert!(of(400, "resyncRequired", "") && of(404, "syncStateNotFound", ""));
        assert!(of(400, "invalidRequest", "The provided token is not valid"));
        assert!(
            !of(404, "itemNotFound", "The list does not exist")
                && !of(400, "invalidRequest", "no such field")
        );
        assert!(!of(401, "InvalidAuthenticationToken", "token expired") && !of(500, "", "token"));
    }
}
