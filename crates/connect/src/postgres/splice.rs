//! New tuples from the server's: fields that stay are copied as they are, only what expressions read is decoded.

use bytes::{BufMut, Bytes, BytesMut};
use syncline_core::{convert::convert, expr::Expr, mapping::RecordProblem, value::Value};

use super::{
    describe::Found,
    encode,
    sql::ColumnSql,
    tuples::{Fields, put_field, put_null},
    types::Codec,
};
use crate::{
    Error,
    database::Rows,
    error::Kind,
    source::{Computed, CopyPlan, Failed, Output, Portion},
};

/// Records that may fail in one portion, so that what is said about them stays small.
pub(super) const FAILED_MAX: usize = 1_000;

/// A plan resolved against a table. `Clone`: each part has its own.
#[derive(Clone)]
pub(super) struct Splicer {
    /// What is selected, each once.
    selected: Vec<String>,
    outputs: Vec<Spliced>,
    filter: Option<Expr>,
    variables: Vec<Variable>,
    key: Vec<usize>,
    /// Which variable is the flag of tombstones.
    tombstone: Option<usize>,
    // the portion being made
    out: BytesMut,
    rows: u64,
    read: u64,
    skipped: u64,
    failed: Vec<Failed>,
}

#[derive(Clone)]
enum Spliced {
    /// This selected field as it is.
    Field(usize),
    Computed(Box<Computed>, Codec),
}

/// A column that expressions read: where it is selected and how it is sent.
#[derive(Clone)]
struct Variable {
    name: String,
    selected: usize,
    codec: Codec,
}

impl Splicer {
    pub(super) fn new(found: &Found, plan: &CopyPlan, key: &[String]) -> Result<Self, Error> {
        let mut splicer = Self {
            selected: Vec::new(),
            outputs: Vec::new(),
            filter: plan.filter.clone(),
            variables: Vec::new(),
            key: Vec::new(),
            tombstone: None,
            out: BytesMut::new(),
            rows: 0,
            read: 0,
            skipped: 0,
            failed: Vec::new(),
        };
        for output in &plan.outputs {
            let spliced = match output {
                Output::Column(name) => Spliced::Field(splicer.select_once(found.column(name)?.sql.plain())),
                Output::Computed(computed) => {
                    splicer.read_all(found, computed.expr.variables())?;
                    let codec = encode::codec(&computed.declared).ok_or_else(|| {
                        Error::new(Kind::Definition, format!("{} cannot be computed", computed.declared))
                    })?;
                    Spliced::Computed(computed.clone(), codec)
                }
            };
            splicer.outputs.push(spliced);
        }
        if let Some(filter) = &plan.filter {
            splicer.read_all(found, filter.variables())?;
        }
        if splicer.computes() {
            splicer.read_all(found, key)?;
            let at = |name: &String| splicer.variables.iter().position(|v| v.name == *name);
            splicer.key = key.iter().filter_map(at).collect();
        }
        if let Some((column, values)) = &plan.tombstone {
            let column = found.column(column)?;
            let flag = splicer.select_once(tombstone(&column.sql, &column.codec, values));
            splicer.tombstone = Some(flag);
        }
        Ok(splicer)
    }

    fn select_once(&mut self, what: String) -> usize {
        self.selected.iter().position(|s| *s == what).unwrap_or_else(|| {
            self.selected.push(what);
            self.selected.len() - 1
        })
    }

    fn read_all(&mut self, found: &Found, names: &[String]) -> Result<(), Error> {
        for name in names {
            if self.variables.iter().any(|v| v.name == *name) {
                continue;
            }
            let column = found.column(name)?;
            let selected = self.select_once(column.sql.selected());
            self.variables.push(Variable { name: name.clone(), selected, codec: column.codec.clone() });
        }
        Ok(())
    }

    fn computes(&self) -> bool {
        self.filter.is_some() || self.outputs.iter().any(|o| matches!(o, Spliced::Computed(..)))
    }

    /// What is selected when the server's tuples are exactly those wanted.
    pub(super) fn relayed(&self) -> Option<String> {
        if self.computes() {
            return None;
        }
        let fields = self.outputs.iter().map(|o| if let Spliced::Field(at) = o { *at } else { 0 });
        let in_order: Vec<_> = fields.chain(self.tombstone).map(|at| self.selected[at].clone()).collect();
        Some(in_order.join(", "))
    }

    pub(super) fn select(&self) -> String {
        self.selected.join(", ")
    }

