//! CSV as RFC 4180 has it, with one thing kept that readers usually drop: whether a cell was quoted. An unquoted empty cell is
//! null, a quoted empty cell is the empty text.
//!
//! [`Parser`] is the grammar, fed with blocks of bytes; [`Csv`] is a file that is read with it.

use syncline_core::{schema::Field, value::Value};

use super::{
    blocks::Blocks,
    config,
    describe::Layout,
    error,
    scan::Row,
    schema::COLUMNS_MAX,
    store::{Entry, Store},
    types,
};
use crate::Error;

/// Most bytes of a record.
pub(super) const RECORD_MAX: usize = 16 << 20;

/// Where in a record the parser stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a cell.
    Start,
    /// In a cell without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that ends a cell, or is the first half of a quote inside it.
    Closing,
    /// Behind the carriage return of a line end that follows a quoted cell.
    Return,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    AfterQuote,
    TooLong,
    TooManyCells,
}

impl Fault {
    fn text(self) -> &'static str {
        match self {
            Self::AfterQuote => "text behind a closing quote",
            Self::TooLong => "more than 16 MiB",
            Self::TooManyCells => "more than 4,096 cells",
        }
    }
}

/// One record, its quotes taken off.
#[derive(Debug, Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    /// End of each cell in `bytes`, and whether it was quoted.
    cells: Vec<(usize, bool)>,
    pub(super) fault: Option<Fault>,
    /// Line on which it begins, from 1.
    pub(super) line: u64,
}

impl Record {
    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The bytes of a cell, and whether it was quoted.
    pub(super) fn cell(&self, index: usize) -> (&[u8], bool) {
        let start = index.checked_sub(1).map_or(0, |before| self.cells[before].0);
        let (end, quoted) = self.cells[index];
        (&self.bytes[start..end], quoted)
    }

    /// Whether the line was empty.
    fn is_blank(&self) -> bool {
        matches!(self.cells.as_slice(), [(0, false)])
    }
}

/// The grammar. Holds one record.
#[derive(Debug)]
pub(super) struct Parser {
    delimiter: u8,
    state: State,
    quoted: bool,
    done: bool,
    lines: u64,
    record: Record,
}

impl Parser {
    pub(super) fn new(delimiter: u8) -> Self {
        let record = Record { line: 1, ..Record::default() };
        Self { delimiter, state: State::Start, quoted: false, done: false, lines: 1, record }
    }

