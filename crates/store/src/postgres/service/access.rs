//! Tokens, settings, and the nodes that serve.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{codec, connection::Work, fault::Fault, filter, words};
use crate::{
    rules,
    service::{NewToken, NodeBeat, Token, TokenId},
};

pub(super) async fn add_token(work: &Work<'_>, token: &NewToken) -> Result<TokenId, Fault> {
    let created = codec::time(token.created_at)?;
    // A name is free again when its token is no longer in force.
    work.execute(
        "UPDATE token SET revoked_at = expires_at
         WHERE tenant = $1 AND name = $2 AND revoked_at IS NULL AND expires_at <= $3",
        &[&work.tenant, &token.name, &created],
    )
    .await?;
    let row = work
        .one(
            "INSERT INTO token (tenant, name, hash, scopes, created_at, expires_at)
             VALUES ($1, $2, $3, $4::text::json, $5, $6) RETURNING id",
            &[
                &work.tenant,
                &token.name,
                &token.hash.as_slice(),
                &codec::json(&token.scopes)?,
                &created,
                &words::time_or_null(token.expires_at)?,
            ],
        )
        .await?;
    codec::unsigned(&row, 0)
}

/// Columns of a [`Token`], for [`read_token`].
const TOKEN: &str =
    "SELECT id, name, hash, scopes::text, created_at, expires_at, revoked_at, used_at FROM token";

pub(super) async fn tokens(work: &Work<'_>) -> Result<Vec<Token>, Fault> {
    let sql = format!("{TOKEN} WHERE tenant = $1 ORDER BY id");
    work.rows(&sql, &[&work.tenant]).await?.iter().map(read_token).collect()
}

pub(super) async fn token_by_hash(work: &Work<'_>, hash: &[u8; 32]) -> Result<Option<Token>, Fault> {
    let sql = format!("{TOKEN} WHERE tenant = $1 AND hash = $2");
    work.row(&sql, &[&work.tenant, &hash.as_slice()]).await?.map(|row| read_token(&row)).transpose()
}

fn read_token(row: &Row) -> Result<Token, Fault> {
    Ok(Token {
        id: codec::unsigned(row, 0)?,
        token: NewToken {
            name: row.try_get(1)?,
            hash: codec::hash(row, 2)?,
            scopes: codec::from_json(row, 3)?,
            created_at: codec::stored_time(row, 4)?,
            expires_at: codec::stored_time_or_null(row, 5)?,
        },
        revoked_at: codec::stored_time_or_null(row, 6)?,
        used_at: codec::stored_time_or_null(row, 7)?,
    })
}

pub(super) async fn revoke_token(work: &Work<'_>, token: TokenId, now: Timestamp) -> Result<bool, Fault> {
    let sql = "UPDATE token SET revoked_at = $3 WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL";
    Ok(work.execute(sql, &[&work.tenant, &filter::number(token), &codec::time(now)?]).await? > 0)
}

pub(super) async fn touch_token(work: &Work<'_>, token: TokenId, now: Timestamp) -> Result<(), Fault> {
    let sql = "UPDATE token SET used_at = $3 WHERE tenant = $1 AND id = $2";
    work.execute(sql, &[&work.tenant, &filter::number(token), &codec::time(now)?]).await?;
    Ok(())
}

pub(super) async fn settings(work: &Work<'_>) -> Result<Vec<(String, serde_json::Value)>, Fault> {
    let sql = "SELECT name, value::text FROM setting WHERE tenant = $1 ORDER BY name";
    let rows = work.rows(sql, &[&work.tenant]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, codec::from_json(row, 1)?))).collect()
}

pub(super) async fn setting(work: &Work<'_>, name: &str) -> Result<Option<serde_json::Value>, Fault> {
    let sql = "SELECT value::text FROM setting WHERE tenant = $1 AND name = $2";
    work.row(sql, &[&work.tenant, &name]).await?.map(|row| codec::from_json(&row, 0)).transpose()
}

pub(super) async fn set_setting(
    work: &Work<'_>,
    name: &str,
    value: Option<&serde_json::Value>,
    by: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(value) = value else {
        let sql = "DELETE FROM setting WHERE tenant = $1 AND name = $2";
        work.execute(sql, &[&work.tenant, &name]).await?;
        return Ok(());
    };
    work.execute(
        "INSERT INTO setting (tenant, name, value, by, at) VALUES ($1, $2, $3::text::json, $4, $5)
         ON CONFLICT (tenant, name) DO UPDATE SET value = excluded.value, by = excluded.by, at = excluded.at",
        &[&work.tenant, &name, &codec::json(value)?, &by, &codec::time(now)?],
    )
    .await?;
    Ok(())
}

pub(super) async fn beat(work: &Work<'_>, node: &NodeBeat, now: Timestamp) -> Result<(), Fault> {
    work.execute(
        "INSERT INTO node (tenant, node, version, started_at, running, beat_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant, node) DO UPDATE SET version = excluded.version, started_at = excluded.started_at,
           running = excluded.running, beat_at = excluded.beat_at",
        &[
            &work.tenant,
            &node.node,
            &node.version,
            &codec::time(node.started_at)?,
            &codec::signed(node.running)?,
            &codec::time(now)?,
        ],
    )
    .await?;
    if let Ok(before) = now.checked_sub(rules::NODES_KEPT) {
        work.execute(
            "DELETE FROM node WHERE tenant = $1 AND node IN (
               SELECT node FROM node WHERE tenant = $1 AND beat_at < $2 FOR UPDATE SKIP LOCKED)",
            &[&work.tenant, &codec::bound(before)],
        )
        .await?;
    }
    Ok(())
}

pub(super) async fn nodes(work: &Work<'_>) -> Result<Vec<(NodeBeat, Timestamp)>, Fault> {
    let sql = "SELECT node, version, started_at, running, beat_at FROM node WHERE tenant = $1 ORDER BY node";
    let rows = work.rows(sql, &[&work.tenant]).await?;
    let node = |row: &Row| {
        let node = NodeBeat {
            node: row.try_get(0)?,
            version: row.try_get(1)?,
            started_at: codec::stored_time(row, 2)?,
            running: codec::unsigned(row, 3)?,
        };
        Ok((node, codec::stored_time(row, 4)?))
    };
    rows.iter().map(node).collect()
}