    pub(super) fn begin(&mut self, bytes: usize) {
        self.out = BytesMut::with_capacity(bytes + bytes / 8);
        (self.rows, self.read, self.skipped) = (0, 0, 0);
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn failed(&self) -> usize {
        self.failed.len()
    }

    /// What was made since [`begin`](Self::begin); `None`: no record was read.
    pub(super) fn portion(&mut self) -> Option<Portion> {
        let rows = Rows::Copy(std::mem::take(&mut self.out).freeze(), self.rows);
        let failed = std::mem::take(&mut self.failed);
        (self.read > 0).then_some(Portion { rows, read: self.read, skipped: self.skipped, failed })
    }

    /// Takes one whole tuple of the server.
    pub(super) fn take(&mut self, tuple: &Bytes) -> Result<(), Error> {
        self.read += 1;
        let fields: Vec<Option<&[u8]>> = Fields::of(tuple).collect();
        if fields.len() != self.selected.len() {
            return Err(Error::new(Kind::Protocol, "a tuple with another number of fields"));
        }
        let record = Record { fields: &fields, variables: &self.variables };
        let start = self.out.len();
        match record.filtered(self.filter.as_ref()) {
            Ok(true) => {}
            Ok(false) => {
                self.skipped += 1;
                return Ok(());
            }
            Err(problem) => {
                let key = record.key(&self.key);
                self.failed.push(Failed { key, problem });
                return Ok(());
            }
        }
        let count = self.outputs.len() + usize::from(self.tombstone.is_some());
        self.out.put_i16(i16::try_from(count).unwrap_or(i16::MAX));
        for output in &self.outputs {
            if let Err(problem) = record.put(output, &mut self.out) {
                self.out.truncate(start);
                let key = record.key(&self.key);
                self.failed.push(Failed { key, problem });
                return Ok(());
            }
        }
        if let Some(flag) = self.tombstone {
            put_raw(fields[flag], &mut self.out);
        }
        self.rows += 1;
        Ok(())
    }
}

/// The boolean that says that a record is gone.
fn tombstone(column: &ColumnSql, codec: &Codec, values: &[String]) -> String {
    let name = column.plain();
    if values.is_empty() {
        return match codec {
            Codec::Bool => format!("coalesce({name}, false)"),
            _ => format!("({name} IS NOT NULL)"),
        };
    }
    // words of the project file, as literals: COPY takes no parameters
    let literal = |v: &String| format!("'{}'", v.replace('\'', "''"));
    let list: Vec<_> = values.iter().map(literal).collect();
    format!("coalesce({name}::text IN ({}), false)", list.join(", "))
}

fn put_raw(field: Option<&[u8]>, out: &mut BytesMut) {
    match field {
        None => put_null(out),
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
            out.extend_from_slice(bytes);
        }
    }
}

/// One record of the server.
struct Record<'a> {
    fields: &'a [Option<&'a [u8]>],
    variables: &'a [Variable],
}

impl Record<'_> {
    /// A variable's value. What our types cannot carry is null here; the raw field goes through all the same.
    fn value(&self, variable: &Variable) -> Value<'static> {
        let Some(raw) = self.fields[variable.selected] else { return Value::Null };
        let mut scratch = String::new();
        variable.codec.decode(raw, &mut scratch).map_or(Value::Null, Value::into_owned)
    }

    fn variable(&self, name: &str) -> Value<'static> {
        self.variables.iter().find(|v| v.name == name).map_or(Value::Null, |v| self.value(v))
    }

    fn key(&self, key: &[usize]) -> Vec<Value<'static>> {
        key.iter().map(|at| self.value(&self.variables[*at])).collect()
    }

    fn filtered(&self, filter: Option<&Expr>) -> Result<bool, RecordProblem> {
        let Some(filter) = filter else { return Ok(true) };
        filter.test(|name| self.variable(name)).map_err(|message| RecordProblem { code: "filter", message })
    }

    fn put(&self, output: &Spliced, out: &mut BytesMut) -> Result<(), RecordProblem> {
        let (Computed { expr, field, default, .. }, codec) = match output {
            Spliced::Field(at) => {
                put_raw(self.fields[*at], out);
                return Ok(());
            }
            Spliced::Computed(computed, codec) => (&**computed, codec),
        };
        let problem =
            |code, why: String| RecordProblem { code, message: format!("field {:?}: {why}", field.name) };
        let value = expr.evaluate(|name| self.variable(name)).map_err(|why| problem("expression", why))?;
        let value = if value.is_null() { default.clone().unwrap_or(value) } else { value };
        let value = convert(value, field).map_err(|why| problem("value", why))?;
        if value.is_null() {
            put_null(out);
            return Ok(());
        }
        put_field(out, |out| encode::binary(codec, &value, out))
            .map_err(|encode::Unfit| problem("value", "the value does not fit".into()))
    }
}
