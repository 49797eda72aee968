//! What is in the lists, against what is in the tables, once everything is at rest.

use std::collections::BTreeMap;

use syncline_sim::ItemDump;

use super::living::{ACTIVE, ASSET_LIST, CLOSED, Living};

/// What was found; all of it but the examples is a number of records.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Rows without an item.
    pub(crate) lost: u64,
    /// Items beyond the first of their row.
    pub(crate) duplicated: u64,
    /// Items of rows that are gone, beyond what the delete policy says.
    pub(crate) left_over: u64,
    /// Items in the wrong list.
    pub(crate) misplaced: u64,
    /// Items with other values than their rows.
    pub(crate) wrong: u64,
    /// The first few, in words.
    pub(crate) examples: Vec<String>,
}

/// Examples that are kept.
const EXAMPLES: usize = 8;

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.left_over += other.left_over;
        self.misplaced += other.misplaced;
        self.wrong += other.wrong;
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.left_over + self.misplaced + self.wrong == 0
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
    }
}

/// Where a row belongs and what its item holds.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) list: &'static str,
    pub(crate) number: Option<f64>,
    /// The row is marked as gone: an item, where there is one, is marked too.
    pub(crate) gone: bool,
}

/// An item, as far as it is compared: its list, its number, whether it is marked as gone.
pub(crate) type Found = (&'static str, Option<f64>, bool);

/// Counts both syncs.
pub(crate) fn count(living: &Living) -> Tally {
    let source = rusqlite::Connection::open(living.place.path("projects.db")).unwrap();
    let mut tally = Tally::default();
    compare(living, &projects(&source), &[(ACTIVE, "BudgetAmount"), (CLOSED, "BudgetAmount")], &mut tally);
    compare(living, &assets(&source), &[(ASSET_LIST, "Worth")], &mut tally);
    tally
}

fn projects(source: &rusqlite::Connection) -> BTreeMap<String, Expected> {
    let sql = "SELECT code, status, CAST(budget AS REAL) FROM projects WHERE status <> 'Draft'";
    let mut statement = source.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let list = if row.get::<_, String>(1)? == "Closed" { CLOSED } else { ACTIVE };
        Ok((row.get(0)?, Expected { list, number: row.get(2)?, gone: false }))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn assets(source: &rusqlite::Connection) -> BTreeMap<String, Expected> {
    let mut statement = source.prepare("SELECT name, CAST(worth AS REAL), gone FROM assets").unwrap();
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, Expected { list: ASSET_LIST, number: row.get(1)?, gone: row.get(2)? }))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn compare(
    living: &Living,
    rows: &BTreeMap<String, Expected>,
    lists: &[(&'static str, &str)],
    tally: &mut Tally,
) {
    let mut items: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for (list, field) in lists {
        for item in living.place.world().items(list).unwrap() {
            let ItemDump { fields, .. } = item;
            let found = (
                *list,
                fields.get(*field).and_then(serde_json::Value::as_f64),
                fields.contains_key("DeletedAt"),
            );
            items.entry(fields["Title"].as_str().unwrap().to_owned()).or_default().push(found);
        }
    }
    for (name, expected) in rows {
        let found = items.remove(name).unwrap_or_default();
        judge(name, expected, &found, tally);
    }
    for (name, found) in items {
        tally.left_over += found.len() as u64;
        tally.example(format!("{name}: no row, and items {found:?}"));
    }
}

/// Adds what is wrong with one row's items.
pub(crate) fn judge(name: &str, expected: &Expected, found: &[Found], tally: &mut Tally) {
    let before = tally.clone();
    if found.is_empty() && !expected.gone {
        tally.lost += 1;
    }
    tally.duplicated += (found.len() as u64).saturating_sub(1);
    if let Some((list, number, marked)) = found.first() {
        tally.misplaced += u64::from(*list != expected.list);
        // Of a row that is gone nothing but the mark is written.
        tally.wrong += u64::from(!expected.gone && (*marked || *number != expected.number));
        tally.left_over += u64::from(expected.gone && !marked);
    }
    let counted = |t: &Tally| [t.lost, t.duplicated, t.left_over, t.misplaced, t.wrong];
    if counted(&before) != counted(tally) {
        tally.example(format!("{name}: {expected:?}, and items {found:?}"));
    }
}
