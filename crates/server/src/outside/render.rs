//! Rows through templates: pure, bounded, and strict. A name that does not exist is an error, as is a template that would not
//! end; what comes from data is escaped in HTML.
//!
//! What a template sees: each query under its name, as a list of records; `group`, the value that the message is for; `report`,
//! the report's name; `now`, the time of the run. Its filters and functions are listed in `docs/reports.md`.

use std::{collections::BTreeMap, io};

use jiff::Timestamp;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value as Seen, escape_formatter,
    value::Kwargs,
};
use syncline_connect::statements::Rows;
use syncline_core::{report::Report, value::Value};

use super::{
    Failure,
    chart::{self, Entry},
    figures::{self, Figure},
    file, plain,
};

/// Most messages of a report.
pub const MESSAGES_MAX: usize = 1_000;
/// Most receivers of a message.
pub const RECEIVERS_MAX: usize = 50;
/// Most bytes of one text.
const TEXT_MAX: usize = 8 << 20;
/// Most bytes of all texts of a report.
const ALL_MAX: usize = 64 << 20;
/// Steps that a template may take.
const FUEL: u64 = 20_000_000;
/// Characters of a template's line that are shown.
const LINE_SHOWN: usize = 80;
/// Most characters of a subject.
const SUBJECT_MAX: usize = 250;

/// A message as it will be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Receivers as the templates gave them; empty: only a file.
    pub to: Vec<String>,
    /// One line.
    pub subject: String,
    /// HTML.
    pub html: String,
    /// Plain text.
    pub text: String,
    /// File, relative to the project's directory.
    pub file: Option<std::path::PathBuf>,
}

/// The messages of a report, in the order in which their groups come in the main query. `data`: the rows of each query.
///
/// # Errors
/// A template, a column, an address or a limit, named by part and line; no value.
pub fn messages(report: &Report, data: &[(String, Rows)], now: Timestamp) -> Result<Vec<Message>, Failure> {
    let groups = groups(report, data)?;
    if groups.len() > MESSAGES_MAX {
        let message = format!("{} messages; a report sends at most {MESSAGES_MAX}", groups.len());
        return Err(Failure::new("definition", message));
    }
    let environment = environment();
    let mut messages = Vec::with_capacity(groups.len());
    let mut bytes = 0;
    for group in groups {
        let message = message(&environment, report, data, group, now)?;
        bytes += message.html.len() + message.text.len();
        if bytes > ALL_MAX {
            return Err(Failure::new(
                "template",
                format!("the messages have more than {} MiB", ALL_MAX >> 20),
            ));
        }
        if message.file.is_some() && messages.iter().any(|m: &Message| m.file == message.file) {
            return Err(Failure::new(
                "file",
                "two messages would be written to one file: name the group in it",
            ));
        }
        messages.push(message);
    }
    Ok(messages)
}

/// The values to send a message for; one nothing where the report is not grouped.
fn groups<'d>(
    report: &Report,
    data: &'d [(String, Rows)],
) -> Result<Vec<Option<&'d Value<'static>>>, Failure> {
    let Some(column) = &report.group_by else { return Ok(vec![None]) };
    let wrong = |why: String| Failure::new("definition", format!("group_by: {why}"));
    let (name, rows) = data.first().ok_or_else(|| wrong("the report has no query".into()))?;
    let at = rows.columns.iter().position(|c| c == column);
    let at = at.ok_or_else(|| wrong(format!("query {name:?} has no column {column:?}")))?;
    let mut seen = BTreeMap::new();
    let mut groups = Vec::new();
    for row in &rows.rows {
        if row[at].is_null() {
            return Err(wrong(format!("column {column:?} of query {name:?} is null in a row")));
        }
        if seen.insert(row[at].to_json().to_string(), ()).is_none() {
            groups.push(Some(&row[at]));
        }
    }
    Ok(groups)
}

