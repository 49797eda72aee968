//! A list: its columns, its items, their unique indexes and the log of changes (facts §2.11).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::answer::Refusal;
use crate::chance::Chance;
use crate::column::{Column, Facet, initial_columns};
use crate::item::{Actor, Item};
use crate::switches::{Switches, UniqueViolation};
use crate::value::{self, FieldValue};

/// Tombstones kept for delta; older tokens are told to start over.
const TOMBSTONES_MAX: usize = 1_000_000;

/// Entries of the recycle bin that are kept.
const RECYCLED_MAX: usize = 10_000;

/// A write after validation: column and value, `None` to clear it.
pub(crate) type Written = Vec<(u32, Option<FieldValue>)>;

/// What deltas know of a deleted item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tombstone {
    pub(crate) sequence: u64,
    pub(crate) created_sequence: u64,
}

/// What a write needs besides its values.
pub(crate) struct WriteContext<'a> {
    pub(crate) who: &'a Arc<Actor>,
    pub(crate) now_ms: i64,
    pub(crate) rules: &'a Switches,
}

/// A SharePoint list.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) id: Uuid,
    /// The name in URLs, set at creation.
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) template: String,
    pub(crate) hidden: bool,
    pub(crate) system: bool,
    pub(crate) created_ms: i64,
    pub(crate) modified_ms: i64,
    pub(crate) version: u32,
    pub(crate) content_type_id: String,
    /// Most items before 507; the service's own limit is 30 million (facts §2.8).
    pub(crate) max_items: usize,
    /// Deleted columns leave a hole, so that stored values keep their column numbers.
    columns: Vec<Option<Column>>,
    by_name: HashMap<String, u32>,
    pub(crate) items: BTreeMap<u64, Item>,
    next_item: u64,
    unique: BTreeMap<u32, HashMap<String, u64>>,
    /// The latest change of each item, by sequence.
    pub(crate) changes: BTreeMap<u64, u64>,
    pub(crate) tombstones: HashMap<u64, Tombstone>,
    pub(crate) sequence: u64,
    /// Delta tokens from before this sequence cannot be served any more.
    pub(crate) change_floor: u64,
    pub(crate) recycled: VecDeque<u64>,
}

impl List {
    pub(crate) fn new(display_name: &str, name: &str, now_ms: i64, chance: &mut Chance) -> Self {
        let mut list = Self {
            id: chance.guid(),
            name: name.into(),
            display_name: display_name.into(),
            description: String::new(),
            template: "genericList".into(),
            hidden: false,
            system: false,
            created_ms: now_ms,
            modified_ms: now_ms,
            version: 1,
            content_type_id: format!("0x0100{}", chance.guid().simple().to_string().to_uppercase()),
            max_items: 30_000_000,
            columns: Vec::new(),
            by_name: HashMap::new(),
            items: BTreeMap::new(),
            next_item: 1,
            unique: BTreeMap::new(),
            changes: BTreeMap::new(),
            tombstones: HashMap::new(),
            sequence: 0,
            change_floor: 0,
            recycled: VecDeque::new(),
        };
        for column in initial_columns(chance) {
            list.insert_column(column);
        }
        list
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().flatten()
    }

    pub(crate) fn column(&self, number: u32) -> Option<&Column> {
        self.columns.get(number as usize)?.as_ref()
    }

    pub(crate) fn column_number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// A column by id or internal name.
    pub(crate) fn find_column(&self, key: &str) -> Option<u32> {
        self.column_number(key).or_else(|| {
            let id: Uuid = key.parse().ok()?;
            let at = self.columns.iter().position(|c| c.as_ref().is_some_and(|c| c.id == id))?;
            u32::try_from(at).ok()
        })
    }

    fn insert_column(&mut self, column: Column) -> u32 {
        let number = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        self.by_name.insert(column.name.clone(), number);
        if column.unique {
            self.unique.insert(number, HashMap::new());
        }
        self.columns.push(Some(column));
        number
    }

