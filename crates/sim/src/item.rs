//! Items and the people and applications behind them (facts §2.4).

use std::sync::Arc;

use uuid::Uuid;

use crate::value::FieldValue;

/// Who wrote: an application and the account it shows, or a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor {
    /// Id and display name of the writing application: the echo signal of facts §2.4.
    pub(crate) app: Option<(String, String)>,
    pub(crate) user_id: String,
    pub(crate) user_name: String,
    pub(crate) email: String,
    /// Row of the site's hidden user list.
    pub(crate) lookup_id: u64,
}

impl Actor {
    /// The account behind application-only writes.
    pub(crate) fn application(client_id: &str, display_name: &str) -> Self {
        Self {
            app: Some((client_id.to_owned(), display_name.to_owned())),
            user_id: "11111111-2222-4333-8444-555555555501".into(),
            user_name: "SharePoint App".into(),
            email: "app@sharepoint".into(),
            lookup_id: 25,
        }
    }

    /// A colleague who edits lists by hand.
    pub(crate) fn colleague() -> Self {
        Self {
            app: None,
            user_id: "11111111-2222-4333-8444-555555555509".into(),
            user_name: "Ann Other".into(),
            email: "ann@contoso.com".into(),
            lookup_id: 13,
        }
    }
}

/// One list item. `values` is sorted by column and holds no empty columns.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) id: u64,
    pub(crate) guid: Uuid,
    pub(crate) version: u32,
    pub(crate) created_ms: i64,
    pub(crate) modified_ms: i64,
    pub(crate) author: Arc<Actor>,
    pub(crate) editor: Arc<Actor>,
    pub(crate) values: Vec<(u32, FieldValue)>,
    /// Place of the latest change in the list's change log.
    pub(crate) sequence: u64,
    pub(crate) created_sequence: u64,
    /// The state before the last update, kept only while delta shows duplicates.
    pub(crate) outdated: Option<Box<Item>>,
}

impl Item {
    /// `"guid,version"` with its quotes (facts §2.4 \[O\]; opaque to clients).
    pub(crate) fn etag(&self) -> String {
        format!("\"{},{}\"", self.guid, self.version)
    }

    pub(crate) fn value(&self, column: u32) -> Option<&FieldValue> {
        let at = self.values.binary_search_by_key(&column, |(c, _)| *c).ok()?;
        Some(&self.values[at].1)
    }

    pub(crate) fn set(&mut self, column: u32, value: Option<FieldValue>) {
        match (self.values.binary_search_by_key(&column, |(c, _)| *c), value) {
            (Ok(at), Some(value)) => self.values[at].1 = value,
            (Ok(at), None) => drop(self.values.remove(at)),
            (Err(at), Some(value)) => self.values.insert(at, (column, value)),
            (Err(_), None) => {}
        }
    }
}
