//! The far side: lists of items with versions, stamps, a search that lags behind, and requests that arrive late. A model of how
//! such APIs behave, not of any one of them.

use std::{collections::BTreeMap, time::Duration};

use syncline_connect::{
    destination::{Applied, Operation, OperationKind, Record, Stamp},
    error::Kind,
};
use syncline_core::{
    identity::Identity,
    schema::{Field, FieldType, Limits, Stream},
    value::Value,
};

use crate::{
    scenario::Scenario,
    table::{REFUSED, STATUSES},
};

/// The lists, by index: the default one, the large ones, the closed ones.
pub const LISTS: [&str; 3] = ["Main", "Large", "Closed"];
/// Fields of every list, by index.
pub const FIELDS: [&str; 7] = ["Code", "Part", "Name", "Amount", "Status", "Owner", "DeletedAt"];

/// Values by index of [`FIELDS`].
pub type Values = Vec<Value<'static>>;

/// An item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Index into [`LISTS`].
    pub list: usize,
    /// Rises with every change.
    pub version: u64,
    /// The identity it is stamped with, where the list has a field for it.
    pub stamp: Option<String>,
    /// Its values.
    pub values: Values,
    /// Whose it is: `None` for strangers. Known to nobody in the simulated world.
    pub owner: Option<Identity>,
    /// Before this, searches do not find it.
    pub visible_at: Duration,
}

/// Operations on their way: applied when they are due, whether or not anybody still waits for the answer.
#[derive(Debug)]
struct Request {
    number: u64,
    due: Duration,
    list: usize,
    fields: Vec<usize>,
    operations: Vec<Operation>,
    visible_after: Duration,
}

/// What became of an operation.
pub type Answer = Result<Applied, Kind>;

/// All lists.
#[derive(Debug, Default)]
pub struct Far {
    /// Living items by id.
    pub items: BTreeMap<u64, Item>,
    /// What every version of every item held.
    pub history: BTreeMap<(u64, u64), Values>,
    /// Writes applied so far.
    pub writes: u64,
    /// Something happened that must never happen.
    pub wrongs: Vec<String>,
    /// What was applied since this was last taken, for the timeline.
    pub applied: Vec<String>,
    next: u64,
    requests: Vec<Request>,
    next_request: u64,
    answers: BTreeMap<u64, Vec<Answer>>,
}

/// Description of a field.
pub fn field(index: usize) -> Field {
    let limits = Limits::default();
    let (kind, limits) = match FIELDS[index] {
        "Part" => (FieldType::Int64, limits),
        "Name" => (FieldType::Text, Limits { empty_is_null: true, ..limits }),
        "Amount" => {
            (FieldType::Decimal { precision: Some(14), scale: Some(2) }, Limits { as_double: true, ..limits })
        }
        "Status" => (FieldType::Text, Limits { choices: STATUSES.map(str::to_owned).to_vec(), ..limits }),
        "DeletedAt" => (FieldType::Timestamp { zoned: true }, Limits { whole_seconds: true, ..limits }),
        _ => (FieldType::Text, limits),
    };
    Field { limits, ..Field::new(FIELDS[index], kind, true) }
}

/// Description of a list.
pub fn stream(index: usize) -> Stream {
    Stream {
        name: LISTS[index].into(),
        id: format!("list-{index}"),
        fields: (0..FIELDS.len()).map(field).collect(),
        ..Stream::default()
    }
}

/// Index of a list by name or id.
pub fn list_of(name: &str) -> Option<usize> {
    (0..LISTS.len()).find(|i| LISTS[*i] == name || format!("list-{i}") == name)
}

impl Far {
    /// A new item of nobody's, or of ours.
    pub fn put(
        &mut self,
        list: usize,
        values: Values,
        stamp: Option<String>,
        owner: Option<Identity>,
        visible_at: Duration,
    ) -> u64 {
        self.next += 1;
        let item = Item { list, version: 1, stamp, values: values.clone(), owner, visible_at };
        self.history.insert((self.next, 1), values);
        self.items.insert(self.next, item);
        self.next
    }

    /// Somebody else changes an item.
    pub fn edit(&mut self, id: u64, change: impl FnOnce(&mut Item)) {
        if let Some(item) = self.items.get_mut(&id) {
            change(item);
            item.version += 1;
            self.history.insert((id, item.version), item.values.clone());
        }
    }

    /// Operations leave for the far side; they arrive when they are due.
    pub fn send(
        &mut self,
        due: Duration,
        list: usize,
        fields: &[Field],
        operations: &[Operation],
        visible_after: Duration,
    ) -> u64 {
        self.next_request += 1;
        let index = |field: &Field| FIELDS.iter().position(|f| *f == field.name).unwrap_or_default();
        self.requests.push(Request {
            number: self.next_request,
            due,
            list,
            fields: fields.iter().map(index).collect(),
            operations: operations.to_vec(),
            visible_after,
        });
        self.next_request
    }

    /// Applies what is due, in order.
    pub fn advance(&mut self, now: Duration, scenario: &Scenario) {
        loop {
            let next = self.requests.iter().filter(|r| r.due <= now).min_by_key(|r| (r.due, r.number));
            let Some(number) = next.map(|r| r.number) else { return };
            let Some(at) = self.requests.iter().position(|r| r.number == number) else { return };
            let request = self.requests.swap_remove(at);
            let answers = request.operations.iter().map(|operation| {
                let answer = self.apply(&request, operation, scenario);
                self.applied.push(format!("{} -> {}", told(operation), told_answer(&answer)));
                answer
            });
            let answers = answers.collect();
            self.answers.insert(number, answers);
        }
    }

    /// What became of a request; every answer is given once.
    pub fn answer(&mut self, number: u64) -> Option<Vec<Answer>> {
        self.answers.remove(&number)
    }

