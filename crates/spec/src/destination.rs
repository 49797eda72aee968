//! What a sync writes into, and how: which of its other keys have a meaning follows from that.

use syncline_core::{
    connection::ConnectorSpec,
    sync::{From, To, Write},
};

use crate::{
    problem::{any_of, nearest},
    reader::{Reader, Record},
    tables,
};

/// Every way to write, for destinations that are not known.
const WRITES: &[Write] = &[Write::Append, Write::Upsert, Write::Mirror, Write::Replace];

/// What a destination is, as far as its connection tells. Of one that is missing or wrong, which was reported, nothing
/// more is said: it is neither an API nor a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination<'c>(pub(crate) Option<&'c ConnectorSpec>);

impl Destination<'_> {
    /// Written record by record.
    pub(crate) fn is_api(self) -> bool {
        self.0.is_some_and(|c| !c.loads)
    }

    /// Written by bulk loads: a table of a database, or a file.
    pub(crate) fn loads(self) -> bool {
        self.0.is_some_and(|c| c.loads)
    }

    /// A file: loaded, but nothing in it can be updated.
    pub(crate) fn is_file(self) -> bool {
        self.0.is_some_and(|c| c.loads && !c.writes.contains(&Write::Upsert))
    }

    pub(crate) fn type_name(self) -> &'static str {
        self.0.map_or("", |c| c.name)
    }

    /// The key of `to` that names what is written.
    fn stream_key(self) -> Option<&'static str> {
        self.0.map(|c| match (c.loads, self.is_file()) {
            (false, _) => "list",
            (true, false) => "table",
            (true, true) => "path",
        })
    }

    fn writes(self) -> &'static [Write] {
        self.0.map_or(WRITES, |c| c.writes)
    }

    fn implied(self) -> Write {
        match self.writes() {
            writes if writes.contains(&Write::Upsert) => Write::Upsert,
            writes if writes.contains(&Write::Replace) => Write::Replace,
            writes => writes.first().copied().unwrap_or(Write::Upsert),
        }
    }

    /// Reports those of the keys that are given although they are for tables and the destination is an API.
    pub(crate) fn tables_only(self, reader: &mut Reader<'_>, record: &Record<'_>, keys: &[&str]) {
        if self.is_api() {
            self.refuse(reader, record, keys, "tables");
        }
    }

    /// Reports those of the keys that are given although they are for tables of a database and this is something else.
    pub(crate) fn databases_only(self, reader: &mut Reader<'_>, record: &Record<'_>, keys: &[&str]) {
        if self.is_api() || self.is_file() {
            self.refuse(reader, record, keys, "tables of a database");
        }
    }

    fn refuse(self, reader: &mut Reader<'_>, record: &Record<'_>, keys: &[&str], what: &str) {
        for spot in keys.iter().filter_map(|key| record.get(key)) {
            let message = format!("{} is for {what} only", spot.path);
            let hint = format!("remove it: the sync writes to a connection of type {}", self.type_name());
            reader.error(spot.key, &spot.path, message, Some(hint));
        }
    }
}

/// The way a sync is written: one that its destination can do.
pub(crate) fn write(reader: &mut Reader<'_>, sync: &Record<'_>, destination: Destination<'_>) -> Write {
    let writes = destination.writes();
    let words: Vec<&str> = writes.iter().map(|w| w.as_str()).collect();
    let must = format!("must be {}", any_of(&words));
    let Some(spot) = sync.get("write") else { return destination.implied() };
    let Some((_, text)) = reader.scalar(&spot, &must) else { return destination.implied() };
    if let Some(write) = writes.iter().find(|w| w.as_str() == text) {
        return *write;
    }
    let hint = if WRITES.iter().any(|w| w.as_str() == text) {
        Some(format!("connections of type {} are not written otherwise", destination.type_name()))
    } else {
        nearest(text, words).map(|near| format!("did you mean {near:?}?"))
    };
    reader.wrong_with(&spot, &must, hint);
    destination.implied()
}

/// Reads `to`, whose connection was read before.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    to: &Record<'_>,
    destination: Destination<'_>,
    connection: Option<String>,
    from: Option<&From>,
) -> Option<To> {
    let stream = stream(reader, to, destination, from);
    let table = tables::options(reader, to, destination);
    Some(To { connection: connection?, stream: stream?, table })
}

/// The list, table or path; a table that is not named has the name of the source's.
fn stream(
    reader: &mut Reader<'_>,
    to: &Record<'_>,
    destination: Destination<'_>,
    from: Option<&From>,
) -> Option<String> {
    const KEYS: [&str; 3] = ["list", "table", "path"];
    let texts = KEYS.map(|key| to.text(reader, key));
    let Some(own) = destination.stream_key() else { return texts.into_iter().flatten().next() };
    let others: Vec<_> = KEYS.iter().filter(|key| **key != own).filter_map(|key| to.get(key)).collect();
    for spot in &others {
        let message = format!("{} is not for connections of type {}", spot.path, destination.type_name());
        let what = if to.gives(own) {
            format!("remove it: {own} says where")
        } else {
            format!("did you mean {own:?}?")
        };
        reader.error(spot.key, &spot.path, message, Some(what));
    }
    if to.gives(own) {
        return KEYS.iter().zip(texts).find(|(key, _)| **key == own).and_then(|(_, text)| text);
    }
    match from.filter(|_| destination.loads()) {
        // Reported, or not known because `from` is wrong.
        _ if !others.is_empty() || (destination.loads() && from.is_none()) => {}
        Some(from) if !from.stream.starts_with('(') => return Some(from.stream.clone()),
        Some(_) => reader.require(to, own, Some("a query has no name that it could have")),
        None => reader.require(to, own, None),
    }
    None
}
