//! The example's sync and its statements through the command line, on both databases. What Teams would tell stands in a table
//! here, so that nothing but the loads is looked at.

use std::process::{Command, Stdio};

use base64::Engine as _;

use super::{ANN, BOB, read, session, statements::Database, webinar};
use crate::{
    databases::Postgres,
    kit::{Ended, Place},
};

/// What Teams tells of a session.
const TOLD: &str = "
    CREATE TABLE participants (person TEXT PRIMARY KEY, email TEXT, name TEXT, registered BOOLEAN, registration_status TEXT,
        registered_at TIMESTAMP, attended BOOLEAN, seconds INTEGER, first_joined_at TIMESTAMP, last_left_at TIMESTAMP, role TEXT);
    INSERT INTO participants (person, email, registered, attended, seconds) VALUES
        ('emma@kt.fabrikam.com', 'Emma@KT.Fabrikam.com ', 1, 1, 600), ('li@fabrikam.com', 'li@fabrikam.com', 1, 1, 0),
        ('omar@adatum.co.uk', 'omar@adatum.co.uk', 1, 0, 0), ('pat@contoso.com', 'pat@contoso.com', 1, 1, 60),
        ('identity:7', NULL, 0, 1, 30);";

const SESSION: &str = "SELECT registrations, attendees, registrant_domains, attendee_domains, warm_accounts FROM session_metrics";
const SERIES: &str = "SELECT registrations, attendees, registrant_domains, accounts_influenced, warm_accounts FROM series_metrics";

struct Desk {
    place: Place,
    database: Database,
}

