//! Statements that bring staged rows into a table. `d` is the table, `s` the staging table, `g` the one with keys that are
//! gone.

use super::{Dialect, UpdateForm};
use crate::database::{Column, Gone, Shape};

/// Name of the staging table's flag of tombstones.
pub(crate) const TOMBSTONE: &str = "syncline_tombstone";

/// A table: its schema, where the database has those, and its name; as they are, not quoted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// Schema (MySQL: database).
    pub schema: Option<String>,
    /// Name.
    pub name: String,
}

impl Named {
    /// Another table beside this one.
    #[must_use]
    pub fn beside(&self, name: impl Into<String>) -> Self {
        Self { schema: self.schema.clone(), name: name.into() }
    }
}

impl std::fmt::Display for Named {
    /// For messages.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Everything that the statements of a merge are rendered from.
#[derive(Debug, Clone, Copy)]
pub struct MergeSql<'a> {
    /// The database.
    pub dialect: &'static Dialect,
    /// The table.
    pub table: &'a Named,
    /// The staging table.
    pub staging: &'a Named,
    /// What is staged.
    pub shape: &'a Shape,
    /// Columns that are updated.
    pub update: &'a [String],
    /// Columns that are given at insertion.
    pub insert: &'a [String],
    /// Condition of updates.
    pub update_when: Option<&'a str>,
    /// What happens to records that are gone.
    pub gone: &'a Gone,
    /// Columns of the table's partition: what is gone, or counted, is among the rows that have the values there which are the
    /// parameters of the statement, in this order. Empty: the whole table.
    pub scope: &'a [String],
}

/// Which records a statement about gone ones is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// Those with a staged tombstone.
    Tombstones,
    /// Those that were not staged.
    Unstaged,
    /// Those whose keys are in this table.
    Named(&'a Named),
}

