//! YAML as a small tree in which every key and value knows its place.
//!
//! The definitions are not deserialised directly: a deserialiser stops at the first thing it does not like, and people
//! want every problem at once.

use std::{collections::BTreeMap, ops::Range};

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, StrInput, options};

use crate::problem::{Place, echo};

/// Deepest nesting. The format itself needs seven levels.
const DEPTH_MAX: usize = 32;

/// Most nodes, counting what aliases copy: ten thousand syncs have a third of that.
const NODES_MAX: usize = 600_000;

/// What YAML itself gives tags to.
const TAGS: [&str; 10] =
    ["!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq", "!!set", "!!binary", "!!timestamp"];

/// A value and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the file's order; keys may repeat.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) node: Node,
}

/// A scalar: as written after YAML's own escapes, and after `${...}` is filled in.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// As written. This is what messages repeat: it holds the names of variables, not their values.
    pub(crate) written: String,
    /// With variables filled in; `None` when one of them cannot be.
    pub(crate) text: Option<String>,
    /// Whether a variable was filled in: such a text may stand for a number or a truth value although it is quoted.
    pub(crate) filled: bool,
    pub(crate) style: Style,
    /// Bytes of the file.
    pub(crate) span: Range<usize>,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Single,
    Double,
    /// After `|` or `>`.
    Block,
}

impl Node {
    /// What the value is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) if scalar.is_null() => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Nodes in it, itself among them, and levels below it.
    fn size(&self) -> (usize, usize) {
        let children: Vec<&Self> = match &self.value {
            Value::Scalar(_) => Vec::new(),
            Value::List(items) => items.iter().collect(),
            Value::Map(entries) => entries.iter().map(|e| &e.node).collect(),
        };
        children.iter().map(|c| c.size()).fold((1, 0), |(n, depth), (m, below)| (n + m, depth.max(below + 1)))
    }
}

impl Scalar {
    /// Nothing, `null` or `~`.
    pub(crate) fn is_null(&self) -> bool {
        self.style == Style::Plain && matches!(self.written.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// Whether the text may be read as a number or a truth value.
    pub(crate) fn is_plain(&self) -> bool {
        self.style == Style::Plain || self.filled
    }
}

/// Why a file is not YAML that we can read. The first such fault ends the reading.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Reads a file of one document.
///
/// # Errors
/// Malformed YAML, more than one document, tags, merge keys, aliases to nothing, keys that are not text, and files that
/// are nested too deeply or have too many values.
pub(crate) fn read(text: &str) -> Result<Node, Fault> {
    let options: Options = options! {
        emit_comments: false,
        disallow_directives: true,
        // Ours is stricter and has the better message; these bound the scanner's own memory.
        flow_nesting_limit: 2 * DEPTH_MAX,
        block_nesting_limit: 2 * DEPTH_MAX,
    };
    let mut builder = Builder {
        text,
        events: Parser::new_from_str_with_options(text, options),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    let mut root = None;
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(..) if root.is_some() => {
                return Err(Fault::new(
                    place(span.start),
                    "a second document starts here; a project is one document",
                ));
            }
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event => root = Some(builder.node(event, &span, 0)?),
        }
    }
    root.ok_or_else(|| Fault::new(Place { line: 1, column: 1 }, "the file is empty"))
}

struct Builder<'t> {
    text: &'t str,
    events: Parser<'t, StrInput<'t>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'t> Builder<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.events.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.malformed(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn malformed(&self, error: &ScanError) -> Fault {
        let place = place(*error.marker());
        let fault = Fault::new(place, format!("malformed YAML: {}", error.info()));
        let line = self.text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
        if line.contains('\t') {
            fault.with_hint("indent with spaces, not with tabs")
        } else if line.contains("${") {
            fault.with_hint("inside { } and [ ], write \"${...}\" in quotes")
        } else {
            fault
        }
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<Node, Fault> {
        let at = place(span.start);
        self.count(1, at)?;
        if depth > DEPTH_MAX {
            return Err(Fault::new(at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if event.tag().is_some() {
            let at = span.tag_start.map_or(at, place);
            return Err(useless_tag(span.tag_span().and_then(|span| span.slice(self.text)), at));
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, at, depth),
            Event::Scalar(text, style, anchor, _) => {
                (Value::Scalar(scalar(text.into_owned(), style, span)), anchor)
            }
            Event::SequenceStart(_, anchor, _) => (Value::List(self.list(depth)?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Map(self.map(depth)?), anchor),
            _ => return Err(Fault::new(at, "malformed YAML: a value was expected here")),
        };
        let node = Node { place: at, value };
        if anchor != 0 {
            self.count(node.size().0, at)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, &span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Fault> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => return Ok(entries),
                next => next,
            };
            let key_node = self.node(event, &span, depth + 1)?;
            let Value::Scalar(key) = key_node.value else {
                return Err(Fault::new(key_node.place, "a key must be a text"));
            };
            if key.written == "<<" && key.style == Style::Plain {
                return Err(Fault::new(key_node.place, "merge keys (<<) are not supported").with_hint(
                    "write the keys out, or repeat a whole value with an anchor (&a) and an alias (*a)",
                ));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1)?;
            entries.push(Entry { key: key.written, key_place: key_node.place, node });
        }
    }

    /// A copy of an anchored node. It keeps the places of the original: that is where a mistake in it is mended.
    fn alias(&mut self, anchor: usize, at: Place, depth: usize) -> Result<Node, Fault> {
        // An anchor is known when its node is complete, so a node that contains itself is not found.
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Fault::new(at, "the alias stands inside the value it refers to"));
        };
        let (nodes, below) = node.size();
        if depth + below > DEPTH_MAX {
            return Err(Fault::new(at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.count(nodes, at)?;
        Ok(node)
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(Fault::new(
                at,
                format!("more than {NODES_MAX} values, counting what aliases repeat"),
            ));
        }
        Ok(())
    }
}

/// Only YAML's own tags are repeated: any other may be a password that begins with an exclamation mark.
fn useless_tag(tag: Option<&str>, at: Place) -> Fault {
    match tag.filter(|tag| TAGS.contains(tag)) {
        Some(tag) => Fault::new(at, format!("the tag {} has no meaning here", echo(tag)))
            .with_hint("remove it; text that looks like a number may stand in quotes"),
        None => Fault::new(at, "a tag (a word that begins with !) has no meaning here")
            .with_hint("remove it, or put a text that begins with ! in quotes"),
    }
}

fn scalar(written: String, style: ScalarStyle, span: &Span) -> Scalar {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    };
    Scalar {
        text: Some(written.clone()),
        written,
        filled: false,
        style,
        span: span.byte_range().unwrap_or_default(),
    }
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}
