//! Lists as a source: everything, then what changed, and every way in which the service loses its thread.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;
use syncline_connect::{
    Source,
    conformance::destination::Kit as _,
    error::Kind,
    source::{Fetch, Read},
};
use syncline_core::{batch::RecordOp, cursor::Position, schema::FieldType, sync::Overlap, value::Value};
use syncline_sim::{Applied, Fault, FaultMatch, FaultWhen, OpKind, OversizeTop, ResyncCode, Switches};

use super::kit::Sim;

/// A list that is read, and a copy of it that is kept by what the source tells.
struct Mirror {
    source: Arc<dyn Source>,
    list: String,
    items: BTreeMap<i64, String>,
    position: Option<Position>,
    batch_rows: usize,
}

/// What a listing told: each record with its number, title and operation.
type Told = Vec<(i64, Option<String>, RecordOp)>;

impl Mirror {
    async fn of(sim: &Sim, list: &str) -> Self {
        let source = sim.source().await;
        Self { source, list: list.to_owned(), items: BTreeMap::new(), position: None, batch_rows: 1_000 }
    }

    fn request(&self, from: Option<Position>) -> Read {
        Read {
            stream: self.list.clone(),
            columns: vec!["id".into(), "Title".into()],
            key: vec!["id".into()],
            key_is_total: true,
            cursor: None,
            tombstone: None,
            from,
            overlap: Overlap::default(),
            lag: Duration::ZERO,
            batch_rows: self.batch_rows,
            batch_bytes: 8 << 20,
            params: BTreeMap::new(),
        }
    }

    /// Reads to the end: what was told, and where to go on.
    async fn read(&self, from: Option<Position>) -> Result<(Told, Option<Position>), Kind> {
        let mut reader = self.source.read(self.request(from)).await.map_err(|e| e.kind)?;
        let mut told = Vec::new();
        loop {
            let batch = match reader.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok((told, reader.resume())),
                Err(error) => {
                    assert!(reader.next().await.is_err(), "after an error it stays over");
                    return Err(error.kind);
                }
            };
            assert!(!batch.is_empty() && batch.len() <= self.batch_rows);
            for row in 0..batch.len() {
                let Value::Int64(id) = batch.value(row, 0) else { panic!("a number") };
                let title = match batch.value(row, 1) {
                    Value::Text(title) => Some(title.into_owned()),
                    _ => None,
                };
                told.push((id, title, batch.op(row)));
            }
        }
    }

    /// Reads everything and takes it over.
    async fn full(&mut self) -> Result<usize, Kind> {
        let (told, resume) = self.read(None).await?;
        assert!(told.iter().all(|(_, _, op)| *op == RecordOp::Upsert));
        let count = told.len();
        self.items = told.into_iter().map(|(id, title, _)| (id, title.unwrap_or_default())).collect();
        assert_eq!(self.items.len(), count, "each item once");
        self.position = resume;
        Ok(count)
    }

    /// Reads what changed and takes it over.
    async fn changes(&mut self) -> Result<Told, Kind> {
        let (told, resume) = self.read(self.position.clone()).await?;
        let mut met = std::collections::BTreeSet::new();
        for (id, title, op) in &told {
            assert!(met.insert(*id), "each item once");
            match op {
                RecordOp::Upsert => drop(self.items.insert(*id, title.clone().unwrap_or_default())),
                RecordOp::Delete => {
                    assert_eq!(title, &None, "of a deleted item its number alone is known");
                    self.items.remove(id);
                }
            }
        }
        self.position = resume;
        Ok(told)
    }

    /// What changed, or, where the position is lost, everything: as the engine does.
    async fn catch_up(&mut self) -> Result<(), Kind> {
        if self.position.is_some() {
            match self.changes().await {
                Ok(_) => return Ok(()),
                Err(Kind::PositionLost) => self.position = None,
                Err(other) => return Err(other),
            }
        }
        self.full().await.map(drop)
    }

    fn assert_equal(&self, sim: &Sim, seed: u64) {
        let items = sim.server.world().items(&self.list).unwrap();
        let there: BTreeMap<i64, String> = items
            .iter()
            .map(|i| {
                (i64::try_from(i.id).unwrap(), i.fields["Title"].as_str().unwrap_or_default().to_owned())
            })
            .collect();
        assert_eq!(self.items, there, "seed {seed}");
    }
}

