//! Source records into rows of the staging table: pure, batch by batch.

use std::sync::Arc;

use syncline_connect::source::Failed;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp, TypeMismatch},
    convert::convert,
    expr::Expr,
    mapping::RecordProblem,
    schema::Field,
    value::Value,
};

use super::{bind::From, params::Values};

/// How records of a batch become rows.
pub(super) struct Projection {
    /// The destination's fields, parallel to `outputs`.
    pub(super) fields: Arc<[Field]>,
    pub(super) outputs: Vec<Output>,
    pub(super) filter: Option<Expr>,
    /// Columns of the batches, by name.
    pub(super) columns: Vec<String>,
    /// Indexes of the key columns.
    pub(super) key: Vec<usize>,
    /// Index of the tombstone column and the values that say so; none: the batch says it.
    pub(super) status: Option<(usize, Vec<String>)>,
    /// Index of the cursor column, and the value whose records were read before (`append` only).
    pub(super) read_before: Option<(usize, Value<'static>)>,
    /// A record that is gone comes with its key only.
    pub(super) told_gone: bool,
}

/// Where a field's value comes from.
pub(super) struct Output {
    pub(super) from: Origin,
    pub(super) default: Option<Value<'static>>,
    pub(super) required: bool,
    /// It belongs to the table's key.
    pub(super) key: bool,
}

/// See [`From`], by index.
pub(super) enum Origin {
    Column(usize),
    Expression(Expr),
    Constant(Value<'static>),
}

impl Origin {
    pub(super) fn of(from: &From, columns: &[String], params: &Values) -> Option<Self> {
        match from {
            From::Column(name) => columns.iter().position(|c| c == name).map(Self::Column),
            From::Expression(expr) => Some(Self::Expression(expr.clone())),
            From::Param(name) => Some(Self::Constant(params.get(name).cloned().unwrap_or(Value::Null))),
        }
    }
}

/// Rows of a batch, and what became of the other records.
pub(super) struct Projected {
    pub(super) rows: Batch,
    pub(super) skipped: u64,
    pub(super) read_before: u64,
    pub(super) failed: Vec<Failed>,
}

impl Projection {
    /// One that makes no rows of anything.
    pub(super) fn empty(columns: Vec<String>) -> Self {
        Self {
            fields: Arc::from([]),
            outputs: Vec::new(),
            filter: None,
            columns,
            key: Vec::new(),
            status: None,
            read_before: None,
            told_gone: false,
        }
    }

    pub(super) fn project(&self, batch: &Batch) -> Result<Projected, TypeMismatch> {
        let mut builder = BatchBuilder::new(Arc::clone(&self.fields));
        let (mut skipped, mut read_before, mut failed) = (0, 0, Vec::new());
        let mut values = Vec::with_capacity(self.outputs.len());
        for row in 0..batch.len() {
            if self.read_before.as_ref().is_some_and(|(at, value)| batch.value(row, *at) == *value) {
                read_before += 1;
                continue;
            }
            values.clear();
            match self.record(batch, row, &mut values) {
                Ok(true) => {
                    for (column, value) in values.iter().enumerate() {
                        builder.push(column, value)?;
                    }
                    builder.end_record(self.op(batch, row));
                }
                Ok(false) => skipped += 1,
                Err(problem) => {
                    let key = self.key.iter().map(|k| batch.value(row, *k).into_owned()).collect();
                    failed.push(Failed { key, problem });
                }
            }
        }
        Ok(Projected { rows: builder.finish(Positions::None), skipped, read_before, failed })
    }

    /// The values of a record's row; false: it is not wanted.
    fn record<'b>(
        &self,
        batch: &'b Batch,
        row: usize,
        values: &mut Vec<Value<'b>>,
    ) -> Result<bool, RecordProblem> {
        let problem = |code, message: String| RecordProblem { code, message };
        if let Some(why) = batch.problem(row) {
            return Err(problem("source_value", why.to_owned()));
        }
        let variable = |name: &str| match self.columns.iter().position(|c| c == name) {
            Some(at) => batch.value(row, at),
            None => Value::Null,
        };
        let told_gone = self.told_gone && batch.op(row) == RecordOp::Delete;
        if let Some(filter) = self.filter.as_ref().filter(|_| !told_gone)
            && !filter.test(variable).map_err(|why| problem("filter", why))?
        {
            return Ok(false);
        }
        for (field, output) in self.fields.iter().zip(&self.outputs) {
            // the source tells the keys of what is gone, and nothing else
            if told_gone && !output.key {
                values.push(Value::Null);
                continue;
            }
            let about = |why: String| format!("field {:?}: {why}", field.name);
            let value = match &output.from {
                Origin::Column(at) => batch.value(row, *at),
                Origin::Constant(value) => value.clone(),
                Origin::Expression(expr) => {
                    expr.evaluate(variable).map_err(|why| problem("expression", about(why)))?
                }
            };
            let value = match &output.default {
                Some(default) if value.is_null() => default.clone(),
                _ => value,
            };
            if value.is_null() {
                if output.required {
                    return Err(problem("value", about("is required, but the value is null".into())));
                }
                values.push(Value::Null);
                continue;
            }
            values.push(convert(value, field).map_err(|why| problem("value", about(why)))?);
        }
        Ok(true)
    }

    fn op(&self, batch: &Batch, row: usize) -> RecordOp {
        let Some((at, says_gone)) = &self.status else { return batch.op(row) };
        let gone = match batch.value(row, *at) {
            Value::Null => false,
            Value::Text(text) | Value::Decimal(text) => says_gone.iter().any(|v| *v == text),
            Value::Boolean(v) => says_gone.iter().any(|s| *s == v.to_string()),
            Value::Int64(v) => says_gone.iter().any(|s| *s == v.to_string()),
            _ => false,
        };
        if gone { RecordOp::Delete } else { RecordOp::Upsert }
    }
}