impl MergeSql<'_> {
    fn q(&self, name: &str) -> String {
        self.dialect.quote(name)
    }

    fn table(&self) -> String {
        format!("{} {}d", self.dialect.table(self.table), self.dialect.alias)
    }

    fn staging(&self) -> String {
        format!("{} {}s", self.dialect.table(self.staging), self.dialect.alias)
    }

    /// Whether the rows called `left` and `right` have the same key.
    pub fn same_key(&self, left: &str, right: &str) -> String {
        let same = self.shape.key.iter().map(|k| {
            let name = self.q(k);
            (self.dialect.same)(&format!("{left}.{name}"), &format!("{right}.{name}"))
        });
        same.collect::<Vec<_>>().join(" AND ")
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.shape.columns.iter().find(|c| c.name == name)
    }

    /// Whether a staged row is a living record.
    pub(super) fn living(&self) -> Option<String> {
        self.shape.tombstones.then(|| format!("s.{} <> {}", self.q(TOMBSTONE), self.dialect.truth))
    }

    fn marked(&self) -> Option<String> {
        match self.gone {
            Gone::Mark { column, flag: false } => Some(format!("d.{} IS NOT NULL", self.q(column))),
            Gone::Mark { column, flag: true } => {
                Some(format!("d.{} = {}", self.q(column), self.dialect.truth))
            }
            Gone::Stay | Gone::Delete => None,
        }
    }

    fn unmarked(&self) -> Option<String> {
        match self.gone {
            Gone::Mark { column, flag: false } => Some(format!("d.{} IS NULL", self.q(column))),
            Gone::Mark { column, flag: true } => {
                let name = self.q(column);
                Some(format!("(d.{name} IS NULL OR d.{name} <> {})", self.dialect.truth))
            }
            Gone::Stay | Gone::Delete => None,
        }
    }

    /// Whether an update would change anything: the rows differ, or a record comes back.
    pub fn differs(&self) -> Option<String> {
        let differ = self.update.iter().filter_map(|name| self.column(name)).map(|column| {
            let name = self.q(&column.name);
            (self.dialect.differ)(&format!("d.{name}"), &format!("s.{name}"), column)
        });
        let conditions: Vec<_> = differ.chain(self.marked()).collect();
        (!conditions.is_empty()).then(|| format!("({})", conditions.join(" OR ")))
    }

    /// Conditions under which a staged row updates the table's row of the same key; `None`: never.
    pub fn update_conditions(&self) -> Option<Vec<String>> {
        let differs = self.differs()?;
        let when = self.update_when.map(|when| format!("({when})"));
        Some(self.living().into_iter().chain([differs]).chain(when).collect())
    }

    /// What an update sets: column and value.
    pub fn assignments(&self) -> Vec<(String, String)> {
        let mut set: Vec<_> = self.update.iter().map(|c| (self.q(c), format!("s.{}", self.q(c)))).collect();
        if let Gone::Mark { column, flag } = self.gone {
            let living = if *flag { self.dialect.falsehood } else { "NULL" };
            set.push((self.q(column), living.to_owned()));
        }
        set
    }

    /// Whether a row belongs to the partition. The value is the parameter, so that it and not the column is converted.
    fn in_scope(&self) -> impl Iterator<Item = String> {
        let one =
            |(n, name): (usize, &String)| format!("d.{} = {}", self.q(name), (self.dialect.parameter)(n));
        (1..).zip(self.scope).map(one)
    }

    /// The statement that updates rows that differ; `None`: there is nothing to update.
    pub fn update(&self) -> Option<String> {
        let conditions = self.update_conditions()?;
        let (table, staging, same) = (self.table(), self.staging(), self.same_key("d", "s"));
        let conditions = conditions.join(" AND ");
        let set = |prefix: &str| {
            let set = self.assignments();
            set.iter().map(|(c, v)| format!("{prefix}{c} = {v}")).collect::<Vec<_>>().join(", ")
        };
        match self.dialect.update {
            UpdateForm::From => {
                Some(format!("UPDATE {table} SET {} FROM {staging} WHERE {same} AND {conditions}", set("")))
            }
            UpdateForm::Join => {
                Some(format!("UPDATE {table} JOIN {staging} ON {same} SET {} WHERE {conditions}", set("d.")))
            }
            UpdateForm::None { .. } => {
                self.dialect.merge.map(|render| render(&MergeSql { insert: &[], ..*self }))
            }
        }
    }

    /// One statement that adds what is new and updates what differs, in the words of PostgreSQL and SQLite; `None` where it
    /// could not do the same as [`update`](Self::update) and [`insert_new`](Self::insert_new).
    pub fn upsert(&self) -> Option<String> {
        let all_inserted = self.insert.len() == self.shape.columns.len();
        if self.update_when.is_some() || !all_inserted || self.shape.key.is_empty() {
            return None;
        }
        let differ = self.update.iter().filter_map(|name| self.column(name)).map(|column| {
            let name = self.q(&column.name);
            (self.dialect.differ)(&format!("d.{name}"), &format!("excluded.{name}"), column)
        });
        let differs: Vec<_> = differ.chain(self.marked()).collect();
        if differs.is_empty() {
            return None;
        }
        let set = self.assignments().into_iter().map(|(column, value)| {
            let value = value.strip_prefix("s.").map_or(value.clone(), |name| format!("excluded.{name}"));
            format!("{column} = {value}")
        });
        // the condition is needed where there is none: SQLite would take ON for a join's
        let living = self.living().unwrap_or_else(|| self.dialect.truth.to_owned());
        Some(format!(
            "INSERT INTO {} ({}) SELECT {} FROM {} WHERE {living} ON CONFLICT ({}) DO UPDATE SET {} WHERE {}",
            self.table(),
            self.dialect.quoted("", self.insert).join(", "),
            self.dialect.quoted("s.", self.insert).join(", "),
            self.staging(),
            self.dialect.quoted("", &self.shape.key).join(", "),
            set.collect::<Vec<_>>().join(", "),
            differs.join(" OR "),
        ))
    }

    /// Conditions under which a staged row is new.
    fn is_new(&self) -> Vec<String> {
        let mut conditions: Vec<_> = self.living().into_iter().collect();
        if !self.shape.key.is_empty() {
            let same = self.same_key("d", "s");
            conditions.push(format!("NOT EXISTS (SELECT 1 FROM {} WHERE {same})", self.table()));
        }
        conditions
    }

    /// The statement that adds the rows that the table does not have.
    pub fn insert_new(&self) -> String {
        self.insert(&self.is_new())
    }

    /// The statement that adds every living row.
    pub fn insert_all(&self) -> String {
        self.insert(&self.living().into_iter().collect::<Vec<_>>())
    }

    fn insert(&self, conditions: &[String]) -> String {
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM {}{}",
            self.dialect.table(self.table),
            self.dialect.quoted("", self.insert).join(", "),
            self.dialect.quoted("s.", self.insert).join(", "),
            self.staging(),
            clause(conditions),
        )
    }

    /// Conditions of the table's rows that are gone and not marked yet.
    fn is_gone(&self, which: Which<'_>) -> Vec<String> {
        let staged = |condition: &str| {
            format!("EXISTS (SELECT 1 FROM {} WHERE {}{condition})", self.staging(), self.same_key("s", "d"))
        };
        let gone = match which {
            Which::Tombstones => staged(&format!(" AND s.{} = {}", self.q(TOMBSTONE), self.dialect.truth)),
            Which::Unstaged => format!("NOT {}", staged("")),
            Which::Named(table) => format!(
                "EXISTS (SELECT 1 FROM {} {}g WHERE {})",
                self.dialect.table(table),
                self.dialect.alias,
                self.same_key("g", "d")
            ),
        };
        self.in_scope().chain([gone]).chain(self.unmarked()).collect()
    }

    /// The statement that deletes or marks records that are gone; `None`: they stay.
    pub fn remove(&self, which: Which<'_>) -> Option<String> {
        let condition = clause(&self.is_gone(which));
        let table = self.dialect.table(self.table);
        let alias = self.dialect.alias;
        match self.gone {
            Gone::Stay => None,
            Gone::Delete if self.dialect.delete_names_alias => {
                Some(format!("DELETE d FROM {table} {alias}d{condition}"))
            }
            Gone::Delete => Some(format!("DELETE FROM {table} {alias}d{condition}")),
            Gone::Mark { column, flag } => {
                let value = if *flag { self.dialect.truth } else { self.dialect.now };
                let set = format!("{} = {value}", self.q(column));
                Some(match self.dialect.update {
                    UpdateForm::None { names_alias: true } => {
                        format!("UPDATE d SET {set} FROM {table} {alias}d{condition}")
                    }
                    _ => format!("UPDATE {table} {alias}d SET {set}{condition}"),
                })
            }
        }
    }

    /// Counts the records that are gone.
    pub fn count_gone(&self, which: Which<'_>) -> String {
        format!("SELECT count(*) FROM {}{}", self.table(), clause(&self.is_gone(which)))
    }

    /// Counts the living records of the table.
    pub fn count_known(&self) -> String {
        let living: Vec<_> = self.in_scope().chain(self.unmarked()).collect();
        format!("SELECT count(*) FROM {}{}", self.table(), clause(&living))
    }

    /// Counts staged tombstones.
    pub fn count_tombstones(&self) -> String {
        format!(
            "SELECT count(*) FROM {} WHERE s.{} = {}",
            self.staging(),
            self.q(TOMBSTONE),
            self.dialect.truth
        )
    }

    /// Keys of the records that are gone, as texts.
    pub fn list_gone(&self, which: Which<'_>, limit: usize) -> String {
        let select = format!("{} FROM {}{}", self.key_texts("d"), self.table(), clause(&self.is_gone(which)));
        (self.dialect.limited)(&select, limit)
    }

    /// Counts staged rows that would be added.
    pub fn count_new(&self) -> String {
        format!("SELECT count(*) FROM {}{}", self.staging(), clause(&self.is_new()))
    }

    /// Counts staged rows that would update one; `None`: none would.
    pub fn count_changed(&self) -> Option<String> {
        Some(format!("SELECT count(*) FROM {}", self.changed()?))
    }

    fn changed(&self) -> Option<String> {
        let conditions = self.update_conditions()?.join(" AND ");
        let same = self.same_key("d", "s");
        Some(format!("{} JOIN {} ON {same} WHERE {conditions}", self.staging(), self.table()))
    }

    /// Key and values, as texts, of staged rows that would be added to the table, if it is there.
    pub fn list_new(&self, limit: usize, exists: bool) -> String {
        let conditions = if exists { self.is_new() } else { self.living().into_iter().collect() };
        let values = self.texts("s", self.insert);
        let select = [self.key_texts("s"), values].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>();
        let select = format!("{} FROM {}{}", select.join(", "), self.staging(), clause(&conditions));
        (self.dialect.limited)(&select, limit)
    }

    /// Key, then for each updated column what is there and what would be, as texts.
    pub fn list_changed(&self, limit: usize) -> Option<String> {
        let select = format!(
            "{}, {}, {} FROM {}",
            self.key_texts("s"),
            self.texts("d", self.update),
            self.texts("s", self.update),
            self.changed()?
        );
        Some((self.dialect.limited)(&select, limit))
    }

    fn key_texts(&self, of: &str) -> String {
        self.texts(of, &self.shape.key)
    }

    fn texts(&self, of: &str, names: &[String]) -> String {
        let texts = self.dialect.quoted(&format!("{of}."), names);
        texts.iter().map(|name| (self.dialect.as_text)(name)).collect::<Vec<_>>().join(", ")
    }

    /// Counts staged rows with a null in their key.
    pub fn count_keyless(&self) -> String {
        format!("SELECT count(*) FROM {} WHERE {}", self.staging(), self.keyless())
    }

    /// Removes them.
    pub fn delete_keyless(&self) -> String {
        self.delete_staged(&self.keyless())
    }

    fn keyless(&self) -> String {
        let null: Vec<_> = self.shape.key.iter().map(|k| format!("s.{} IS NULL", self.q(k))).collect();
        null.join(" OR ")
    }

    /// Keys, as texts, that more than one staged row has.
    pub fn list_doubled(&self, limit: usize) -> String {
        let select = format!("{} FROM {}{}", self.key_texts("s"), self.staging(), self.grouped());
        (self.dialect.limited)(&select, limit)
    }

    /// Counts the rows that share their key with another, the number of keys first.
    pub fn count_doubled(&self) -> String {
        format!(
            "SELECT count(*), coalesce(sum(n), 0) FROM (SELECT count(*) {alias}n FROM {}{}) {alias}c",
            self.staging(),
            self.grouped(),
            alias = self.dialect.alias,
        )
    }

    /// Removes them.
    pub fn delete_doubled(&self) -> String {
        let key = self.dialect.quoted("s.", &self.shape.key).join(", ");
        let in_group = self
            .shape
            .key
            .iter()
            .map(|k| (self.dialect.same)(&format!("s.{}", self.q(k)), &format!("c.{}", self.q(k))))
            .collect::<Vec<_>>()
            .join(" AND ");
        // a derived table is made before anything is deleted, in every database
        let staged = format!("SELECT {key} FROM {}{}", self.staging(), self.grouped());
        self.delete_staged(&format!(
            "EXISTS (SELECT 1 FROM ({staged}) {}c WHERE {in_group})",
            self.dialect.alias
        ))
    }

    fn grouped(&self) -> String {
        let key = self.dialect.quoted("s.", &self.shape.key).join(", ");
        format!(" GROUP BY {key} HAVING count(*) > 1")
    }

    fn delete_staged(&self, condition: &str) -> String {
        let what = if self.dialect.delete_names_alias { "DELETE s FROM" } else { "DELETE FROM" };
        format!("{what} {} WHERE {condition}", self.staging())
    }
}