async fn filled(switches: Switches, count: usize) -> (Sim, Mirror) {
    let sim = Sim::with(switches).await;
    let list = sim.list();
    for n in 0..count {
        sim.create(&list, &format!("t{n}")).await;
    }
    let mirror = Mirror::of(&sim, &list).await;
    (sim, mirror)
}

fn small() -> Switches {
    Switches { max_page_size: 7, default_page_size: 7, ..Switches::default() }
}

#[tokio::test]
async fn a_list_is_described_as_a_source() {
    let sim = Sim::with(Switches::default()).await;
    let list = sim.list();
    let source = sim.source().await;
    let stream = source.describe(&list).await.unwrap();
    let kind = |name: &str| stream.field(name).map(|f| f.kind.clone());
    let instant = FieldType::Timestamp { zoned: true };
    for (name, expected) in [
        ("id", FieldType::Int64),
        ("created_at", instant.clone()),
        ("modified_at", instant.clone()),
        ("etag", FieldType::Text),
        ("web_url", FieldType::Text),
        ("Title", FieldType::Text),
        ("BudgetAmount", FieldType::Float64),
        ("IsOpen", FieldType::Boolean),
        ("StartDate", FieldType::Date),
        ("ChangedAt", instant),
        ("Tags", FieldType::List(Box::new(FieldType::Text))),
    ] {
        assert_eq!(kind(name), Some(expected), "{name}");
    }
    assert!(stream.tells_changes && stream.is_unique(&["id".to_owned()]));
    let lead = stream.unsupported.iter().find(|(name, _)| name == "Lead").unwrap();
    assert!(lead.1.starts_with("a person"), "{lead:?}");
    assert!(source.streams().await.unwrap().contains(&list));
    assert_eq!(source.describe("Nothing").await.unwrap_err().kind, Kind::StreamMissing);
    assert_eq!(
        source.duplicate_keys(&list, &["id".into()], 9).await.unwrap(),
        Vec::<Vec<Value<'static>>>::new()
    );
}

#[tokio::test]
async fn values_come_as_the_list_holds_them() {
    let sim = Sim::with(Switches::default()).await;
    let list = sim.list();
    let fields = json!({ "Title": "Ä \"1\"", "BudgetAmount": 0.1, "IsOpen": false, "StartDate": "2026-01-31T00:00:00Z",
        "ChangedAt": "2026-01-31T10:00:00Z", "Status": "Active", "Tags@odata.type": "Collection(Edm.String)", "Tags": ["A", "C, D"] });
    sim.server.world().create_item(&list, fields.as_object().unwrap()).unwrap();
    sim.create(&list, "second").await;
    let source = sim.source().await;
    let names =
        ["Title", "BudgetAmount", "IsOpen", "StartDate", "ChangedAt", "Status", "Tags", "Notes", "id"];
    let mirror = Mirror::of(&sim, &list).await;
    let columns: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let request = Read { columns: columns.clone(), ..mirror.request(None) };
    let batch = source.read(request).await.unwrap().next().await.unwrap().unwrap();
    let text = |t: &'static str| Value::Text(t.into());
    let expected = [
        text("Ä \"1\""),
        Value::Float64(0.1),
        Value::Boolean(false),
        Value::Date(20_484),
        Value::Timestamp { micros: 1_769_853_600_000_000, zoned: true },
        text("Active"),
        Value::List(vec![text("A"), text("C, D")]),
        Value::Null,
        Value::Int64(1),
    ];
    let row = |row: usize| (0..columns.len()).map(|c| batch.value(row, c).into_owned()).collect::<Vec<_>>();
    assert_eq!(row(0), expected);
    assert_eq!(row(1)[0], text("second"));
    assert!(row(1)[1..8].iter().all(Value::is_null), "empty columns are null");

    let fetched = |keys: Vec<Value<'static>>| {
        let keys = keys.into_iter().map(|key| vec![key]).collect();
        let (stream, columns, key) = (list.clone(), columns.clone(), vec!["id".to_owned()]);
        source.fetch(Fetch { stream, columns, key, tombstone: None, keys, params: BTreeMap::new() })
    };
    let found =
        fetched(vec![Value::Int64(2), Value::Int64(1), Value::Int64(1), Value::Int64(77), Value::Null]);
    let found = found.await.unwrap();
    assert_eq!(found.len(), 2, "what is there, once");
    assert_eq!((0..9).map(|c| found.value(0, c).into_owned()).collect::<Vec<_>>(), expected);
    let written = sim.server.world().counters().writes_applied;
    assert_eq!(written, 0, "nothing is written to a source");
    sim.server.world().remove_list(&list).unwrap();
    assert_eq!(fetched(vec![Value::Int64(1)]).await.unwrap_err().kind, Kind::StreamMissing);
}

