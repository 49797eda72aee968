//! Alerts to their receivers.

use std::time::Duration;

use syncline_core::alert::{AlertKind, Receiver, ReceiverKind};
use syncline_engine::service::alerts::{Messenger as _, Notice, NoticeState};
use syncline_server::outside::sign;
use syncline_store::service::Subject;

use super::{
    kit::{World, now, project},
    smtp::{self, Manners},
    web::{Server, status},
};

fn notice() -> Notice {
    Notice {
        rule: "ops".into(),
        subject: Subject::sync("orders"),
        kind: AlertKind::Failed,
        state: NoticeState::Active,
        since: now(),
        run: Some(7),
        title: "sync \"orders\" failed".into(),
        text: "Run 7 failed: <no> answer & no hope (unanswered).\nSince 2026-11-27 08:00:00 UTC.".into(),
    }
}

fn receiver(kind: ReceiverKind) -> Receiver {
    Receiver { name: "ops".into(), kind }
}

const AMPLE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_webhook_is_signed() {
    let server =
        Server::start(|path| status(if path == "/closed" { "503 Service Unavailable" } else { "200 OK" }))
            .await;
    let world = World::new(&[]).await;
    let hook = |path: &str| {
        receiver(ReceiverKind::Webhook { url: format!("{}{path}", server.url), secret: "hush".into() })
    };
    world.reach.tell(&project(None, AMPLE), &hook("/hook/hunter2"), &notice(), now()).await.expect("told");
    let request = &server.requests()[0];
    assert_eq!(request.headers["content-type"], "application/json");
    let signature = &request.headers["x-syncline-signature"];
    assert!(sign::verify("hush", request.body.as_bytes(), signature, now()));
    assert!(!sign::verify("hush", request.body.replace("failed", "fine").as_bytes(), signature, now()));
    insta::assert_snapshot!("webhook", request.body);
    let error = world.reach.tell(&project(None, AMPLE), &hook("/closed"), &notice(), now()).await;
    let (code, message) = error.expect_err("closed");
    assert_eq!(
        (code.as_str(), message),
        ("refused", format!("{} answered 503 Service Unavailable", server.url))
    );
}

#[tokio::test]
async fn what_slack_takes() {
    let server = Server::start(|_| status("200 OK")).await;
    let world = World::new(&[]).await;
    let slack = receiver(ReceiverKind::Slack { url: format!("{}/services/T0/B0/hunter2", server.url) });
    world.reach.tell(&project(None, AMPLE), &slack, &notice(), now()).await.expect("told");
    assert_eq!(
        server.requests()[0].body,
        "{\"text\":\"*sync \\\"orders\\\" failed*\\nRun 7 failed: &lt;no&gt; answer &amp; no hope (unanswered).\\n\
         Since 2026-11-27 08:00:00 UTC.\"}"
    );
}

#[tokio::test]
async fn by_mail() {
    let server = smtp::Server::start(Manners { refuses: vec!["gone@"], ..Manners::default() }).await;
    let world = World::new(&[]).await;
    let to = |to: &[&str]| receiver(ReceiverKind::Email { to: to.iter().map(|t| (*t).to_owned()).collect() });
    let project = project(Some(format!("smtp://127.0.0.1:{}", server.port)), AMPLE);
    let some = to(&["ops@example.com", "gone@example.com"]);
    world.reach.tell(&project, &some, &notice(), now()).await.expect("one was told");
    let taken = server.taken();
    assert_eq!(taken.messages[0].0, ["ops@example.com"]);
    assert!(taken.messages[0].1.contains("Subject: sync \"orders\" failed\r\n"), "{}", taken.messages[0].1);
    let none = world.reach.tell(&project, &to(&["gone@example.com"]), &notice(), now()).await;
    assert_eq!(none.expect_err("nobody").0, "refused");
}
