//! Where an incremental read must stop so that nothing is missed: below the oldest statement or transaction that may
//! still write.
//!
//! A record is stamped when its statement starts and becomes visible when its transaction commits, when later stamps may
//! have been read already. So nothing at or after the start of a writer that is not done may be read as done.
//!
//! The writers are looked at *before* the snapshot that reads is taken, not in it: one that ends in between is then seen
//! by both. And running statements are looked at before open transactions: a statement that ends in between has left an
//! open transaction behind, or a commit that the snapshot sees. A statement that waits for a table has no transaction yet.

use std::time::Duration;

use mysql_async::Value as Raw;
use syncline_core::{time::DAY_MICROS, value::Value};

use super::{
    bind,
    client::{SNAPSHOT, Session, number},
    describe::Column,
    types::Codec,
};
use crate::{Error, error::Kind};

/// A report that runs for hours writes nothing most of the time: it must not stall every sync for as long.
/// Ten minutes is well beyond what a transaction that stamps records takes, and what one may fall behind.
const DISTANCE_MAX: Duration = Duration::from_secs(600);

/// The time, and for how many microseconds at most the oldest statement of others has been running that is more than a
/// look. `NOW` is when this statement began, so what it does not see began later. MariaDB counts in milliseconds, MySQL in
/// seconds.
fn statements(is_mariadb: bool) -> String {
    let running = if is_mariadb { "(MAX(time_ms) + 1) * 1000" } else { "(MAX(time) + 1) * 1000000" };
    format!(
        "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED), CAST({running} AS SIGNED) \
        FROM information_schema.processlist \
        WHERE id <> CONNECTION_ID() AND command IN ('Query', 'Execute') AND (info IS NULL OR info NOT LIKE 'select%')"
    )
}

/// When the oldest transaction of others began, in whole seconds, told on the clock of the server's machine; and whether
/// ours is among them. Listings like ours are read only, as are the snapshots of single statements.
const TRANSACTIONS: &str = "SELECT \
      CAST(UNIX_TIMESTAMP(CONVERT_TZ(MIN(IF( \
        trx_mysql_thread_id <> CONNECTION_ID() AND trx_is_read_only = 0 AND trx_autocommit_non_locking = 0, \
        trx_started, NULL)), 'SYSTEM', '+00:00')) * 1000000 AS SIGNED), \
      MAX(trx_mysql_thread_id = CONNECTION_ID()) \
    FROM information_schema.innodb_trx";

/// The server shows a copy of its transactions, and makes a new one when nobody has looked for a tenth of a second …
const COPY_AGE: Duration = Duration::from_millis(110);
/// … which others may prevent. So often is looked.
const LOOKS_MAX: usize = 20;

/// Whether transactions are shown to this user: a table for which the same is needed, and that has no copy to age.
const VISIBLE: &str = "SELECT 1 FROM information_schema.innodb_cmp LIMIT 1";

/// What the server tells about its writers; times in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Writers {
    now: i64,
    /// How long the oldest statement may have been running.
    running: Option<i64>,
    /// Rounded down to the second.
    oldest: Option<i64>,
    hidden: bool,
}

