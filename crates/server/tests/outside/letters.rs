//! Reports by mail, to a real mail server.

use std::time::Duration;

use syncline_core::report::Report;
use syncline_engine::service::Outside as _;

use super::{
    kit::{World, now, project, report},
    smtp::{Manners, Server, Taken},
};

const PEOPLE: &[&str] = &[
    "CREATE TABLE people (manager TEXT, name TEXT)",
    "INSERT INTO people VALUES ('a@example.com', 'Ann'), ('b@example.com', 'Bob'), ('a@example.com', 'Zoë'), \
     ('c@example.com', 'Cy')",
];

/// A message for each manager.
fn grouped() -> Report {
    Report {
        group_by: Some("manager".into()),
        subject: "{{ rows | length }} people of {{ group }}".into(),
        html: "<ul>{% for row in rows %}<li>{{ row.name }}</li>{% endfor %}</ul>".into(),
        to: vec!["{{ group }}".into()],
        ..report("SELECT manager, name FROM people ORDER BY rowid")
    }
}

async fn sent(
    world: &World,
    report: &Report,
    url: String,
    timeout: Duration,
) -> Result<String, (String, String)> {
    let statements = world.statements().await;
    world.reach.report(&project(Some(url), timeout), report, &*statements, now()).await
}

const AMPLE: Duration = Duration::from_secs(30);

fn receivers(taken: &Taken) -> Vec<Vec<&str>> {
    taken.messages.iter().map(|(to, _)| to.iter().map(String::as_str).collect()).collect()
}

#[tokio::test]
async fn each_group_gets_its_message_over_one_connection() {
    let server = Server::start(Manners::default()).await;
    let world = World::new(PEOPLE).await;
    let line = sent(&world, &grouped(), format!("smtp://127.0.0.1:{}", server.port), AMPLE).await;
    assert_eq!(line.as_deref(), Ok("3 messages to 3 receivers"));
    let taken = server.taken();
    assert_eq!(taken.connections, 1);
    assert_eq!(receivers(&taken), [["a@example.com"], ["b@example.com"], ["c@example.com"]]);
    insta::assert_snapshot!("a_message", taken.messages[0].1.replace('\r', ""));
}

#[tokio::test]
async fn a_refused_receiver_does_not_keep_it_from_the_others() {
    let server = Server::start(Manners { refuses: vec!["b@example.com"], ..Manners::default() }).await;
    let world = World::new(PEOPLE).await;
    let all = Report {
        to: vec![
            "a@example.com".into(),
            "Bob <b@example.com>".into(),
            "nobody".into(),
            "c@example.com".into(),
        ],
        ..report("SELECT 1 AS one")
    };
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let (code, message) = sent(&world, &all, url.clone(), AMPLE).await.expect_err("two were not told");
    assert_eq!(
        (code.as_str(), message.as_str()),
        (
            "partly",
            "1 of 1 message sent; receiver 3 is not an address; the mail server refused receiver 2 (550)"
        )
    );
    assert_eq!(receivers(&server.taken()), [["a@example.com", "c@example.com"]]);
    let (code, message) = sent(&world, &grouped(), url, AMPLE).await.expect_err("one was not told");
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("partly", "2 of 3 messages sent; message 2 of 3: the mail server refused receiver 1 (550)")
    );
    assert_eq!(receivers(&server.taken())[1..], [["a@example.com"], ["c@example.com"]]);
}

