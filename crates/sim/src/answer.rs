//! Answers and refusals: what an operation gives back, before it is put on the wire or into a batch.

use std::borrow::Cow;

use base64::Engine as _;

use crate::clock;
use crate::json_out::JsonOut;

/// An answer to one operation.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// JSON, or empty for 204.
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub(crate) fn value(status: u16, body: &serde_json::Value) -> Self {
        Self::json(status, body.to_string().into_bytes())
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What every error body repeats of its request (facts §1.3 \[D\]).
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) request_id: String,
    pub(crate) client_request_id: String,
    pub(crate) now_ms: i64,
}

/// An operation that was not done, with the status and code of facts §1.4.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) message: Cow<'static, str>,
    pub(crate) inner_code: Option<&'static str>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(crate) fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code: code.into(), message: message.into(), inner_code: None, headers: Vec::new() }
    }

    /// 400 `invalidRequest`.
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "invalidRequest", message)
    }

    /// 404 `itemNotFound`.
    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, "itemNotFound", message)
    }

    /// 403 `accessDenied`.
    pub(crate) fn denied() -> Self {
        Self::new(403, "accessDenied", "Access denied")
    }

    /// 401 as Graph words it for an unknown or expired token (facts §1.4).
    pub(crate) fn bad_token(message: &'static str) -> Self {
        Self::new(401, "InvalidAuthenticationToken", message).with_header(
            "WWW-Authenticate",
            "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\""
                .to_owned(),
        )
    }

    /// 401 that no new token without the claims will lift (facts §5.6 \[D\]); the claims travel in base64.
    pub(crate) fn challenge(claims: &str) -> Self {
        let claims = base64::engine::general_purpose::STANDARD.encode(claims);
        let header = format!(
            "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
             error=\"insufficient_claims\", claims=\"{claims}\""
        );
        Self::new(401, "InvalidAuthenticationToken", "Continuous access evaluation resulted in a challenge.")
            .with_header("WWW-Authenticate", header)
    }

    /// 412 in the shape facts §2.6 chooses \[X\].
    pub(crate) fn etag_mismatch() -> Self {
        Self::new(
            412,
            "resourceModified",
            "The resource has changed since the caller last read it; usually an eTag mismatch",
        )
        .with_inner("entityTagDoesNotMatch")
    }

    pub(crate) fn with_inner(mut self, code: &'static str) -> Self {
        self.inner_code = Some(code);
        self
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The error envelope of facts §1.3.
    pub(crate) fn into_reply(self, stamp: &Stamp) -> Reply {
        let mut out = JsonOut::with_capacity(384);
        out.open();
        out.key("error");
        self.write_error(&mut out, stamp);
        out.close();
        Reply { status: self.status, headers: self.headers, body: out.into_bytes() }
    }

    fn write_error(&self, out: &mut JsonOut, stamp: &Stamp) {
        out.open();
        out.text_field("code", &self.code);
        out.text_field("message", &self.message);
        out.key("innerError");
        out.open();
        if let Some(code) = self.inner_code {
            out.text_field("code", code);
        }
        if self.code == "TooManyRequests" {
            // The batching page shows these three in a throttled part (facts §2.10 [D]).
            out.text_field("code", "429");
            out.text_field("status", "429");
            out.text_field("message", "Please retry after");
        }
        out.text_field("date", &clock::iso_without_zone(stamp.now_ms));
        out.text_field("request-id", &stamp.request_id);
        out.text_field("client-request-id", &stamp.client_request_id);
        out.close();
        out.close();
    }
}
