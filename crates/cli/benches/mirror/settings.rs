//! What a person may set, from the environment.

use std::str::FromStr;

/// The size that the published figures are of.
const ROWS: u64 = 2_000_000;

pub(crate) struct Settings {
    /// SYNCLINE_TEST_POSTGRES: the server of all PostgreSQL databases, `postgres://user@host:port/name`.
    pub(crate) postgres: String,
    /// SYNCLINE_TEST_MARIADB: `mysql://user:password@host:port`. Without it the cases with MariaDB are left out.
    pub(crate) mariadb: Option<String>,
    /// BENCH_ROWS: rows of the table.
    pub(crate) rows: u64,
    /// BENCH_REPEAT: pairs in each case.
    pub(crate) repeat: usize,
    /// BENCH_ONLY=limits: the raw limits alone, without running Syncline.
    pub(crate) limits_only: bool,
    /// BENCH_ONLY=full,merge5: the cases that are wanted; all when empty.
    cases: Vec<String>,
    /// BENCH_BIG=1: the memory case reads 20 million rows too.
    pub(crate) big: bool,
    /// BENCH_DOCS=1, or a whole run at the published size: the figures go into the documents.
    pub(crate) docs: bool,
    /// PEERS=ingestr,sling: other tools to measure in the same run, each a script in `scripts/peers`.
    pub(crate) peers: Vec<String>,
}

impl Settings {
    /// # Panics
    ///
    /// Without a server, and when a number is none.
    pub(crate) fn from_environment() -> Self {
        let postgres = text("SYNCLINE_TEST_POSTGRES")
            .expect("SYNCLINE_TEST_POSTGRES is not set: use `make bench-mirror`");
        let mut cases = list("BENCH_ONLY");
        let limits_only = cases.iter().any(|case| case == "limits");
        cases.retain(|case| case != "limits");
        let rows = number("BENCH_ROWS").unwrap_or(ROWS);
        let whole = rows == ROWS && cases.is_empty() && !limits_only;
        Self {
            postgres,
            mariadb: text("SYNCLINE_TEST_MARIADB"),
            rows,
            repeat: number("BENCH_REPEAT").unwrap_or(3),
            limits_only,
            cases,
            big: text("BENCH_BIG").is_some(),
            docs: text("BENCH_DOCS").map_or(whole, |answer| answer == "1"),
            peers: list("PEERS"),
        }
    }

    pub(crate) fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|wanted| wanted == case)
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number<N: FromStr>(name: &str) -> Option<N> {
    text(name).map(|text| text.parse().ok().unwrap_or_else(|| panic!("{name} is a number")))
}

fn list(name: &str) -> Vec<String> {
    text(name).map_or_else(Vec::new, |text| text.split(',').map(|part| part.trim().to_owned()).collect())
}
