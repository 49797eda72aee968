//! What is asked of webinars, and the least permission for it (facts §4.1).

use crate::graph::errors::{Act, Doing, Permission, Workload};

const TEAMS: Workload = Workload {
    name: "Teams",
    missing: "check the id; a webinar that was deleted is gone for good",
    full: "",
    refused: "check the ids of webinar and session",
    licence: Some("Teams webinar license required"),
};

/// The two other causes of a 403, which the service does not tell apart from a missing permission (§4.6).
const ELSE: &str = "; or the user is neither organizer nor co-organizer of the webinar (for an application: its organizer is \
                    under no application access policy that names it); or the account has no licence for webinars";

const READ_EVENT: Permission = Permission {
    application: "VirtualEvent.Read.All",
    delegated: "VirtualEvent.Read",
    user_may_consent: false,
    instead: ELSE,
};

const LIST_REGISTRATIONS: Permission = Permission {
    application: "VirtualEvent.Read.Chat",
    delegated: "VirtualEvent.Read",
    user_may_consent: false,
    instead: "; or listing registrations is open to applications only in this tenant: set `registrations: application` \
              (VirtualEvent.Read.Chat), or `registrations: notified`; or the user is neither organizer nor co-organizer of the \
              webinar; or the account has no licence for webinars",
};

const READ_ARTIFACT: Permission = Permission {
    application: "OnlineMeetingArtifact.Read.All",
    delegated: "OnlineMeetingArtifact.Read.All",
    user_may_consent: true,
    instead: ELSE,
};

/// Listing webinars and sessions.
pub(super) const EVENTS: Doing = Doing { act: Act::Read, workload: &TEAMS, permission: READ_EVENT };
/// Reading one webinar or session.
pub(super) const EVENT: Doing = Doing { act: Act::ReadItem, ..EVENTS };
/// Listing registrations (§4.3).
pub(super) const REGISTRATIONS: Doing =
    Doing { act: Act::Read, workload: &TEAMS, permission: LIST_REGISTRATIONS };
/// Reading one registration.
pub(super) const REGISTRATION: Doing = EVENT;
/// Listing attendance reports and what is in them.
pub(super) const ATTENDANCE: Doing = Doing { act: Act::Read, workload: &TEAMS, permission: READ_ARTIFACT };