#[tokio::test]
async fn smtp_server_that_hangs() {
    for at in ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "message"] {
        let server = Server::start(Manners { hangs_at: Some(at), ..Manners::default() }).await;
        let world = World::new(PEOPLE).await;
        let url = format!("smtp://127.0.0.1:{}", server.port);
        let one = Report { to: vec!["a@example.com".into()], ..report("SELECT 1 AS one") };
        let (code, message) = sent(&world, &one, url, Duration::from_millis(200)).await.expect_err(at);
        assert_eq!(code, "timeout", "{at}: {message}");
        assert_eq!(message, "0 of 1 message sent; the mail server did not answer within 0.2 s", "{at}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_asked_for_ever() {
    let port = Server::start(Manners::default()).await.port;
    let world = World::new(PEOPLE).await;
    world
        .statements()
        .await
        .execute(&["INSERT INTO people VALUES ('d@example.com', 'D'), ('e@example.com', 'E')".into()], AMPLE)
        .await
        .expect("two more");
    let (code, message) =
        sent(&world, &grouped(), format!("smtp://127.0.0.1:{port}"), AMPLE).await.expect_err("nobody there");
    assert_eq!(code, "unreachable");
    assert!(
        message.starts_with("0 of 5 messages sent; ") && message.ends_with("2 messages were not tried"),
        "{message}"
    );
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    let server = Server::start(Manners { closes_after: Some(1), ..Manners::default() }).await;
    let world = World::new(PEOPLE).await;
    let line = sent(&world, &grouped(), format!("smtp://127.0.0.1:{}", server.port), AMPLE).await;
    assert_eq!(line.as_deref(), Ok("3 messages to 3 receivers"));
    let taken = server.taken();
    assert_eq!((taken.connections, taken.messages.len()), (3, 3), "none twice");
}

#[tokio::test]
async fn tls_is_used_where_it_is_offered() {
    let world = World::new(PEOPLE).await;
    for (manners, scheme) in [
        (Manners { offers_tls: true, ..Manners::default() }, "smtp"),
        (Manners { speaks_tls: true, ..Manners::default() }, "smtps"),
    ] {
        let server = Server::start(manners).await;
        std::fs::write(world.directory.path().join("ca.pem"), &server.authority).expect("a file");
        let url = format!("{scheme}://localhost:{}?ca_file=ca.pem", server.port);
        let line = sent(&world, &grouped(), url, AMPLE).await;
        assert_eq!(line.as_deref(), Ok("3 messages to 3 receivers"), "{scheme}");
        assert!(server.taken().encrypted);
        // not signed by an authority of this machine
        let url = format!("{scheme}://localhost:{}", server.port);
        let (code, _) = sent(&world, &grouped(), url, AMPLE).await.expect_err("a stranger's certificate");
        assert_eq!(code, "unreachable");
        assert_eq!(server.taken().messages.len(), 3);
    }
    let server = Server::start(Manners::default()).await;
    let url = format!("smtp://localhost:{}?tls=required", server.port);
    let (code, message) = sent(&world, &grouped(), url, AMPLE).await.expect_err("no TLS");
    assert_eq!(code, "refused");
    assert!(message.contains("does not offer TLS"), "{message}");
}

#[tokio::test]
async fn user_and_password() {
    // PLAIN: \0user\0p@ss
    let manners = Manners { login: Some("AHVzZXIAcEBzcw=="), ..Manners::default() };
    let server = Server::start(manners).await;
    let world = World::new(PEOPLE).await;
    let line = sent(&world, &grouped(), format!("smtp://user:p%40ss@127.0.0.1:{}", server.port), AMPLE).await;
    assert_eq!(line.as_deref(), Ok("3 messages to 3 receivers"));
    let url = format!("smtp://user:hunter2@127.0.0.1:{}", server.port);
    let (code, message) = sent(&world, &grouped(), url, AMPLE).await.expect_err("a wrong password");
    assert_eq!(code, "refused");
    assert!(message.contains("refused user and password (535)") && !message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn data_in_subjects_and_addresses_stays_data() {
    let server = Server::start(Manners::default()).await;
    let world = World::new(&[
        "CREATE TABLE people (manager TEXT, name TEXT)",
        "INSERT INTO people VALUES ('a@example.com', 'x' || char(13, 10) || 'Bcc: spy@example.com' || char(13, 10, 13, 10) || '.'), \
         ('b@example.com' || char(10) || 'Cc: spy@example.com', 'B'), ('c@example.com> RCPT TO:<spy@example.com', 'C')",
    ])
    .await;
    let evil = Report { subject: "About {{ rows[0].name }}".into(), ..grouped() };
    let (code, message) = sent(&world, &evil, format!("smtp://127.0.0.1:{}", server.port), AMPLE)
        .await
        .expect_err("two are no addresses");
    assert_eq!(code, "partly");
    assert!(!message.contains("spy"), "{message}");
    let taken = server.taken();
    assert_eq!(receivers(&taken), [["a@example.com"]]);
    assert!(!taken.commands.iter().any(|c| c.contains("spy")), "{:?}", taken.commands);
    let (head, _) = taken.messages[0].1.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains("Subject: About x Bcc: spy@example.com ."), "{head}");
    assert!(!head.contains("\r\nBcc"), "{head}");
}
