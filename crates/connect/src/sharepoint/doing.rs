//! What is asked of lists, and the least permission for it (facts §2.2).

use crate::graph::errors::{Act, Doing, Permission, Workload};

const SHAREPOINT: Workload = Workload {
    name: "SharePoint",
    missing: "check the site and the list; syncline check lists the known names",
    full: "the list or site is out of space: its owner must make room",
    refused: "check the columns of the mapping against the list: syncline check",
    licence: None,
};

/// Reading a site, a list, its columns or several items.
pub(super) const READ: Doing = of(Act::Read, "Sites.Read.All", INSTEAD_READ);
/// Reading one item.
pub(super) const READ_ITEM: Doing = of(Act::ReadItem, "Sites.Read.All", INSTEAD_READ);
/// Creating an item.
pub(super) const CREATE: Doing = of(Act::Create, "Sites.ReadWrite.All", INSTEAD_WRITE);
/// Changing or deleting an item.
pub(super) const CHANGE: Doing = of(Act::Change, "Sites.ReadWrite.All", INSTEAD_WRITE);
/// Creating or changing a column.
pub(super) const COLUMNS: Doing = of(Act::Columns, "Sites.Manage.All", INSTEAD_MANAGE);

const INSTEAD_READ: &str = " (or Sites.Selected with the role read on this site)";
const INSTEAD_WRITE: &str = " (or Sites.Selected with the role write on this site)";
const INSTEAD_MANAGE: &str = " (or Sites.Selected with the role manage on this site)";

const fn of(act: Act, permission: &'static str, instead: &'static str) -> Doing {
    let permission =
        Permission { application: permission, delegated: permission, user_may_consent: false, instead };
    Doing { act, workload: &SHAREPOINT, permission }
}
