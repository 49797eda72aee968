//! Where an incremental read must stop so that nothing is missed: below the oldest transaction that may still write.
//!
//! A record's timestamp is usually its transaction's start. It becomes visible at commit, when later timestamps may have
//! been read already. So nothing at or after the start of a transaction that is still open may be read as done.
//!
//! The sessions are looked at *before* the snapshot that reads is taken, not in it. A transaction that ends in between is
//! then seen by both; the other way round it would be seen by neither, and its records would be lost.

use std::time::Duration;

use syncline_core::value::Value;

use super::{bind::Param, client::Session, describe::Column, error, types::EPOCH_MICROS};
use crate::Error;

/// A report that runs for hours writes nothing most of the time: it must not stall every sync for as long.
/// Ten minutes is well beyond what a transaction that stamps records takes, and what one may fall behind.
const DISTANCE_MAX: Duration = Duration::from_secs(600);

/// `now` is read first: what begins after it cannot lie below it. Vacuum and replication send nothing of their own, and
/// a session without a user (an internal worker) writes no records of users. A prepared transaction has lost its
/// session and with it the time it began.
const SESSIONS: &str = "SELECT now(), a.oldest, a.hidden, \
    EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts p WHERE p.database = current_database()) \
  FROM (SELECT \
      min(s.xact_start) FILTER (WHERE coalesce(s.backend_type, '') NOT IN ('autovacuum worker', 'walsender')) AS oldest, \
      coalesce(bool_or(s.query = '<insufficient privilege>' OR s.state = 'disabled'), false) AS hidden \
    FROM pg_catalog.pg_stat_activity s \
    WHERE s.datname = current_database() AND s.pid <> pg_backend_pid() AND s.usesysid IS NOT NULL) a";

/// What the server tells about its sessions; times in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sessions {
    now: i64,
    oldest: Option<i64>,
    hidden: bool,
    prepared: bool,
}

impl Sessions {
    /// The instant below which every record is visible or was given up waiting for.
    fn bound(self, lag: Duration) -> i64 {
        let before = |distance: Duration| {
            self.now.saturating_sub(i64::try_from(distance.as_micros()).unwrap_or(i64::MAX))
        };
        let furthest = before(DISTANCE_MAX);
        let mut bound = self.oldest.unwrap_or(self.now).min(self.now);
        if self.prepared {
            bound = furthest;
        }
        bound = bound.max(furthest);
        // the lag is the user's word on how long writers take: it may be longer than our own limit
        if self.hidden { bound.min(before(lag)) } else { bound }
    }
}

/// The bound for a timestamp or date column, as its position and as the exclusive end of a listing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    /// Where a later incremental read may start.
    pub(super) resume: Value<'static>,
    /// What a listing stops at.
    pub(super) end: Value<'static>,
}

/// Asks the server. `column` is a timestamp or date column.
pub(super) async fn ask(session: &Session, column: &Column, lag: Duration) -> Result<Bound, Error> {
    let rows = session.rows(SESSIONS, &[]).await?;
    let row =
        rows.first().ok_or_else(|| Error::new(crate::error::Kind::Protocol, "no answer about sessions"))?;
    let time = |i: usize| -> Result<Option<i64>, Error> {
        let time: Option<Micros> = row.try_get(i).map_err(|e| error::of(&e))?;
        Ok(time.map(|Micros(m)| m))
    };
    let flag = |i: usize| row.try_get::<_, bool>(i).map_err(|e| error::of(&e));
    let sessions = Sessions {
        now: time(0)?.unwrap_or_default(),
        oldest: time(1)?,
        hidden: flag(2)?,
        prepared: flag(3)?,
    };
    let bound = sessions.bound(lag);
    in_column(session, column, bound).await
}