fn message(
    environment: &Environment<'_>,
    report: &Report,
    data: &[(String, Rows)],
    group: Option<&Value<'static>>,
    now: Timestamp,
) -> Result<Message, Failure> {
    let context = context(report, data, group, now);
    let text = |part: &str, template: &str| render(environment, part, template, &context);
    let html = text("html", &report.html)?;
    let plain = match &report.text {
        Some(template) => text("text", template)?,
        None => plain::of_html(&html),
    };
    let mut to = Vec::new();
    for template in &report.to {
        let address = text("to", template)?;
        if !address.trim().is_empty() {
            to.push(address.trim().to_owned());
        }
    }
    if to.len() > RECEIVERS_MAX {
        return Err(Failure::new("definition", format!("a message has at most {RECEIVERS_MAX} receivers")));
    }
    let file = match &report.file {
        Some(template) => Some(file::path(&text("file", template)?)?),
        None => None,
    };
    Ok(Message { to, subject: one_line(&text("subject", &report.subject)?), html, text: plain, file })
}

/// A subject is one line: what would begin another header becomes a space.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ").chars().take(SUBJECT_MAX).collect()
}

fn context(report: &Report, data: &[(String, Rows)], group: Option<&Value<'static>>, now: Timestamp) -> Seen {
    let mut context: BTreeMap<String, Seen> = BTreeMap::new();
    context.insert("report".into(), Seen::from(report.name.as_str()));
    context.insert("now".into(), Seen::from(now.to_string()));
    context.insert("group".into(), group.map_or(Seen::from(()), seen));
    for (name, rows) in data {
        let column = report.group_by.as_ref().and_then(|c| rows.columns.iter().position(|o| o == c));
        // where a query tells the groups apart, a message sees its own rows
        let ours = rows.rows.iter().filter(|row| match (column, group) {
            (Some(column), Some(group)) => row[column].to_json() == group.to_json(),
            _ => true,
        });
        let record = |row: &Vec<Value<'static>>| {
            let fields = rows.columns.iter().zip(row).map(|(column, value)| (column.clone(), seen(value)));
            Seen::from(fields.collect::<BTreeMap<String, Seen>>())
        };
        context.insert(name.clone(), Seen::from(ours.map(record).collect::<Vec<Seen>>()));
    }
    Seen::from(context)
}

/// A value as templates see it. A decimal without a fraction is a whole number; another one keeps its digits, as text.
fn seen(value: &Value<'_>) -> Seen {
    match value {
        Value::Null => Seen::from(()),
        Value::Boolean(v) => Seen::from(*v),
        Value::Int64(v) => Seen::from(*v),
        Value::Float64(v) => Seen::from(*v),
        Value::Decimal(v) => match v.parse::<i64>() {
            Ok(whole) => Seen::from(whole),
            Err(_) => Seen::from(v.as_ref()),
        },
        Value::List(v) => Seen::from(v.iter().map(seen).collect::<Vec<_>>()),
        other => match other.to_json() {
            serde_json::Value::String(text) => Seen::from(text),
            json => Seen::from(json.to_string()),
        },
    }
}

fn render(
    environment: &Environment<'_>,
    part: &str,
    template: &str,
    context: &Seen,
) -> Result<String, Failure> {
    let wrong = |error: &Error| wrong(part, template, error);
    let compiled = environment.template_from_named_str(part, template).map_err(|e| wrong(&e))?;
    let mut text = Text { bytes: Vec::new(), full: false };
    let rendered = compiled.render_captured_to(context.clone(), &mut text).map(drop);
    if text.full {
        return Err(Failure::new("template", format!("{part}: more than {} MiB of text", TEXT_MAX >> 20)));
    }
    rendered.map_err(|e| wrong(&e))?;
    String::from_utf8(text.bytes).map_err(|_| Failure::new("template", format!("{part}: not text")))
}

/// What is wrong with a template: the words of the template engine where they hold no value, and the line as it is written.
fn wrong(part: &str, template: &str, error: &Error) -> Failure {
    let safe = matches!(
        error.kind(),
        ErrorKind::SyntaxError
            | ErrorKind::UnknownFilter
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownMethod
            | ErrorKind::UndefinedError
            | ErrorKind::MissingArgument
            | ErrorKind::TooManyArguments
            | ErrorKind::InvalidOperation
    );
    let line = error.line().map_or_else(String::new, |line| {
        let written = template.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim();
        let written: String = written.chars().take(LINE_SHOWN).collect();
        format!(", line {line}, `{written}`")
    });
    let detail = error.detail().filter(|_| safe).map_or_else(String::new, |d| format!(": {d}"));
    Failure::new("template", format!("{part}{line}: {}{detail}", error.kind()))
}

