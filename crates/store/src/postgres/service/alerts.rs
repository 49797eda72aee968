//! Where alerts stand.

use syncline_core::alert::AlertKind;
use tokio_postgres::Row;

use super::{codec, connection::Work, fault::Fault, words};
use crate::{rules, service::AlertState};

/// Columns of an [`AlertState`], for [`read`].
const ALERT: &str =
    "SELECT rule, subject_kind, subject, kind, active, since, told_at, message::text, attempts, try_at
    FROM alert";

pub(super) async fn states(work: &Work<'_>) -> Result<Vec<AlertState>, Fault> {
    let sql = format!("{ALERT} WHERE tenant = $1 ORDER BY rule, subject_kind, subject, kind");
    work.rows(&sql, &[&work.tenant]).await?.iter().map(read).collect()
}

pub(super) async fn swap(
    work: &Work<'_>,
    previous: Option<&AlertState>,
    next: &AlertState,
) -> Result<bool, Fault> {
    let sql = format!(
        "{ALERT} WHERE tenant = $1 AND rule = $2 AND subject_kind = $3 AND subject = $4 AND kind = $5
         FOR NO KEY UPDATE"
    );
    let (subject_kind, subject, kind) = (next.subject.kind.as_str(), &next.subject.name, next.kind.as_str());
    let found = work
        .row(&sql, &[&work.tenant, &next.rule, &subject_kind, subject, &kind])
        .await?
        .map(|row| read(&row));
    if found.transpose()? != previous.map(rules::stored_alert) {
        return Ok(false);
    }
    // Nobody can replace the row that we hold. Where there is none, somebody may add it first.
    let conflict = if previous.is_some() {
        "DO UPDATE SET active = excluded.active, since = excluded.since, told_at = excluded.told_at,
           message = excluded.message, attempts = excluded.attempts, try_at = excluded.try_at"
    } else {
        "DO NOTHING"
    };
    let swapped = work
        .execute(
            &format!(
                "INSERT INTO alert (tenant, rule, subject_kind, subject, kind, active, since, told_at, message, attempts,
                   try_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json, $10, $11)
                 ON CONFLICT (tenant, rule, subject_kind, subject, kind) {conflict}"
            ),
            &[
                &work.tenant,
                &next.rule,
                &subject_kind,
                subject,
                &kind,
                &next.active,
                &codec::time(next.since)?,
                &words::time_or_null(next.told_at)?,
                &next.message.as_ref().map(codec::json).transpose()?,
                &i64::from(next.attempts),
                &words::time_or_null(next.try_at)?,
            ],
        )
        .await?;
    Ok(swapped > 0)
}

fn read(row: &Row) -> Result<AlertState, Fault> {
    Ok(AlertState {
        rule: row.try_get(0)?,
        subject: words::subject(row, 1)?,
        kind: words::word(row, 3, AlertKind::parse, "kind of alert")?,
        active: row.try_get(4)?,
        since: codec::stored_time(row, 5)?,
        told_at: codec::stored_time_or_null(row, 6)?,
        message: codec::from_json_or_null(row, 7)?,
        attempts: words::small(row, 8)?,
        try_at: codec::stored_time_or_null(row, 9)?,
    })
}
