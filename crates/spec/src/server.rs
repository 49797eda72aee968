//! How the project is served, and where its store is.

use std::{net::SocketAddr, time::Duration};

use syncline_core::project::{Mail, Retention, ServerOptions, StoreOptions, Tls, Users};

use crate::{
    alerts::is_address,
    connections::{check_name, secret},
    keys::{LIMITS_MAX, MAIL, RETENTION, SERVER, STORE, TLS, USERS},
    names::Names,
    problem::{did_you_mean, echo},
    reader::{Reader, Record, Spot},
};

/// Where the store is, unless the project says otherwise.
const STORE_PATH: &str = ".syncline/store.db";

/// How long a writer waits for another, unless the project says otherwise.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one mail may take, unless the project says otherwise.
const MAIL_TIMEOUT: Duration = Duration::from_secs(30);

/// Shortest time that runs and events are kept: health and alerts look back.
const RETENTION_MIN: Duration = Duration::from_secs(24 * 3600);

/// How far the clock of an identity provider may be off, unless the project says otherwise, and at most.
const SKEW: Duration = Duration::from_secs(60);
const SKEW_MAX: Duration = Duration::from_secs(300);

/// Reads `server`.
pub(crate) fn read(reader: &mut Reader<'_>, spot: &Spot<'_>, names: &Names<'_>) -> ServerOptions {
    let mut server = ServerOptions::default();
    let Some(record) = reader.record(spot, &SERVER) else { return server };
    if let Some(bind) = bind(reader, &record) {
        server.bind = bind;
    }
    server.tls = record.get("tls").and_then(|spot| tls(reader, &spot));
    if let (false, false, Some(spot)) =
        (server.bind.ip().is_loopback(), record.gives("tls"), record.get("bind"))
    {
        let message =
            format!("{} {} can be reached from elsewhere, so it needs tls", spot.path, reader.shown(&spot));
        let hint = "add server.tls, or bind to 127.0.0.1 behind a proxy that has a certificate".to_owned();
        reader.error(spot.node.place, &spot.path, message, Some(hint));
    }
    if let Some(parallel) = record.integer(reader, "parallel").and_then(|n| usize::try_from(n).ok()) {
        server.parallel = parallel;
    }
    for (name, spot) in record.get("limits").and_then(|s| reader.named(&s, "numbers")).unwrap_or_default() {
        if !names.connections.contains(&name) {
            let hint = did_you_mean(name, &names.connections, "connections");
            reader.error(spot.key, &spot.path, format!("{} is not a connection", echo(name)), hint);
        }
        let limit = reader.integer(&spot, 1, LIMITS_MAX).and_then(|n| usize::try_from(n).ok());
        server.limits.extend(limit.map(|limit| (name.to_owned(), limit)));
    }
    server.retention = record.get("retention").map(|spot| retention(reader, &spot)).unwrap_or_default();
    server.mail = record.get("mail").and_then(|spot| mail(reader, &spot));
    server.grace = record.duration(reader, "grace").unwrap_or(server.grace);
    server.users = record.get("users").and_then(|spot| users(reader, &spot));
    server
}

fn bind(reader: &mut Reader<'_>, server: &Record<'_>) -> Option<SocketAddr> {
    let (text, spot) = (server.text(reader, "bind")?, server.get("bind")?);
    // People write localhost, and every machine means the same by it.
    let address = text.replace("localhost:", "127.0.0.1:").parse().ok();
    if address.is_none() {
        reader.wrong(&spot, "must be an address and a port, such as 127.0.0.1:8450");
    }
    address
}

