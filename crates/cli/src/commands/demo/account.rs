//! The account of every record: what the source holds against what the lists hold, by identity.

use std::collections::BTreeMap;

use syncline_core::{identity::Identity, value::Value};

use super::tenant::Item;
use crate::{
    exit::Failure,
    output, show,
    table::{Set, Table},
};

/// What was found. Every source record must be in its list exactly once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Source records by the list they belong to.
    rows: BTreeMap<&'static str, u64>,
    /// Items by list.
    items: BTreeMap<&'static str, u64>,
    /// Source records that are in their list exactly once.
    once: u64,
    missing: u64,
    /// Items beyond the first of an identity.
    duplicates: u64,
    /// Records that are in another list than they belong to.
    misplaced: u64,
    /// Items of no source record.
    orphans: u64,
}

/// Compares. `expected`: code and list of every source record.
pub(super) fn close(expected: &[(String, &'static str)], lists: &[(&'static str, Vec<Item>)]) -> Account {
    let mut account = Account::default();
    let mut found: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for (list, items) in lists {
        account.items.insert(list, items.len() as u64);
        for item in items {
            found.entry(item.text("SynclineKey").to_owned()).or_default().push(list);
        }
    }
    for (code, list) in expected {
        *account.rows.entry(list).or_default() += 1;
        // A text key always has an identity.
        let stamp = Identity::of(&[Value::Text(code.into())], false).map(|identity| identity.stamp());
        let places = found.remove(&stamp.unwrap_or_default()).unwrap_or_default();
        match places.as_slice() {
            [] => account.missing += 1,
            [place] if place == list => account.once += 1,
            [_] => account.misplaced += 1,
            [_, more @ ..] => account.duplicates += more.len() as u64,
        }
    }
    account.orphans = found.values().map(|places| places.len() as u64).sum();
    account
}

impl Account {
    /// Prints the account.
    ///
    /// # Errors
    /// When it does not hold.
    pub(super) fn print(&self) -> Result<(), Failure> {
        let mut table = Table::new(&[
            ("list", Set::Left),
            ("rows in the source", Set::Right),
            ("items in the list", Set::Right),
        ]);
        for list in super::LISTS {
            let count = |of: &BTreeMap<&str, u64>| show::count(of.get(list).copied().unwrap_or(0));
            table.row(vec![list.to_owned(), count(&self.rows), count(&self.items)]);
        }
        let (rows, items): (u64, u64) = (self.rows.values().sum(), self.items.values().sum());
        table.row(vec!["all".to_owned(), show::count(rows), show::count(items)]);
        table.lines().for_each(output::line);
        output::line("");
        let figures = [
            ("in the right list exactly once", self.once),
            ("missing", self.missing),
            ("duplicates", self.duplicates),
            ("in a wrong list", self.misplaced),
            ("items of no source record", self.orphans),
        ];
        let mut table = Table::new(&[("records", Set::Left), ("", Set::Right)]);
        for (what, n) in figures {
            table.row(vec![what.to_owned(), show::count(n)]);
        }
        table.lines().for_each(output::line);
        let wrong = self.missing + self.duplicates + self.misplaced + self.orphans;
        if wrong == 0 && self.once == rows && rows == items {
            Ok(())
        } else {
            Err(Failure::failed("the account does not hold; please report this as a bug"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(code: &str) -> Item {
        let stamp = Identity::of(&[Value::Text(code.into())], false).unwrap().stamp();
        Item { id: 1, fields: json!({ "SynclineKey": stamp }).as_object().cloned().unwrap() }
    }

    #[test]
    fn every_kind_of_fault_is_seen() {
        let [active, closed, _] = super::super::LISTS;
        let expected =
            [("a", active), ("b", active), ("c", closed), ("d", closed)].map(|(c, l)| (c.to_owned(), l));
        let lists = [(active, vec![item("a"), item("c"), item("x")]), (closed, vec![item("d"), item("d")])];
        let account = close(&expected, &lists);
        let (once, missing, misplaced) = (account.once, account.missing, account.misplaced);
        assert_eq!((once, missing, misplaced, account.duplicates, account.orphans), (1, 1, 1, 1, 1));
    }
}
