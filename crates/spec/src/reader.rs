//! Reading maps against the tables of [`keys`](crate::keys): problems are collected, and reading goes on.

use syncline_core::expr::Expr;

use crate::{
    keys::{Kind, Shape, Words},
    places::{Places, child, item},
    problem::{Place, Problem, Severity, any_of, nearest},
    tree::{Entry, Node, Value},
    variables::Variables,
};

/// Most problems that are reported; a file with more is not a project file.
const PROBLEMS_MAX: usize = 1000;

/// Collects problems and places while a file is read.
pub(crate) struct Reader<'f> {
    pub(crate) file: &'f str,
    pub(crate) text: &'f str,
    pub(crate) places: Places,
    problems: Vec<Problem>,
    dropped: usize,
}

/// A value, where it is, and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Spot<'t> {
    pub(crate) path: String,
    /// Place of its key.
    pub(crate) key: Place,
    pub(crate) node: &'t Node,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(file: &'f str, text: &'f str) -> Self {
        Self { file, text, places: Places::default(), problems: Vec::new(), dropped: 0 }
    }

    pub(crate) fn error(&mut self, at: Place, path: &str, message: impl Into<String>, hint: Option<String>) {
        self.report(Severity::Error, at, path, message.into(), hint);
    }

    pub(crate) fn warning(
        &mut self,
        at: Place,
        path: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.report(Severity::Warning, at, path, message.into(), hint);
    }

    fn report(&mut self, severity: Severity, at: Place, path: &str, message: String, hint: Option<String>) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.dropped += 1;
            return;
        }
        let problem = Problem {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            path: path.to_owned(),
            message,
            hint,
            severity,
        };
        // A value that an alias repeats is read, and found wrong, each time.
        let same = |p: &Problem| p.place() == problem.place() && p.message == problem.message;
        if !self.problems.iter().any(same) {
            self.problems.push(problem);
        }
    }

    /// Everything that was found, in the order of the file.
    pub(crate) fn finish(mut self) -> (Vec<Problem>, Places) {
        self.problems.sort_by_key(Problem::place);
        if let (1.., Some(last)) = (self.dropped, self.problems.last()) {
            let message = format!("{} more problems are not shown", self.dropped);
            // An error, since one may be among those that are not shown.
            let note = Problem {
                severity: Severity::Error,
                path: String::new(),
                message,
                hint: None,
                ..last.clone()
            };
            self.problems.push(note);
        }
        (self.problems, self.places)
    }

    /// Notes where everything stands, fills variables in and takes repeated keys out, before anything is read.
    pub(crate) fn prepare(&mut self, variables: &mut Variables<'_>, node: &mut Node, path: &str, key: Place) {
        let place = node.place;
        self.places.insert(path.to_owned(), key, place);
        match &mut node.value {
            Value::Scalar(scalar) if scalar.written.contains("${") => {
                let filled = variables.fill(&scalar.written);
                for fault in filled.faults {
                    let at = crate::source::place_in(self.text, scalar, place, fault.offset);
                    self.error(at, path, fault.message, fault.hint);
                }
                (scalar.text, scalar.filled) = (filled.text, filled.any);
            }
            Value::Scalar(_) => {}
            Value::List(items) => {
                for (index, node) in items.iter_mut().enumerate() {
                    let start = node.place;
                    self.prepare(variables, node, &item(path, index), start);
                }
            }
            Value::Map(entries) => {
                self.take_repeated_out(entries, path);
                for entry in entries {
                    let mut of_store = None;
                    if path.is_empty() && entry.key == "store" {
                        of_store = variables.for_store();
                    }
                    let variables = of_store.as_mut().unwrap_or(&mut *variables);
                    self.prepare(variables, &mut entry.node, &child(path, &entry.key), entry.key_place);
                }
            }
        }
    }

    fn take_repeated_out(&mut self, entries: &mut Vec<Entry>, path: &str) {
        let mut first = std::collections::BTreeMap::new();
        entries.retain(|entry| {
            let Some(place) = first.insert(entry.key.clone(), entry.key_place) else { return true };
            let message = format!(
                "{:?} appears twice in {}; the first is at line {}, column {}",
                entry.key,
                named(path),
                place.line,
                place.column
            );
            self.error(entry.key_place, &child(path, &entry.key), message, None);
            first.insert(entry.key.clone(), place);
            false
        });
    }

    /// The entries of a map of the user's own names, at least one; names are checked by the caller.
    pub(crate) fn named<'t>(&mut self, spot: &Spot<'t>, what: &str) -> Option<Vec<(&'t str, Spot<'t>)>> {
        let Value::Map(entries) = &spot.node.value else {
            self.wrong(spot, &format!("must be a map from names to {what}"));
            return None;
        };
        if entries.is_empty() {
            self.error(spot.node.place, &spot.path, format!("{} must not be empty", spot.path), None);
        }
        Some(entries.iter().map(|e| (e.key.as_str(), spot.child(e))).collect())
    }

    /// The items of a list, at least one.
    pub(crate) fn items<'t>(&mut self, spot: &Spot<'t>, what: &str) -> Option<Vec<Spot<'t>>> {
        let Value::List(items) = &spot.node.value else {
            self.wrong(spot, &format!("must be a list of {what}"));
            return None;
        };
        if items.is_empty() {
            self.error(spot.node.place, &spot.path, format!("{} must not be empty", spot.path), None);
        }
        let spots = items.iter().enumerate().map(|(index, node)| Spot {
            path: item(&spot.path, index),
            key: node.place,
            node,
        });
        Some(spots.collect())
    }

    /// A map with known keys: reports unknown and missing ones.
    pub(crate) fn record<'t>(&mut self, spot: &Spot<'t>, shape: &'static Shape) -> Option<Record<'t>> {
        let Value::Map(entries) = &spot.node.value else {
            let names: Vec<&str> = shape.keys.iter().map(|k| k.name).collect();
            self.wrong(spot, &format!("must be a map with the keys {}", names.join(", ")));
            return None;
        };
        let known: Vec<&str> = shape.keys.iter().map(|k| k.name).collect();
        let mut meant = Vec::new();
        for entry in entries.iter().filter(|e| shape.key(&e.key).is_none()) {
            let near = nearest(&entry.key, known.iter().copied());
            let also = || shape.keys.iter().find(|k| k.also.contains(&entry.key.to_lowercase().as_str()));
            let near = near.or_else(|| also().map(|k| k.name));
            meant.extend(near);
            self.unknown_key(spot, entry, near, &known);
        }
        let record = Record { spot: spot.clone(), shape, entries, meant };
        for key in shape.keys.iter().filter(|k| k.required) {
            self.require(&record, key.name, None);
        }
        Some(record)
    }

    /// Reports a key that is missing. One slip, one problem: a misspelt key is not also a missing one.
    pub(crate) fn require(&mut self, record: &Record<'_>, name: &str, hint: Option<&str>) {
        if record.get(name).is_none() && !record.meant.contains(&name) {
            let message = format!("{name:?} is missing in {}", named(&record.spot.path));
            self.error(record.spot.key, &record.spot.path, message, hint.map(ToOwned::to_owned));
        }
    }

    pub(crate) fn unknown_key(&mut self, spot: &Spot<'_>, entry: &Entry, near: Option<&str>, known: &[&str]) {
        let message = format!("unknown key {} in {}", crate::problem::echo(&entry.key), named(&spot.path));
        let message =
            if spot.path.is_empty() { message.replace(" in the file", " at the top level") } else { message };
        let hint = near
            .map(|near| format!("did you mean {near:?}?"))
            .or_else(|| (known.len() <= 12).then(|| format!("known keys: {}", known.join(", "))));
        self.error(entry.key_place, &child(&spot.path, &entry.key), message, hint);
    }

    pub(crate) fn missing_key(&mut self, spot: &Spot<'_>, name: &str) {
        let message = format!("{name:?} is missing in {}", named(&spot.path));
        self.error(spot.key, &spot.path, message, None);
    }
}

