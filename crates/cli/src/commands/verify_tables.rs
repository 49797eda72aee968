//! `syncline verify` of a sync into a table: both sides are compared where they are.

use serde_json::json;
use syncline_core::value::Value;
use syncline_engine::{
    Engine, Flow,
    load::{
        self,
        compare::{Finding, Findings, How, What},
        run::Options,
        verify::{REPAIRED_MAX, Repair, Verified, verify},
    },
};

use super::run::watched;
use crate::{
    args::VerifyArgs,
    exit::{Exit, Failure},
    output, show,
    signals::{Cancel, unless_cancelled},
    table::{Set, Table},
};

pub(super) async fn one(
    engine: &Engine,
    flow: &Flow,
    table: &load::Table,
    args: &VerifyArgs,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let name = &table.sync.name;
    let limit = if args.repair { REPAIRED_MAX.max(args.limit) } else { args.limit };
    let comparing = async { Ok(verify(table, limit).await?) };
    let verified = Box::pin(unless_cancelled(cancel, comparing)).await.map_err(|f: Failure| f.about(name))?;
    if args.json {
        print_json(name, &verified);
    } else {
        print(name, &verified, args.limit);
    }
    if verified.findings.agree() {
        return Ok(Exit::Done);
    }
    let repair = Repair::of(&verified.findings);
    if !args.repair || repair.is_empty() {
        output::chat(format!("`syncline verify --repair {name}` loads what is missing or different again"));
        return Ok(Exit::Partial);
    }
    let options = Options { repair: Some(repair), ..Options::default() };
    let exit = Box::pin(watched(engine, flow, &options, args.json, cancel)).await?;
    let findings = &verified.findings;
    let left = findings.missing + findings.extra + findings.different > findings.records.len() as u64;
    Ok(if left { exit.and(Exit::Partial) } else { exit })
}

/// The word for a finding, and what it means.
fn words(what: &What) -> (&'static str, &'static str) {
    match what {
        What::Missing => ("missing", "in the source, not in the table"),
        What::Extra => ("extra", "in the table, not in the source"),
        What::Different(_) => ("different", "in both, with other values"),
    }
}

fn label(key: &[Value<'static>]) -> String {
    key.iter().map(|value| show::value(&value.to_json())).collect::<Vec<_>>().join(", ")
}

fn print(name: &str, verified: &Verified, limit: usize) {
    let findings = &verified.findings;
    let name = output::paint_result("1", name);
    let agreeing = findings.source.saturating_sub(findings.missing + findings.different);
    let agree = show::some(agreeing, "record agrees", "records agree");
    if findings.agree() {
        output::line(format!("{name}: no drift; {agree}"));
    } else {
        output::line(format!("{name}: {agree}"));
    }
    notes(verified).into_iter().for_each(|note| output::line(format!("  note: {note}")));
    let mut table = Table::new(&[("  drift", Set::Left), ("records", Set::Right), ("", Set::Left)]);
    let kinds = [
        (What::Missing, findings.missing),
        (What::Different(Vec::new()), findings.different),
        (What::Extra, findings.extra),
    ];
    for (what, n) in kinds.iter().filter(|(_, n)| *n > 0) {
        let (word, meaning) = words(what);
        table.row(vec![format!("  {word}"), show::count(*n), meaning.to_owned()]);
    }
    if !table.is_empty() {
        table.lines().for_each(output::line);
    }
    findings.records.iter().take(limit).for_each(print_finding);
    let left = (findings.missing + findings.different + findings.extra).saturating_sub(limit as u64);
    if left > 0 {
        output::line(format!("… and {} more; --limit N shows more", show::count(left)));
    }
}

fn print_finding(finding: &Finding) {
    let what = format!("{} {}", words(&finding.what).0, label(&finding.key));
    let columns = match &finding.what {
        What::Different(columns) => format!("  {}", columns.join(", ")),
        What::Missing | What::Extra => String::new(),
    };
    output::line(format!("{}{columns}", output::paint_result("33", &what)));
}

/// What the comparison could not look at, or only by reading.
fn notes(verified: &Verified) -> Vec<String> {
    let Findings { doubled, unreadable, how, .. } = &verified.findings;
    let mut notes = Vec::new();
    if !verified.computed.is_empty() {
        notes.push(format!("computed on the way and not compared: {}", verified.computed.join(", ")));
    }
    if let How::Read(columns) = how {
        notes.push(format!("both sides were read, because of {}", columns.join(", ")));
    }
    if *doubled > 0 {
        notes.push(format!("{} share their key with another", show::some(*doubled, "record", "records")));
    }
    if *unreadable > 0 {
        notes.push(format!("{} could not be read", show::some(*unreadable, "record", "records")));
    }
    notes
}

fn print_json(name: &str, verified: &Verified) {
    let findings = &verified.findings;
    for finding in &findings.records {
        let columns = match &finding.what {
            What::Different(columns) => columns.clone(),
            What::Missing | What::Extra => Vec::new(),
        };
        output::json(&json!({
            "sync": name, "drift": words(&finding.what).0, "key": label(&finding.key), "columns": columns,
        }));
    }
    output::json(&json!({
        "sync": name,
        "summary": {
            "source": findings.source,
            "destination": findings.destination,
            "drift": {
                "missing": findings.missing, "different": findings.different, "extra": findings.extra,
            },
            "notes": notes(verified),
        },
    }));
}