/// A token as a directory issues it; nobody verifies it here.
fn token(owner: &str) -> String {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        encode("{}"),
        encode(&format!(r#"{{"oid":"{owner}","tid":"contoso"}}"#)),
        encode("signature")
    )
}

/// The example's project, its connection to Teams replaced by a table.
fn project(file: &str) -> String {
    let text = read(file);
    let (before, after) = text.split_once("  teams:\n").unwrap();
    let (_, after) = after.split_once("  warehouse:\n").unwrap();
    let text = format!("{before}  teams: {{ type: sqlite, path: teams.db }}\n  warehouse:\n{after}");
    let (before, after) = text.split_once("# Users of this tenant").unwrap();
    let (_, after) = after.split_once("\nsyncs:\n").unwrap();
    format!("{before}\nsyncs:\n{}", after.replace("resource: participants", "table: participants"))
}

impl Desk {
    fn all(name: &str) -> Vec<Self> {
        [Self::postgres(name), Some(Self::sqlite())].into_iter().flatten().collect()
    }

    fn postgres(name: &str) -> Option<Self> {
        let database = Database::postgres(name)?;
        let mut place = Place::empty();
        let Database::Postgres(Postgres { url, .. }, _) = &database else { unreachable!() };
        place.set("WAREHOUSE_URL", url);
        Some(Self { place, database }.furnished("syncline.yaml"))
    }

    fn sqlite() -> Self {
        let place = Place::empty();
        let database = Database::sqlite(&place.path("warehouse.db"));
        Self { place, database }.furnished("syncline-sqlite.yaml")
    }

    fn furnished(self, file: &str) -> Self {
        self.database.execute(&read("data.sql"));
        self.database.execute(&format!(
            "INSERT INTO series SELECT '{BOB}', series_id, title, NULL FROM series;
             INSERT INTO sessions SELECT '{BOB}', session_id, webinar_id, series_id, title, starts_at, published, NULL FROM sessions"
        ));
        self.told(TOLD);
        self.place.write("syncline.yaml", project(file));
        self.place.write("ann", token(ANN));
        self.place.write("bob", token(BOB));
        self
    }

    /// Changes what Teams tells.
    fn told(&self, sql: &str) {
        rusqlite::Connection::open(self.place.path("teams.db")).unwrap().execute_batch(sql).unwrap();
    }

    fn run(&self, user: &str, number: u32) -> Ended {
        self.command(user, number).output().unwrap().into()
    }

    fn command(&self, user: &str, number: u32) -> Command {
        let values = [("webinar", webinar(number)), ("session", session(number))];
        let [webinar, session] = values.map(|(name, value)| format!("{name}={value}"));
        let sync = ["run", "-q", "participants", "--user-token-file", user];
        self.place.command(&[&sync[..], &["--param", &webinar, "--param", &session]].concat())
    }

    /// Rows as lines of their cells; JSON without spaces, true and false as numbers, as both databases can write them.
    fn rows(&self, sql: &str) -> Vec<String> {
        let cell = |cell: Option<String>| match cell.as_deref() {
            None => "-".to_owned(),
            Some("t") => "1".to_owned(),
            Some("f") => "0".to_owned(),
            Some(text) if text.starts_with('[') => {
                serde_json::from_str::<serde_json::Value>(text).unwrap().to_string()
            }
            Some(text) => text.to_owned(),
        };
        let line = |row: Vec<Option<String>>| row.into_iter().map(cell).collect::<Vec<_>>().join(" ");
        self.database.query(sql).into_iter().map(line).collect()
    }

    fn versions(&self) -> Vec<String> {
        let version = if matches!(self.database, Database::Postgres(..)) { "xmin" } else { "rowid" };
        let tables = ["participants", "session_metrics", "series_metrics"];
        tables
            .iter()
            .flat_map(|t| self.rows(&format!("SELECT {version}, {t}.* FROM {t} ORDER BY 2, 3, 4")))
            .collect()
    }
}

#[test]
fn rows_and_metrics_of_a_session_and_its_series() {
    for desk in Desk::all("webinars_parts") {
        desk.run("ann", 1).with_code(0);
        assert_eq!(
            desk.rows("SELECT email, domain, registered, attended, seconds FROM participants ORDER BY email"),
            [
                "emma@kt.fabrikam.com fabrikam.com 1 1 600",
                "identity:7 - 0 1 30",
                "li@fabrikam.com fabrikam.com 1 1 0",
                "omar@adatum.co.uk adatum.co.uk 1 0 0",
                "pat@contoso.com contoso.com 1 1 60",
            ]
        );
        assert_eq!(desk.rows(SESSION), [r#"4 4 2 1 ["fabrikam.com"]"#]);
        assert_eq!(desk.rows(SERIES), [r#"4 4 2 1 [{"domain":"fabrikam.com","rule":"W1"}]"#]);
        let synced =
            "SELECT (SELECT count(last_sync_at) FROM sessions), (SELECT count(last_sync_at) FROM series)";
        assert_eq!(desk.rows(synced), ["1 1"]);

        desk.run("ann", 2).with_code(0);
        assert_eq!(desk.rows(SERIES), [r#"8 8 2 1 [{"domain":"fabrikam.com","rule":"W2"}]"#]);
    }
}

#[test]
fn a_repeated_load_writes_no_row() {
    for desk in Desk::all("webinars_parts_again") {
        desk.run("ann", 1).with_code(0);
        let (before, at) = (desk.versions(), desk.rows("SELECT max(last_sync_at) FROM sessions"));
        desk.run("ann", 1).with_code(0);
        assert_eq!(desk.versions(), before);
        assert_ne!(desk.rows("SELECT max(last_sync_at) FROM sessions"), at);
    }
}

#[test]
fn what_is_no_longer_told_goes_from_this_part_alone() {
    for desk in Desk::all("webinars_parts_gone") {
        desk.run("ann", 1).with_code(0);
        desk.run("ann", 2).with_code(0);
        desk.run("bob", 1).with_code(0);
        desk.told("DELETE FROM participants WHERE person <> 'pat@contoso.com'");
        desk.run("ann", 1).with_code(0);
        let counts =
            "SELECT count(*) FROM participants GROUP BY owner_id, session_id ORDER BY owner_id, session_id";
        assert_eq!(desk.rows(counts), ["1", "5", "5"]);
        assert_eq!(
            desk.rows(&format!("{SERIES} WHERE owner_id = '{ANN}'")),
            [r#"5 5 2 1 [{"domain":"fabrikam.com","rule":"W1"}]"#]
        );
        assert_eq!(
            desk.rows(&format!("{SERIES} WHERE owner_id = '{BOB}'")),
            [r#"4 4 2 1 [{"domain":"fabrikam.com","rule":"W1"}]"#]
        );
    }
}

#[test]
fn metrics_that_fail_take_the_rows_with_them() {
    for desk in Desk::all("webinars_parts_fail") {
        desk.database.execute("ALTER TABLE series_metrics RENAME TO elsewhere");
        assert_ne!(desk.run("ann", 1).code, 0);
        let written = "SELECT (SELECT count(*) FROM participants), (SELECT count(*) FROM session_metrics),
            (SELECT count(last_sync_at) FROM sessions), (SELECT count(last_sync_at) FROM series)";
        assert_eq!(desk.rows(written), ["0 0 0 0"]);
        desk.database.execute("ALTER TABLE elsewhere RENAME TO series_metrics");
        desk.run("ann", 1).with_code(0);
        assert_eq!(desk.rows(SESSION), [r#"4 4 2 1 ["fabrikam.com"]"#]);
    }
}

#[test]
fn sessions_that_are_loaded_at_once_count_each_other() {
    for desk in Desk::all("webinars_parts_both") {
        for _ in 0..3 {
            desk.database
                .execute("DELETE FROM participants; DELETE FROM session_metrics; DELETE FROM series_metrics");
            let piped =
                |number| desk.command("ann", number).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            for run in [1, 2].map(|number| piped(number).unwrap()) {
                Ended::from(run.wait_with_output().unwrap()).with_code(0);
            }
            assert_eq!(desk.rows(SERIES), [r#"8 8 2 1 [{"domain":"fabrikam.com","rule":"W2"}]"#]);
        }
    }
}
