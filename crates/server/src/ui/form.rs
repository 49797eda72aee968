//! Forms: sent by POST from one of our pages, or not believed.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{StatusCode, Uri, request::Parts},
};

use super::{
    FORM_BYTES_MAX, Ui,
    fault::Fault,
    session::{self, Visitor},
};
use crate::api::page::pairs;

/// The fields of a form that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// A field; `None`: it is not there, or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        get(&self.0, name)
    }

    /// Whether a box is ticked.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The fields of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked(Vec<(String, String)>);

impl Asked {
    /// A field; `None`: it is not there, or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        get(&self.0, name)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(pairs(&parts.uri)))
    }
}

impl FromRequest<Ui> for Form {
    type Rejection = Fault;

    async fn from_request(request: Request, ui: &Ui) -> Result<Self, Fault> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let ours = session::of_our_pages(request.headers());
        let fields = fields(request, ui).await?;
        let believed = visitor.is_some_and(|visitor| {
            get(&fields, "csrf").is_some_and(|csrf| session::believed(&visitor, csrf))
        });
        if ours && believed { Ok(Self(fields)) } else { Err(Fault::unbelieved()) }
    }
}

/// The fields of a form that nobody vouches for.
pub(super) async fn fields(request: Request, ui: &Ui) -> Result<Vec<(String, String)>, Fault> {
    let bytes = Bytes::from_request(request, ui).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::bad(format!("A form has at most {FORM_BYTES_MAX} bytes.")),
        _ => Fault::bad("The form broke off."),
    })?;
    // a form is written as a query is
    let text = std::str::from_utf8(&bytes).map_err(|_| Fault::bad("The form is not text."))?;
    let uri: Result<Uri, _> = format!("/?{text}").parse();
    uri.map(|uri| pairs(&uri)).map_err(|_| Fault::bad("The form cannot be read."))
}

fn get<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let found = fields.iter().find(|(field, _)| field == name)?;
    Some(found.1.trim()).filter(|value| !value.is_empty())
}