fn clause(conditions: &[String]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

#[cfg(test)]
pub(super) mod tests {
    use syncline_core::schema::FieldType;

    use super::*;

    /// A merge of a table with a key of two columns, as the snapshots of the dialects show it.
    pub(in crate::database::dialect) struct Example {
        dialect: &'static Dialect,
        table: Named,
        staging: Named,
        shape: Shape,
        update: Vec<String>,
        insert: Vec<String>,
    }

    impl Example {
        pub(in crate::database::dialect) fn columns(dialect: &'static Dialect) -> Vec<Column> {
            let decimal = FieldType::Decimal { precision: Some(14), scale: Some(2) };
            let kinds = [
                ("id", FieldType::Int64, true),
                ("co]de\"", FieldType::Text, true),
                ("price", decimal, false),
                ("note", FieldType::Text, false),
                ("at", FieldType::Timestamp { zoned: true }, false),
            ];
            let column = |(name, kind, key): (&str, FieldType, bool)| Column {
                name: name.into(),
                declared: (dialect.declare)(&kind, key),
                kind,
                nullable: !key,
            };
            kinds.into_iter().map(column).collect()
        }

        pub(in crate::database::dialect) fn of(dialect: &'static Dialect, schema: &str) -> Self {
            let table = Named { schema: Some(schema.into()), name: "projects".into() };
            let columns = Self::columns(dialect);
            let names: Vec<_> = columns.iter().map(|c| c.name.clone()).collect();
            Self {
                dialect,
                staging: table.beside("syncline_0_1"),
                table,
                shape: Shape { key: names[..2].to_vec(), columns, tombstones: true, ..Shape::default() },
                update: names[2..].to_vec(),
                insert: names,
            }
        }

        pub(in crate::database::dialect) fn merge<'a>(&'a self, gone: &'a Gone) -> MergeSql<'a> {
            MergeSql {
                dialect: self.dialect,
                table: &self.table,
                staging: &self.staging,
                shape: &self.shape,
                update: &self.update,
                insert: &self.insert,
                update_when: Some("s.price > d.price"),
                gone,
                scope: &[],
            }
        }
    }
}