/// Text up to a limit.
struct Text {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for &mut Text {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > TEXT_MAX {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(100);
    environment
        .set_auto_escape_callback(|part| if part == "html" { AutoEscape::Html } else { AutoEscape::None });
    environment.set_formatter(|out, state, value| {
        // null is nothing to be seen
        if value.is_none() { Ok(()) } else { escape_formatter(out, state, value) }
    });
    environment.add_filter("number", |value: &Seen, decimals: Option<usize>, options: Kwargs| {
        let written = number(value, decimals, 0, &options)?;
        options.assert_all_used()?;
        Ok::<_, Error>(written)
    });
    environment.add_filter("money", |value: &Seen, currency: &str, options: Kwargs| {
        let written = number(value, options.get("decimals")?, 2, &options)?;
        options.assert_all_used()?;
        Ok::<_, Error>(if written.is_empty() { written } else { format!("{written}\u{a0}{currency}") })
    });
    environment.add_filter("percent", |value: &Seen, decimals: Option<usize>, options: Kwargs| {
        let written = number(value, decimals, 0, &options)?;
        options.assert_all_used()?;
        Ok::<_, Error>(if written.is_empty() { written } else { format!("{written}\u{a0}%") })
    });
    environment.add_filter("date", |value: &Seen, format: Option<&str>, options: Kwargs| {
        let zone: Option<&str> = options.get("zone")?;
        options.assert_all_used()?;
        match value.as_str() {
            None if value.is_none() => Ok(String::new()),
            text => figures::date(text.unwrap_or_default(), format.unwrap_or("%Y-%m-%d"), zone),
        }
    });
    environment.add_filter("total", |rows: &Seen, column: &str| {
        let figures = column_of(rows, column)?;
        figures::total(&figures)
    });
    environment.add_function("bar_chart", |rows: &Seen, options: Kwargs| {
        drawn(rows, &options, chart::BARS_MAX, chart::bars)
    });
    environment.add_function("line_chart", |rows: &Seen, options: Kwargs| {
        drawn(rows, &options, chart::POINTS_MAX, chart::lines)
    });
    environment
}

fn number(
    value: &Seen,
    decimals: Option<usize>,
    otherwise: usize,
    options: &Kwargs,
) -> Result<String, Error> {
    let group: Option<&str> = options.get("group")?;
    let point: Option<&str> = options.get("point")?;
    if value.is_none() {
        return Ok(String::new());
    }
    let decimals = figures::decimals(decimals, otherwise)?;
    Ok(Figure::of(value)?.rounded(decimals).written(group.unwrap_or(","), point.unwrap_or(".")))
}

/// The numbers of a column; null is left out.
fn column_of(rows: &Seen, column: &str) -> Result<Vec<Figure>, Error> {
    let mut figures = Vec::new();
    for row in rows.try_iter()? {
        let value = field(&row, column)?;
        if !value.is_none() {
            figures.push(Figure::of(&value)?);
        }
    }
    Ok(figures)
}

fn field(row: &Seen, column: &str) -> Result<Seen, Error> {
    let value = row.get_attr(column)?;
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, format!("the rows have no column {column:?}")));
    }
    Ok(value)
}

fn drawn(
    rows: &Seen,
    options: &Kwargs,
    most: usize,
    draw: fn(&str, &str, &[Entry]) -> String,
) -> Result<Seen, Error> {
    let (label, value): (&str, &str) = (options.get("label")?, options.get("value")?);
    let (title, unit): (Option<&str>, Option<&str>) = (options.get("title")?, options.get("unit")?);
    options.assert_all_used()?;
    let mut entries = Vec::new();
    for row in rows.try_iter()? {
        if entries.len() == most {
            return Err(figures::wrong("more rows than a chart has room for"));
        }
        let figure = field(&row, value)?;
        if !figure.is_none() {
            entries.push(Entry { label: field(&row, label)?.to_string(), figure: Figure::of(&figure)? });
        }
    }
    Ok(Seen::from_safe_string(draw(title.unwrap_or(value), unit.unwrap_or_default(), &entries)))
}
