//! What a sync's definition means for the records already synced, as one short text.

use serde_json::{Value as Json, json};

use crate::{
    expr::Expr,
    sync::{As, DeletePolicy, Direction, FieldMap, KeyColumns, Origin, Sync, Write},
};

/// Raise it when the text below changes its shape: every sync then reads in full once.
const VERSION: u32 = 1;

impl Sync {
    /// Changes when, and only when, what the ledger and the cursor know no longer follows from the definition: then
    /// the next run must read in full. Covers both streams, key, cursor column (a position means nothing in another),
    /// tombstone, filter, mapping, routes and the delete policy; not how fast, how often or with what care records are
    /// written. The order of fields matters not, that of routes does.
    ///
    /// Shape: 64 hexadecimal digits (BLAKE3). Stored, so the same definition gives the same text in every version of
    /// the program; `crates/spec/tests/fingerprint.rs` holds golden values.
    pub fn fingerprint(&self) -> String {
        let mut fields: Vec<&FieldMap> = self.fields.iter().collect();
        fields.sort_by(|a, b| a.to.cmp(&b.to));
        let routes: Vec<Json> = self.routes.iter().map(|r| json!([r.when.text(), r.stream])).collect();
        // Arrays only: they have one order and one way to be written.
        let mut definition = json!([
            VERSION,
            [self.from.connection, self.from.stream],
            key(&self.from.key.columns),
            self.from.key.ignore_case,
            self.from.cursor,
            self.from.tombstone,
            self.from.filter.as_ref().map(Expr::text),
            [self.to.connection, self.to.stream],
            deletes(&self.deletes.policy),
            fields.into_iter().map(field).collect::<Vec<_>>(),
            routes,
        ]);
        // What came later is left out where it says nothing, so that older definitions keep their fingerprint.
        if let (true, Some(parts)) = (self.loads(), definition.as_array_mut()) {
            let table = &self.to.table;
            parts.push(json!([
                self.write.as_str(),
                self.from.mass_query,
                self.from.tombstone_values,
                self.rest,
                table.match_on,
                table.update,
                table.insert,
                table.update_when,
            ]));
        }
        if let (true, Some(parts)) = (!self.to.table.partition.is_empty(), definition.as_array_mut()) {
            parts.push(json!(self.to.table.partition));
        }
        blake3::hash(definition.to_string().as_bytes()).to_hex().to_string()
    }
}

impl Sync {
    /// Whether the definition says more than one for an API can.
    fn loads(&self) -> bool {
        let table = &self.to.table;
        self.rest
            || self.from.mass_query.is_some()
            || !self.from.tombstone_values.is_empty()
            || matches!(self.write, Write::Append | Write::Replace)
            || [&table.match_on, &table.update, &table.insert].iter().any(|columns| columns.is_some())
            || table.update_when.is_some()
    }
}

fn key(columns: &KeyColumns) -> Json {
    match columns {
        KeyColumns::PrimaryKey => json!(["primary"]),
        KeyColumns::UniqueConstraint(name) => json!(["unique", name]),
        KeyColumns::Columns(columns) => json!(["columns", columns]),
        KeyColumns::Hashed(columns) => json!(["hashed", columns]),
    }
}

fn deletes(policy: &DeletePolicy) -> Json {
    match policy {
        DeletePolicy::Ignore => json!(["ignore"]),
        DeletePolicy::Soft { field } => json!(["soft", field]),
        DeletePolicy::Delete => json!(["delete"]),
    }
}

fn field(field: &FieldMap) -> Json {
    let origin = match &field.from {
        Origin::Column(name) => json!(["column", name]),
        Origin::Expression(expr) => json!(["cel", expr.text()]),
        Origin::Sql(text) => json!(["sql", text]),
        Origin::Param(name) => json!(["param", name]),
    };
    let direction = match field.direction {
        Direction::Both => "both",
        Direction::Push => "push",
        Direction::Pull => "pull",
    };
    let kind = field.kind.map(|kind| match kind {
        As::Hyperlink => "hyperlink",
    });
    json!([field.to, origin, direction, field.required, field.default, kind])
}
