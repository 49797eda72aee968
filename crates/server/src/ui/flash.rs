//! The way back after something was done: to a page of ours, which says what was done.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// What was done, in a word of the address: nothing that somebody else wrote reaches a page through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    Started,
    Retried,
    Cancelled,
    Paused,
    Resumed,
    Reset,
    Verifying,
    Approved,
    Rejected,
    Dropped,
    Tested,
}

impl Done {
    const ALL: [Self; 11] = [
        Self::Started,
        Self::Retried,
        Self::Cancelled,
        Self::Paused,
        Self::Resumed,
        Self::Reset,
        Self::Verifying,
        Self::Approved,
        Self::Rejected,
        Self::Dropped,
        Self::Tested,
    ];

    /// The word in the address, `?done=…`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Reset => "reset",
            Self::Verifying => "verifying",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Dropped => "dropped",
            Self::Tested => "tested",
        }
    }

    /// The sentence on the page.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Started => "The run waits for a node; it appears here when it begins.",
            Self::Retried => "It will be tried again; a node takes it when it is free.",
            Self::Cancelled => "The run stops after the batch in hand. What is done stays done.",
            Self::Paused => "Paused: no schedule starts it until somebody resumes it.",
            Self::Resumed => "Resumed. Instants that passed meanwhile are not made up for.",
            Self::Reset => "The cursor was cleared: the next run reads everything and writes what differs.",
            Self::Verifying => "The destination is being compared with the ledger.",
            Self::Approved => "Approved: the next full run may delete that many records.",
            Self::Rejected => "Rejected: these records stay, and Syncline never touches them again.",
            Self::Dropped => "Dropped: these records are not tried again.",
            Self::Tested => "The connection answered.",
        }
    }

    /// Reads [`Done::word`].
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|done| done.word() == word)
    }
}

/// To the page at `path`, which says what was done.
pub(crate) fn back(headers: &HeaderMap, path: &str, done: Done) -> Response {
    let mark = if path.contains('?') { '&' } else { '?' };
    go(headers, &format!("{path}{mark}done={}", done.word()))
}

/// To another page: by a header that htmx follows when it asked, else as browsers do after a form.
pub(crate) fn go(headers: &HeaderMap, place: &str) -> Response {
    let Ok(value) = HeaderValue::from_str(place) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if headers.contains_key("hx-request") {
        return (StatusCode::OK, [("hx-redirect", value)]).into_response();
    }
    (StatusCode::SEE_OTHER, [(header::LOCATION, value)]).into_response()
}

/// Whether an address is a path of this server, and cannot be read as one of another.
pub(crate) fn is_ours(place: &str) -> bool {
    place.starts_with('/')
        && !place.starts_with("//")
        && !place.contains('\\')
        && place.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for done in Done::ALL {
            assert_eq!(Done::parse(done.word()), Some(done));
        }
        assert_eq!(Done::parse("<b>"), None);
    }

    #[test]
    fn only_paths_of_ours_are_gone_to() {
        for ours in ["/", "/syncs/a?x=1", "/syncs/a%20b"] {
            assert!(is_ours(ours), "{ours}");
        }
        for foreign in ["", "x", "//evil", "/\\evil", "https://evil", "/a b", "/a\nb", "/ä"] {
            assert!(!is_ours(foreign), "{foreign}");
        }
    }
}
