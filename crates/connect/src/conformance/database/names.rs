//! Names that need quoting stay names.

use super::{Bench, Kit, fine, record};
use crate::database::{Absent, Change, Commit, Gone, How, Merge};

/// Quotes of every kind, dots, a keyword, letters beyond ASCII, SQL.
const NAMES: [&str; 6] =
    ["a.b", "select", "say \"hi\" `there` [now]", "grüße ☃", "it's; DROP TABLE bystander; --", "Mixed Case"];

pub(super) async fn run(kit: &dyn Kit) {
    let bystander = Bench::with(kit, "bystander", &[(1, None, 1)]).await;
    for name in NAMES {
        loads_go_where_they_should(kit, name).await;
    }
    assert_eq!(bystander.rows().await, ["1 - 1"], "nobody else's table was touched");
}

async fn loads_go_where_they_should(kit: &dyn Kit, name: &str) {
    let mut bench = Bench::new(kit, name).await;
    // the columns are called so, too
    bench.shape.columns[0].name = format!("{name} id");
    bench.shape.columns[1].name = name.to_owned();
    bench.shape.key = vec![format!("{name} id")];
    bench.shape.changes = vec![Change::Create { key: bench.shape.key.clone() }];
    let records = [record(1, Some("one"), 1), record(2, Some("two"), 2)];
    bench.load(&records, &bench.commit(&records)).await;
    let records = [record(2, Some("zwei"), 2)];
    let mut commit = Commit { absent: Absent::Unstaged, ..bench.commit(&records) };
    commit.merge.gone = Gone::Delete;
    let outcome = bench.load(&records, &commit).await;
    assert_eq!((outcome.updated, outcome.absent_deleted), (1, 1), "table {name:?}");
    let cell = |text: &str| Some(text.to_owned());
    let id = bench.shape.key[0].clone();
    assert_eq!(bench.read(&[&id, name]).await, [[cell("2"), cell("zwei")]], "table {name:?}");
    bench.shape.takes_place = true;
    let commit = bench.commit(&records);
    let commit = Commit { merge: Merge { how: How::Replace, ..commit.merge }, ..commit };
    assert_eq!(bench.load(&records, &commit).await.created, 1, "table {name:?}");
    let table = fine(bench.database.describe(&kit.written(name)).await, "describe").expect("the table");
    assert_eq!(table.stream.primary_key, [id], "table {name:?}");
}
