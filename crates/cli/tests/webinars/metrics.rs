//! The rules of the metrics, case by case: what the rows are, and what a person who counts by hand gets.

use std::path::Path;

use super::statements::Database;
use crate::{databases::Rows, kit::until};

const NOON: &str = "2026-01-05T12:00:00Z";
const LATER: &str = "2026-01-05T12:20:00Z";

/// Somebody's row: `session address how`. A session is of the owner `ann` unless it says `bob/…`. How: `r` registered, `a`
/// attended, `0` attended for no time at all. `identity:…` stands in the place of an address that is not known.
type Row = (&'static str, &'static str, &'static str);

struct Case {
    name: &'static str,
    rows: &'static [Row],
    /// Ann's session `one`: registrations, attendees, registrant domains, attendee domains, W1.
    session: (u32, u32, u32, u32, &'static str),
    /// Ann's series `onboarding` (sessions `one`, `two` and `three`): registrations, attendees, registrant domains, accounts
    /// influenced, and each warm account with its rule.
    series: (u32, u32, u32, u32, &'static str),
}

/// `contoso.com` is ours.
const CASES: [Case; 19] = [
    Case { name: "nobody", rows: &[], session: (0, 0, 0, 0, ""), series: (0, 0, 0, 0, "") },
    Case {
        name: "one registers",
        rows: &[("one", "x@fabrikam.com", "r")],
        session: (1, 0, 1, 0, ""),
        series: (1, 0, 1, 0, ""),
    },
    Case {
        name: "one of us counts, and is no account",
        rows: &[("one", "x@contoso.com", "ra")],
        session: (1, 1, 0, 0, ""),
        series: (1, 1, 0, 0, ""),
    },
    Case {
        name: "two of an account attend: W1",
        rows: &[("one", "x@fabrikam.com", "ra"), ("one", "y@fabrikam.com", "a")],
        session: (1, 2, 1, 1, "fabrikam.com"),
        series: (1, 2, 1, 1, "fabrikam.com W1"),
    },
    Case {
        name: "two register, one attends: not warm",
        rows: &[("one", "x@fabrikam.com", "ra"), ("one", "y@fabrikam.com", "r")],
        session: (2, 1, 1, 1, ""),
        series: (2, 1, 1, 1, ""),
    },
    Case {
        name: "two of us attend: not warm",
        rows: &[("one", "x@contoso.com", "a"), ("one", "y@contoso.com", "ra")],
        session: (1, 2, 0, 0, ""),
        series: (1, 2, 0, 0, ""),
    },
    Case {
        name: "one attends two sessions: W2",
        rows: &[("one", "x@fabrikam.com", "a"), ("two", "x@fabrikam.com", "a")],
        session: (0, 1, 0, 1, ""),
        series: (0, 2, 0, 1, "fabrikam.com W2"),
    },
    Case {
        name: "a registration makes no W2",
        rows: &[
            ("one", "x@fabrikam.com", "ra"),
            ("two", "x@fabrikam.com", "r"),
            ("three", "x@fabrikam.com", "r"),
        ],
        session: (1, 1, 1, 1, ""),
        series: (3, 1, 1, 1, ""),
    },
    Case {
        name: "two of an account, one in each session: neither",
        rows: &[("one", "x@fabrikam.com", "a"), ("two", "y@fabrikam.com", "a")],
        session: (0, 1, 0, 1, ""),
        series: (0, 2, 0, 1, ""),
    },
    Case {
        name: "W2 beats W1",
        rows: &[
            ("one", "x@fabrikam.com", "a"),
            ("one", "y@fabrikam.com", "a"),
            ("two", "x@fabrikam.com", "a"),
        ],
        session: (0, 2, 0, 1, "fabrikam.com"),
        series: (0, 3, 0, 1, "fabrikam.com W2"),
    },
    Case {
        name: "W1 of another session is the series' too",
        rows: &[("two", "x@fabrikam.com", "a"), ("two", "y@fabrikam.com", "a")],
        session: (0, 0, 0, 0, ""),
        series: (0, 2, 0, 1, "fabrikam.com W1"),
    },
    Case {
        name: "W1 twice is one entry",
        rows: &[
            ("one", "x@fabrikam.com", "a"),
            ("one", "y@fabrikam.com", "a"),
            ("two", "v@fabrikam.com", "a"),
            ("two", "w@fabrikam.com", "a"),
        ],
        session: (0, 2, 0, 1, "fabrikam.com"),
        series: (0, 4, 0, 1, "fabrikam.com W1"),
    },
    Case {
        name: "sorted by domain, whatever the rule",
        rows: &[
            ("one", "x@zava.com", "a"),
            ("one", "y@zava.com", "a"),
            ("one", "x@adatum.com", "a"),
            ("two", "x@adatum.com", "a"),
            ("one", "p@margie.org", "a"),
            ("one", "q@margie.org", "a"),
            ("one", "x@fabrikam.com", "r"),
        ],
        session: (1, 5, 1, 3, "margie.org zava.com"),
        series: (1, 6, 1, 3, "adatum.com W2, margie.org W1, zava.com W1"),
    },
    Case {
        name: "a session of no series, and one of another, are not this series'",
        rows: &[
            ("one", "x@fabrikam.com", "a"),
            ("alone", "x@fabrikam.com", "a"),
            ("other", "x@fabrikam.com", "ra"),
        ],
        session: (0, 1, 0, 1, ""),
        series: (0, 1, 0, 1, ""),
    },
    Case {
        name: "what another owner sees is not mixed in",
        rows: &[
            ("one", "x@fabrikam.com", "a"),
            ("bob/one", "y@fabrikam.com", "ra"),
            ("bob/two", "x@fabrikam.com", "ra"),
        ],
        session: (0, 1, 0, 1, ""),
        series: (0, 1, 0, 1, ""),
    },
    Case {
        name: "who has no address counts, and is no account",
        rows: &[("one", "identity:7", "a"), ("one", "identity:8", "a"), ("two", "identity:7", "a")],
        session: (0, 2, 0, 0, ""),
        series: (0, 3, 0, 0, ""),
    },
    Case {
        name: "attended for no time is attended",
        rows: &[
            ("one", "x@fabrikam.com", "0"),
            ("one", "y@fabrikam.com", "r0"),
            ("two", "y@fabrikam.com", "0"),
        ],
        session: (1, 2, 1, 1, "fabrikam.com"),
        series: (1, 3, 1, 1, "fabrikam.com W2"),
    },
    Case {
        name: "one of us who comes again warms nothing",
        rows: &[("one", "x@contoso.com", "a"), ("two", "x@contoso.com", "a"), ("one", "z@fabrikam.com", "a")],
        session: (0, 2, 0, 1, ""),
        series: (0, 3, 0, 1, ""),
    },
    Case {
        name: "accounts are distinct over the series",
        rows: &[
            ("one", "x@fabrikam.com", "ra"),
            ("two", "y@fabrikam.com", "ra"),
            ("three", "z@fabrikam.com", "r"),
            ("three", "z@zava.com", "r"),
        ],
        session: (1, 1, 1, 1, ""),
        series: (4, 2, 2, 1, ""),
    },
];

fn databases(name: &str) -> Vec<Database> {
    let all: Vec<Database> = [Database::postgres(name), Some(Database::sqlite(Path::new(":memory:")))]
        .into_iter()
        .flatten()
        .collect();
    for database in &all {
        database.execute(
            "INSERT INTO internal_domains VALUES ('contoso.com');
             INSERT INTO series (owner_id, series_id, title) VALUES
                ('ann', 'onboarding', 'Onboarding'), ('ann', 'others', 'Others'), ('bob', 'onboarding', 'Onboarding');
             INSERT INTO sessions (owner_id, session_id, webinar_id, series_id, title) VALUES
                ('ann', 'one', 'w1', 'onboarding', '1'), ('ann', 'two', 'w2', 'onboarding', '2'),
                ('ann', 'three', 'w3', 'onboarding', '3'), ('ann', 'alone', 'w4', NULL, '4'),
                ('ann', 'other', 'w5', 'others', '5'),
                ('bob', 'one', 'w1', 'onboarding', '1'), ('bob', 'two', 'w2', 'onboarding', '2')",
        );
    }
    all
}

fn insert((session, address, how): Row) -> String {
    let (owner, session) = session.split_once('/').unwrap_or(("ann", session));
    let domain = address.split_once('@').map_or("NULL".to_owned(), |(_, domain)| format!("'{domain}'"));
    let (registered, attended) = (how.contains('r'), how.contains(['a', '0']));
    let seconds = if how.contains('a') { "60" } else { "0" };
    format!(
        "INSERT INTO participants (owner_id, session_id, email, webinar_id, domain, registered, attended, seconds)
         VALUES ('{owner}', '{session}', '{address}', 'w', {domain}, {registered}, {attended}, {seconds});"
    )
}

const SESSION: &str = "SELECT registrations, attendees, registrant_domains, attendee_domains, warm_accounts
    FROM session_metrics WHERE owner_id = 'ann' AND session_id = 'one'";
const SERIES: &str = "SELECT registrations, attendees, registrant_domains, accounts_influenced, warm_accounts
    FROM series_metrics WHERE owner_id = 'ann' AND series_id = 'onboarding'";

/// The numbers, and the warm accounts in the words of the cases.
fn found(database: &Database, sql: &str) -> (Vec<u32>, String) {
    let rows = database.query(sql);
    let [row] = rows.as_slice() else { panic!("{sql}: {rows:?}") };
    let numbers = row[..4].iter().map(|n| n.as_ref().unwrap().parse().unwrap()).collect();
    let warm: Vec<serde_json::Value> = serde_json::from_str(row[4].as_ref().unwrap()).unwrap();
    let words: Vec<String> = warm
        .iter()
        .map(|entry| match entry.as_str() {
            Some(domain) => domain.to_owned(),
            None => format!("{} {}", entry["domain"].as_str().unwrap(), entry["rule"].as_str().unwrap()),
        })
        .collect();
    (numbers, words.join(if warm.iter().all(serde_json::Value::is_string) { " " } else { ", " }))
}

#[test]
fn every_rule_by_hand() {
    for database in databases("webinars_rules") {
        for case in &CASES {
            database.execute("DELETE FROM participants");
            database.execute(&case.rows.iter().map(|row| insert(*row)).collect::<String>());
            // The session's own recomputation is what is looked at: nobody recomputes the others.
            database.recompute("ann", "one", NOON);
            let (a, b, c, d, warm) = case.session;
            assert_eq!(found(&database, SESSION), (vec![a, b, c, d], warm.to_owned()), "{}", case.name);
            let (a, b, c, d, warm) = case.series;
            assert_eq!(found(&database, SERIES), (vec![a, b, c, d], warm.to_owned()), "{}", case.name);
        }
        let others = database
            .query("SELECT count(*) FROM session_metrics WHERE owner_id <> 'ann' OR session_id <> 'one'");
        assert_eq!(others, [[Some("0".to_owned())]], "no other session was touched");
    }
}

/// Every row with what would show that it was written: its version where the database has one, and `updated_at`.
fn versions(database: &Database) -> Rows {
    let version = if matches!(database, Database::Postgres(..)) { "xmin::text" } else { "rowid" };
    let tables = ["participants", "session_metrics", "series_metrics"];
    tables
        .iter()
        .flat_map(|t| database.query(&format!("SELECT {version}, {t}.* FROM {t} ORDER BY 2, 3, 4")))
        .collect()
}

#[test]
fn computing_again_writes_nothing_but_the_time() {
    for database in databases("webinars_again") {
        let case = CASES.iter().find(|case| case.name.starts_with("sorted by domain")).unwrap();
        database.execute(&case.rows.iter().map(|row| insert(*row)).collect::<String>());
        database.recompute("ann", "one", NOON);
        let before = versions(&database);
        assert_eq!(before.len(), 7 + 1 + 1);
        database.recompute("ann", "one", LATER);
        assert_eq!(versions(&database), before);
        let synced = |table: &str| {
            let at =
                format!("SELECT count(*) FROM {table} WHERE owner_id = 'ann' AND last_sync_at = '{LATER}'");
            let any = format!("SELECT count(*) FROM {table} WHERE last_sync_at IS NOT NULL");
            [database.query(&at), database.query(&any)]
                .concat()
                .concat()
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (synced("sessions"), synced("series")),
            (vec!["1".into(), "1".into()], vec!["1".into(), "1".into()])
        );
    }
}

#[test]
fn what_left_leaves_the_metrics() {
    for database in databases("webinars_left") {
        database
            .execute(&[("one", "x@fabrikam.com", "ra"), ("one", "y@fabrikam.com", "a")].map(insert).concat());
        database.recompute("ann", "one", NOON);
        assert_eq!(found(&database, SERIES), (vec![1, 2, 1, 1], "fabrikam.com W1".to_owned()));
        database.execute("DELETE FROM participants WHERE email = 'y@fabrikam.com'");
        database.recompute("ann", "one", NOON);
        assert_eq!(found(&database, SESSION), (vec![1, 1, 1, 1], String::new()));
        assert_eq!(found(&database, SERIES), (vec![1, 1, 1, 1], String::new()));
        // What is ours is looked up now, not when the row was written.
        database.execute("INSERT INTO internal_domains VALUES ('fabrikam.com')");
        database.recompute("ann", "one", NOON);
        assert_eq!(found(&database, SESSION), (vec![1, 1, 0, 0], String::new()));
        database.execute("DELETE FROM participants");
        database.recompute("ann", "one", NOON);
        assert_eq!(found(&database, SERIES), (vec![0, 0, 0, 0], String::new()));
    }
}

/// Two loads of one series at once: the second waits for the first, and sees what it wrote.
#[test]
fn two_sessions_of_a_series_follow_each_other() {
    let Some(database) = databases("webinars_two").into_iter().find(|d| matches!(d, Database::Postgres(..)))
    else {
        return;
    };
    let Database::Postgres(postgres, _) = &database else { unreachable!() };
    let [first, second] = ["one", "two"]
        .map(|session| (insert((session, "x@fabrikam.com", "a")), database.after("ann", session, NOON)));
    let (one, two) = (postgres.session(), postgres.session());
    one.execute(&format!("BEGIN; {} {}", first.0, first.1[0]));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            two.execute(&format!("BEGIN; {} {}; COMMIT", second.0, second.1.join(";\n")));
        });
        until("the second waits for the first", || {
            let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            postgres.query(waiting).len() == 1
        });
        one.execute(&format!("{}; COMMIT", first.1[1..].join(";\n")));
        waits.join().unwrap();
    });
    assert_eq!(found(&database, SERIES), (vec![0, 2, 0, 1], "fabrikam.com W2".to_owned()));
}
