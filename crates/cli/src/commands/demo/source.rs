//! The demo's database: a SQLite file of projects that look like projects, the same ones for the same seed.

use std::path::{Path, PathBuf};

use fastrand::Rng;
use rusqlite::{Connection, Error, params};

const STATUSES: [&str; 10] =
    ["Active", "Active", "Active", "Active", "Active", "Planned", "Planned", "On Hold", "Closed", "Closed"];
const PLACES: [&str; 8] =
    ["Northern", "Harbour", "Airport", "Riverside", "Old Town", "Campus", "Ülm", "Coastal"];
const THINGS: [&str; 8] =
    ["Bridge", "Archive", "Warehouse", "Data Centre", "Laboratory", "School", "Water Works", "Café"];
const PEOPLE: [&str; 8] = ["Ann", "bea", "Chris", "dana", "Eli", "farid", "Grace", "hugo"];
const TAGS: [&str; 5] = ["eu", "internal", "priority", "regulated", "pilot"];

/// Most of a project's budget, in cents; one project in ten is above a million.
const BUDGET_CENTS_MAX: i64 = 95_000_000;
const LARGE_CENTS: std::ops::Range<i64> = 100_000_000..900_000_000;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE projects (
        project_code TEXT NOT NULL PRIMARY KEY,
        name         TEXT NOT NULL,
        status       TEXT NOT NULL,
        budget       DECIMAL(14,2) NOT NULL,
        start_date   DATE NOT NULL,
        end_date     DATE,
        owner_email  TEXT NOT NULL,
        tags         TEXT,
        updated_at   TIMESTAMP NOT NULL
    );
    CREATE INDEX projects_updated_at ON projects (updated_at);";

/// The database and the generator that decides what happens in it.
pub(super) struct Projects {
    path: PathBuf,
    rng: Rng,
    /// Number of the next project.
    next: u32,
}

impl Projects {
    /// Makes the database with `count` projects.
    pub(super) fn create(path: &Path, count: u32, seed: u64) -> Result<Self, Error> {
        let mut projects = Self { path: path.to_owned(), rng: Rng::with_seed(seed), next: 1 };
        let mut connection = projects.open()?;
        connection.execute_batch(SCHEMA)?;
        let transaction = connection.transaction()?;
        for _ in 0..count {
            projects.insert(&transaction)?;
        }
        transaction.commit()?;
        Ok(projects)
    }

    fn open(&self) -> Result<Connection, Error> {
        Connection::open(&self.path)
    }

