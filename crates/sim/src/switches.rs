//! Every rule that no documentation settles is a switch here, so that a client can be run under each answer.
//!
//! The tag after each rule is its certainty in the facts file: D documented, O observed, S secondary, K general
//! knowledge, X not documented anywhere. Defaults are the facts file's own choice where it makes one.

use serde::{Deserialize, Serialize};

/// The undocumented or uncertain rules of the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct Switches {
    /// A list title works where a list id is expected (facts §2.1 \[K\]).
    pub list_by_title: bool,
    /// `GET columns` shows hidden columns; otherwise only `GET columns/{name}` does (facts §2.3 \[X\]).
    pub columns_show_hidden: bool,
    /// 201 answers carry `fields` (facts §2.6 \[K\]).
    pub create_returns_fields: bool,
    /// Items per page when `$top` is absent (facts §2.7 \[O\]).
    pub default_page_size: usize,
    /// The most items per page (facts §2.7 \[O\]).
    pub max_page_size: usize,
    /// What a `$top` above the maximum does (facts §1.5 \[D: any of the three\]).
    pub oversize_top: OversizeTop,
    /// A full last page still has a nextLink, so that the page after it is empty (facts §1.5 \[D\]).
    pub trailing_empty_page: bool,
    /// A filtered page ends after this many rows were looked at, even if it is empty then (facts §1.5 \[D\]).
    pub scan_limit: Option<usize>,
    /// `$filter` and `$orderby` on a column without an index need the `Prefer` header (facts §2.7 \[O\]).
    pub index_rule: bool,
    /// Rows above which a query on a column without an index fails in spite of `Prefer` (facts §2.8 \[S\]).
    pub list_view_threshold: usize,
    /// Status of that failure, `tooManyResources` (facts §2.7 \[X\]).
    pub too_many_resources_status: u16,
    /// Only one indexed field may be filtered at a time (facts §2.7 \[D\]; the refusal's text is X).
    pub one_indexed_field: bool,
    /// Most lookup columns in one query, person columns included (facts §2.5 \[D\]).
    pub lookup_limit: usize,
    /// An index may still be added to a list above the threshold (facts §2.8 \[K\]).
    pub index_over_threshold: bool,
    /// A new item is invisible to `$filter` for this long in simulated milliseconds (\[X\]: search lag).
    pub search_visibility_delay_ms: u64,
    /// Longest text in a multi-line column, in characters (\[X\]; 63,999 is the limit of the classic column).
    pub note_max_chars: usize,
    /// Largest request body in bytes; more is 413 (\[X\]).
    pub max_body_bytes: usize,
    /// How a violated unique column is answered (\[X\]).
    pub unique_violation: UniqueViolation,
    /// Text compares without case in `$filter` and unique columns (\[K\]).
    pub text_ignores_case: bool,
    /// Text is trimmed and its newlines normalised when stored (facts §2.5 \[K\]).
    pub trim_text: bool,
    /// `"12"` is taken for a number, `12` for text, `"true"` for a boolean (\[X\]).
    pub lenient_types: bool,
    /// What a date-time without zone means (facts §2.5 \[X\]).
    pub zoneless_dates: ZonelessDates,
    /// Whether hyperlink columns can be written (facts §2.5 \[X\]).
    pub hyperlinks: Hyperlinks,
    /// A create without a value for a required column is refused (\[K\]).
    pub required_columns: bool,
    /// `If-Match: *` matches any version (facts §2.6 \[K\]).
    pub etag_star: bool,
    /// Simulated seconds after which a delta token is answered with 410; never when absent (facts §2.9 \[X\]).
    pub delta_token_life_s: Option<u64>,
    /// The code of a 410 (facts §2.9 \[D: one of several\]).
    pub resync_code: ResyncCode,
    /// Probability that a changed item is shown twice in a page, an outdated state first (facts §2.9 \[D\]).
    pub delta_duplicates: f64,
    /// The items of a delta page come in random order (facts §2.9 \[D: order is not promised\]).
    pub delta_shuffled: bool,
    /// Status of a batch with more than 20 parts (facts §2.10 \[X\]).
    pub batch_limit_status: u16,
    /// The order in which independent parts are executed (facts §2.10 \[D: no order\]).
    pub batch_execution: PartOrder,
    /// The order of the responses (facts §2.10 \[D: any order\]).
    pub batch_responses: PartOrder,
    /// How throttling windows move (\[X\]).
    pub throttle_window: WindowKind,
    /// Which of the two documented bodies a 429 has (facts §3.3 \[D: both seen\]).
    pub throttle_body: ThrottleBody,
    /// Throttled requests count against the limit (facts §3.3 \[D\]).
    pub charge_throttled: bool,
    /// Share of the minute limit from which `RateLimit-*` is sent (facts §3.3 \[D\]).
    pub ratelimit_headers_from: f64,
    /// What `RateLimit-Reset` counts to under a sliding window (\[X\]).
    pub ratelimit_reset: RateLimitReset,
    /// Throttled requests within one minute after which the app is blocked with 503 (facts §3.3 \[X: how many\]).
    pub block_after: Option<u32>,
    /// How long such a block lasts, in simulated seconds (facts §3.3 \[X\]).
    pub block_seconds: u32,
    /// On-behalf-of requests per user and five minutes before 429; 50 is SharePoint's (facts §3.2 \[D\], whether it
    /// is counted for other resources is X). No limit when absent.
    pub delegation_requests_per_user: Option<u64>,
    /// Identical token requests within five minutes before `AADSTS50196` (facts §5.4; how many is X). No limit when
    /// absent.
    pub token_loop_guard: Option<u64>,
    /// Only clients that declared `cp1` are challenged (facts §5.6 \[D\]). Off: a challenged user's every token is
    /// refused, which is the harder case for a client.
    pub challenge_needs_capability: bool,
    /// Whether a user's token lists registrations (facts §4.3 \[X\]).
    pub registrations_list_delegated: RegistrationsList,
    /// How a user without a licence is refused (facts §4.6 \[X\]).
    pub no_licence: NoLicence,
    /// Entries per page of webinars, sessions, registrations, reports and records (facts §4.5 \[X\]).
    pub virtual_event_page_size: usize,
    /// The first page of those is empty and has a nextLink (facts §1.5 \[D\]).
    pub virtual_event_empty_page: bool,
    /// How sessions show their times (facts §4.5 \[M, D: both\]).
    pub session_times: SessionTimes,
    /// A single webinar, session, registration or report is wrapped in `value` (facts §4.5 \[D sample, O bare\]).
    pub wrapped_single_events: bool,
    /// Times of registrations lack their `Z` (facts §4.5 \[D sample\]).
    pub registration_times_without_zone: bool,
    /// Calls on virtual events per application and 10 s before 429. None is published (facts §3.4 \[X\]); the
    /// default is the limit of all of Graph \[S\]. No limit when absent; changes hold for windows begun later.
    pub virtual_event_requests_per_app: Option<u64>,
    /// The same per application and user: half of it \[S\].
    pub virtual_event_requests_per_user: Option<u64>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            list_by_title: true,
            columns_show_hidden: true,
            create_returns_fields: true,
            default_page_size: 200,
            max_page_size: 5_000,
            oversize_top: OversizeTop::Clamp,
            trailing_empty_page: false,
            scan_limit: None,
            index_rule: true,
            list_view_threshold: 5_000,
            too_many_resources_status: 422,
            one_indexed_field: true,
            lookup_limit: 12,
            index_over_threshold: true,
            search_visibility_delay_ms: 0,
            note_max_chars: 1_000_000,
            max_body_bytes: 4 * 1024 * 1024,
            unique_violation: UniqueViolation::InvalidRequest,
            text_ignores_case: true,
            trim_text: false,
            lenient_types: false,
            zoneless_dates: ZonelessDates::Utc,
            hyperlinks: Hyperlinks::Refuse,
            required_columns: true,
            etag_star: true,
            delta_token_life_s: None,
            resync_code: ResyncCode::ChangesApplyDifferences,
            delta_duplicates: 0.0,
            delta_shuffled: false,
            batch_limit_status: 400,
            batch_execution: PartOrder::Listed,
            batch_responses: PartOrder::Shuffled,
            throttle_window: WindowKind::Sliding,
            throttle_body: ThrottleBody::TooManyRequests,
            charge_throttled: true,
            ratelimit_headers_from: 0.8,
            ratelimit_reset: RateLimitReset::OldestLeaves,
            block_after: None,
            block_seconds: 600,
            delegation_requests_per_user: None,
            token_loop_guard: None,
            challenge_needs_capability: false,
            registrations_list_delegated: RegistrationsList::Allow,
            no_licence: NoLicence::LicenseRequired,
            virtual_event_page_size: 100,
            virtual_event_empty_page: false,
            session_times: SessionTimes::Zoned,
            wrapped_single_events: false,
            registration_times_without_zone: false,
            virtual_event_requests_per_app: Some(130_000),
            virtual_event_requests_per_user: Some(65_000),
        }
    }
}

