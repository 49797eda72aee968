//! Alerts and their receivers.

use std::time::Duration;

use syncline_core::alert::{AlertKind, AlertRule, Receiver, ReceiverKind};

use crate::{
    connections::{NAMED_MAX, check_count, check_name, secret},
    keys::{ALERT, ALERT_KINDS, RECEIVER, SLACK, WEBHOOK},
    names::{Names, known},
    problem::{did_you_mean, echo},
    reader::{Reader, Record, Spot},
};

/// One message in this time, unless the alert says otherwise.
const THROTTLE: Duration = Duration::from_secs(3600);

/// More parked records are many, unless the alert says otherwise.
const PARKED: u64 = 100;

/// More percent are an anomaly, unless the alert says otherwise.
const ANOMALY: f64 = 50.0;

/// Schemes of web addresses.
const WEB: &[&str] = &["https://", "http://"];

/// Reads all alerts.
pub(crate) fn read(reader: &mut Reader<'_>, spot: &Spot<'_>, names: &Names<'_>) -> Vec<AlertRule> {
    let Some(entries) = reader.named(spot, "alerts") else { return Vec::new() };
    check_count(reader, spot, entries.len(), "alerts");
    let read = entries.iter().take(NAMED_MAX).filter_map(|(name, spot)| {
        check_name(reader, spot, name, &echo(name));
        alert(reader, spot, name, names)
    });
    read.collect()
}

fn alert(reader: &mut Reader<'_>, spot: &Spot<'_>, name: &str, names: &Names<'_>) -> Option<AlertRule> {
    let record = reader.record(spot, &ALERT)?;
    let on = record.get("on").map(|spot| kinds(reader, &spot)).unwrap_or_default();
    for (key, kind) in [("parked", AlertKind::Parked), ("anomaly", AlertKind::Anomaly)] {
        if let (Some(spot), false) = (record.get(key), on.is_empty() || on.contains(&kind)) {
            let message = format!("{} has no effect: on does not name {key}", spot.path);
            reader.warning(spot.key, &spot.path, message, None);
        }
    }
    let about = record.get("about").map(|spot| about(reader, &spot, names)).unwrap_or_default();
    let mut to = Vec::new();
    if let Some(spot) = record.get("to") {
        for (item, text) in reader.texts_at(&spot) {
            to.extend(known(reader, &item, text, &names.receivers, "receiver"));
        }
    }
    Some(AlertRule {
        name: name.to_owned(),
        on,
        about,
        to,
        throttle: record.duration(reader, "throttle").unwrap_or(THROTTLE),
        parked_max: record.integer(reader, "parked").unwrap_or(PARKED),
        anomaly_percent: record.number(reader, "anomaly").unwrap_or(ANOMALY),
    })
}

/// Changes of state, each once.
fn kinds(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Vec<AlertKind> {
    let mut kinds = Vec::new();
    for item in reader.items(spot, "words").unwrap_or_default() {
        let kind = reader.word(&item, &ALERT_KINDS).and_then(AlertKind::parse);
        kinds.extend(kind.filter(|kind| !kinds.contains(kind)));
    }
    kinds
}

fn about(reader: &mut Reader<'_>, spot: &Spot<'_>, names: &Names<'_>) -> Vec<String> {
    let all: Vec<&str> = names.syncs.iter().chain(&names.chains).copied().collect();
    let mut about = Vec::new();
    for (item, text) in reader.texts_at(spot) {
        if all.contains(&text.as_str()) {
            about.push(text);
            continue;
        }
        let message = format!("{} {} is neither a sync nor a chain", item.path, reader.shown(&item));
        let hint = did_you_mean(&text, &all, "syncs and chains");
        reader.error(item.node.place, &item.path, message, hint);
    }
    about
}

/// Reads all receivers. `mail`: whether the server has a way to send mail.
pub(crate) fn receivers(reader: &mut Reader<'_>, spot: &Spot<'_>, mail: bool) -> Vec<Receiver> {
    let Some(entries) = reader.named(spot, "receivers") else { return Vec::new() };
    check_count(reader, spot, entries.len(), "receivers");
    let mut receivers = Vec::new();
    for (name, spot) in entries.iter().take(NAMED_MAX) {
        check_name(reader, spot, name, &echo(name));
        let Some(record) = reader.record(spot, &RECEIVER) else { continue };
        let kind = receiver(reader, &record, mail);
        receivers.extend(kind.map(|kind| Receiver { name: (*name).to_owned(), kind }));
    }
    receivers
}

fn receiver(reader: &mut Reader<'_>, record: &Record<'_>, mail: bool) -> Option<ReceiverKind> {
    match (record.get("webhook"), record.get("slack"), record.get("email")) {
        (Some(spot), None, None) => {
            let webhook = reader.record(&spot, &WEBHOOK)?;
            let url = webhook.address(reader, "url", WEB);
            let secret = webhook.get("secret").and_then(|spot| secret(reader, &spot));
            Some(ReceiverKind::Webhook { url: url?, secret: secret? })
        }
        (None, Some(spot), None) => {
            let slack = reader.record(&spot, &SLACK)?;
            Some(ReceiverKind::Slack { url: slack.address(reader, "url", WEB)? })
        }
        (None, None, Some(spot)) => {
            if !mail {
                let hint = "server: { mail: { url: \"${SMTP_URL}\", from: … } }".to_owned();
                let message = format!("{} needs server.mail", spot.path);
                reader.error(spot.key, &spot.path, message, Some(hint));
            }
            let mut to = Vec::new();
            for (item, text) in reader.texts_at(&spot) {
                if is_address(&text) || reader.is_filled(&item) {
                    to.push(text);
                } else {
                    reader.wrong(&item, "must be an address, such as ops@example.org");
                }
            }
            Some(ReceiverKind::Email { to })
        }
        _ => {
            record.exactly_one(reader, "webhook, slack and email");
            None
        }
    }
}

/// Whether a text looks like the address of a mailbox, its name around it or not.
pub(crate) fn is_address(text: &str) -> bool {
    let bare = text.trim().trim_end_matches('>').rsplit('<').next().unwrap_or_default();
    let split = bare.split_once('@');
    let plain = !bare.chars().any(|c| c.is_whitespace() || c.is_control());
    plain && split.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
}
