//! From a URL to the resource it names (facts §1.6, §2.1).

use std::fmt::Write as _;

use hyper::Method;

use crate::webinars::route::EventRoute;

/// How a URL names a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SiteRef {
    Root,
    Id(String),
    /// Host and server-relative path.
    Path(String, String),
    Group(String),
}

/// A list within a site, by id or title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListRef {
    pub(crate) site: SiteRef,
    pub(crate) list: String,
}

/// The resources of the simulated part of Graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Batch,
    Sites,
    Site(SiteRef),
    Lists(SiteRef),
    List(ListRef),
    Columns(ListRef),
    Column(ListRef, String),
    Items(ListRef),
    Item(ListRef, String),
    Fields(ListRef, String),
    /// Token of the function form, and the path up to `delta`.
    Delta(ListRef, Option<String>, String),
    Event(EventRoute),
    Unknown(String),
}

/// What an operation does, for costs, faults and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpKind {
    /// The token endpoint.
    Token,
    /// A `$batch` envelope.
    Batch,
    /// Create an item.
    Create,
    /// Update an item.
    Update,
    /// Delete an item.
    Delete,
    /// Read one item.
    Get,
    /// List items.
    List,
    /// Delta query.
    Delta,
    /// Read a site, list or column.
    Metadata,
    /// Create or change a list or column.
    Manage,
    /// Read webinars or their sessions.
    Webinars,
    /// Read registrations for a webinar.
    Registrations,
    /// Read attendance of a session.
    Attendance,
    /// Anything else.
    Other,
}

impl OpKind {
    /// Creates, updates and deletes of items.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete)
    }

    /// Calls on virtual events, which SharePoint's limits know nothing of.
    pub fn is_event(self) -> bool {
        matches!(self, Self::Webinars | Self::Registrations | Self::Attendance)
    }
}

impl Route {
    /// Routes a path below `/v1.0`, already percent-decoded.
    pub(crate) fn parse(path: &str) -> Self {
        let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        match segments.as_slice() {
            ["$batch"] => return Self::Batch,
            ["sites"] => return Self::Sites,
            ["solutions", "virtualEvents", rest @ ..] => {
                return EventRoute::parse(rest).map_or_else(Self::Unknown, Self::Event);
            }
            ["groups", group, "sites", "root", rest @ ..] => {
                return Self::in_site(SiteRef::Group((*group).to_owned()), rest, path);
            }
            _ => {}
        }
        if segments.first() != Some(&"sites") || segments.len() < 2 {
            return Self::Unknown(segments.first().copied().unwrap_or("").to_owned());
        }
        segments.remove(0);
        let first = segments.remove(0);
        let Some(host) = first.strip_suffix(':') else {
            let site = if first == "root" { SiteRef::Root } else { SiteRef::Id(first.to_owned()) };
            return Self::in_site(site, &segments, path);
        };
        // `host:/sites/x` or `host:/sites/x:/lists/…`
        let end = segments.iter().position(|segment| segment.ends_with(':'));
        let (site, rest) = match end {
            Some(end) => (&segments[..=end], &segments[end + 1..]),
            None => (&segments[..], &[][..]),
        };
        let site = format!("/{}", site.join("/").trim_end_matches(':'));
        Self::in_site(SiteRef::Path(host.to_owned(), site), rest, path)
    }

    fn in_site(site: SiteRef, rest: &[&str], path: &str) -> Self {
        let (list, rest) = match rest {
            [] => return Self::Site(site),
            ["lists"] => return Self::Lists(site),
            ["lists", list, rest @ ..] => (ListRef { site, list: (*list).to_owned() }, rest),
            [other, ..] => return Self::Unknown((*other).to_owned()),
        };
        match rest {
            [] => Self::List(list),
            ["columns"] => Self::Columns(list),
            ["columns", column] => Self::Column(list, (*column).to_owned()),
            ["items"] => Self::Items(list),
            ["items", function] if is_delta(function) => {
                let path = path.split('(').next().unwrap_or(path).trim_end_matches('/');
                Self::Delta(list, delta_token(function), path.to_owned())
            }
            ["items", item] => Self::Item(list, (*item).to_owned()),
            ["items", item, "fields"] => Self::Fields(list, (*item).to_owned()),
            [.., last] => Self::Unknown((*last).to_owned()),
        }
    }