    /// The record that was completed last.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Takes bytes up to the end of a record. Returns how many were taken, and whether the record is complete.
    pub(super) fn feed(&mut self, input: &[u8]) -> (usize, bool) {
        if self.done {
            self.clear();
        }
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            match self.state {
                State::Plain | State::Quoted => {
                    let run = self.run(&input[at..]);
                    self.push(&input[at..at + run]);
                    at += run;
                    let Some(&byte) = input.get(at) else { break };
                    at += 1;
                    if self.special(byte) {
                        return (at, true);
                    }
                }
                _ => {
                    at += 1;
                    if self.special(byte) {
                        return (at, true);
                    }
                }
            }
        }
        (at, false)
    }

    /// Ends the input: whether there is a last record, one without a line end. `None`: a quote is still open.
    pub(super) fn end(&mut self) -> Option<bool> {
        let fresh = self.done
            || (self.state == State::Start && self.record.cells.is_empty() && self.record.fault.is_none());
        match self.state {
            State::Quoted => None,
            _ if fresh => Some(false),
            _ => {
                self.end_cell();
                self.done = true;
                Some(true)
            }
        }
    }

    fn clear(&mut self) {
        self.record.bytes.clear();
        self.record.cells.clear();
        self.record.fault = None;
        self.record.line = self.lines;
        (self.state, self.quoted, self.done) = (State::Start, false, false);
    }

    /// How many bytes from here on mean nothing but themselves.
    fn run(&self, input: &[u8]) -> usize {
        let quoted = self.state == State::Quoted;
        let special = |byte: u8| match byte {
            b'"' => quoted,
            b'\n' => true,
            other => !quoted && other == self.delimiter,
        };
        input.iter().position(|byte| special(*byte)).unwrap_or(input.len())
    }

    /// Takes a byte that may mean something; whether it ends the record.
    fn special(&mut self, byte: u8) -> bool {
        if byte == b'\n' {
            self.lines += 1;
        }
        match (self.state, byte) {
            (State::Quoted, b'"') => self.state = State::Closing,
            (State::Quoted, other) => self.push(&[other]),
            (State::Start, b'"') => (self.state, self.quoted) = (State::Quoted, true),
            (State::Closing, b'"') => {
                self.push(b"\"");
                self.state = State::Quoted;
            }
            (State::Closing, b'\r') => self.state = State::Return,
            (_, b'\n') => {
                if self.state == State::Plain {
                    self.drop_return();
                }
                self.end_cell();
                self.done = true;
            }
            (_, other) if other == self.delimiter => {
                self.end_cell();
                (self.state, self.quoted) = (State::Start, false);
            }
            (state, other) => {
                if matches!(state, State::Closing | State::Return) {
                    self.record.fault.get_or_insert(Fault::AfterQuote);
                }
                self.state = State::Plain;
                self.push(&[other]);
            }
        }
        self.done
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.record.bytes.len() + bytes.len() > RECORD_MAX {
            self.record.fault = Some(Fault::TooLong);
        } else {
            self.record.bytes.extend_from_slice(bytes);
        }
    }

    fn end_cell(&mut self) {
        if self.record.cells.len() < COLUMNS_MAX {
            self.record.cells.push((self.record.bytes.len(), self.quoted));
        } else {
            self.record.fault.get_or_insert(Fault::TooManyCells);
        }
    }

    /// The carriage return before a line end belongs to the line end.
    fn drop_return(&mut self) {
        let start = self.record.cells.last().map_or(0, |(end, _)| *end);
        if self.record.bytes.len() > start && self.record.bytes.ends_with(b"\r") {
            self.record.bytes.pop();
        }
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct Csv {
    blocks: Blocks,
    parser: Parser,
    null: String,
    /// Names of the columns; nothing where the header has an empty cell.
    names: Vec<Option<String>>,
    /// Without a header: the first record, which told how many there are, is still to be given.
    waiting: bool,
    /// Of each wanted column, where it lies.
    wanted: Vec<usize>,
}

impl Csv {
    /// Opens a file and reads its header; `known` are names of columns without a header.
    pub(super) fn open(
        store: Store,
        entry: Entry,
        options: &config::Csv,
        known: &[Field],
    ) -> Result<Self, Error> {
        let mut file = Self {
            blocks: Blocks::open(store, entry),
            parser: Parser::new(options.delimiter),
            null: options.null.clone(),
            names: Vec::new(),
            waiting: false,
            wanted: Vec::new(),
        };
        let found = file.record()?;
        if !options.header {
            let count = if known.is_empty() && found { file.parser.record().len() } else { known.len() };
            let name =
                |i: usize| known.get(i).map_or_else(|| format!("column_{}", i + 1), |f| f.name.clone());
            file.names = (0..count).map(|i| Some(name(i))).collect();
            file.waiting = found;
        } else if found {
            file.names = file.header()?;
        }
        Ok(file)
    }

    /// Chooses the columns to give.
    pub(super) fn choose(&mut self, layout: &Layout, columns: &[Field]) -> Result<(), Error> {
        // a file without a single byte has no records and needs no columns
        if self.names.is_empty() && layout.csv.header {
            return Ok(());
        }
        let at = |field: &Field| {
            let found = self.names.iter().position(|n| n.as_ref() == Some(&field.name));
            found.ok_or_else(|| {
                error::malformed(self.blocks.name(), format_args!("there is no column {:?}", field.name))
                    .hint("all files of a stream have the same columns, in any order")
            })
        };
        self.wanted = columns.iter().map(at).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Names of the columns.
    pub(super) fn names(&self) -> &[Option<String>] {
        &self.names
    }

    /// Goes to the next record; whether there is one.
    pub(super) fn advance(&mut self) -> Result<bool, Error> {
        if std::mem::take(&mut self.waiting) {
            return Ok(true);
        }
        while self.record()? {
            // an empty line is a record only where a record can be one empty cell
            if self.names.len() == 1 || !self.parser.record().is_blank() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The record in hand.
    pub(super) fn row(&self, columns: &[Field]) -> Row<'_> {
        let record = self.parser.record();
        let broken = match record.fault {
            Some(fault) => Some(fault.text().to_owned()),
            None if record.len() != self.names.len() => {
                Some(format!("{} cells in a file of {} columns", record.len(), self.names.len()))
            }
            None => None,
        };
        if broken.is_some() {
            return Row::broken(columns.len(), broken);
        }
        let mut row = Row::with_capacity(columns.len());
        for (field, at) in columns.iter().zip(&self.wanted) {
            let (bytes, quoted) = record.cell(*at);
            if !quoted && bytes == self.null.as_bytes() {
                row.values.push(Value::Null);
                continue;
            }
            match std::str::from_utf8(bytes) {
                Ok(text) => row.push(types::of_text(text, &field.kind), field, "text"),
                Err(_) => row.misfit(format!("column {:?}: not UTF-8", field.name)),
            }
        }
        row
    }

    /// Where the record in hand is.
    pub(super) fn place(&self) -> String {
        format!("file {:?}, line {}", self.blocks.name(), self.parser.record().line)
    }

    fn record(&mut self) -> Result<bool, Error> {
        loop {
            let block = self.blocks.fill()?;
            if block.is_empty() {
                return self.parser.end().ok_or_else(|| {
                    let line = self.parser.record().line;
                    let message = format!("line {line}: a quote is never closed");
                    error::malformed(self.blocks.name(), message)
                        .hint("inside a quoted cell, a quote is written twice")
                });
            }
            let (used, complete) = self.parser.feed(block);
            self.blocks.used(used);
            if complete {
                return Ok(true);
            }
        }
    }

    fn header(&self) -> Result<Vec<Option<String>>, Error> {
        let record = self.parser.record();
        let name = self.blocks.name();
        if let Some(fault) = record.fault {
            return Err(error::malformed(name, format_args!("its header: {}", fault.text())));
        }
        let mut names: Vec<Option<String>> = Vec::with_capacity(record.len());
        for index in 0..record.len() {
            let cell = std::str::from_utf8(record.cell(index).0)
                .map_err(|_| error::malformed(name, "its header is not UTF-8"))?;
            if !cell.is_empty() && names.iter().flatten().any(|n| n == cell) {
                return Err(error::malformed(
                    name,
                    format_args!("column {cell:?} comes twice in its header"),
                ));
            }
            names.push((!cell.is_empty()).then(|| cell.to_owned()));
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests;