    /// Adds a column. A name that clashes with a built-in one is renumbered (facts §2.3 \[O\]).
    pub(crate) fn add_column(&mut self, mut column: Column, rules: &Switches) -> Result<u32, Refusal> {
        if self.columns().count() >= 1_000 {
            return Err(Refusal::new(507, "quotaLimitReached", "The list has too many columns"));
        }
        let clashes_with_built_in = |column: &Column| self.built_in(&column.name);
        if clashes_with_built_in(&column) {
            let free = (0..).map(|n| format!("{}{n}", column.name)).find(|n| self.column_number(n).is_none());
            column.name = free.unwrap_or_else(|| column.name.clone());
        }
        if self.column_number(&column.name).is_some() {
            return Err(Refusal::new(
                409,
                "nameAlreadyExists",
                format!("A column with the name '{}' already exists", column.name),
            ));
        }
        self.check_index_allowed(&column, false, rules)?;
        self.touch_schema();
        Ok(self.insert_column(column))
    }

    fn built_in(&self, name: &str) -> bool {
        name == "Title"
            || self
                .column_number(name)
                .and_then(|n| self.column(n))
                .is_some_and(|c| c.read_only && c.group == "_Hidden")
    }

    pub(crate) fn change_column(
        &mut self,
        number: u32,
        column: Column,
        rules: &Switches,
    ) -> Result<(), Refusal> {
        let Some(old) = self.column(number) else { return Err(Refusal::not_found("Column not found")) };
        let was_unique = old.unique;
        self.check_index_allowed(&column, old.indexed, rules)?;
        if column.unique && !was_unique {
            let index = self.index_existing(number, &column.name, rules)?;
            self.unique.insert(number, index);
        } else if !column.unique {
            self.unique.remove(&number);
        }
        self.columns[number as usize] = Some(column);
        self.touch_schema();
        Ok(())
    }

    pub(crate) fn remove_column(&mut self, number: u32) -> Result<(), Refusal> {
        let Some(column) = self.column(number) else { return Err(Refusal::not_found("Column not found")) };
        if self.built_in(&column.name.clone()) {
            return Err(Refusal::invalid("A built-in column cannot be deleted"));
        }
        if let Some(column) = self.columns[number as usize].take() {
            self.by_name.remove(&column.name);
        }
        self.unique.remove(&number);
        for item in self.items.values_mut() {
            item.set(number, None);
        }
        self.touch_schema();
        Ok(())
    }

    fn check_index_allowed(
        &self,
        column: &Column,
        was_indexed: bool,
        rules: &Switches,
    ) -> Result<(), Refusal> {
        let over = self.items.len() > rules.list_view_threshold;
        if column.indexed && !was_indexed && over && !rules.index_over_threshold {
            return Err(Refusal::new(
                rules.too_many_resources_status,
                "notSupported",
                "The list is too large for an index to be added to it",
            ));
        }
        Ok(())
    }

    fn index_existing(
        &self,
        number: u32,
        name: &str,
        rules: &Switches,
    ) -> Result<HashMap<String, u64>, Refusal> {
        let mut index = HashMap::with_capacity(self.items.len());
        for item in self.items.values() {
            let Some(value) = item.value(number) else { continue };
            if index.insert(value.unique_key(rules.text_ignores_case), item.id).is_some() {
                return Err(Refusal::invalid(format!(
                    "Field '{name}' holds duplicate values, so unique values cannot be enforced"
                )));
            }
        }
        Ok(index)
    }

    pub(crate) fn touch_schema(&mut self) {
        self.version += 1;
    }

    /// Validates a `fields` map (facts §2.5). Known annotations are ignored (facts §1.6).
    pub(crate) fn parse_fields(
        &self,
        fields: &Map<String, Value>,
        rules: &Switches,
    ) -> Result<Written, Refusal> {
        let mut written = Written::with_capacity(fields.len());
        for (name, given) in fields {
            if name.starts_with('@') || name.contains("@odata.") {
                continue;
            }
            let (number, column) = self.writable(name)?;
            if (given.is_array() || given.is_object()) && column.facet != Facet::Hyperlink {
                let typed = format!("{name}@odata.type");
                if !fields.get(&typed).is_some_and(Value::is_string) {
                    return Err(Refusal::invalid(format!(
                        "A value without a type name was found and no expected type is available: '{name}'"
                    )));
                }
            }
            written.push((number, value::parse(column, given, rules)?));
        }
        Ok(written)
    }