impl Writers {
    /// The instant below which every record is visible or was given up waiting for.
    fn bound(self, lag: Duration) -> i64 {
        let before = |distance: Duration| {
            self.now.saturating_sub(i64::try_from(distance.as_micros()).unwrap_or(i64::MAX))
        };
        let furthest = before(DISTANCE_MAX);
        let statement = self.running.map(|micros| self.now.saturating_sub(micros.max(0)));
        // In the hour that a machine's clock repeats in autumn, a beginning may seem to lie ahead.
        let transaction = self.oldest.map(|oldest| if oldest > self.now { furthest } else { oldest });
        let bound = statement.into_iter().chain(transaction).fold(self.now, i64::min).max(furthest);
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
pub(super) async fn ask(session: &mut Session, column: &Column, lag: Duration) -> Result<Bound, Error> {
    let statements = session.rows(&statements(session.is_mariadb), Vec::new()).await?;
    let now = number(statements.first(), 0)?
        .ok_or_else(|| Error::new(Kind::Protocol, "no answer about the time"))?;
    let (oldest, hidden) = match transactions(session).await {
        Err(error) if error.kind == Kind::Forbidden => (None, true),
        oldest => (oldest?, false),
    };
    let writers = Writers { now, running: number(statements.first(), 1)?, oldest, hidden };
    in_column(session, column, writers.bound(lag)).await
}

/// When the oldest transaction of others began, of all that were open at some moment after this was called. A copy of the
/// server's that has our own transaction was made after that began.
async fn transactions(session: &mut Session) -> Result<Option<i64>, Error> {
    session.run(SNAPSHOT).await?;
    for look in 0..LOOKS_MAX {
        if look > 0 {
            tokio::time::sleep(COPY_AGE).await;
        }
        let rows = session.rows(TRANSACTIONS, Vec::new()).await?;
        if number(rows.first(), 1)? == Some(1) {
            session.run("COMMIT").await?;
            return number(rows.first(), 0);
        }
    }
    session.run("COMMIT").await?;
    // the beginning of time: as far back as is allowed
    Ok(Some(i64::MIN))
}

/// What an operator should know when the server does not tell its transactions.
pub(super) async fn note(session: &mut Session) -> Result<Option<String>, Error> {
    match session.rows(VISIBLE, Vec::new()).await {
        Err(error) if error.kind == Kind::Forbidden => Ok(Some(
            "This user does not see when other users' transactions began: incremental reads stop the configured lag \
             below now; GRANT PROCESS to it for the exact bound."
                .to_owned(),
        )),
        other => other.map(|_| None),
    }
}

/// The instant in the column's own type. Columns without a zone hold the wall clock of whoever wrote them, which is the
/// server's where nobody says otherwise.
async fn in_column(session: &mut Session, column: &Column, bound: i64) -> Result<Bound, Error> {
    let instant = Value::Timestamp { micros: bound, zoned: true };
    if column.codec == Codec::Timestamp {
        return Ok(Bound { resume: instant.clone(), end: instant });
    }
    let sql = "SELECT CONVERT_TZ(CAST(? AS DATETIME(6)), '+00:00', @@GLOBAL.time_zone)";
    let param = bind::position(Codec::Timestamp, &instant).unwrap_or(Raw::NULL);
    let rows = session.rows(sql, vec![param]).await?;
    let wall = rows.first().and_then(|row| row.as_ref(0)).and_then(|raw| Codec::Datetime.decode(raw).ok());
    let Some(Value::Timestamp { micros, .. }) = wall else {
        return Err(Error::new(Kind::Protocol, "the server does not tell the time in its own zone"));
    };
    if column.codec != Codec::Date {
        let wall = Value::Timestamp { micros, zoned: false };
        return Ok(Bound { resume: wall.clone(), end: wall });
    }
    // Of a day that is not over, what is there is read; the next read starts at this day again, so what comes later
    // is not missed.
    let day = i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX);
    Ok(Bound { resume: Value::Date(day), end: Value::Date(day.saturating_add(1)) })
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
            running in prop::option::of(any::<i64>()), hidden in any::<bool>(), lag in any::<u64>()
        ) {
            let bound = Writers { now, running, oldest, hidden }.bound(Duration::from_micros(lag));
            let furthest = now.saturating_sub(600_000_000);
            prop_assert!(bound <= now);
            prop_assert!(oldest.is_none_or(|oldest| bound <= oldest.max(furthest)));
            prop_assert!(running.is_none_or(|micros| bound <= now.saturating_sub(micros.max(0)).max(furthest)));
            prop_assert!(hidden || bound >= furthest);
            let behind = now.saturating_sub(i64::try_from(lag).unwrap_or(i64::MAX));
            prop_assert!(!hidden || (bound <= behind && bound >= behind.min(furthest)));
        }
    }

    const MINUTE: i64 = 60_000_000;
    const NOW: i64 = 1_000 * MINUTE;
    const LAG: Duration = Duration::from_secs(120);

    fn bound(running: Option<i64>, oldest: Option<i64>, hidden: bool) -> i64 {
        Writers { now: NOW, running, oldest, hidden }.bound(LAG)
    }

    #[test]
    fn below_the_oldest_writer() {
        assert_eq!(bound(None, None, false), NOW);
        assert_eq!(bound(None, Some(NOW - 3 * MINUTE), false), NOW - 3 * MINUTE);
        assert_eq!(bound(Some(1_000), None, false), NOW - 1_000);
        assert_eq!(bound(Some(MINUTE), Some(NOW - 3 * MINUTE), false), NOW - 3 * MINUTE);
        assert_eq!(bound(Some(4 * MINUTE), Some(NOW - 3 * MINUTE), false), NOW - 4 * MINUTE);
        assert_eq!(bound(Some(60 * MINUTE), None, false), NOW - 10 * MINUTE);
    }

    #[test]
    fn a_long_transaction_does_not_stall_us_for_ever() {
        assert_eq!(bound(None, Some(NOW - 300 * MINUTE), false), NOW - 10 * MINUTE);
    }

    #[test]
    fn a_beginning_that_lies_ahead_is_in_the_hour_that_repeats() {
        assert_eq!(bound(None, Some(NOW + 30 * MINUTE), false), NOW - 10 * MINUTE);
    }

    #[test]
    fn hidden_transactions_cost_the_lag() {
        assert_eq!(bound(None, None, true), NOW - 2 * MINUTE);
        let writers = Writers { now: NOW, running: None, oldest: None, hidden: true };
        assert_eq!(writers.bound(Duration::from_secs(3600)), NOW - 60 * MINUTE);
    }
}