/// A path, or what to call the whole file.
fn named(path: &str) -> &str {
    if path.is_empty() { "the file" } else { path }
}

impl<'t> Spot<'t> {
    pub(crate) fn child(&self, entry: &'t Entry) -> Self {
        Spot { path: child(&self.path, &entry.key), key: entry.key_place, node: &entry.node }
    }
}

/// A map whose keys were checked. Its getters report a wrong value and give `None`, as they do for an absent one.
#[derive(Debug)]
pub(crate) struct Record<'t> {
    pub(crate) spot: Spot<'t>,
    shape: &'static Shape,
    entries: &'t [Entry],
    /// Keys of the shape that the unknown ones probably are.
    meant: Vec<&'static str>,
}

impl<'t> Record<'t> {
    /// The value of a key of the shape.
    pub(crate) fn get(&self, name: &str) -> Option<Spot<'t>> {
        debug_assert!(self.shape.key(name).is_some(), "{name:?} is not in the table of {}", self.shape.title);
        self.entries.iter().find(|e| e.key == name).map(|e| self.spot.child(e))
    }

    /// Whether the map has this key, whatever its value.
    pub(crate) fn gives(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Reports a map that has none or several of `keys` (`rows, fresh and synced`), unless one of them is misspelt.
    pub(crate) fn exactly_one(&self, reader: &mut Reader<'_>, keys: &str) {
        if !self.meant.iter().any(|key| keys.split([',', ' ']).any(|k| k == *key)) {
            let message = format!("{} needs exactly one of {keys}", named(&self.spot.path));
            reader.error(self.spot.key, &self.spot.path, message, None);
        }
    }

    /// Whether the map under `side` has this key; `None` when there is no map.
    pub(crate) fn side_gives(&self, side: &str, name: &str) -> Option<bool> {
        match &self.get(side)?.node.value {
            Value::Map(entries) => Some(entries.iter().any(|e| e.key == name)),
            _ => None,
        }
    }

    fn kind(&self, name: &str) -> Option<&'static Kind> {
        self.shape.key(name).map(|k| &k.kind)
    }

    pub(crate) fn text(&self, reader: &mut Reader<'_>, name: &str) -> Option<String> {
        self.get(name).and_then(|spot| reader.text(&spot))
    }

    pub(crate) fn texts(&self, reader: &mut Reader<'_>, name: &str) -> Option<Vec<String>> {
        self.get(name).and_then(|spot| reader.texts(&spot))
    }

    pub(crate) fn boolean(&self, reader: &mut Reader<'_>, name: &str) -> Option<bool> {
        self.get(name).and_then(|spot| reader.boolean(&spot))
    }

    pub(crate) fn duration(&self, reader: &mut Reader<'_>, name: &str) -> Option<std::time::Duration> {
        self.get(name).and_then(|spot| reader.duration(&spot))
    }

    pub(crate) fn size(&self, reader: &mut Reader<'_>, name: &str) -> Option<u64> {
        self.get(name).and_then(|spot| reader.size(&spot))
    }

    pub(crate) fn expression(&self, reader: &mut Reader<'_>, name: &str) -> Option<Expr> {
        self.get(name).and_then(|spot| reader.expression(&spot))
    }

    /// A statement or an expression in SQL.
    pub(crate) fn sql(&self, reader: &mut Reader<'_>, name: &str) -> Option<String> {
        self.get(name).and_then(|spot| reader.sql(&spot))
    }

    /// A duration that is not nothing.
    pub(crate) fn interval(&self, reader: &mut Reader<'_>, name: &str) -> Option<std::time::Duration> {
        let duration = self.duration(reader, name)?;
        if let (true, Some(spot)) = (duration.is_zero(), self.get(name)) {
            let message = format!("{} must be more than nothing", spot.path);
            reader.error(spot.node.place, &spot.path, message, None);
        }
        Some(duration)
    }

    /// An address with one of these beginnings. It may hold a secret, so it is not repeated. One that came from variables
    /// is taken in any case, with a warning: what needs only the store must not stop at it.
    pub(crate) fn address(&self, reader: &mut Reader<'_>, name: &str, schemes: &[&str]) -> Option<String> {
        let (text, spot) = (self.text(reader, name)?, self.get(name)?);
        if schemes.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme)) {
            return Some(text);
        }
        let message = format!("{} must begin with {}", spot.path, any_of(schemes));
        if reader.is_filled(&spot) {
            reader.warning(spot.node.place, &spot.path, message, None);
            return Some(text);
        }
        reader.error(spot.node.place, &spot.path, message, None);
        None
    }

    /// One of the words that the table allows.
    pub(crate) fn word(&self, reader: &mut Reader<'_>, name: &str) -> Option<&'static str> {
        let spot = self.get(name)?;
        reader.word(&spot, self.words(name)?)
    }

    fn words(&self, name: &str) -> Option<&'static Words> {
        match self.kind(name)? {
            Kind::Words(words) => Some(words),
            _ => None,
        }
    }

    /// A whole number in the range that the table allows.
    pub(crate) fn integer(&self, reader: &mut Reader<'_>, name: &str) -> Option<u64> {
        let spot = self.get(name)?;
        match self.kind(name)? {
            Kind::Integer { min, max } => reader.integer(&spot, *min, *max),
            _ => None,
        }
    }

    /// A number in the range that the table allows.
    pub(crate) fn number(&self, reader: &mut Reader<'_>, name: &str) -> Option<f64> {
        let spot = self.get(name)?;
        match self.kind(name)? {
            Kind::Number { min, max } => reader.number(&spot, *min, *max),
            _ => None,
        }
    }
}