    fn apply(&mut self, request: &Request, operation: &Operation, scenario: &Scenario) -> Answer {
        let stamp = operation.identity.stamp();
        match &operation.kind {
            OperationKind::Create => {
                let mut values = vec![Value::Null; FIELDS.len()];
                set(&mut values, request, operation);
                check_values(&values)?;
                if scenario.stamp == Stamp::Unique && self.stamped(request.list, &stamp).is_some() {
                    return Err(Kind::Duplicate);
                }
                self.writes += 1;
                let stamp = (scenario.stamp != Stamp::None).then_some(stamp);
                let visible_at = request.due + request.visible_after;
                let id = self.put(request.list, values, stamp, Some(operation.identity), visible_at);
                Ok(Applied { id: id.to_string(), version: Some("1".into()) })
            }
            OperationKind::Update { id, version, stamp: restamp } => {
                let (number, item) = self.find(request.list, id, version.as_deref())?;
                let mut after = item.clone();
                set(&mut after.values, request, operation);
                check_values(&after.values)?;
                if *restamp && scenario.stamp != Stamp::None {
                    let other = self.stamped(request.list, &stamp).is_some_and(|other| other != number);
                    if other && scenario.stamp == Stamp::Unique {
                        return Err(Kind::Duplicate);
                    }
                    after.stamp = Some(stamp);
                }
                self.take_over(&item, &mut after, operation, *restamp, scenario);
                self.writes += 1;
                after.version += 1;
                let applied = Applied { id: id.clone(), version: Some(after.version.to_string()) };
                self.history.insert((number, after.version), after.values.clone());
                self.items.insert(number, after);
                Ok(applied)
            }
            OperationKind::Delete { id, version } => {
                let (number, item) = self.find(request.list, id, version.as_deref())?;
                if item.owner != Some(operation.identity) {
                    self.wrongs.push(format!("item {id} is not ours and was deleted"));
                }
                self.writes += 1;
                self.items.remove(&number);
                Ok(Applied { id: id.clone(), version: None })
            }
        }
    }

    /// Only a stranger with the same natural key may become ours, and only where the sync adopts.
    fn take_over(
        &mut self,
        before: &Item,
        after: &mut Item,
        operation: &Operation,
        stamps: bool,
        scenario: &Scenario,
    ) {
        match before.owner {
            Some(owner) if owner == operation.identity => {}
            // Without its stamp an item is nobody's to those that have lost the ledger, and without stamps a record whose identity has changed is found again by its natural key.
            owner
                if stamps
                    && scenario.adopt
                    && before.values[0] == after.values[0]
                    && (owner.is_none() || before.stamp.is_none() || scenario.stamp == Stamp::None) =>
            {
                after.owner = Some(operation.identity);
            }
            _ => self.wrongs.push(format!("an item that is not ours was written: {}", told(operation))),
        }
    }

    fn find(&self, list: usize, id: &str, version: Option<&str>) -> Result<(u64, Item), Kind> {
        let number: u64 = id.parse().map_err(|_| Kind::RecordMissing)?;
        let item = self.items.get(&number).filter(|item| item.list == list).ok_or(Kind::RecordMissing)?;
        if version.is_some_and(|version| version != item.version.to_string()) {
            return Err(Kind::VersionMismatch);
        }
        Ok((number, item.clone()))
    }

    fn stamped(&self, list: usize, stamp: &str) -> Option<u64> {
        let carries = |item: &Item| item.list == list && item.stamp.as_deref() == Some(stamp);
        self.items.iter().find(|(_, item)| carries(item)).map(|(id, _)| *id)
    }

    /// An item as an answer shows it.
    pub fn record(&self, id: u64, fields: &[Field]) -> Option<Record> {
        let item = self.items.get(&id)?;
        let value = |field: &Field| {
            let index = FIELDS.iter().position(|f| *f == field.name);
            index.map_or(Value::Null, |index| item.values[index].clone())
        };
        Some(Record {
            id: id.to_string(),
            version: Some(item.version.to_string()),
            stamp: item.stamp.clone(),
            values: fields.iter().map(value).collect(),
        })
    }
}

/// Stores values the way the far side does: no empty text, whole seconds.
fn set(values: &mut Values, request: &Request, operation: &Operation) {
    for (index, value) in &operation.values {
        let field = request.fields[*index];
        values[field] = match value {
            Value::Text(text) if text.is_empty() => Value::Null,
            Value::Timestamp { micros, zoned } => {
                Value::Timestamp { micros: micros.div_euclid(1_000_000) * 1_000_000, zoned: *zoned }
            }
            other => other.clone(),
        };
    }
}

fn check_values(values: &Values) -> Result<(), Kind> {
    let refused = matches!(&values[2], Value::Text(text) if text.contains(REFUSED));
    if refused { Err(Kind::Rejected) } else { Ok(()) }
}

/// An operation in a few words.
pub fn told(operation: &Operation) -> String {
    let who = &operation.identity.stamp()[..6];
    match &operation.kind {
        OperationKind::Create => format!("create {who}"),
        OperationKind::Update { id, version, stamp } => format!(
            "update {who} item {id} version {}{}",
            version.as_deref().unwrap_or("any"),
            if *stamp { " with its stamp" } else { "" }
        ),
        OperationKind::Delete { id, version } => {
            format!("delete {who} item {id} version {}", version.as_deref().unwrap_or("any"))
        }
    }
}

/// An answer in a few words.
pub fn told_answer(answer: &Answer) -> String {
    match answer {
        Ok(Applied { id, version: Some(version) }) => format!("item {id} version {version}"),
        Ok(Applied { id, version: None }) => format!("item {id} is gone"),
        Err(kind) => format!("{kind:?}"),
    }
}
