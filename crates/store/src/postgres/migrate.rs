//! Brings the schema up to date; forward only.

use tokio_postgres::Client;

use super::fault::Fault;

refinery::embed_migrations!("migrations/postgres");

/// The lock that whoever looks at the schema holds: of several nodes that start at once, one migrates.
const GATE: i64 = 0x53_796e_636c_696e;

/// Applies the migrations that the database does not have yet, all or none.
pub(super) async fn migrate(client: &mut Client) -> Result<(), Fault> {
    // However long another node takes to migrate. Of the session: it goes with the connection, whatever happens in between.
    client.batch_execute("SET lock_timeout = 0").await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&GATE]).await?;
    let outcome = behind_the_gate(client).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&GATE]).await?;
    outcome
}

async fn behind_the_gate(client: &mut Client) -> Result<(), Fault> {
    let runner = migrations::runner().set_grouped(true);
    let newest = runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0);
    let found = last_applied(client).await?;
    if found > newest {
        return Err(Fault::Newer);
    }
    if found < newest {
        runner.run_async(client).await.map_err(|error| fault_of(&error))?;
    }
    Ok(())
}

/// The newest version in the database, 0 in a new one. Asked for by hand: refinery would create its table for the answer.
pub(super) async fn last_applied(client: &Client) -> Result<i32, Fault> {
    let known = client.query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[]).await?;
    if !known.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let last = client.query_one("SELECT max(version) FROM refinery_schema_history", &[]).await?;
    Ok(last.try_get::<_, Option<i32>>(0)?.unwrap_or(0))
}

/// What PostgreSQL said, if it was PostgreSQL: a full disk must stay a full disk.
fn fault_of(error: &refinery::Error) -> Fault {
    let text = error.to_string();
    match error.kind() {
        refinery::error::Kind::Connection(_, source) => {
            match source.downcast_ref::<tokio_postgres::Error>() {
                Some(said) => match said.as_db_error() {
                    Some(said) => Fault::Broken(format!("{text}: {}", said.message())),
                    None => Fault::Unreachable(text),
                },
                None => Fault::Broken(text),
            }
        }
        _ => Fault::Broken(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_migration_is_never_edited() {
        // refinery's checksums; an edited migration is refused by every store that has it. Add a new file instead.
        let published: Vec<_> = migrations::runner()
            .get_migrations()
            .iter()
            .map(|migration| (migration.version(), migration.name().to_owned(), migration.checksum()))
            .collect();
        let expected = [
            (1, "first".to_owned(), 1_665_005_203_186_143_274),
            (2, "service".to_owned(), 12_343_211_626_162_585_553),
            (3, "partition".to_owned(), 8_400_354_409_918_204_749),
            (4, "written".to_owned(), 18_121_607_210_529_529_719),
        ];
        assert_eq!(published, expected);
    }
}
