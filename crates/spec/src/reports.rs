//! Reports: what is asked of a database, and the templates that show it.

use syncline_core::report::Report;

use crate::{
    connections::{NAMED_MAX, check_count, check_name},
    keys::REPORT,
    names::Names,
    problem::echo,
    reader::{Reader, Record, Spot},
    variables::Environment,
};

/// Most queries of a report.
const QUERIES_MAX: usize = 20;

/// Largest template.
const TEMPLATE_BYTES_MAX: usize = 1 << 20;

/// What the templates call the records of `query`.
const ROWS: &str = "rows";

/// Reads all reports.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    names: &Names<'_>,
    environment: &dyn Environment,
) -> Vec<Report> {
    let Some(entries) = reader.named(spot, "reports") else { return Vec::new() };
    check_count(reader, spot, entries.len(), "reports");
    let read = entries.iter().take(NAMED_MAX).filter_map(|(name, spot)| {
        check_name(reader, spot, name, &echo(name));
        report(reader, spot, name, names, environment)
    });
    read.collect()
}

fn report(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    name: &str,
    names: &Names<'_>,
    environment: &dyn Environment,
) -> Option<Report> {
    let record = reader.record(spot, &REPORT)?;
    let connection = names.connection(reader, &record);
    let queries = queries(reader, &record);
    let group_by = record.text(reader, "group_by");
    let subject = record.text(reader, "subject");
    let html = html(reader, &record, environment);
    let text = record.text(reader, "text");
    let to = record.texts(reader, "to").unwrap_or_default();
    let file = record.text(reader, "file");
    if !record.gives("to") && !record.gives("file") {
        let message = format!("{} goes nowhere: it has neither to nor file", spot.path);
        reader.error(spot.key, &spot.path, message, None);
    }
    Some(Report {
        name: name.to_owned(),
        connection: connection?,
        queries: queries?,
        group_by,
        subject: subject?,
        html: html?,
        text,
        to,
        file,
    })
}

/// Name and statement; the main one first.
fn queries(reader: &mut Reader<'_>, report: &Record<'_>) -> Option<Vec<(String, String)>> {
    match (report.get("query"), report.get("queries")) {
        (Some(one), None) => Some(vec![(ROWS.to_owned(), reader.sql(&one)?)]),
        (None, Some(many)) => {
            let entries = reader.named(&many, "statements")?;
            if entries.len() > QUERIES_MAX {
                let message = format!("{} queries; at most {QUERIES_MAX} are allowed", entries.len());
                reader.error(many.key, &many.path, message, None);
            }
            let mut queries = Vec::new();
            for (name, spot) in entries.iter().take(QUERIES_MAX) {
                let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if !name.chars().all(valid)
                    || name.starts_with(|c: char| c.is_ascii_digit())
                    || name.is_empty()
                {
                    let message = format!("{} is not a name for a template", echo(name));
                    let hint = "letters, digits and _, not a digit first".to_owned();
                    reader.error(spot.key, &spot.path, message, Some(hint));
                }
                queries.extend(reader.sql(spot).map(|sql| ((*name).to_owned(), sql)));
            }
            (!queries.is_empty()).then_some(queries)
        }
        _ => {
            report.exactly_one(reader, "query and queries");
            None
        }
    }
}

/// The template itself, wherever it is written.
fn html(reader: &mut Reader<'_>, report: &Record<'_>, environment: &dyn Environment) -> Option<String> {
    match (report.get("template"), report.get("html")) {
        (None, Some(html)) => reader.text(&html),
        (Some(spot), None) => {
            let path = reader.text(&spot)?;
            let why = match environment.file(&path) {
                Ok(text) if text.len() <= TEMPLATE_BYTES_MAX => return Some(text),
                Ok(text) => format!("has {} bytes; at most {TEMPLATE_BYTES_MAX} are allowed", text.len()),
                Err(why) => format!("cannot be read: {why}"),
            };
            let message = format!("{} {} {why}", spot.path, reader.shown(&spot));
            reader.error(spot.node.place, &spot.path, message, None);
            None
        }
        _ => {
            report.exactly_one(reader, "template and html");
            None
        }
    }
}
