//! Rendered reports: what templates can do, and what data cannot.

use syncline_connect::statements::Rows;
use syncline_core::{report::Report, value::Value};
use syncline_engine::service::Outside as _;
use syncline_server::outside::{Failure, render};

use super::kit::{World, now, project, report};

fn rows(columns: &[&str], rows: Vec<Vec<Value<'static>>>) -> Rows {
    Rows { columns: columns.iter().map(|c| (*c).to_owned()).collect(), rows }
}

fn text(t: &'static str) -> Value<'static> {
    Value::Text(t.into())
}

fn partners() -> Vec<(String, Rows)> {
    let decimal = |t: &'static str| Value::Decimal(t.into());
    vec![
        (
            "partners".into(),
            rows(
                &["manager", "partner", "tier", "users", "revenue", "until"],
                vec![
                    vec![
                        text("ann@example.com"),
                        text("Alder <b>& Sons</b>"),
                        text("Gold"),
                        Value::Int64(1250),
                        decimal("1234567.891"),
                        Value::Date(20_800),
                    ],
                    vec![
                        text("bob@example.com"),
                        text("Birch"),
                        text("Silver"),
                        decimal("40"),
                        decimal("-0.005"),
                        Value::Null,
                    ],
                    vec![
                        text("ann@example.com"),
                        text("Cedar"),
                        Value::Null,
                        Value::Int64(7),
                        Value::Null,
                        Value::Date(20_801),
                    ],
                ],
            ),
        ),
        (
            "expiring".into(),
            rows(&["manager", "certificate"], vec![vec![text("bob@example.com"), text("Basics")]]),
        ),
        (
            "weeks".into(),
            rows(
                &["week", "count"],
                vec![vec![text("W47"), Value::Int64(12)], vec![text("W48"), Value::Int64(30)]],
            ),
        ),
    ]
}

fn full() -> Report {
    Report {
        name: "managers".into(),
        queries: Vec::new(),
        group_by: Some("manager".into()),
        subject: "{{ partners | length }} partners, {{ now | date('%d %B %Y') }}".into(),
        html: include_str!("managers.html").into(),
        to: vec!["{{ group }}".into()],
        file: Some("reports/{{ group | replace('@example.com', '') }}.html".into()),
        ..report("")
    }
}

#[test]
fn a_message_for_each_manager() {
    let messages = render::messages(&full(), &partners(), now()).expect("messages");
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].to, ["ann@example.com"]);
    assert_eq!(messages[0].subject, "2 partners, 27 November 2026");
    insta::assert_snapshot!("managers_html", messages[0].html);
    insta::assert_snapshot!("managers_text", messages[0].text);
    assert!(
        messages[1].html.contains("Basics") && !messages[0].html.contains("Basics"),
        "each sees its own rows"
    );
    assert!(messages[1].html.contains("-0.01"), "half is rounded away from zero");
}

/// A mistake in a report.
type Change = fn(&mut Report);

fn failure(change: impl FnOnce(&mut Report)) -> Failure {
    let mut report = full();
    change(&mut report);
    render::messages(&report, &partners(), now()).expect_err("it is wrong")
}

#[test]
fn what_is_wrong_is_named_without_values() {
    let wrong: [(Change, &str); 9] = [
        (
            |r| r.html = "a\n{{ partner.name }}".into(),
            "template: html, line 2, `{{ partner.name }}`: undefined value",
        ),
        (
            |r| r.subject = "{% if %}".into(),
            "template: subject, line 1, `{% if %}`: syntax error: unexpected end of block",
        ),
        (
            |r| r.html = "{{ partners[0].partner | number }}".into(),
            "template: html, line 1, `{{ partners[0].partner | number }}`: invalid operation: a value that is not a number",
        ),
        (
            |r| r.html = "{{ partners | total('none') }}".into(),
            "template: html, line 1, `{{ partners | total('none') }}`: undefined value: the rows have no column \"none\"",
        ),
        (
            |r| {
                r.html =
                    "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}".into();
            },
            "template: html, line 1, `{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}`: engine \
             ran out of fuel",
        ),
        (
            |r| r.group_by = Some("none".into()),
            "definition: group_by: query \"partners\" has no column \"none\"",
        ),
        (
            |r| r.group_by = Some("tier".into()),
            "definition: group_by: column \"tier\" of query \"partners\" is null in a row",
        ),
        (
            |r| r.file = Some("../{{ group }}.html".into()),
            "file: the path of the file leads out of the project's directory, or to a hidden file",
        ),
        (
            |r| r.file = Some("one.html".into()),
            "file: two messages would be written to one file: name the group in it",
        ),
    ];
    for (change, message) in wrong {
        let failure = failure(change);
        assert_eq!(format!("{}: {}", failure.code, failure.message), message);
    }
    let large = failure(|r| r.html = "{{ 'x' * 9000000 }}{{ ('y' * 9000000) | length }}".into());
    assert_eq!(large.code, "template", "{large:?}");
}

#[test]
fn more_messages_than_a_report_sends_are_none() {
    let many = (0..=render::MESSAGES_MAX as i64).map(|n| vec![Value::Int64(n)]).collect();
    let report = Report { group_by: Some("n".into()), ..report("") };
    let failure =
        render::messages(&report, &[("rows".into(), rows(&["n"], many))], now()).expect_err("too many");
    assert_eq!(failure.message, "1001 messages; a report sends at most 1000");
}

#[tokio::test]
async fn a_report_becomes_a_file() {
    let world = World::new(&["CREATE TABLE t (a INTEGER)", "INSERT INTO t VALUES (1), (2)"]).await;
    let statements = world.statements().await;
    let mut one = report("SELECT a FROM t");
    one.file = Some("reports/{{ now | date('%Y-%m-%d') }}.html".into());
    let line = world.reach.report(&project(None, std::time::Duration::ZERO), &one, &*statements, now()).await;
    assert_eq!(line.as_deref(), Ok("reports/2026-11-27.html"));
    assert_eq!(world.read("reports/2026-11-27.html"), "<p>2 rows</p>");
    one.to = vec!["a@example.com".into()];
    let error =
        world.reach.report(&project(None, std::time::Duration::ZERO), &one, &*statements, now()).await;
    assert_eq!(error.expect_err("no mail server").0, "definition");
    one.queries = vec![("rows".into(), "DELETE FROM t".into())];
    let error =
        world.reach.report(&project(None, std::time::Duration::ZERO), &one, &*statements, now()).await;
    assert_eq!(
        error.expect_err("it writes"),
        ("query".into(), "query \"rows\": the query would write".into())
    );
}