#[tokio::test]
async fn everything_then_what_changed() {
    for switches in [
        small(),
        Switches { trailing_empty_page: true, ..small() },
        Switches { oversize_top: OversizeTop::Refuse, ..small() },
        Switches { oversize_top: OversizeTop::Ignore, ..small() },
        Switches { delta_shuffled: true, ..small() },
    ] {
        let (sim, mut mirror) = filled(switches, 21).await;
        mirror.batch_rows = 5;
        assert_eq!(mirror.full().await, Ok(21));
        mirror.assert_equal(&sim, 0);
        assert_eq!(mirror.changes().await, Ok(Vec::new()), "nothing changed");
        for id in 1..=9 {
            sim.edit(&mirror.list, &id.to_string(), "new").await;
        }
        sim.delete(&mirror.list, "3").await;
        let made = sim.create(&mirror.list, "made").await;
        let before = mirror.position.clone();
        let told = mirror.changes().await.unwrap();
        assert_eq!(told.len(), 10, "{told:?}");
        assert!(told.contains(&(3, None, RecordOp::Delete)), "{told:?}");
        assert!(told.contains(&(made.parse().unwrap(), Some("made".into()), RecordOp::Upsert)));
        mirror.assert_equal(&sim, 0);
        assert_eq!(mirror.read(before).await.unwrap().0, told, "who asks twice is told the same");
        assert_eq!(mirror.changes().await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn what_changes_while_everything_is_read_is_told_after_it() {
    let (sim, mut mirror) = filled(small(), 21).await;
    mirror.batch_rows = 7;
    let mut reader = mirror.source.read(mirror.request(None)).await.unwrap();
    let mut rows = reader.next().await.unwrap().unwrap().len();
    sim.edit(&mirror.list, "2", "edited").await;
    sim.delete(&mirror.list, "1").await;
    sim.delete(&mirror.list, "20").await;
    while let Some(batch) = reader.next().await.unwrap() {
        rows += batch.len();
    }
    assert_eq!(rows, 20, "the first page has shown what is gone now");
    mirror.position = reader.resume();
    let told = mirror.changes().await.unwrap();
    assert!(told.contains(&(2, Some("edited".into()), RecordOp::Upsert)), "{told:?}");
    assert!(
        told.contains(&(1, None, RecordOp::Delete)) && told.contains(&(20, None, RecordOp::Delete)),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_item_that_comes_twice_is_told_once_and_as_it_is() {
    let (sim, mut mirror) = filled(Switches { delta_duplicates: 1.0, ..small() }, 20).await;
    mirror.full().await.unwrap();
    for id in 1..=20 {
        sim.edit(&mirror.list, &id.to_string(), "older").await;
        sim.edit(&mirror.list, &id.to_string(), &format!("new {id}")).await;
    }
    assert_eq!(mirror.changes().await.unwrap().len(), 20);
    mirror.assert_equal(&sim, 0);
}

#[tokio::test]
async fn a_position_that_the_service_forgot_is_lost() {
    for code in [ResyncCode::ChangesApplyDifferences, ResyncCode::SyncStateNotFound] {
        let (sim, mut mirror) = filled(Switches { resync_code: code, ..small() }, 20).await;
        mirror.full().await.unwrap();
        let before = mirror.position.clone();
        sim.server.world().expire_delta_tokens();
        assert_eq!(mirror.changes().await, Err(Kind::PositionLost));
        sim.delete(&mirror.list, "5").await;
        assert_eq!(mirror.full().await, Ok(19));
        assert_ne!(mirror.position, before);
        assert_eq!(mirror.changes().await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn a_position_that_is_forgotten_on_a_later_page_is_lost() {
    let (sim, mut mirror) = filled(small(), 0).await;
    mirror.full().await.unwrap();
    for n in 0..20 {
        sim.create(&mirror.list, &format!("t{n}")).await;
    }
    for (status, lost) in [(410, Kind::PositionLost), (403, Kind::Forbidden)] {
        let when = FaultWhen { after: 2, count: Some(1), probability: None };
        let matches = FaultMatch { kind: Some(OpKind::Delta), ..FaultMatch::default() };
        sim.fault(matches, when, Fault::Status { status, applied: Applied::Before });
        let position = mirror.position.clone();
        assert_eq!(mirror.changes().await, Err(lost), "before anything was told");
        assert_eq!(mirror.position, position, "and nothing was passed");
        sim.heal().await;
    }
    assert_eq!(mirror.changes().await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_deletion_that_breaks_the_page_is_found_by_reading_everything() {
    let (sim, mut mirror) = filled(small(), 20).await;
    mirror.full().await.unwrap();
    sim.edit(&mirror.list, "1", "new").await;
    sim.delete(&mirror.list, "9").await;
    sim.fault_on(OpKind::Delta, u64::MAX, Fault::BrokenDeletion);
    assert_eq!(mirror.changes().await, Err(Kind::PositionLost));
    assert!(mirror.items.contains_key(&9));
    mirror.catch_up().await.unwrap();
    mirror.assert_equal(&sim, 0);
    sim.edit(&mirror.list, "2", "after").await;
    assert_eq!(mirror.changes().await.unwrap().len(), 1, "the new position is beyond what broke the old one");
    mirror.assert_equal(&sim, 0);
}

#[tokio::test]
async fn hiccups_are_survived_and_a_lost_page_is_no_end() {
    let (sim, mut mirror) = filled(small(), 20).await;
    for fault in [
        Fault::Status { status: 502, applied: Applied::Before },
        Fault::ResetBeforeApply,
        Fault::TruncatedBody,
        Fault::ExpiredToken,
        Fault::Throttle { retry_after: Some("0.01".into()) },
    ] {
        for kind in [OpKind::List, OpKind::Delta] {
            mirror.full().await.unwrap();
            for id in 1..=20 {
                sim.edit(&mirror.list, &id.to_string(), &format!("{fault:?} {kind:?}")).await;
            }
            let when = FaultWhen { after: 1, count: Some(1), probability: None };
            sim.fault(FaultMatch { kind: Some(kind), ..FaultMatch::default() }, when, fault.clone());
            let reading = async {
                match kind {
                    OpKind::List => mirror.full().await.unwrap(),
                    _ => mirror.changes().await.unwrap().len(),
                }
            };
            let read = sim.while_time_passes(reading).await;
            assert_eq!(read, 20, "{fault:?} {kind:?}");
            sim.heal().await;
            mirror.assert_equal(&sim, 0);
        }
    }
    for kind in [OpKind::List, OpKind::Delta] {
        mirror.full().await.unwrap();
        sim.edit(&mirror.list, "1", "again").await;
        let matches = FaultMatch { kind: Some(kind), ..FaultMatch::default() };
        let lost = Fault::Status { status: 500, applied: Applied::Before };
        sim.fault(matches, FaultWhen { after: 0, count: None, probability: None }, lost);
        let position = if kind == OpKind::List { None } else { mirror.position.clone() };
        assert_eq!(mirror.read(position).await, Err(Kind::Unanswered), "{kind:?}");
        sim.heal().await;
    }
}

#[tokio::test]
async fn positions_of_elsewhere_are_not_followed() {
    let (sim, mut mirror) = filled(small(), 3).await;
    mirror.full().await.unwrap();
    let (other_sim, mut other) = filled(small(), 3).await;
    other.full().await.unwrap();
    let second = sim.list();
    let mut beside = Mirror::of(&sim, &second).await;
    beside.full().await.unwrap();
    let since = sim.server.world().last_seq();
    let text = |text: &str| Some(Position { cursor: Value::Text(text.to_owned().into()), key: Vec::new() });
    for position in [
        other.position.clone(),
        beside.position.clone(),
        text(""),
        text("https://example.com/?token=1"),
        text("not a link"),
        Some(Position { cursor: Value::Int64(7), key: Vec::new() }),
    ] {
        assert_eq!(mirror.read(position).await, Err(Kind::PositionLost));
    }
    let asked = sim.server.world().log(since, 1_000);
    assert!(asked.iter().all(|entry| entry.kind != OpKind::Delta), "nobody is asked: {asked:?}");
    drop(other_sim);
}

#[tokio::test]
async fn more_changes_than_are_kept_are_read_as_everything() {
    let (sim, mut mirror) = filled(Switches::default(), 0).await;
    mirror.full().await.unwrap();
    let note = json!({ "Title": "large", "Notes": "n".repeat(900_000) });
    for _ in 0..30 {
        sim.server.world().create_item(&mirror.list, note.as_object().unwrap()).unwrap();
    }
    assert_eq!(mirror.changes().await.unwrap().len(), 30, "what is not asked for takes no room");
    let position = mirror.position.clone();
    for id in 1..=30 {
        sim.edit(&mirror.list, &id.to_string(), "touched").await;
    }
    let columns = vec!["id".to_owned(), "Notes".to_owned()];
    let request = Read { columns, ..mirror.request(position) };
    let error = mirror.source.read(request).await.unwrap().next().await.unwrap_err();
    assert_eq!(error.kind, Kind::PositionLost, "{error}");
}

#[tokio::test]
async fn a_list_is_known_by_its_numbers_and_tells_changes_by_itself() {
    let (sim, mut mirror) = filled(small(), 3).await;
    let refused = |request: Read| {
        let source = Arc::clone(&mirror.source);
        async move { source.read(request).await.map(drop).unwrap_err() }
    };
    let base = || mirror.request(None);
    let by_title = refused(Read { key: vec!["Title".into()], ..base() }).await;
    assert_eq!(by_title.kind, Kind::Definition);
    assert!(by_title.hint.unwrap().contains("to.match"));
    let with_cursor = refused(Read { cursor: Some("modified_at".into()), ..base() }).await;
    assert_eq!(with_cursor.kind, Kind::Definition);
    let missing = refused(Read { columns: vec!["id".into(), "no_such_column".into()], ..base() }).await;
    assert_eq!(missing.kind, Kind::Definition);
    assert!(missing.message.contains("no_such_column"));
    assert_eq!(refused(Read { stream: "no such list".into(), ..base() }).await.kind, Kind::StreamMissing);

    // Without the number a deletion cannot be told one by one.
    mirror.full().await.unwrap();
    sim.delete(&mirror.list, "2").await;
    let request =
        Read { columns: vec!["Title".into()], key: vec![], ..mirror.request(mirror.position.clone()) };
    let error = mirror.source.read(request).await.unwrap().next().await.unwrap_err();
    assert_eq!(error.kind, Kind::PositionLost);
}

/// Facts §7.4.5: whatever happens to list and answers, the mirror agrees once it is quiet.
#[tokio::test]
async fn a_mirror_agrees_with_its_list() {
    for seed in 0..12_u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let switches = Switches {
            max_page_size: 1 + random.usize(..9),
            delta_duplicates: if random.bool() { 0.3 } else { 0.0 },
            delta_shuffled: random.bool(),
            trailing_empty_page: random.bool(),
            ..Switches::default()
        };
        let (sim, mut mirror) = filled(switches, random.usize(..20)).await;
        mirror.batch_rows = 1 + random.usize(..9);
        let mut there: Vec<u64> =
            sim.server.world().items(&mirror.list).unwrap().iter().map(|i| i.id).collect();
        for step in 0..60 {
            match random.u8(..10) {
                0..3 => there.push(sim.create(&mirror.list, &format!("s{step}")).await.parse().unwrap()),
                3..6 if !there.is_empty() => {
                    let id = there[random.usize(..there.len())];
                    sim.edit(&mirror.list, &id.to_string(), &format!("e{step}")).await;
                }
                6 if !there.is_empty() => {
                    let id = there.swap_remove(random.usize(..there.len()));
                    sim.delete(&mirror.list, &id.to_string()).await;
                }
                7 if random.bool() => sim.server.world().expire_delta_tokens(),
                7 => {
                    let what = match random.u8(..5) {
                        0 => Fault::BrokenDeletion,
                        1 => Fault::TruncatedBody,
                        2 => Fault::ResetBeforeApply,
                        3 => Fault::Status { status: 410, applied: Applied::Before },
                        _ => Fault::Unavailable { retry_after: Some("0.01".into()) },
                    };
                    let kind = if random.bool() { OpKind::Delta } else { OpKind::List };
                    let when = FaultWhen { after: random.u64(..3), count: Some(1), probability: None };
                    sim.fault(FaultMatch { kind: Some(kind), ..FaultMatch::default() }, when, what);
                }
                _ => {
                    sim.advance(Duration::from_secs(120));
                    // It may fail; what it then did not pass, it tells later.
                    sim.while_time_passes(mirror.catch_up()).await.ok();
                }
            }
        }
        sim.heal().await;
        sim.advance(Duration::from_secs(120));
        mirror.catch_up().await.unwrap();
        mirror.assert_equal(&sim, seed);
        assert_eq!(
            sim.server.world().counters().writes_applied,
            0,
            "seed {seed}: nothing is written to a source"
        );
    }
}