/// What a `$top` above the maximum does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OversizeTop {
    /// The page has the maximum size.
    Clamp,
    /// The page has the default size.
    Ignore,
    /// 400 `invalidRequest`.
    Refuse,
}

/// How a violated unique column is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniqueViolation {
    /// 400 `invalidRequest`.
    InvalidRequest,
    /// 409 `nameAlreadyExists`.
    NameAlreadyExists,
}

/// What a date-time without zone means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZonelessDates {
    /// It is taken for UTC.
    Utc,
    /// 400 `invalidRequest`.
    Refuse,
}

/// Whether hyperlink columns can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hyperlinks {
    /// 400 `invalidRequest`, as most reports say.
    Refuse,
    /// `{"Url", "Description"}` works.
    Accept,
}

/// The code of a 410 answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResyncCode {
    /// `resyncChangesApplyDifferences`.
    ChangesApplyDifferences,
    /// `resyncChangesUploadDifferences`.
    ChangesUploadDifferences,
    /// `resyncRequired`.
    Required,
    /// `syncStateNotFound`.
    SyncStateNotFound,
}

impl ResyncCode {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::ChangesApplyDifferences => "resyncChangesApplyDifferences",
            Self::ChangesUploadDifferences => "resyncChangesUploadDifferences",
            Self::Required => "resyncRequired",
            Self::SyncStateNotFound => "syncStateNotFound",
        }
    }
}

