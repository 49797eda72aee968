//! Tables that change with their source.

use syncline_core::{
    batch::RecordOp,
    schema::FieldType,
    sync::SchemaPolicy::{self, Evolve, Freeze},
    value::Value,
};

use super::{Bench, Kit, Record, column, fine, record};
use crate::database::{
    Change, Column, How,
    evolve::{Decision, decide},
};

pub(super) async fn run(kit: &dyn Kit) {
    new_columns_are_added_or_left_out(kit).await;
    a_replaced_table_gets_new_columns_too(kit).await;
    types_are_widened(kit).await;
    what_cannot_be_is_a_problem(kit).await;
}

async fn decided(bench: &Bench<'_>, wanted: &[Column], policy: SchemaPolicy) -> Decision {
    let table = fine(bench.database.describe(&bench.kit.written(&bench.table)).await, "describe");
    decide(bench.kit.dialect(), &bench.named(), table.as_ref(), wanted, &["id".into()], policy)
}

async fn new_columns_are_added_or_left_out(kit: &dyn Kit) {
    let mut bench = Bench::with(kit, "grown", &[(1, Some("one"), 1)]).await;
    let extra = column(kit, "extra", FieldType::Text, false);
    let wanted: Vec<_> = bench.shape.columns.iter().cloned().chain([extra]).collect();
    let frozen = decided(&bench, &wanted, Freeze).await;
    assert_eq!((frozen.changes.len(), frozen.problems.len()), (0, 0), "{frozen:?}");
    assert_eq!(frozen.from, [0, 1, 2], "the new column is left out");
    assert_eq!(frozen.notes.len(), 1, "and reported");
    let evolved = decided(&bench, &wanted, Evolve).await;
    assert!(matches!(evolved.changes.as_slice(), [Change::Add(c)] if c.name == "extra"), "{evolved:?}");
    (bench.shape.columns, bench.shape.changes) = (evolved.columns, evolved.changes);
    let longer = |id, extra: &'static str| -> Record {
        let mut record = record(id, Some("one"), 1);
        record.0.push(Value::Text(extra.into()));
        record
    };
    let records = [longer(1, "more"), longer(2, "")];
    let outcome = bench.load(&records, &bench.commit(&records)).await;
    assert_eq!((outcome.created, outcome.updated), (1, 1));
    let cell = |text: &str| Some(text.to_owned());
    assert_eq!(bench.read(&["id", "extra"]).await, [[cell("1"), cell("more")], [cell("2"), cell("")]]);
    assert_eq!(decided(&bench, &wanted, Evolve).await.changes, [], "once is enough");
}

async fn a_replaced_table_gets_new_columns_too(kit: &dyn Kit) {
    let mut bench = Bench::with(kit, "regrown", &[(1, Some("one"), 1)]).await;
    let extra = column(kit, "extra", FieldType::Text, false);
    let first = [extra].into_iter().chain(bench.shape.columns.iter().cloned());
    let evolved = decided(&bench, &first.collect::<Vec<_>>(), Evolve).await;
    (bench.shape.columns, bench.shape.changes) = (evolved.columns, evolved.changes);
    bench.shape.takes_place = true;
    let mut values = record(2, Some("two"), 2).0;
    values.insert(0, Value::Text("more".into()));
    let records = [(values, RecordOp::Upsert)];
    let mut commit = bench.commit(&records);
    commit.merge.how = How::Replace;
    assert_eq!(bench.load(&records, &commit).await.created, 1);
    let cell = |text: &str| Some(text.to_owned());
    assert_eq!(bench.read(&["id", "name", "n", "extra"]).await, [["2", "two", "2", "more"].map(cell)]);
}

async fn types_are_widened(kit: &dyn Kit) {
    let Some((small, large)) = kit.wider() else { return };
    let mut bench = Bench::new(kit, "widened").await;
    let of =
        |declared: &str| Column { declared: declared.into(), ..column(kit, "n", FieldType::Int64, false) };
    bench.shape.columns = vec![bench.shape.columns[0].clone(), of(small)];
    let row = |id, n| -> Record { (vec![Value::Int64(id), Value::Int64(n)], RecordOp::Upsert) };
    bench.load(&[row(1, 1)], &bench.commit(&[row(1, 1)])).await;
    let wanted = vec![bench.shape.columns[0].clone(), of(large)];
    let frozen = decided(&bench, &wanted, Freeze).await;
    assert_eq!((frozen.changes.len(), frozen.notes.len()), (0, 1), "{frozen:?}");
    let evolved = decided(&bench, &wanted, Evolve).await;
    assert!(matches!(evolved.changes.as_slice(), [Change::Widen(c)] if c.declared == large), "{evolved:?}");
    (bench.shape.columns, bench.shape.changes) = (evolved.columns, evolved.changes);
    let records = [row(1, i64::MAX)];
    assert_eq!(bench.load(&records, &bench.commit(&records)).await.updated, 1);
    assert_eq!(bench.read(&["n"]).await, [[Some(i64::MAX.to_string())]]);
    let back = decided(&bench, &[wanted[0].clone(), of(small)], Evolve).await;
    assert_eq!(back.changes, [], "never narrowed");
}

async fn what_cannot_be_is_a_problem(kit: &dyn Kit) {
    let bench = Bench::with(kit, "fixed", &[]).await;
    let wanted = [column(kit, "id", FieldType::Int64, true), column(kit, "n", FieldType::Binary, false)];
    let decision = decided(&bench, &wanted, Evolve).await;
    assert_eq!(decision.problems.len(), 1, "{decision:?}");
    assert_eq!(decision.problems[0].0, "n");
}