fn tls(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<Tls> {
    let record = reader.record(spot, &TLS)?;
    let (certificate, key) = (record.text(reader, "certificate"), record.text(reader, "key"));
    Some(Tls { certificate: certificate?, key: key? })
}

fn retention(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Retention {
    let mut retention = Retention::default();
    let Some(record) = reader.record(spot, &RETENTION) else { return retention };
    for (name, kept) in [("runs", &mut retention.runs), ("events", &mut retention.events)] {
        let (Some(time), Some(spot)) = (record.duration(reader, name), record.get(name)) else { continue };
        if time < RETENTION_MIN {
            reader.wrong(&spot, "must be at least 1d");
        }
        *kept = time;
    }
    retention
}

fn mail(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<Mail> {
    let record = reader.record(spot, &MAIL)?;
    let url = record.address(reader, "url", &["smtps://", "smtp://"]);
    // Once more, for a password that everybody can see.
    let url = url.and(record.get("url")).and_then(|spot| secret(reader, &spot));
    let from = record.text(reader, "from");
    if let (Some(from), Some(spot)) = (&from, record.get("from"))
        && !is_address(from)
        && !reader.is_filled(&spot)
    {
        reader.wrong(&spot, "must be an address, such as Syncline <syncline@example.org>");
    }
    let timeout = record.interval(reader, "timeout").unwrap_or(MAIL_TIMEOUT);
    Some(Mail { url: url?, from: from?, timeout })
}

fn users(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<Users> {
    let record = reader.record(spot, &USERS)?;
    let issuer = safe_address(reader, &record, "issuer");
    let jwks = safe_address(reader, &record, "jwks");
    let audience = record.texts(reader, "audience");
    let clock_skew = record.duration(reader, "clock_skew").unwrap_or(SKEW);
    if let Some(spot) = record.get("clock_skew").filter(|_| clock_skew > SKEW_MAX) {
        reader.wrong(&spot, "must be at most 5m");
    }
    let tenant = record.text(reader, "tenant");
    let required_scope = record.text(reader, "required_scope");
    Some(Users { issuer: issuer?, audience: audience?, jwks, tenant, clock_skew, required_scope })
}

/// An address from which keys are fetched: whoever could change the answer on its way would be every user.
fn safe_address(reader: &mut Reader<'_>, record: &Record<'_>, key: &str) -> Option<String> {
    let address = record.address(reader, key, &["https://", "http://"])?;
    let spot = record.get(key)?;
    if address.starts_with("http://") && !is_loopback(&address) && !reader.is_filled(&spot) {
        reader.wrong(&spot, "must begin with https://, or be on this machine (http://127.0.0.1…)");
    }
    Some(address)
}

fn is_loopback(address: &str) -> bool {
    let host = address.trim_start_matches("http://").split(['/', '?', '#']).next().unwrap_or_default();
    let ip = host.parse().map(|address: SocketAddr| address.ip()).or_else(|_| host.parse());
    ip.is_ok_and(|ip| ip.is_loopback()) || host.split(':').next() == Some("localhost")
}

/// Reads `store`; none: the file beside the project.
pub(crate) fn store(reader: &mut Reader<'_>, spot: Option<Spot<'_>>) -> StoreOptions {
    let mut store = StoreOptions {
        path: STORE_PATH.to_owned(),
        max_size: None,
        busy_timeout: BUSY_TIMEOUT,
        tenant: String::new(),
    };
    let Some(record) = spot.and_then(|spot| reader.record(&spot, &STORE)) else { return store };
    store.path = record.get("path").and_then(|spot| path(reader, &spot)).unwrap_or(store.path);
    let (other, keys): (_, &[&str]) = match store.is_postgres() {
        true => ("SQLite", &["max_size", "busy_timeout"]),
        false => ("PostgreSQL", &["tenant"]),
    };
    for spot in keys.iter().filter_map(|key| record.get(key)) {
        reader.error(spot.key, &spot.path, format!("{} is for a store on {other} only", spot.path), None);
    }
    store.max_size = record.size(reader, "max_size");
    store.busy_timeout = record.duration(reader, "busy_timeout").unwrap_or(store.busy_timeout);
    if let (Some(tenant), Some(spot)) = (record.text(reader, "tenant"), record.get("tenant")) {
        check_name(reader, &Spot { key: spot.node.place, ..spot.clone() }, &tenant, &reader.shown(&spot));
        store.tenant = tenant;
    }
    store
}

/// A file, or the address of a database, in which a password should not be seen.
fn path(reader: &mut Reader<'_>, spot: &Spot<'_>) -> Option<String> {
    let path = reader.text(spot)?;
    match path.split_once("://") {
        None => Some(path),
        Some(("postgres" | "postgresql", _)) => secret(reader, spot),
        Some(_) => {
            let message = format!("{} must be a file or an address that begins with postgres://", spot.path);
            reader.error(spot.node.place, &spot.path, message, None);
            None
        }
    }
}
