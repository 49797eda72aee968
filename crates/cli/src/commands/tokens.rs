//! `syncline tokens`

use jiff::{Span, SpanRelativeTo, Timestamp, Unit};
use serde_json::json;
use syncline_server::auth::{self, Scope, in_force};
use syncline_store::service::Token;

use crate::{
    args::{Global, ScopeArg, TokensCommand, TokensCreateArgs, TokensListArgs, TokensRevokeArgs},
    exit::{Exit, Failure},
    output, project, show,
    table::{Set, Table},
    wiring,
};

pub(crate) async fn run(global: &Global, command: TokensCommand) -> Result<Exit, Failure> {
    match command {
        TokensCommand::Create(args) => create(global, &args).await,
        TokensCommand::List(args) => list(global, &args).await,
        TokensCommand::Revoke(args) => revoke(global, &args).await,
    }
}

async fn create(global: &Global, args: &TokensCreateArgs) -> Result<Exit, Failure> {
    let store = project::open_for_store(global)?.store().await?;
    let now = wiring::clock().now();
    let expires_at = args.expires.map(|span| after(now, span)).transpose()?;
    let scopes: Vec<Scope> = args.scope.iter().map(|scope| scope_of(*scope)).collect();
    let made = auth::create(&*store, &args.name, &scopes, expires_at, now).await?;
    let (id, secret) = made.map_err(Failure::usage)?;
    output::line(secret);
    output::chat(format!(
        "This is token {id}. It is not shown again; send it as `Authorization: Bearer TOKEN`."
    ));
    Ok(Exit::Done)
}

fn scope_of(scope: ScopeArg) -> Scope {
    match scope {
        ScopeArg::Read => Scope::Read,
        ScopeArg::Run => Scope::Run,
        ScopeArg::Write => Scope::Write,
        ScopeArg::Admin => Scope::Admin,
    }
}

/// `now` and a span; a day has 24 hours.
fn after(now: Timestamp, span: Span) -> Result<Timestamp, Failure> {
    let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours()));
    let wrong = || Failure::usage("--expires is a time such as 90d or 12h");
    let seconds = seconds.map_err(|_| wrong())?;
    if seconds < 1.0 {
        return Err(wrong());
    }
    now.checked_add(jiff::SignedDuration::try_from_secs_f64(seconds).map_err(|_| wrong())?)
        .map_err(|_| wrong())
}

async fn list(global: &Global, args: &TokensListArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    let (tokens, now) = (store.tokens().await?, wiring::clock().now());
    if args.json {
        tokens.iter().for_each(|token| print_json(token, now));
        return Ok(Exit::Done);
    }
    if tokens.is_empty() {
        output::line("there are no tokens");
        return Ok(Exit::Done);
    }
    let first = [("token", Set::Right)];
    let others = ["name", "may", "made", "used", "state"].map(|name| (name, Set::Left));
    let mut table = Table::new(&[&first[..], &others[..]].concat());
    for token in &tokens {
        table.row(vec![
            token.id.to_string(),
            token.token.name.clone(),
            token.token.scopes.join(", "),
            show::relative(token.token.created_at, now),
            token.used_at.map_or_else(|| "never".to_owned(), |used| show::relative(used, now)),
            state(token, now),
        ]);
    }
    table.lines().for_each(output::line);
    Ok(Exit::Done)
}

fn state(token: &Token, now: Timestamp) -> String {
    match token.token.expires_at {
        _ if token.revoked_at.is_some() => "revoked".to_owned(),
        Some(at) if at <= now => "expired".to_owned(),
        Some(at) => format!("expires {}", show::relative(at, now)),
        None => "in force".to_owned(),
    }
}

fn print_json(token: &Token, now: Timestamp) {
    output::json(&json!({
        "token": token.id,
        "name": token.token.name,
        "scopes": token.token.scopes,
        "created_at": token.token.created_at,
        "expires_at": token.token.expires_at,
        "revoked_at": token.revoked_at,
        "used_at": token.used_at,
        "in_force": in_force(token, now),
    }));
}

async fn revoke(global: &Global, args: &TokensRevokeArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    if !store.revoke_token(args.token, wiring::clock().now()).await? {
        return Err(Failure::usage(format!("there is no token {} in force", args.token))
            .hint("`syncline tokens list` shows them"));
    }
    output::line(format!("token {} is revoked", args.token));
    Ok(Exit::Done)
}
