//! How a table is loaded: decided from the definition and from what was found, before anything is written; pure.

use syncline_connect::{
    database::{self, Absent, Commit, Gone, How, Merge, Shape, evolve::Decision},
    source::{Computed, CopyPlan, Output, Params, Read},
};
use syncline_core::{
    cursor::Position,
    mapping::Problem,
    schema::Field,
    sync::{DeletePolicy, Mode, Sync, Write},
};

use syncline_store::RunId;

use super::{
    bind::{From, Table},
    params,
    project::{self, Projection},
    reading::Reading,
    run::Options,
};
use crate::{
    Error,
    bind::{BATCH_BYTES, BATCH_ROWS},
};

/// What is about to be committed.
pub(super) struct Prepared {
    pub(super) shape: Shape,
    pub(super) commit: Commit,
    pub(super) projection: Projection,
    pub(super) copy: Option<CopyPlan>,
}

impl Prepared {
    /// What is read again changes the records that are there and nothing else: nothing goes, and the state of the live sync,
    /// start of its last load included, stays.
    pub(super) fn only_upserts(&mut self, state: Option<&database::State>) {
        self.commit.absent = Absent::Unknown;
        self.commit.merge.gone = Gone::Stay;
        self.commit.started_at = state.and_then(|state| state.started_at).unwrap_or(self.commit.started_at);
        self.copy = None;
        self.shape.relayed = false;
    }
}

/// What to list.
pub(super) fn read(table: &Table, reading: &Reading, columns: &[String], params: Params) -> Read {
    let from = &table.sync.from;
    let full = reading.mode == Mode::Full;
    Read {
        stream: if full { table.reads_in_full.clone() } else { table.reads.clone() },
        columns: columns.to_vec(),
        key: table.key.clone(),
        key_is_total: table.key_is_total,
        cursor: from.cursor.clone(),
        tombstone: from.tombstone.clone().filter(|_| from.tombstone_values.is_empty()),
        from: reading.from.clone(),
        overlap: reading.overlap,
        lag: from.lag,
        batch_rows: BATCH_ROWS,
        batch_bytes: BATCH_BYTES,
        params,
    }
}

/// Decides how the table is loaded: pure.
///
/// # Errors
/// [`Error::Definition`]: the table does not fit any more.
pub(super) fn prepare(
    table: &Table,
    found: Option<&database::Table>,
    reading: &Reading,
    options: &Options,
    run: Option<RunId>,
    started_at: i64,
) -> Result<Prepared, Error> {
    let sync = &table.sync;
    let decision = table.decide(found);
    if !decision.problems.is_empty() {
        let problem = |(column, message): &(String, String)| Problem {
            path: format!("fields.{column}"),
            message: format!("column {column:?} {message}"),
            unknown: None,
            warning: false,
        };
        let problems = decision.problems.iter().map(problem).collect();
        return Err(Error::Definition { sync: sync.name.clone(), problems });
    }
    let params = params::values(table, &options.partition, run, started_at, found);
    let full = reading.mode == Mode::Full;
    // others load their parts of the table meanwhile
    let scoped = !sync.to.table.partition.is_empty();
    let replaces = full && (sync.write == Write::Replace || options.prepurge);
    // a swap would lose what hangs on the table, and marks that others or we have set
    let marks = matches!(table.gone(found), Gone::Mark { .. }) && found.is_some();
    let swaps =
        replaces && !scoped && !marks && !table.tombstones() && found.is_none_or(|t| t.dependents.is_empty());
    let merges = table.database.facts().merges;
    let first = full && found.is_none() && !table.tombstones() && !scoped;
    // a table that is purged first has nothing that rows could be added to
    let appends = sync.write == Write::Append && !replaces;
    if replaces && !swaps && merges && found.is_some() && table.match_on.is_empty() {
        return Err(cannot_replace(table, found));
    }
    // where a swap commits by itself, one whose cursor is lost would be followed by a second append of the same rows
    let swap_is_safe = !merges || table.database.facts().dialect.transactional_ddl;
    let how = if swaps || first || !merges {
        if appends && (found.is_some() || !swap_is_safe) { How::Append } else { How::Replace }
    } else if appends {
        How::Append
    } else {
        How::Merge
    };
    let mut shape = table.shape(&decision);
    shape.takes_place = how == How::Replace;
    let mirrors = sync.write == Write::Mirror || replaces;
    // records that leave the filter are not read, so they look absent; they stay unless the sync says otherwise
    let filtered = sync.from.filter.is_some() && !sync.deletes.out_of_filter && !replaces;
    let absent = if full && how == How::Merge && !filtered && (mirrors || deletes(sync)) {
        Absent::Unstaged
    } else {
        Absent::Unknown
    };
    let gone = match table.gone(found) {
        Gone::Stay if replaces => Gone::Delete,
        gone => gone,
    };
    let names: Vec<String> = shape.columns.iter().map(|c| c.name.clone()).collect();
    let keep = |wanted: &Option<Vec<String>>, default: &dyn Fn(&String) -> bool| {
        let listed = |name: &&String| wanted.as_ref().map_or_else(|| default(name), |w| w.contains(name));
        names.iter().filter(listed).cloned().collect::<Vec<_>>()
    };
    let options_of = &sync.to.table;
    let merge = Merge {
        how,
        update: cursor_first(table, keep(&options_of.update, &|name| !table.match_on.contains(name))),
        insert: keep(&options_of.insert, &|_| true),
        update_when: options_of.update_when.clone(),
        gone,
    };
    let fields = table.destination_fields(&decision, found);
    shape.key_is_total = table.keys_stay_apart(&fields);
    let copy = copy_plan(table, &decision, &fields);
    shape.relayed = copy.is_some();
    let projection = projection(table, &decision, fields, reading, &params);
    let commit = Commit {
        merge,
        absent,
        guard: sync.deletes.clone(),
        approved: None,
        after: options_of.after.clone(),
        params,
        reindex: options.reindex,
        cursor: None,
        started_at,
        staged: 0,
    };
    Ok(Prepared { shape, commit, projection, copy })
}

