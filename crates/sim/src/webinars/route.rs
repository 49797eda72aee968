//! Addresses below `/solutions/virtualEvents/webinars` (facts §4.1, §1.6).

use crate::route::OpKind;

/// A resource of virtual events. Ids are as the URL gives them, percent-decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventRoute {
    /// All webinars of the tenant.
    Webinars,
    ByUserRole(String),
    ByUserIdAndRole {
        user: String,
        role: String,
    },
    Webinar(String),
    Sessions(String),
    Session(String, String),
    Registrations(String),
    Registration(String, String),
    Reports(String, String),
    Report(String, String, String),
    Records(String, String, String),
}

impl EventRoute {
    /// Routes what follows `/solutions/virtualEvents`; the last segment when there is no such resource.
    pub(crate) fn parse(segments: &[&str]) -> Result<Self, String> {
        let owned = |text: &&str| (*text).to_owned();
        match segments {
            ["webinars"] => Ok(Self::Webinars),
            ["webinars", call] if call.contains('(') => Self::function(call).ok_or_else(|| owned(call)),
            ["webinars", id] => Ok(Self::Webinar(owned(id))),
            ["webinars", id, "sessions"] => Ok(Self::Sessions(owned(id))),
            ["webinars", id, "sessions", session] => Ok(Self::Session(owned(id), owned(session))),
            ["webinars", id, "registrations"] => Ok(Self::Registrations(owned(id))),
            ["webinars", id, "registrations", one] => Ok(Self::Registration(owned(id), owned(one))),
            ["webinars", id, "sessions", session, "attendanceReports", rest @ ..] => match rest {
                [] => Ok(Self::Reports(owned(id), owned(session))),
                [report] => Ok(Self::Report(owned(id), owned(session), owned(report))),
                [report, "attendanceRecords"] => Ok(Self::Records(owned(id), owned(session), owned(report))),
                [.., last] => Err(owned(last)),
            },
            [.., last] => Err(owned(last)),
            [] => Err("virtualEvents".to_owned()),
        }
    }

    fn function(call: &str) -> Option<Self> {
        let (name, arguments) = call.strip_suffix(')')?.split_once('(')?;
        let argument = |wanted: &str| {
            let mut pairs = arguments.split(',').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(name, _)| name.trim() == wanted)?;
            let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            Some(value.replace("''", "'"))
        };
        match name.strip_prefix("microsoft.graph.").unwrap_or(name) {
            "getByUserRole" => Some(Self::ByUserRole(argument("role")?)),
            "getByUserIdAndRole" => {
                Some(Self::ByUserIdAndRole { user: argument("userId")?, role: argument("role")? })
            }
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> OpKind {
        match self {
            Self::Registrations(_) | Self::Registration(..) => OpKind::Registrations,
            Self::Reports(..) | Self::Report(..) | Self::Records(..) => OpKind::Attendance,
            _ => OpKind::Webinars,
        }
    }

    /// The name it is counted under.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Webinars => "webinars.list",
            Self::ByUserRole(_) => "webinars.by_user_role",
            Self::ByUserIdAndRole { .. } => "webinars.by_user_id_and_role",
            Self::Webinar(_) => "webinars.get",
            Self::Sessions(_) => "sessions.list",
            Self::Session(..) => "sessions.get",
            Self::Registrations(_) => "registrations.list",
            Self::Registration(..) => "registrations.get",
            Self::Reports(..) => "attendance.reports",
            Self::Report(..) => "attendance.report",
            Self::Records(..) => "attendance.records",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_quoted_arguments_in_any_order() {
        for call in [
            "getByUserIdAndRole(userId='u',role='organizer')",
            "microsoft.graph.getByUserIdAndRole(role='organizer', userId='u')",
        ] {
            let expected = EventRoute::ByUserIdAndRole { user: "u".into(), role: "organizer".into() };
            assert_eq!(EventRoute::parse(&["webinars", call]), Ok(expected));
        }
        assert_eq!(EventRoute::parse(&["webinars", "getByUserRole(role=organizer)"]).ok(), None);
        assert_eq!(EventRoute::parse(&["townhalls"]), Err("townhalls".into()));
    }
}