    fn insert(&mut self, connection: &Connection) -> Result<(), Error> {
        let number = self.next;
        self.next += 1;
        let budget = if self.rng.u8(..10) == 0 {
            self.rng.i64(LARGE_CENTS)
        } else {
            self.rng.i64(500_000..BUDGET_CENTS_MAX)
        };
        let (place, thing) = (self.pick(&PLACES), self.pick(&THINGS));
        let start = format!("20{}-{:02}-{:02}", self.rng.u8(24..27), self.rng.u8(1..13), self.rng.u8(1..29));
        let end = (self.rng.u8(..4) > 0).then(|| format!("2028-{:02}-15", self.rng.u8(1..13)));
        let owner = format!("{}.{}@Contoso.com", self.pick(&PEOPLE), self.rng.u16(1..300));
        let tags =
            (self.rng.u8(..3) > 0).then(|| format!("{}, {}", self.pick(&TAGS[..2]), self.pick(&TAGS[2..])));
        connection
            .prepare_cached("INSERT INTO projects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
            .execute(params![
                format!("P-{number:06}"),
                format!("{place} {thing} {number}"),
                self.pick(&STATUSES),
                decimal(budget),
                start,
                end,
                owner,
                tags,
                format!(
                    "2026-01-{:02} {:02}:{:02}:00",
                    self.rng.u8(1..29),
                    self.rng.u8(..24),
                    self.rng.u8(..60)
                ),
            ])?;
        Ok(())
    }

    fn pick(&mut self, from: &'static [&'static str]) -> &'static str {
        from[self.rng.usize(..from.len())]
    }

    /// A working day: 70 budgets and owners change, 30 projects are closed, opened or grow large, 15 are new, 5 are gone.
    pub(super) fn a_day(&mut self) -> Result<(), Error> {
        let mut connection = self.open()?;
        let transaction = connection.transaction()?;
        // A large project is in its list whatever its status is: small ones move for certain.
        let moving = self.some(&transaction, "budget < 1000000", 30)?;
        for (index, code) in moving.iter().enumerate() {
            let change = match index {
                0..20 => "status = CASE status WHEN 'Closed' THEN 'Active' ELSE 'Closed' END",
                _ => "budget = 1000000.01",
            };
            update(&transaction, change, code)?;
        }
        let others = self.some(&transaction, "true", 75 + moving.len())?;
        for (index, code) in others.iter().filter(|code| !moving.contains(code)).take(75).enumerate() {
            match index {
                // Small ones are far enough from a million to stay small.
                0..40 => update(&transaction, "budget = round(budget + 1.01, 2)", code)?,
                40..70 => update(&transaction, "owner_email = 'New.Owner@contoso.com'", code)?,
                _ => transaction.execute("DELETE FROM projects WHERE project_code = ?1", [code]).map(drop)?,
            }
        }
        for _ in 0..15 {
            self.insert(&transaction)?;
        }
        transaction.commit()
    }

    /// A bulk update: every one of `count` projects is renamed, and some of them are closed.
    pub(super) fn reorganise(&mut self, count: usize) -> Result<(), Error> {
        let mut connection = self.open()?;
        let transaction = connection.transaction()?;
        for (index, code) in self.some(&transaction, "true", count)?.iter().enumerate() {
            update(&transaction, "name = name || ' (reorganised)'", code)?;
            if index % 10 == 0 {
                update(&transaction, "status = 'Closed'", code)?;
            }
        }
        for _ in 0..200 {
            self.insert(&transaction)?;
        }
        transaction.commit()
    }

    /// Different projects of those for which a condition holds, by chance.
    fn some(&mut self, connection: &Connection, condition: &str, count: usize) -> Result<Vec<String>, Error> {
        let sql = format!("SELECT project_code FROM projects WHERE {condition} ORDER BY project_code");
        let mut statement = connection.prepare(&sql)?;
        let mut codes: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        self.rng.shuffle(&mut codes);
        codes.truncate(count);
        Ok(codes)
    }

    /// The code and the list of every project, by the rules of the project file, written down once more on purpose:
    /// the account must not believe what it checks.
    pub(super) fn expected(&self) -> Result<Vec<(String, &'static str)>, Error> {
        let connection = self.open()?;
        let mut statement =
            connection.prepare("SELECT project_code, budget >= 1000000, status FROM projects")?;
        let rows = statement.query_map([], |row| {
            let (large, status): (bool, String) = (row.get(1)?, row.get(2)?);
            let list = match (large, status.as_str()) {
                (true, _) => super::LISTS[2],
                (false, "Closed") => super::LISTS[1],
                _ => super::LISTS[0],
            };
            Ok((row.get(0)?, list))
        })?;
        rows.collect()
    }
}

fn update(connection: &Connection, change: &str, code: &str) -> Result<(), Error> {
    let sql =
        format!("UPDATE projects SET {change}, updated_at = '2026-02-02 09:00:00' WHERE project_code = ?1");
    connection.prepare_cached(&sql)?.execute([code]).map(drop)
}

/// `12345` cents are `123.45`.
fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Scratch;

    #[test]
    fn the_same_seed_makes_the_same_projects() {
        let scratch = Scratch::new().unwrap();
        let make = |name: &str| {
            let mut projects = Projects::create(&scratch.directory.join(name), 1_000, 7).unwrap();
            projects.a_day().unwrap();
            projects.expected().unwrap()
        };
        let expected = make("a.db");
        assert_eq!(expected, make("b.db"));
        assert_eq!(expected.len(), 1_010);
        for list in super::super::LISTS {
            assert!(expected.iter().any(|(_, l)| *l == list), "{list}");
        }
    }
}
