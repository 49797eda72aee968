//! Alerts to their receivers: signed webhooks, webhooks that take what Slack's do, mail.

use std::path::Path;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use syncline_core::{
    alert::{Receiver, ReceiverKind},
    project::Mail,
    value::hex,
};
use syncline_engine::service::alerts::Notice;

use super::{
    Failure, http,
    mail::{Letter, Post},
    sign,
};

/// Tells a receiver. Delivered means that the far side said so.
pub(super) async fn tell(
    client: &reqwest::Client,
    mail: Option<&Mail>,
    directory: &Path,
    receiver: &Receiver,
    notice: &Notice,
    now: Timestamp,
) -> Result<(), Failure> {
    match &receiver.kind {
        ReceiverKind::Webhook { url, secret } => {
            let body = serde_json::to_vec(notice)
                .map_err(|e| Failure::new("definition", format!("the alert is not JSON: {e}")))?;
            let signature = sign::sign(secret, &body, now);
            post(client, url, body, Some(&signature)).await
        }
        ReceiverKind::Slack { url } => {
            let text = serde_json::json!({ "text": format!("*{}*\n{}", mrkdwn(&notice.title), mrkdwn(&notice.text)) });
            post(client, url, text.to_string().into_bytes(), None).await
        }
        ReceiverKind::Email { to } => {
            let mail =
                mail.ok_or_else(|| Failure::new("definition", "no mail server is set: server.mail"))?;
            by_mail(mail, directory, to, notice, now).await
        }
    }
}

async fn post(
    client: &reqwest::Client,
    url: &str,
    body: Vec<u8>,
    signature: Option<&str>,
) -> Result<(), Failure> {
    let url = http::address(url)?;
    // the path of a webhook is a secret
    let shown = http::host(&url);
    let mut request = client
        .post(url)
        .timeout(std::time::Duration::from_secs(30))
        .header("Content-Type", "application/json")
        .body(body);
    if let Some(signature) = signature {
        request = request.header(sign::HEADER, signature);
    }
    let status = http::send(request, &shown).await?;
    if status.is_success() {
        return Ok(());
    }
    Err(Failure::new("refused", format!("{shown} answered {status}")))
}

async fn by_mail(
    mail: &Mail,
    directory: &Path,
    to: &[String],
    notice: &Notice,
    now: Timestamp,
) -> Result<(), Failure> {
    let text = format!("{}\n", notice.text);
    let id =
        Sha256::digest(format!("{}\0{}\0{}", notice.rule, notice.title, now.as_microsecond()).as_bytes());
    let letter = Letter { to, subject: &notice.title, text: &text, html: None, id: hex(&id[..16]), at: now };
    let mut post = Post::new(mail, directory)?;
    let sent = post.send(&letter).await;
    post.close().await;
    let taken = sent?;
    if taken.refused.is_empty() {
        return Ok(());
    }
    // told to somebody: to try again would tell them twice
    tracing::warn!(refused = taken.refused.len(), "an alert did not reach all of its addresses");
    Ok(())
}

/// Text in a message of Slack's kind, where `&`, `<` and `>` have a meaning.
fn mrkdwn(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