/// A table without a key on which something hangs can be neither swapped nor merged.
fn cannot_replace(table: &Table, found: Option<&database::Table>) -> Error {
    let hangs = found.map(|t| t.dependents.join(", ")).filter(|names| !names.is_empty());
    let hangs = hangs.unwrap_or_else(|| "marks of records that are gone".into());
    let message = format!(
        "the table is not replaced, because of what hangs on it ({hangs}), and it has no key to be merged by; name key \
         columns in from.key or to.match, or remove what hangs on it"
    );
    let problem = Problem { path: "from.key".into(), message, unknown: None, warning: false };
    Error::Definition { sync: table.sync.name.clone(), problems: vec![problem] }
}

/// The cursor's column first: where that differs, the others need not be compared.
fn cursor_first(table: &Table, mut columns: Vec<String>) -> Vec<String> {
    let cursor = table.sync.from.cursor.as_deref();
    let is_cursor =
        |field: &super::bind::Loaded| matches!(&field.from, From::Column(c) if Some(c.as_str()) == cursor);
    let name = table.fields.iter().find(|f| is_cursor(f)).map(|f| f.column.name.as_str());
    if let Some(at) = columns.iter().position(|c| Some(c.as_str()) == name) {
        columns[..=at].rotate_right(1);
    }
    columns
}

fn deletes(sync: &Sync) -> bool {
    sync.deletes.policy != DeletePolicy::Ignore
}

/// How tuples can be relayed: when the destination takes them, and every column that is not computed has the same type on
/// both sides.
fn copy_plan(table: &Table, decision: &Decision, fields: &[Field]) -> Option<CopyPlan> {
    let facts = table.database.facts();
    if !facts.copies || table.stream.dialect != Some(facts.dialect.name) {
        return None;
    }
    let mut outputs = Vec::new();
    for ((from, column), field) in decision.from.iter().zip(&decision.columns).zip(fields) {
        let loaded = &table.fields[*from];
        match &loaded.from {
            From::Column(name) => {
                let native = table.stream.field(name)?.native.as_deref()?;
                if native != column.declared || loaded.default.is_some() || table.requires(loaded, column) {
                    return None;
                }
                outputs.push(Output::Column(name.clone()));
            }
            From::Expression(expr) => {
                let usual = (facts.dialect.declare)(&column.kind, false);
                let plain = usual == column.declared || column.declared.starts_with("character varying");
                if !plain || table.requires(loaded, column) {
                    return None;
                }
                outputs.push(Output::Computed(Box::new(Computed {
                    expr: expr.clone(),
                    field: field.clone(),
                    declared: column.declared.clone(),
                    default: loaded.default.clone(),
                })));
            }
            From::Param(_) => return None,
        }
    }
    let sync = &table.sync;
    let tombstone = sync.from.tombstone.clone().map(|column| (column, sync.from.tombstone_values.clone()));
    Some(CopyPlan { outputs, filter: sync.from.filter.clone(), tombstone })
}

fn projection(
    table: &Table,
    decision: &Decision,
    fields: Vec<Field>,
    reading: &Reading,
    params: &params::Values,
) -> Projection {
    let columns = table.columns();
    let at = |name: &String| columns.iter().position(|c| c == name);
    let output = |(from, column): (&usize, &database::Column)| {
        let loaded = &table.fields[*from];
        let from = project::Origin::of(&loaded.from, &columns, params)?;
        let required = table.requires(loaded, column);
        let key = table.match_on.contains(&column.name);
        Some(project::Output { from, default: loaded.default.clone(), required, key })
    };
    let sync = &table.sync;
    let status = sync.from.tombstone.as_ref().filter(|_| !sync.from.tombstone_values.is_empty());
    let read_before = match (&sync.write, &reading.from) {
        (Write::Append, Some(Position { cursor, key })) if !key.is_empty() => {
            sync.from.cursor.as_ref().and_then(at).map(|column| (column, cursor.clone()))
        }
        _ => None,
    };
    Projection {
        fields: fields.into(),
        outputs: decision.from.iter().zip(&decision.columns).filter_map(output).collect(),
        filter: sync.from.filter.clone(),
        key: table.key.iter().filter_map(at).collect(),
        status: status.and_then(at).map(|at| (at, sync.from.tombstone_values.clone())),
        read_before,
        told_gone: table.stream.tells_changes,
        columns,
    }
}
