//! A report from its queries to its receivers.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use syncline_connect::statements::{ROWS_MAX, Rows, Statements};
use syncline_core::{project::Mail, report::Report, value::hex};

use super::{
    Failure, file,
    mail::{Letter, Post},
    render::{self, Message},
};

/// How long one query may take; the step that runs the report may allow less.
const QUERY_TIMEOUT: Duration = Duration::from_secs(600);
/// Connections that break one after the other before the rest is not tried any more.
const BROKEN_MAX: usize = 3;
/// Problems that are told one by one.
const TOLD_MAX: usize = 5;

/// Asks the queries and renders the messages. Nothing leaves.
///
/// # Errors
/// A query failed or gave too much, or a template is wrong.
pub async fn prepare(
    report: &Report,
    statements: &dyn Statements,
    now: Timestamp,
) -> Result<Vec<Message>, Failure> {
    let mut data: Vec<(String, Rows)> = Vec::with_capacity(report.queries.len());
    for (name, query) in &report.queries {
        let rows = statements.query(query, ROWS_MAX, QUERY_TIMEOUT).await;
        data.push((name.clone(), rows.map_err(|e| Failure::new("query", format!("query {name:?}: {e}")))?));
    }
    render::messages(report, &data, now)
}

/// Writes the files, then sends the mail; returns a line for people (`3 messages to 4 receivers, reports/weekly.html`).
///
/// # Errors
/// A file could not be written, and nothing was sent; or `partly`: how many messages were sent, and what became of the others.
/// What was sent stays sent.
pub async fn deliver(
    mail: Option<&Mail>,
    directory: &Path,
    report: &Report,
    messages: Vec<Message>,
    now: Timestamp,
) -> Result<String, Failure> {
    let mut told = Vec::new();
    let mut letters = Vec::new();
    for (at, message) in messages.iter().enumerate().filter(|(_, m)| !m.to.is_empty()) {
        let letter = Letter {
            to: &message.to,
            subject: &message.subject,
            text: &message.text,
            html: Some(&message.html),
            id: id(&report.name, at, now),
            at: now,
        };
        letters.push((at, letter));
    }
    if !letters.is_empty() && mail.is_none() {
        return Err(Failure::new(
            "definition",
            "the report has receivers, and no mail server: set server.mail",
        ));
    }
    let mut files = messages.iter().filter_map(|m| Some((m.file.as_ref()?, &m.html)));
    let first = files.clone().next().map(|(path, _)| path.display().to_string());
    let count = files.clone().count();
    for (path, html) in &mut files {
        file::write(directory, path, html.clone()).await?;
    }
    if let Some(mail) = mail.filter(|_| !letters.is_empty()) {
        let post = Post::new(mail, directory)?;
        told.push(send(post, &letters, messages.len()).await?);
    }
    match (first, count) {
        (Some(first), 1) => told.push(first),
        (Some(first), more) => told.push(format!("{first} and {} more files", more - 1)),
        (None, _) if told.is_empty() => told.push("nothing to deliver".to_owned()),
        (None, _) => {}
    }
    Ok(told.join(", "))
}

/// Sends letters over one connection, each within its own time; one that fails does not stop the others.
async fn send(mut post: Post, letters: &[(usize, Letter<'_>)], of: usize) -> Result<String, Failure> {
    let (mut sent, mut receivers, mut broken) = (0, 0, 0);
    let mut problems = Vec::new();
    let mut last = None;
    for (done, (at, letter)) in letters.iter().enumerate() {
        let place = if of == 1 { String::new() } else { format!("message {} of {of}: ", at + 1) };
        match post.send(letter).await {
            Ok(taken) => {
                broken = 0;
                sent += 1;
                receivers += taken.receivers;
                problems.extend(taken.refused.iter().map(|why| format!("{place}{why}")));
            }
            Err(failure) => {
                let connection = matches!(failure.code, "unreachable" | "timeout");
                broken = if connection { broken + 1 } else { 0 };
                problems.push(format!("{place}{}", failure.message));
                last = Some(failure.code);
            }
        }
        if broken == BROKEN_MAX && done + 1 < letters.len() {
            problems.push(format!("{} messages were not tried", letters.len() - done - 1));
            break;
        }
    }
    post.close().await;
    if problems.is_empty() {
        return Ok(format!("{} to {}", counted(sent, "message"), counted(receivers, "receiver")));
    }
    let more = problems.len().saturating_sub(TOLD_MAX);
    problems.truncate(TOLD_MAX);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    let what = format!("{sent} of {} sent; {}", counted(letters.len(), "message"), problems.join("; "));
    Err(Failure::new(if sent == 0 { last.unwrap_or("refused") } else { "partly" }, what))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The number of a message: the same when the same run sends it again, so that mail programs can see that.
fn id(report: &str, at: usize, now: Timestamp) -> String {
    hex(&Sha256::digest(format!("{report}\0{at}\0{}", now.as_microsecond()).as_bytes())[..16])
}
