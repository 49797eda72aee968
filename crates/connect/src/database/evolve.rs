//! What a table must become before rows can be loaded: decided before anything is changed, and pure.

use syncline_core::{
    convert::{Suits, suits},
    schema::Field,
    sync::SchemaPolicy,
};

use super::{
    Change, Column, Table,
    dialect::{Dialect, Named},
};

/// What is to be done about a table's columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// The columns that are loaded, as they are staged. Some of those wanted may be missing.
    pub columns: Vec<Column>,
    /// For each of `columns`, which of those wanted it is.
    pub from: Vec<usize>,
    /// What changes.
    pub changes: Vec<Change>,
    /// What an operator should know, one sentence each.
    pub notes: Vec<String>,
    /// Why nothing can be loaded, each with the column and, where there is one, the statement that a person could run.
    pub problems: Vec<(String, String)>,
}

/// Decides what a table must become so that `wanted` can be loaded. `key` is that of a table that is made.
pub fn decide(
    dialect: &'static Dialect,
    name: &Named,
    table: Option<&Table>,
    wanted: &[Column],
    key: &[String],
    policy: SchemaPolicy,
) -> Decision {
    let mut decision = Decision::default();
    for column in wanted.iter().filter(|c| !dialect.name_max.holds(&c.name)) {
        let message = format!("the name has more than the {} that the destination takes", dialect.name_max);
        decision.problems.push((column.name.clone(), message));
    }
    let Some(table) = table else {
        decision.columns = wanted.to_vec();
        decision.from = (0..wanted.len()).collect();
        decision.changes.push(Change::Create { key: key.to_vec() });
        return decision;
    };
    let change = Deciding { dialect, name, policy };
    for (index, column) in wanted.iter().enumerate() {
        let loaded = match table.stream.field(&column.name) {
            Some(field) => Some(change.existing(field, column, &mut decision)),
            None => change.missing(table, column, &mut decision),
        };
        if let Some(loaded) = loaded {
            decision.columns.push(loaded);
            decision.from.push(index);
        }
    }
    let filled = |field: &&Field| wanted.iter().any(|c| c.name == field.name);
    for field in table.stream.fields.iter().filter(|f| f.limits.required && !f.limits.read_only) {
        if !filled(&field) {
            let statement = dialect.allow_null(name, &field.name, field.native.as_deref().unwrap_or("?"));
            let message = format!(
                "must be given in every record and nothing is mapped to it; map it, or run: {statement}"
            );
            decision.problems.push((field.name.clone(), message));
        }
    }
    decision
}

struct Deciding<'a> {
    dialect: &'static Dialect,
    name: &'a Named,
    policy: SchemaPolicy,
}

impl Deciding<'_> {
    /// A column that the table has: its own type, unless a wider one is needed and may be made.
    fn existing(&self, field: &Field, wanted: &Column, decision: &mut Decision) -> Column {
        let declared = field.native.clone().unwrap_or_else(|| (self.dialect.declare)(&field.kind, false));
        // the very type that it would be made with holds what would be written, whatever it is read back as
        let is_ours = declared == wanted.declared;
        let as_it_is = Column {
            name: wanted.name.clone(),
            kind: if is_ours { wanted.kind.clone() } else { field.kind.clone() },
            declared,
            nullable: field.nullable,
        };
        if field.limits.read_only {
            let message = "is computed by the database and cannot be written; leave it out of fields";
            decision.problems.push((wanted.name.clone(), message.into()));
            return as_it_is;
        }
        if (self.dialect.widens)(&as_it_is.declared, &wanted.declared) {
            let wider = Column { nullable: field.nullable, ..wanted.clone() };
            let statement = self.dialect.widen_column(self.name, &wider);
            if self.policy == SchemaPolicy::Evolve {
                decision.notes.push(format!(
                    "column {:?} becomes {} (was {})",
                    wanted.name, wanted.declared, as_it_is.declared
                ));
                decision.changes.push(Change::Widen(wider.clone()));
                return wider;
            }
            decision.notes.push(format!(
                "column {:?} is {}, the source has {}; values that do not fit are parked. To widen it, run: {statement}",
                wanted.name, as_it_is.declared, wanted.declared
            ));
            return as_it_is;
        }
        if let (Suits::No(why), false) = (suits(&wanted.kind, field), is_ours) {
            let statement = self.dialect.widen_column(self.name, wanted);
            let advice = if statement.is_empty() {
                String::new()
            } else {
                format!("; a person could run: {statement}")
            };
            decision
                .problems
                .push((wanted.name.clone(), format!("is {} in the table: {why}{advice}", as_it_is.declared)));
        }
        as_it_is
    }

    /// A column that the table lacks.
    fn missing(&self, table: &Table, wanted: &Column, decision: &mut Decision) -> Option<Column> {
        let near = table.stream.fields.iter().find(|f| f.name.eq_ignore_ascii_case(&wanted.name));
        if let Some(near) = near {
            decision.notes.push(format!(
                "the table has {:?} and the source {:?}: the destination's names are taken as they are",
                near.name, wanted.name
            ));
        }
        let column = Column { nullable: true, ..wanted.clone() };
        let statement = self.dialect.add_column(self.name, &column);
        if self.policy == SchemaPolicy::Freeze {
            decision.notes.push(format!(
                "column {:?} is new in the source and left out (schema: freeze). To add it, run: {statement}",
                wanted.name
            ));
            return None;
        }
        decision.notes.push(format!("column {:?} ({}) is added", wanted.name, wanted.declared));
        decision.changes.push(Change::Add(column.clone()));
        Some(column)
    }
}

