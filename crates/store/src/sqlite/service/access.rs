//! Tokens, settings, and the nodes that serve.

use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

use super::{codec, fault::Fault, filter, words};
use crate::{
    rules,
    service::{NewToken, NodeBeat, Token, TokenId},
};

pub(super) fn add_token(transaction: &Transaction<'_>, token: &NewToken) -> Result<TokenId, Fault> {
    let created = codec::time_text(token.created_at)?;
    // A name is free again when its token is no longer in force.
    transaction
        .prepare_cached(
            "UPDATE token SET revoked_at = expires_at WHERE name = ?1 AND revoked_at IS NULL AND expires_at <= ?2",
        )?
        .execute(params![token.name, created])?;
    let id: i64 = transaction
        .prepare_cached(
            "INSERT INTO token (name, hash, scopes, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)
             RETURNING id",
        )?
        .query_row(
            params![
                token.name,
                token.hash,
                codec::json(&token.scopes)?,
                created,
                words::time_or_null(token.expires_at)?
            ],
            |row| row.get(0),
        )?;
    u64::try_from(id).map_err(|_| Fault::Broken("a number below zero".to_owned()))
}

/// Columns of a [`Token`], for [`read_token`].
const TOKEN: &str = "id, name, hash, scopes, created_at, expires_at, revoked_at, used_at FROM token";

pub(super) fn tokens(connection: &Connection) -> Result<Vec<Token>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT {TOKEN} ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(read_token(row)?);
    }
    Ok(tokens)
}

pub(super) fn token_by_hash(connection: &Connection, hash: &[u8; 32]) -> Result<Option<Token>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT {TOKEN} WHERE hash = ?1"))?;
    let mut rows = statement.query([hash])?;
    rows.next()?.map(read_token).transpose()
}

fn read_token(row: &Row<'_>) -> Result<Token, Fault> {
    Ok(Token {
        id: codec::unsigned(row, 0)?,
        token: NewToken {
            name: row.get(1)?,
            hash: row.get(2)?,
            scopes: codec::from_json(row, 3)?,
            created_at: codec::time(row, 4)?,
            expires_at: codec::time_or_null(row, 5)?,
        },
        revoked_at: codec::time_or_null(row, 6)?,
        used_at: codec::time_or_null(row, 7)?,
    })
}

pub(super) fn revoke_token(
    transaction: &Transaction<'_>,
    token: TokenId,
    now: Timestamp,
) -> Result<bool, Fault> {
    let revoked = transaction
        .prepare_cached("UPDATE token SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute(params![filter::number(token), codec::time_text(now)?])?;
    Ok(revoked > 0)
}

pub(super) fn touch_token(
    transaction: &Transaction<'_>,
    token: TokenId,
    now: Timestamp,
) -> Result<(), Fault> {
    transaction
        .prepare_cached("UPDATE token SET used_at = ?2 WHERE id = ?1")?
        .execute(params![filter::number(token), codec::time_text(now)?])?;
    Ok(())
}

pub(super) fn settings(connection: &Connection) -> Result<Vec<(String, serde_json::Value)>, Fault> {
    let mut statement = connection.prepare_cached("SELECT name, value FROM setting ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut settings = Vec::new();
    while let Some(row) = rows.next()? {
        settings.push((row.get(0)?, codec::from_json(row, 1)?));
    }
    Ok(settings)
}

pub(super) fn setting(connection: &Connection, name: &str) -> Result<Option<serde_json::Value>, Fault> {
    let mut statement = connection.prepare_cached("SELECT value FROM setting WHERE name = ?1")?;
    let mut rows = statement.query([name])?;
    rows.next()?.map(|row| codec::from_json(row, 0)).transpose()
}

pub(super) fn set_setting(
    transaction: &Transaction<'_>,
    name: &str,
    value: Option<&serde_json::Value>,
    by: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    match value {
        None => transaction.prepare_cached("DELETE FROM setting WHERE name = ?1")?.execute([name])?,
        Some(value) => transaction
            .prepare_cached("INSERT OR REPLACE INTO setting (name, value, by, at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![name, codec::json(value)?, by, codec::time_text(now)?])?,
    };
    Ok(())
}

pub(super) fn beat(transaction: &Transaction<'_>, node: &NodeBeat, now: Timestamp) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO node (node, version, started_at, running, beat_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            node.node,
            node.version,
            codec::time_text(node.started_at)?,
            codec::signed(node.running)?,
            codec::time_text(now)?,
        ])?;
    if let Ok(before) = now.checked_sub(rules::NODES_KEPT) {
        transaction
            .prepare_cached("DELETE FROM node WHERE beat_at < ?1")?
            .execute([codec::bound_text(before)])?;
    }
    Ok(())
}

pub(super) fn nodes(connection: &Connection) -> Result<Vec<(NodeBeat, Timestamp)>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT node, version, started_at, running, beat_at FROM node ORDER BY node")?;
    let mut rows = statement.query([])?;
    let mut nodes = Vec::new();
    while let Some(row) = rows.next()? {
        let node = NodeBeat {
            node: row.get(0)?,
            version: row.get(1)?,
            started_at: codec::time(row, 2)?,
            running: codec::unsigned(row, 3)?,
        };
        nodes.push((node, codec::time(row, 4)?));
    }
    Ok(nodes)
}
