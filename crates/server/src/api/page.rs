//! Lists in pages: every item once, however many are added while somebody walks.

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use super::problem::{Code, Problem};

/// Items of a page, unless said otherwise.
const LIMIT: usize = 100;
/// Most items of a page.
const LIMIT_MAX: usize = 1000;
/// Longest cursor.
const CURSOR_BYTES_MAX: usize = 2000;

/// `limit` and `cursor`, as they are documented.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Page` reads")]
pub(crate) struct PageParams {
    /// Most items of the answer.
    #[param(minimum = 1, maximum = 1000, default = 100, required = false)]
    limit: Option<u16>,
    /// `next` of the page before.
    #[param(max_length = 2000, required = false)]
    cursor: Option<String>,
}

/// Which page is asked for.
pub(crate) struct Page {
    /// Most items.
    pub(crate) limit: usize,
    cursor: Option<String>,
    uri: Uri,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The items.
    items: Vec<T>,
    /// Cursor of the next page; none: this is the last one.
    #[schema(required)]
    next: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // the uri as the caller wrote it: a nested router cuts off its prefix
        let uri =
            parts.extensions.get::<axum::extract::OriginalUri>().map_or(&parts.uri, |uri| &uri.0).clone();
        let (mut limit, mut cursor) = (LIMIT, None);
        for (name, value) in pairs(&uri) {
            match name.as_str() {
                "limit" => {
                    let number = value.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n));
                    limit = number.ok_or_else(|| {
                        Problem::new(Code::BadQuery, format!("limit is a number from 1 to {LIMIT_MAX}"))
                    })?;
                }
                "cursor" => cursor = Some(value),
                _ => {}
            }
        }
        Ok(Self { limit, cursor, uri })
    }
}

impl Page {
    /// Where to go on in the list called `kind`; `None`: from its beginning.
    ///
    /// # Errors
    /// The cursor is not one of this list.
    pub(crate) fn after<T: DeserializeOwned>(&self, kind: &str) -> Result<Option<T>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let read = || {
            let bytes = (cursor.len() <= CURSOR_BYTES_MAX).then(|| URL_SAFE_NO_PAD.decode(cursor).ok())??;
            let (of, value): (String, T) = serde_json::from_slice(&bytes).ok()?;
            (of == kind).then_some(value)
        };
        read().map(Some).ok_or_else(|| {
            Problem::new(Code::BadCursor, "the cursor is not one of this list").hint("begin without one")
        })
    }

    /// As [`Page::after`], of a list that is walked by falling numbers.
    pub(crate) fn before(&self, kind: &str) -> Result<Option<u64>, Problem> {
        let number: Option<u64> = self.after(kind)?;
        if number.is_some_and(|number| i64::try_from(number).is_err()) {
            return Err(Problem::new(Code::BadCursor, "the cursor is not one of this list"));
        }
        Ok(number)
    }

    /// The answer. `found` holds one item more than asked for when there is another page; `place` tells where an item stands.
    pub(crate) fn answer<I, T: Serialize, P: Serialize>(
        &self,
        kind: &str,
        mut found: Vec<I>,
        place: impl FnOnce(&I) -> P,
        show: impl FnMut(I) -> T,
    ) -> Response {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = more
            .then(|| found.last())
            .flatten()
            .map(|last| URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(kind, place(last))).unwrap_or_default()));
        let link = next.as_deref().and_then(|next| self.link(next));
        let list = List { items: found.into_iter().map(show).collect(), next };
        let mut response = axum::Json(list).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }

    /// As [`Page::answer`], of a list that is held whole, sorted by name.
    pub(crate) fn by_name<I, T: Serialize>(
        &self,
        kind: &str,
        all: impl IntoIterator<Item = I>,
        name: impl Fn(&I) -> String,
        show: impl FnMut(I) -> T,
    ) -> Result<Response, Problem> {
        let after: Option<String> = self.after(kind)?;
        let rest = all.into_iter().filter(|item| after.as_ref().is_none_or(|after| name(item) > *after));
        let found: Vec<I> = rest.take(self.limit + 1).collect();
        Ok(self.answer(kind, found, &name, show))
    }

    fn link(&self, next: &str) -> Option<HeaderValue> {
        let kept: String = self
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
            .fold(String::new(), |query, pair| query + pair + "&");
        HeaderValue::try_from(format!("<{}?{kept}cursor={next}>; rel=\"next\"", self.uri.path())).ok()
    }
}

/// The parameters of a query, decoded.
pub(crate) fn pairs(uri: &Uri) -> Vec<(String, String)> {
    axum::extract::Query::try_from_uri(uri).map(|axum::extract::Query(pairs)| pairs).unwrap_or_default()
}
