//! Delta queries on items: tokens, pages, tombstones, resync (facts §2.9).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::answer::{Refusal, Reply, Stamp};
use crate::chance::Chance;
use crate::json_out::JsonOut;
use crate::listing::{check_lookups, page_size};
use crate::query::{FieldsShape, Query, Shape};
use crate::show::{self, Place};
use crate::switches::Switches;

/// What a delta link remembers. Options are encoded in it and need not be repeated (facts §2.9 \[D\]).
#[derive(Debug, Clone, Serialize, Deserialize)]
struct DeltaToken {
    list: Uuid,
    /// Tokens of an older generation were expired by hand.
    generation: u64,
    issued_ms: i64,
    /// Changes up to this sequence are known to the bearer from earlier rounds.
    since: u64,
    /// Where the list stood when this round began.
    began: u64,
    /// Changes up to this sequence were shown in this round.
    cursor: u64,
    select: Option<Vec<String>>,
    fields: Option<Vec<String>>,
    all_fields: bool,
    top: Option<usize>,
}

impl DeltaToken {
    fn first(list: Uuid, sequence: u64, query: &Query) -> Self {
        let (fields, all_fields) = match &query.shape.fields {
            FieldsShape::Absent => (None, false),
            FieldsShape::All => (None, true),
            FieldsShape::Named(names) => (Some(names.clone()), false),
        };
        Self {
            list,
            generation: 0,
            issued_ms: 0,
            since: 0,
            began: sequence,
            cursor: 0,
            select: query.shape.select.clone(),
            fields,
            all_fields,
            top: query.top,
        }
    }

    fn shape(&self) -> Shape {
        let fields = match (&self.fields, self.all_fields) {
            (Some(names), _) => FieldsShape::Named(names.clone()),
            (None, true) => FieldsShape::All,
            (None, false) => FieldsShape::Absent,
        };
        Shape { select: self.select.clone(), fields }
    }

    fn encode(&self) -> String {
        // The token is plain data of ours; it always serialises.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

/// What a delta needs to know of its request.
pub(crate) struct DeltaRequest<'a> {
    pub(crate) query: &'a Query,
    /// From the function form `delta(token='…')`.
    pub(crate) path_token: Option<&'a str>,
    /// Decoded path of the delta function without its arguments.
    pub(crate) path: &'a str,
    pub(crate) now_ms: i64,
    pub(crate) generation: u64,
    /// Fault: the first tombstone of the page is an error object (facts §2.9, known service fault).
    pub(crate) broken_deletion: bool,
    pub(crate) stamp: &'a Stamp,
}

impl DeltaRequest<'_> {
    fn token(&self) -> Option<&str> {
        let token = self.path_token.or(self.query.token.as_deref()).or(self.query.skip_token.as_deref());
        token.filter(|token| !token.is_empty())
    }

    /// A delta with a token costs one unit, without two (facts §3.1 \[D\]).
    pub(crate) fn has_token(query: &Query, path_token: Option<&str>) -> bool {
        path_token.or(query.token.as_deref()).or(query.skip_token.as_deref()).is_some_and(|t| !t.is_empty())
    }

    fn link(&self, base: &str, mut token: DeltaToken) -> String {
        token.generation = self.generation;
        token.issued_ms = self.now_ms;
        format!("{base}/v1.0{}?token={}", crate::route::encoded(self.path), token.encode())
    }
}

