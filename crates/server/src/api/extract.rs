//! What comes in: bodies, queries, paths and numbers, each refused as a problem that says what is wrong.

use axum::{
    extract::{FromRequest, FromRequestParts, Path as AxumPath, Query as AxumQuery, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::problem::{Code, Problem};

/// Largest body.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Most bytes of a body that is too large that are read at all.
const DRAINED_BYTES_MAX: usize = 8 << 20;
/// Longest name that is looked up.
const NAME_CHARS_MAX: usize = 200;

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = media_type(request.headers()).is_some_and(|kind| kind == "application/json");
        let bytes = bytes(request).await?;
        if !is_json {
            return Err(Problem::new(Code::TypeUnsupported, "the body must be application/json")
                .hint("send the header Content-Type: application/json"));
        }
        parse(&bytes).map(Self)
    }
}

/// A JSON body that may be left out; then everything has its default.
pub(crate) struct Given<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.headers().get(header::CONTENT_TYPE).is_none() {
            let bytes = bytes(request).await?;
            return if bytes.is_empty() {
                Ok(Self(T::default()))
            } else {
                Err(Problem::new(
                    Code::TypeUnsupported,
                    "a body needs the header Content-Type: application/json",
                ))
            };
        }
        let Json(value) = Json::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// A definition: JSON, or YAML as it stands in a project file.
pub(crate) struct Text(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = media_type(request.headers());
        let bytes = bytes(request).await?;
        match kind.as_deref() {
            // one layout, so that two versions can be compared line by line
            Some("application/json") => {
                let value: serde_json::Value = parse(&bytes)?;
                let text = serde_json::to_string_pretty(&value);
                text.map(Self).map_err(|error| Problem::new(Code::BadBody, error.to_string()))
            }
            Some("application/yaml" | "application/x-yaml" | "text/yaml") => {
                // a database keeps no text with a zero in it
                let text = String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.contains('\0'));
                text.map(Self).ok_or_else(|| Problem::new(Code::BadBody, "the body is not UTF-8 text"))
            }
            _ => Err(Problem::new(
                Code::TypeUnsupported,
                "the body must be application/json or application/yaml",
            )),
        }
    }
}

/// The query, every parameter known.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = AxumQuery::<T>::try_from_uri(&parts.uri);
        query
            .map(|AxumQuery(value)| Self(value))
            .map_err(|error| Problem::new(Code::BadQuery, error.body_text()))
    }
}

/// Parts of the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = AxumPath::<T>::from_request_parts(parts, state).await;
        path.map(|AxumPath(value)| Self(value))
            .map_err(|error| Problem::new(Code::BadPath, error.body_text()))
    }
}

/// A name: of a sync, a connection, a schedule …
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 200)]
pub(crate) struct Name(pub(crate) String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fits =
            !text.is_empty() && text.chars().count() <= NAME_CHARS_MAX && !text.chars().any(char::is_control);
        if fits {
            return Ok(Self(text));
        }
        Err(serde::de::Error::custom(format!(
            "a name has 1 to {NAME_CHARS_MAX} characters, none of them a control character"
        )))
    }
}

/// A number that the store gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = u64, minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
pub(crate) struct Id(pub(crate) u64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        match i64::try_from(number) {
            Ok(_) => Ok(Self(number)),
            Err(_) => Err(serde::de::Error::custom("a number is at most 9223372036854775807")),
        }
    }
}

/// The value of a header, if it is there.
///
/// # Errors
/// It is not visible ASCII, or longer than `max` bytes.
pub(crate) fn header_text<'h>(
    headers: &'h HeaderMap,
    name: &str,
    max: usize,
) -> Result<Option<&'h str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str() {
        Ok(text) if !text.is_empty() && text.len() <= max => Ok(Some(text)),
        _ => Err(Problem::new(Code::BadHeader, format!("{name} has 1 to {max} visible ASCII characters"))),
    }
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

/// The whole body. Of one that is too large, a bounded rest is read and thrown away: a client that is still sending would
/// not see the answer.
async fn bytes(request: Request) -> Result<Bytes, Problem> {
    let mut body = request.into_body();
    let (mut kept, mut read) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::BadBody, "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        read += data.len();
        if read > DRAINED_BYTES_MAX {
            break;
        }
        if read <= BODY_BYTES_MAX {
            kept.extend_from_slice(&data);
        }
    }
    if read > BODY_BYTES_MAX { Err(too_large()) } else { Ok(kept.freeze()) }
}

fn too_large() -> Problem {
    Problem::new(Code::BodyTooLarge, format!("a body has at most {BODY_BYTES_MAX} bytes"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::new(Code::BadBody, error.to_string()))
}