/// An order of batch parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartOrder {
    /// As in the request.
    Listed,
    /// The other way round.
    Reversed,
    /// By the seeded generator.
    Shuffled,
}

/// How throttling windows move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// The last minute, at any instant.
    Sliding,
    /// A minute that starts on the minute and is empty then.
    Fixed,
}

/// What `RateLimit-Reset` counts to on a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitReset {
    /// The first units become free.
    OldestLeaves,
    /// All units are free.
    WindowEmpty,
}

/// Which of the two documented bodies a 429 has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleBody {
    /// `TooManyRequests`, as in the batching page.
    TooManyRequests,
    /// `activityLimitReached` with `throttledRequest` inside.
    ActivityLimitReached,
}

/// Whether a user's token lists registrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationsList {
    /// With `VirtualEvent.Read`, as older pages say.
    Allow,
    /// 403, as the newest page and the permission metadata say.
    Deny,
}

/// How a user without a licence is refused: always with 403 `Forbidden`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoLicence {
    /// With the inner code `licenseRequired`, which is invented.
    LicenseRequired,
    /// With nothing that says why.
    BareForbidden,
}

/// How sessions show their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionTimes {
    /// `{"dateTime", "timeZone"}`.
    Zoned,
    /// A plain text, with a `Z` where the zone is UTC.
    Text,
}
