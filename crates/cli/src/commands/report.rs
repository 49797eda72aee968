//! `syncline report`

use std::path::{Path, PathBuf};

use clap::Args;
use syncline_core::report::Report;
use syncline_server::outside::{
    Failure as Undelivered, Reach,
    render::Message,
    report::{deliver, prepare},
};
use syncline_spec::did_you_mean;

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output,
    project::{self, Opened},
    show,
    wiring::{self, Systems},
};

/// Render a report, to look at it before anybody gets it
///
/// Asks the queries and renders the templates as a chain's step would, and prints each message: its receivers, subject and
/// text. Sends nothing and writes no file of the report, unless --send is given.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The report
    #[arg(value_name = "REPORT")]
    pub(crate) name: String,

    /// Write each message into this directory instead, as REPORT-1.html and REPORT-1.txt and so on
    #[arg(long, value_name = "DIR", conflicts_with = "send")]
    pub(crate) out: Option<PathBuf>,

    /// Deliver it: to its receivers and its file
    #[arg(long)]
    pub(crate) send: bool,
}

pub(crate) async fn run(global: &Global, args: &ReportArgs) -> Result<Exit, Failure> {
    let opened = project::open(global)?;
    let report = find(&opened, &args.name)?;
    let project = &opened.loaded.project;
    let connection = project.connection(&report.connection).ok_or_else(|| {
        Failure::usage(format!("report {:?}: there is no connection {:?}", report.name, report.connection))
    })?;
    let systems = Systems::new(&opened.directory);
    let statements = systems.statements(connection).await?;
    let now = wiring::clock().now();
    let messages = prepare(report, &*statements, now).await.map_err(|e| undelivered(report, e))?;
    if args.send {
        let mail = project.server.mail.as_ref();
        let delivered = deliver(mail, &opened.directory, report, messages, now).await;
        output::line(delivered.map_err(|e| undelivered(report, e))?);
        return Ok(Exit::Done);
    }
    match &args.out {
        Some(directory) => write(directory, report, &messages)?,
        None => messages.iter().for_each(print),
    }
    output::chat("nothing was sent; --send delivers it");
    Ok(Exit::Done)
}

fn find<'o>(opened: &'o Opened, name: &str) -> Result<&'o Report, Failure> {
    let project = &opened.loaded.project;
    project.report(name).ok_or_else(|| {
        let known: Vec<&str> = project.reports.iter().map(|r| r.name.as_str()).collect();
        let failure = Failure::usage(format!("there is no report {name:?} in the project"));
        match did_you_mean(name, &known, "its reports") {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

fn undelivered(report: &Report, why: Undelivered) -> Failure {
    let Undelivered { code, message } = why;
    let failure = Failure::failed(format!("report {:?}: {message} ({code})", report.name));
    match code {
        "definition" | "template" => Failure { exit: Exit::Usage, ..failure },
        "partly" => Failure { exit: Exit::Partial, ..failure },
        _ => failure,
    }
}

fn print(message: &Message) {
    for to in &message.to {
        output::line(format!("To: {}", shown(to)));
    }
    if let Some(file) = &message.file {
        output::line(format!("File: {}", file.display()));
    }
    output::line(format!("Subject: {}", shown(&message.subject)));
    output::line("");
    for line in message.text.lines() {
        output::line(shown(line));
    }
    output::line("");
}

/// Text from data on a terminal: nothing in it moves the cursor or changes colours.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect()
}

fn write(directory: &Path, report: &Report, messages: &[Message]) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::failed(format!("{}: {}", path.display(), wiring::reason(error)))
    };
    std::fs::create_dir_all(directory).map_err(|e| failed(directory, &e))?;
    for (at, message) in messages.iter().enumerate() {
        for (extension, text) in [("html", &message.html), ("txt", &message.text)] {
            let path = directory.join(format!("{}-{}.{extension}", report.name, at + 1));
            std::fs::write(&path, text).map_err(|e| failed(&path, &e))?;
        }
    }
    let count = show::some(messages.len() as u64, "message", "messages");
    output::line(format!("{count} in {}", directory.display()));
    Ok(())
}

/// The way out of this process, for a project in `directory`.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn reach(directory: &Path) -> Result<Reach, Failure> {
    Reach::new(directory.to_owned(), wiring::clock()).map_err(|e| Failure::failed(e.message))
}