/// Answers `GET …/items/delta`.
pub(crate) fn delta(
    place: &Place<'_>,
    request: &DeltaRequest<'_>,
    rules: &Switches,
    chance: &mut Chance,
) -> Result<Reply, Refusal> {
    let list = place.list;
    let fresh = DeltaToken::first(list.id, list.sequence, request.query);
    let mut token = match request.token() {
        None => fresh,
        Some("latest") => DeltaToken { since: list.sequence, cursor: list.sequence, ..fresh },
        Some(text) => {
            let token = DeltaToken::decode(text).filter(|token| token.list == list.id);
            let token = token.ok_or_else(|| Refusal::invalid("The provided token is not valid"))?;
            check_alive(place, request, &token, rules)?;
            token
        }
    };
    check_lookups(list, &token.shape().fields, rules)?;
    let size = page_size(request.query.top.or(token.top), rules)?;

    // A round that starts from a deltaLink begins where the list stands now.
    if token.cursor == token.since {
        token.began = list.sequence;
    }
    let mut page: Vec<(u64, u64)> = Vec::new();
    let mut more = false;
    for (sequence, id) in list.changes.range(token.cursor + 1..) {
        if page.len() == size {
            more = true;
            break;
        }
        token.cursor = *sequence;
        // Created and deleted between two rounds: nobody saw it (facts §2.9 [D]).
        let unseen = list
            .tombstones
            .get(id)
            .is_some_and(|t| t.created_sequence > token.since && t.sequence <= token.began);
        if !unseen {
            page.push((*sequence, *id));
        }
    }
    if rules.delta_shuffled {
        chance.shuffle(&mut page);
    }
    let body = write_page(place, request, token, &page, more, rules, chance);
    Ok(Reply::json(200, body))
}

fn write_page(
    place: &Place<'_>,
    request: &DeltaRequest<'_>,
    token: DeltaToken,
    page: &[(u64, u64)],
    more: bool,
    rules: &Switches,
    chance: &mut Chance,
) -> Vec<u8> {
    let shape = token.shape();
    let mut out = JsonOut::with_capacity(512 + page.len() * 1024);
    out.open();
    out.text_field("@odata.context", &format!("{}/v1.0/$metadata#Collection(listItem)", place.base));
    out.key("value");
    out.open_array();
    let mut broken = request.broken_deletion;
    for (_, id) in page {
        let Some(item) = place.list.items.get(id) else {
            if std::mem::take(&mut broken) {
                broken_deletion(&mut out, request.stamp);
            } else {
                show::tombstone(&mut out, place, *id);
            }
            continue;
        };
        if chance.happens(rules.delta_duplicates) {
            show::item(&mut out, place, item.outdated.as_deref().unwrap_or(item), &shape, false);
        }
        show::item(&mut out, place, item, &shape, false);
    }
    out.close_array();
    if more {
        out.text_field("@odata.nextLink", &request.link(place.base, token));
    } else {
        let token = DeltaToken { since: token.cursor, began: token.cursor, ..token };
        out.text_field("@odata.deltaLink", &request.link(place.base, token));
    }
    out.close();
    out.into_bytes()
}

/// 410 with a fresh link in `Location` (facts §2.9 \[D\]).
fn check_alive(
    place: &Place<'_>,
    request: &DeltaRequest<'_>,
    token: &DeltaToken,
    rules: &Switches,
) -> Result<(), Refusal> {
    let age_s = (request.now_ms - token.issued_ms) / 1000;
    let outlived =
        rules.delta_token_life_s.is_some_and(|life| age_s > i64::try_from(life).unwrap_or(i64::MAX));
    let forgotten = token.cursor > 0 && token.cursor < place.list.change_floor;
    if token.generation == request.generation && !outlived && !forgotten {
        return Ok(());
    }
    let restart = DeltaToken { since: 0, began: place.list.sequence, cursor: 0, ..token.clone() };
    Err(Refusal::new(410, rules.resync_code.code(), "Resync required. Replace any local items with the server's version (including deletes) if you're sure that the service was up to date with your local changes when you last sync'd.")
        .with_header("Location", request.link(place.base, restart)))
}

/// The error object inside `value` of a 200 (facts §2.9, msgraph-sdk-typescript #544).
fn broken_deletion(out: &mut JsonOut, stamp: &Stamp) {
    out.open();
    out.key("error");
    out.open();
    out.text_field("code", "InternalServerError");
    out.text_field(
        "message",
        "Cannot write a deleted resource, link, deleted link, or nested delta resource set within a resource set; \
         they must be written within a delta resource set.",
    );
    out.key("innerError");
    out.open();
    out.text_field("date", &crate::clock::iso_without_zone(stamp.now_ms));
    out.text_field("request-id", &stamp.request_id);
    out.text_field("client-request-id", &stamp.client_request_id);
    out.close();
    out.close();
    out.close();
}