    fn writable(&self, name: &str) -> Result<(u32, &Column), Refusal> {
        let unknown = || Refusal::invalid(format!("Field '{name}' is not recognized"));
        let read_only = || Refusal::invalid(format!("Field '{name}' is read-only and cannot be written"));
        if name == "id" {
            return Err(read_only());
        }
        let base = name.strip_suffix("LookupId");
        let by_lookup = base.and_then(|base| self.column_number(base));
        let number = by_lookup.or_else(|| self.column_number(name)).ok_or_else(unknown)?;
        let column = self.column(number).ok_or_else(unknown)?;
        if column.read_only {
            return Err(read_only());
        }
        // Lookups are written through `{Name}LookupId`, other columns never (facts §2.5).
        if column.facet.is_lookup() != by_lookup.is_some() {
            return Err(unknown());
        }
        match column.facet {
            Facet::Calculated => Err(read_only()),
            Facet::Term | Facet::Thumbnail | Facet::Geolocation | Facet::None => {
                Err(Refusal::invalid(format!("Field '{name}' cannot be written as a plain value")))
            }
            _ => Ok((number, column)),
        }
    }

    /// Creates an item and returns its id.
    pub(crate) fn create(
        &mut self,
        written: Written,
        context: &WriteContext<'_>,
        chance: &mut Chance,
    ) -> Result<u64, Refusal> {
        if self.items.len() >= self.max_items {
            return Err(Refusal::new(507, "quotaLimitReached", "The list is full"));
        }
        let mut item = Item {
            id: self.next_item,
            guid: chance.guid(),
            version: 1,
            created_ms: context.now_ms,
            modified_ms: context.now_ms,
            author: context.who.clone(),
            editor: context.who.clone(),
            values: Vec::with_capacity(written.len()),
            sequence: 0,
            created_sequence: 0,
            outdated: None,
        };
        self.fill_defaults(&mut item, &written, context.rules);
        for (number, value) in written {
            item.set(number, value);
        }
        if context.rules.required_columns {
            self.check_required(&item)?;
        }
        self.check_unique(&item, context.rules)?;
        self.index_item(&item, context.rules);
        self.next_item += 1;
        let id = item.id;
        self.sequence += 1;
        item.sequence = self.sequence;
        item.created_sequence = self.sequence;
        self.changes.insert(self.sequence, id);
        self.modified_ms = context.now_ms;
        self.items.insert(id, item);
        Ok(id)
    }

    fn fill_defaults(&self, item: &mut Item, written: &Written, rules: &Switches) {
        for (number, column) in self.columns.iter().enumerate() {
            let Some(column) = column else { continue };
            let Some(default) = &column.default_value else { continue };
            let number = number as u32;
            if written.iter().any(|(n, _)| *n == number) {
                continue;
            }
            let given = match column.facet {
                Facet::Number { .. } | Facet::Currency => {
                    default.parse::<f64>().map_or(Value::Null, Value::from)
                }
                Facet::Boolean => Value::Bool(matches!(default.as_str(), "1" | "true")),
                _ => Value::String(default.clone()),
            };
            // A default that does not fit its own column is simply not used.
            if let Ok(value) = value::parse(column, &given, rules) {
                item.set(number, value);
            }
        }
    }

    fn check_required(&self, item: &Item) -> Result<(), Refusal> {
        for (number, column) in self.columns.iter().enumerate() {
            let Some(column) = column else { continue };
            if column.required && !column.read_only && item.value(number as u32).is_none() {
                return Err(Refusal::invalid(format!("Field '{}' requires a value", column.name)));
            }
        }
        Ok(())
    }

    fn check_unique(&self, item: &Item, rules: &Switches) -> Result<(), Refusal> {
        for (number, index) in &self.unique {
            let Some(value) = item.value(*number) else { continue };
            let holder = index.get(&value.unique_key(rules.text_ignores_case));
            if holder.is_some_and(|holder| *holder != item.id) {
                let name = self.column(*number).map_or("", |c| c.name.as_str());
                let (status, code) = match rules.unique_violation {
                    UniqueViolation::InvalidRequest => (400, "invalidRequest"),
                    UniqueViolation::NameAlreadyExists => (409, "nameAlreadyExists"),
                };
                return Err(Refusal::new(
                    status,
                    code,
                    format!(
                        "The list item could not be added or updated because the value of field '{name}' must be \
                         unique: duplicate values were found in the following field(s) in the list: [{name}]."
                    ),
                ));
            }
        }
        Ok(())
    }

