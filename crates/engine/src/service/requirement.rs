//! What steps ask of data: number of rows, freshness.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use syncline_connect::statements::Statements;
use syncline_core::{chain::Requirement, project::Project, run::Status, value::Value};

use super::control::Control;

/// Code and message.
pub(super) type Fault = (String, String);

fn fault(code: &str, message: String) -> Fault {
    (code.to_owned(), message)
}

pub(super) fn of_connector(error: &syncline_connect::Error) -> Fault {
    fault(error.code(), error.to_string())
}

/// A connection, opened for single statements.
pub(super) async fn statements(
    control: &Control,
    project: &Project,
    connection: &str,
) -> Result<Arc<dyn Statements>, Fault> {
    let missing = || fault("definition", format!("connection {connection:?} is not defined any more"));
    let connection = project.connection(connection).ok_or_else(missing)?;
    control.systems.statements(connection).await.map_err(|error| of_connector(&error))
}

/// Whether a requirement holds: a line for people.
///
/// # Errors
/// It does not (`rows`, `stale`), or nobody can say.
pub(super) async fn holds(
    control: &Control,
    project: &Project,
    requirement: &Requirement,
    timeout: Duration,
) -> Result<String, Fault> {
    match requirement {
        Requirement::Rows { connection, query, min, max } => {
            let value = single(control, project, connection, query, timeout).await?;
            rows(&value, *min, *max)
        }
        Requirement::Fresh { connection, query, within } => {
            let value = single(control, project, connection, query, timeout).await?;
            let newest = match &value {
                Value::Null => None,
                value => Some(time(value).ok_or_else(|| fault("check", "the query gives no time".into()))?),
            };
            fresh("the newest record", newest, *within, control.clock.now())
        }
        Requirement::Synced { sync, within } => {
            let mut newest = None;
            for status in [Status::Succeeded, Status::Partial] {
                let runs = control.store.runs(Some(sync), Some(status), 1).await;
                let runs = runs.map_err(|error| fault("store", error.to_string()))?;
                newest = newest.max(runs.first().map(|run| run.started_at));
            }
            fresh(&format!("the last complete run of sync {sync:?}"), newest, *within, control.clock.now())
        }
    }
}

/// The single value of a query.
async fn single(
    control: &Control,
    project: &Project,
    connection: &str,
    query: &str,
    timeout: Duration,
) -> Result<Value<'static>, Fault> {
    let statements = statements(control, project, connection).await?;
    let mut found = statements.query(query, 1, timeout).await.map_err(|error| of_connector(&error))?;
    let row = found.rows.pop().filter(|row| row.len() == 1);
    let value = row.and_then(|mut row| row.pop());
    value.ok_or_else(|| fault("check", "the query must give one row with one value".into()))
}

fn rows(value: &Value<'_>, min: Option<i64>, max: Option<i64>) -> Result<String, Fault> {
    let count = number(value).ok_or_else(|| fault("check", "the query gives no whole number".into()))?;
    if let Some(min) = min.filter(|min| count < *min) {
        return Err(fault("rows", format!("{count} rows, at least {min} are needed")));
    }
    if let Some(max) = max.filter(|max| count > *max) {
        return Err(fault("rows", format!("{count} rows, at most {max} are allowed")));
    }
    Ok(format!("{count} rows"))
}

fn fresh(what: &str, newest: Option<Timestamp>, within: Duration, now: Timestamp) -> Result<String, Fault> {
    let Some(newest) = newest else { return Err(fault("stale", format!("{what}: there is none"))) };
    let age = Duration::try_from(now.duration_since(newest)).unwrap_or_default();
    let text = format!("{what} is {} s old", age.as_secs());
    if age > within {
        return Err(fault("stale", format!("{text}; at most {} s are allowed", within.as_secs())));
    }
    Ok(text)
}

fn number(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int64(number) => Some(*number),
        Value::Text(text) | Value::Decimal(text) => {
            text.split_once('.').map_or(&**text, |(whole, _)| whole).parse().ok()
        }
        _ => None,
    }
}

/// A time, also one written as text; without a zone it is UTC.
fn time(value: &Value<'_>) -> Option<Timestamp> {
    match value {
        Value::Timestamp { micros, .. } => Timestamp::from_microsecond(*micros).ok(),
        Value::Date(day) => Timestamp::from_second(i64::from(*day) * 86_400).ok(),
        Value::Text(text) => {
            let civil = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
            text.parse().ok().or_else(|| civil().map(|zoned| zoned.timestamp()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_within_their_limits() {
        assert_eq!(rows(&Value::Int64(3), Some(1), Some(5)), Ok("3 rows".to_owned()));
        let few = rows(&Value::Int64(0), Some(1), None);
        assert_eq!(few, Err(fault("rows", "0 rows, at least 1 are needed".into())));
        let many = rows(&Value::Decimal("7".into()), None, Some(6));
        assert_eq!(many, Err(fault("rows", "7 rows, at most 6 are allowed".into())));
        assert!(rows(&Value::Text("many".into()), None, None).is_err());
    }

    #[test]
    fn data_is_fresh_up_to_the_limit() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
        let hour = Duration::from_secs(3600);
        let at = |text: &str| time(&Value::Text(text.to_owned().into()));
        assert!(fresh("it", at("2026-03-01T11:00:00Z"), hour, now).is_ok());
        assert!(fresh("it", at("2026-03-01 11:00:00"), hour, now).is_ok(), "as SQLite writes it");
        let old = fresh("it", at("2026-03-01T10:59:59Z"), hour, now);
        assert_eq!(old, Err(fault("stale", "it is 3601 s old; at most 3600 s are allowed".into())));
        assert_eq!(fresh("it", None, hour, now), Err(fault("stale", "it: there is none".into())));
    }
}