/// The instant in the column's own type. Columns without a zone are compared by the session's wall clock, which only the
/// server knows.
async fn in_column(session: &Session, column: &Column, bound: i64) -> Result<Bound, Error> {
    use super::types::Codec;
    let instant = Value::Timestamp { micros: bound, zoned: true };
    let kind = match column.codec {
        Codec::Timestamp => "timestamp",
        Codec::Date => "date",
        _ => return Ok(Bound { resume: instant.clone(), end: instant }),
    };
    let sql = format!("SELECT $1::timestamptz::{kind}");
    let params: Vec<_> = Param::of(&Codec::Timestamptz, &instant).into_iter().collect();
    let rows = session.rows(&sql, &params).await?;
    let raw = rows.first().map(|r| r.try_get::<_, super::bind::Raw<'_>>(0)).transpose();
    let raw = raw.map_err(|e| error::of(&e))?.and_then(|r| r.0);
    let resume = raw.and_then(|r| column.codec.decode(r, &mut String::new()).ok().map(Value::into_owned));
    let resume =
        resume.ok_or_else(|| Error::new(crate::error::Kind::Protocol, "no answer about the time"))?;
    // Of a day that is not over, what is there is read; the next read starts at this day again, so what comes later
    // is not missed.
    let end = match resume {
        Value::Date(day) => Value::Date(day.saturating_add(1)),
        ref other => other.clone(),
    };
    Ok(Bound { resume, end })
}

/// A `timestamptz` as microseconds since 1970.
struct Micros(i64);

impl<'a> tokio_postgres::types::FromSql<'a> for Micros {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?).saturating_add(EPOCH_MICROS)))
    }

    fn accepts(kind: &tokio_postgres::types::Type) -> bool {
        *kind == tokio_postgres::types::Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Never above now, never above the oldest writer that is still waited for, never more than the distance below now
        /// unless the lag says so; at every end of the numbers.
        #[test]
        fn never_past_what_may_still_be_written(
            now in prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)], oldest in prop::option::of(any::<i64>()),
            hidden in any::<bool>(), prepared in any::<bool>(), lag in any::<u64>()
        ) {
            let bound = Sessions { now, oldest, hidden, prepared }.bound(Duration::from_micros(lag));
            let furthest = now.saturating_sub(600_000_000);
            prop_assert!(bound <= now);
            prop_assert!(oldest.is_none_or(|oldest| bound <= oldest.max(furthest)));
            prop_assert!(hidden || bound >= furthest);
            prop_assert!(!prepared || bound <= furthest);
            let behind = now.saturating_sub(i64::try_from(lag).unwrap_or(i64::MAX));
            prop_assert!(!hidden || (bound <= behind && bound >= behind.min(furthest)));
        }
    }

    const MINUTE: i64 = 60_000_000;
    const NOW: i64 = 1_000 * MINUTE;
    const LAG: Duration = Duration::from_secs(120);

    fn bound(oldest: Option<i64>, hidden: bool, prepared: bool) -> i64 {
        Sessions { now: NOW, oldest, hidden, prepared }.bound(LAG)
    }

    #[test]
    fn below_the_oldest_open_transaction() {
        assert_eq!(bound(None, false, false), NOW);
        assert_eq!(bound(Some(NOW - 3 * MINUTE), false, false), NOW - 3 * MINUTE);
        assert_eq!(bound(Some(NOW + MINUTE), false, false), NOW, "began after we looked at the clock");
    }

    #[test]
    fn a_long_transaction_does_not_stall_us_for_ever() {
        assert_eq!(bound(Some(NOW - 300 * MINUTE), false, false), NOW - 10 * MINUTE);
    }

    #[test]
    fn a_prepared_transaction_may_have_begun_at_any_time() {
        assert_eq!(bound(None, false, true), NOW - 10 * MINUTE);
    }

    #[test]
    fn hidden_sessions_cost_the_lag() {
        assert_eq!(bound(None, true, false), NOW - 2 * MINUTE);
        assert_eq!(bound(Some(NOW - 3 * MINUTE), true, false), NOW - 3 * MINUTE);
        let hour = Duration::from_secs(3600);
        let sessions = Sessions { now: NOW, oldest: None, hidden: true, prepared: false };
        assert_eq!(sessions.bound(hour), NOW - 60 * MINUTE);
    }
}