#[cfg(test)]
mod tests {
    use syncline_core::schema::{FieldType, Limits, Stream};

    use super::*;
    use crate::database::dialect::postgres::POSTGRES;

    fn column(name: &str, kind: FieldType, declared: &str) -> Column {
        Column { name: name.into(), kind, declared: declared.into(), nullable: true }
    }

    fn table(fields: Vec<Field>) -> Table {
        Table { stream: Stream { fields, ..Stream::default() }, dependents: Vec::new() }
    }

    fn field(name: &str, kind: FieldType, native: &str) -> Field {
        Field { native: Some(native.into()), ..Field::new(name, kind, true) }
    }

    fn decided(table: Option<&Table>, wanted: &[Column], policy: SchemaPolicy) -> Decision {
        let name = Named { schema: Some("public".into()), name: "t".into() };
        decide(&POSTGRES, &name, table, wanted, &["id".into()], policy)
    }

    #[test]
    fn an_absent_table_is_made() {
        let wanted = [column("id", FieldType::Int64, "bigint")];
        let decision = decided(None, &wanted, SchemaPolicy::Freeze);
        assert_eq!(decision.changes, [Change::Create { key: vec!["id".into()] }]);
        assert_eq!(decision.columns, wanted);
    }

    #[test]
    fn new_columns_are_added_or_left_out() {
        let there = table(vec![field("id", FieldType::Int64, "bigint")]);
        let wanted = [column("id", FieldType::Int64, "bigint"), column("n", FieldType::Text, "text")];
        let decision = decided(Some(&there), &wanted, SchemaPolicy::Evolve);
        assert_eq!(decision.changes, [Change::Add(wanted[1].clone())]);
        let decision = decided(Some(&there), &wanted, SchemaPolicy::Freeze);
        assert_eq!((decision.changes.len(), decision.from), (0, vec![0]));
        assert_eq!(
            decision.notes,
            [
                r#"column "n" is new in the source and left out (schema: freeze). To add it, run: ALTER TABLE "public"."t" ADD "n" text"#
            ]
        );
    }

    #[test]
    fn types_are_widened_never_narrowed() {
        let there = table(vec![field("a", FieldType::Int64, "integer")]);
        let wider = [column("a", FieldType::Int64, "bigint")];
        assert_eq!(
            decided(Some(&there), &wider, SchemaPolicy::Evolve).changes,
            [Change::Widen(wider[0].clone())]
        );
        let there = table(vec![field("a", FieldType::Int64, "bigint")]);
        let narrower = [column("a", FieldType::Int64, "integer")];
        let decision = decided(Some(&there), &narrower, SchemaPolicy::Evolve);
        assert_eq!((decision.changes.len(), decision.columns[0].declared.as_str()), (0, "bigint"));
        let there = table(vec![field("a", FieldType::Uuid, "uuid")]);
        let decision = decided(Some(&there), &narrower, SchemaPolicy::Evolve);
        assert_eq!(decision.problems.len(), 1);
        assert!(decision.problems[0].1.ends_with(r#"ALTER TABLE "public"."t" ALTER "a" TYPE integer"#));
    }

    #[test]
    fn the_type_that_would_be_made_suits() {
        let there = table(vec![field("at", FieldType::Timestamp { zoned: false }, "datetime(6)")]);
        let wanted = [column("at", FieldType::Timestamp { zoned: true }, "datetime(6)")];
        let decision = decided(Some(&there), &wanted, SchemaPolicy::Freeze);
        assert_eq!((decision.problems, decision.columns), (Vec::new(), wanted.to_vec()));
    }

    #[test]
    fn what_must_be_given_and_is_not_is_a_problem() {
        let limits = Limits { required: true, ..Limits::default() };
        let there = table(vec![Field { limits, ..field("must", FieldType::Text, "text") }]);
        let decision = decided(Some(&there), &[], SchemaPolicy::Evolve);
        assert_eq!(decision.problems[0].0, "must");
    }
}