    fn index_item(&mut self, item: &Item, rules: &Switches) {
        for (number, index) in &mut self.unique {
            if let Some(value) = item.value(*number) {
                index.insert(value.unique_key(rules.text_ignores_case), item.id);
            }
        }
    }

    fn unindex_item(&mut self, item: &Item, rules: &Switches) {
        for (number, index) in &mut self.unique {
            if let Some(value) = item.value(*number) {
                index.remove(&value.unique_key(rules.text_ignores_case));
            }
        }
    }

    /// The item that holds `value` in a unique column, in constant time; `None` without such an index.
    pub(crate) fn holder(&self, column: u32, value: &FieldValue, rules: &Switches) -> Option<Option<u64>> {
        let index = self.unique.get(&column)?;
        Some(index.get(&value.unique_key(rules.text_ignores_case)).copied())
    }

    pub(crate) fn item(&self, id: u64) -> Result<&Item, Refusal> {
        self.items.get(&id).ok_or_else(|| Refusal::not_found("The specified item was not found"))
    }

    fn check_match(&self, id: u64, if_match: Option<&str>, rules: &Switches) -> Result<(), Refusal> {
        let item = self.item(id)?;
        match if_match.map(str::trim) {
            None => Ok(()),
            Some("*") if rules.etag_star => Ok(()),
            Some(tag) if tag == item.etag() => Ok(()),
            Some(_) => Err(Refusal::etag_mismatch()),
        }
    }

    /// Updates an item. Every update makes a version, even one that changes nothing (facts §2.4 \[O\]).
    pub(crate) fn update(
        &mut self,
        id: u64,
        written: Written,
        if_match: Option<&str>,
        context: &WriteContext<'_>,
    ) -> Result<(), Refusal> {
        self.check_match(id, if_match, context.rules)?;
        let old = self.item(id)?;
        let mut item = old.clone();
        item.outdated = None;
        if context.rules.delta_duplicates > 0.0 {
            item.outdated = Some(Box::new(Item { outdated: None, ..old.clone() }));
        }
        for (number, value) in written {
            item.set(number, value);
        }
        if context.rules.required_columns {
            self.check_required(&item)?;
        }
        self.check_unique(&item, context.rules)?;
        if let Some(old) = self.items.remove(&id) {
            self.unindex_item(&old, context.rules);
            self.changes.remove(&old.sequence);
        }
        self.index_item(&item, context.rules);
        self.sequence += 1;
        item.version += 1;
        item.modified_ms = context.now_ms;
        item.editor = context.who.clone();
        item.sequence = self.sequence;
        self.changes.insert(self.sequence, id);
        self.modified_ms = context.now_ms;
        self.items.insert(id, item);
        Ok(())
    }

    /// Moves an item to the recycle bin (facts §2.6 \[K\]); a second delete is 404.
    pub(crate) fn delete(
        &mut self,
        id: u64,
        if_match: Option<&str>,
        context: &WriteContext<'_>,
    ) -> Result<(), Refusal> {
        self.check_match(id, if_match, context.rules)?;
        let Some(item) = self.items.remove(&id) else { return Ok(()) };
        self.unindex_item(&item, context.rules);
        self.changes.remove(&item.sequence);
        self.sequence += 1;
        self.changes.insert(self.sequence, id);
        let tombstone = Tombstone { sequence: self.sequence, created_sequence: item.created_sequence };
        self.tombstones.insert(id, tombstone);
        self.modified_ms = context.now_ms;
        self.recycled.push_back(id);
        if self.recycled.len() > RECYCLED_MAX {
            self.recycled.pop_front();
        }
        self.trim_tombstones();
        Ok(())
    }

    fn trim_tombstones(&mut self) {
        if self.tombstones.len() <= TOMBSTONES_MAX {
            return;
        }
        // A tenth at a time, so that the search for the oldest is paid for once in many deletes.
        let mut oldest: Vec<(u64, u64)> = self.tombstones.iter().map(|(id, t)| (t.sequence, *id)).collect();
        oldest.sort_unstable();
        for (sequence, id) in oldest.into_iter().take(TOMBSTONES_MAX / 10) {
            self.tombstones.remove(&id);
            self.changes.remove(&sequence);
            self.change_floor = self.change_floor.max(sequence);
        }
    }
}
