//! The stable codes of errors: one table, from which status, title and page follow.

use axum::http::StatusCode;

/// Declares [`Code`] and everything that is said about each; its page is compiled in, so that none can be missing.
macro_rules! codes {
    ($($name:ident = $word:literal, $status:ident, $title:literal;)*) => {
        /// What went wrong, in a word that programs may rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The status of the answer.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// A few words for people, the same for every error of this code.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Its page: what happened, why, what to do.
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../../../docs/errors/", $word, ".md")),)*
                }
            }
        }
    };
}

codes! {
    BadBody = "bad_body", BAD_REQUEST, "The body cannot be read";
    BadCursor = "bad_cursor", BAD_REQUEST, "The cursor is not one of this list";
    BadHeader = "bad_header", BAD_REQUEST, "A header cannot be used";
    BadPath = "bad_path", BAD_REQUEST, "A part of the path cannot be used";
    BadQuery = "bad_query", BAD_REQUEST, "A parameter of the query cannot be used";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    Busy = "busy", CONFLICT, "The sync is being run";
    ConsentRequired = "consent_required", FORBIDDEN, "An administrator has not consented";
    ConnectionFailed = "connection_failed", BAD_GATEWAY, "A system did not do what was asked";
    CrossOrigin = "cross_origin", FORBIDDEN, "The request comes from a web page of another place";
    DefinedElsewhere = "defined_elsewhere", CONFLICT, "It is defined in another place";
    DoesNotFit = "does_not_fit", CONFLICT, "The definition does not fit its systems";
    Forbidden = "forbidden", FORBIDDEN, "The token may not do this";
    GraphUnavailable = "graph_unavailable", BAD_GATEWAY, "The source does not answer as it should";
    InteractionRequired = "interaction_required", UNAUTHORIZED, "The user must prove more";
    Internal = "internal", INTERNAL_SERVER_ERROR, "Syncline failed";
    InvalidDefinition = "invalid_definition", UNPROCESSABLE_ENTITY, "The definition has problems";
    Interrupted = "interrupted", SERVICE_UNAVAILABLE, "The server stops";
    KeyReused = "key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for something else";
    LicenceRequired = "licence_required", FORBIDDEN, "The account lacks a licence";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The path does not take this method";
    Unfit = "not_fitting", UNPROCESSABLE_ENTITY, "It cannot be done as it was asked for";
    NotFound = "not_found", NOT_FOUND, "There is no such thing";
    NotPossible = "not_possible", CONFLICT, "It is not in a state for that";
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "The node cannot serve yet";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too much is going on at once";
    ParamsMissing = "params_missing", UNPROCESSABLE_ENTITY, "The run needs values";
    ParamsUnknown = "params_unknown", UNPROCESSABLE_ENTITY, "There is no such parameter";
    PermissionMissing = "permission_missing", FORBIDDEN, "The account or application lacks a permission";
    QueueFull = "queue_full", TOO_MANY_REQUESTS, "Too many requests for it wait already";
    SessionNotFound = "session_not_found", NOT_FOUND, "What the parameters name does not exist";
    SessionNotPublished = "session_not_published", CONFLICT, "What the parameters name is not published";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store cannot be used at the moment";
    Throttled = "throttled", TOO_MANY_REQUESTS, "The source asks to wait";
    TooSlow = "too_slow", GATEWAY_TIMEOUT, "It took too long";
    TypeUnsupported = "type_unsupported", UNSUPPORTED_MEDIA_TYPE, "The body is of another type";
    Unauthorized = "unauthorized", UNAUTHORIZED, "A token is needed";
    UserKeysUnavailable = "user_keys_unavailable", SERVICE_UNAVAILABLE, "Users' tokens cannot be checked at the moment";
    UserTokenRefused = "user_token_refused", UNAUTHORIZED, "The user's token is refused";
    VersionConflict = "version_conflict", PRECONDITION_FAILED, "Somebody else changed it";
    VersionRequired = "version_required", PRECONDITION_REQUIRED, "Say which version you change";
    WrongHost = "wrong_host", MISDIRECTED_REQUEST, "The address is not one of this server";
}