    pub(crate) fn kind(&self, method: &Method) -> OpKind {
        match (self, method.as_str()) {
            (Self::Batch, _) => OpKind::Batch,
            (Self::Items(_), "POST") => OpKind::Create,
            (Self::Items(_), "GET") => OpKind::List,
            (Self::Item(..) | Self::Fields(..), "GET") => OpKind::Get,
            (Self::Item(..) | Self::Fields(..), "PATCH") => OpKind::Update,
            (Self::Item(..), "DELETE") => OpKind::Delete,
            (Self::Delta(..), _) => OpKind::Delta,
            (Self::Event(event), _) => event.kind(),
            (Self::Unknown(_), _) => OpKind::Other,
            (_, "GET") => OpKind::Metadata,
            _ => OpKind::Manage,
        }
    }

    pub(crate) fn list_ref(&self) -> Option<&ListRef> {
        match self {
            Self::List(list) | Self::Columns(list) | Self::Items(list) => Some(list),
            Self::Column(list, _) | Self::Item(list, _) | Self::Fields(list, _) => Some(list),
            Self::Delta(list, ..) => Some(list),
            _ => None,
        }
    }

    pub(crate) fn item_id(&self) -> Option<u64> {
        match self {
            Self::Item(_, id) | Self::Fields(_, id) => id.parse().ok(),
            _ => None,
        }
    }
}

/// `delta`, `delta()`, `delta(token='…')` and the qualified forms (facts §1.6 \[D, M\]).
fn is_delta(segment: &str) -> bool {
    let name = segment.split('(').next().unwrap_or("");
    matches!(name, "delta" | "microsoft.graph.delta")
}

fn delta_token(segment: &str) -> Option<String> {
    let arguments = segment.split_once('(')?.1.strip_suffix(')')?;
    let value = arguments.split_once('=')?.1.trim();
    Some(value.trim_matches('\'').replace("''", "'"))
}

/// Percent-encodes a decoded path again, for links.
pub(crate) fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~:,$()'=@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes all text");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_named_in_four_ways() {
        let path = SiteRef::Path("c.sharepoint.com".into(), "/sites/ops".into());
        assert_eq!(Route::parse("/sites/c.sharepoint.com:/sites/ops"), Route::Site(path.clone()));
        assert_eq!(Route::parse("/sites/c.sharepoint.com:/sites/ops:"), Route::Site(path.clone()));
        let list = ListRef { site: path, list: "Projects".into() };
        assert_eq!(
            Route::parse("/sites/c.sharepoint.com:/sites/ops:/lists/Projects/items"),
            Route::Items(list)
        );
        assert_eq!(Route::parse("/sites/root"), Route::Site(SiteRef::Root));
        assert_eq!(Route::parse("/sites/a,b,c/lists"), Route::Lists(SiteRef::Id("a,b,c".into())));
    }

    #[test]
    fn delta_has_several_forms() {
        for (path, token) in [
            ("/sites/s/lists/l/items/delta", None),
            ("/sites/s/lists/l/items/delta()", None),
            ("/sites/s/lists/l/items/microsoft.graph.delta()", None),
            ("/sites/s/lists/l/items/delta(token='latest')", Some("latest".to_owned())),
        ] {
            let Route::Delta(_, found, plain) = Route::parse(path) else { panic!("{path}") };
            assert_eq!(found, token);
            assert!(plain.ends_with("delta"), "{plain}");
        }
    }
}
