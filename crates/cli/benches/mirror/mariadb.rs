//! The cases between MariaDB and PostgreSQL.
//!
//! The limit is what the slower of the two systems needs to dump the table with its own client and to load it again. Beside
//! it, and not part of a goal, stands the fastest way across that needs no tool at all: one system's client piped into the
//! other's.

use std::process::{Command, Stdio};

use crate::{
    bench::{Bench, Case, Goal},
    measure::{self, Cost},
    place::{Database, Place, Runner, shell},
    table,
};

const SLOWER: &str = "the slower one of: MariaDB's dump and LOAD DATA, PostgreSQL's COPY pipe and key";
const ACROSS: &str = "one client piped into the other one, then the key";

/// Both directions, each beside both limits.
pub(crate) fn cases(bench: &Bench, url: &str) -> Vec<Case> {
    let server = Server::new(url);
    let (mut there, mut there_across) = two_cases("MariaDB to PostgreSQL", "mariadb_to_postgres");
    let (mut back, mut back_across) = two_cases("PostgreSQL to MariaDB", "postgres_to_mariadb");
    let source = server.database("source");
    source.create();
    source.load_from(&bench.source);
    for repetition in 0..bench.settings.repeat {
        let own = slower(bench, &source);

        let (ours, raw) = (bench.database("ours"), bench.database("raw"));
        let place = bench.between(("mysql", &source.url()), ("postgres", &ours.url));
        bench.in_turn(
            repetition,
            || there.ours.extend(bench.load(true, || Runner::Syncline.full(&place))),
            || {
                raw.execute(&[&table::create()]);
                there_across.limit.push(source.copy_to(&raw).then(raw.execute(&[table::KEY])));
            },
        );
        there.limit.push(own);
        bench.expect_equal(&there.name, &raw, &table::names());
        if !bench.settings.limits_only {
            assert_eq!(digest(&ours), source.digest(), "{}: the destination differs", there.name);
        }

        let (ours, raw) = (server.database("ours"), server.database("raw"));
        let place = bench.between(("postgres", &bench.source.url), ("mysql", &ours.url()));
        raw.create();
        bench.in_turn(
            repetition,
            || back.ours.extend(bench.load(true, || Runner::Syncline.full(&place))),
            || back_across.limit.push(raw.load_from(&bench.source)),
        );
        back.limit.push(own);
        let wanted = digest(&bench.source);
        assert_eq!(raw.digest(), wanted, "{}: the raw copy differs", back.name);
        if !bench.settings.limits_only {
            assert_eq!(ours.digest(), wanted, "{}: the destination differs", back.name);
        }
    }
    there_across.ours.clone_from(&there.ours);
    back_across.ours.clone_from(&back.ours);
    vec![there, there_across, back, back_across]
}

fn two_cases(name: &str, key: &str) -> (Case, Case) {
    (
        Case::new(name.to_owned(), &format!("{key}_ratio"), SLOWER, Goal::Ratio(1.3)),
        Case::new(name.to_owned(), &format!("{key}_ratio_bare"), ACROSS, Goal::None),
    )
}

/// Dump and load within each system; the one that takes longer.
fn slower(bench: &Bench, source: &MariaDb) -> Cost {
    let file = bench.directory.join("projects.tsv");
    let copy = source.server.database("copy");
    copy.create();
    let mariadb = source.dump(file.to_str().unwrap()).then(copy.load_file(file.to_str().unwrap()));
    assert_eq!(copy.digest(), source.digest(), "MariaDB's dump and load");
    std::fs::remove_file(file).unwrap();
    let raw = bench.database("raw");
    let (copied, key) = bench.raw_copy(&raw, &table::names());
    let postgres = copied.then(key);
    if mariadb.seconds > postgres.seconds { mariadb } else { postgres }
}

/// The values of a table in PostgreSQL as one checksum, which is the same for the same values in MariaDB.
fn digest(database: &Database) -> String {
    let script = r#"set -o pipefail; psql "$1" -XAtq -F $'\t' -v ON_ERROR_STOP=1 -c "SET timezone = 'UTC'" -c "$2" | sha256sum"#;
    let select = "SELECT id, code, name, coalesce(budget::text, '-'), start_date,
        to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), active::int, external_id,
        attributes::jsonb ->> 'number', description, status, coalesce(owner_id, -1) FROM projects ORDER BY id";
    answer(&mut shell(script, &[&database.url, select]))
}

fn answer(command: &mut Command) -> String {
    let done = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "{command:?}");
    String::from_utf8(done.stdout).unwrap()
}

impl Bench<'_> {
    fn between(&self, source: (&str, &str), destination: (&str, &str)) -> Place {
        Place::new(&self.directory.join("place"), source, destination, "    write: upsert\n")
    }
}

/// A MariaDB server: `mysql://user:password@host:port`, with or without a name of a database, which is not used.
#[derive(Clone)]
struct Server {
    user: String,
    password: String,
    host: String,
    port: String,
}

impl Server {
    fn new(url: &str) -> Self {
        let address = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = address.split(['/', '?']).next().unwrap();
        let (login, place) = authority.rsplit_once('@').unwrap_or(("root", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = place.rsplit_once(':').unwrap_or((place, "3306"));
        let [user, password, host, port] = [user, password, host, port].map(str::to_owned);
        Self { user, password, host, port }
    }

    /// An empty one; what had the name is dropped.
    fn database(&self, name: &str) -> MariaDb {
        let name = format!("bench_mirror_{}_{name}", std::process::id());
        let database = MariaDb { server: self.clone(), name };
        let create =
            format!("{}; CREATE DATABASE {} CHARACTER SET utf8mb4", database.drop_statement(), database.name);
        let mut command = Command::new("mariadb");
        command.args(self.arguments()).args(["-e", &create]);
        answer(self.with_password(&mut command));
        database
    }

    fn arguments(&self) -> [String; 6] {
        [
            format!("--host={}", self.host),
            format!("--port={}", self.port),
            format!("--user={}", self.user),
            "--local-infile=1".to_owned(),
            "--default-character-set=utf8mb4".to_owned(),
            "--init-command=SET time_zone = '+00:00'".to_owned(),
        ]
    }

    fn with_password<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("MYSQL_PWD", &self.password)
    }
}

/// A MariaDB database of its own, dropped with this value.
struct MariaDb {
    server: Server,
    name: String,
}

impl MariaDb {
    fn url(&self) -> String {
        let Server { user, password, host, port } = &self.server;
        let colon = if password.is_empty() { "" } else { ":" };
        format!("mysql://{user}{colon}{password}@{host}:{port}/{}", self.name)
    }

    /// The empty table, with its key: InnoDB keeps rows in the order of the key, so adding it later would write all again.
    fn create(&self) {
        let columns = table::COLUMNS.map(|(name, _, mariadb)| format!("{name} {mariadb}"));
        answer(&mut self.script(
            r#"mariadb "${@:2}" -e "$1""#,
            &[&format!("CREATE TABLE projects ({}, PRIMARY KEY (id))", columns.join(", "))],
        ));
    }

    /// The rows of PostgreSQL, piped from client to client: the text form of COPY is what LOAD DATA reads by default.
    fn load_from(&self, source: &Database) -> Cost {
        let select = "SELECT id, code, name, budget, start_date, to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
            active::int, external_id, attributes, description, status, owner_id FROM projects";
        let script = r#"set -o pipefail
            psql "$1" -Xq -v ON_ERROR_STOP=1 -c "COPY ($2) TO STDOUT" |
              mariadb "${@:3}" -e "LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE projects CHARACTER SET utf8mb4""#;
        measure::run(&mut self.script(script, &[&source.url, select]))
    }

    /// All rows into PostgreSQL's table, piped from client to client.
    fn copy_to(&self, destination: &Database) -> Cost {
        let script = r#"set -o pipefail
            mariadb "${@:2}" --batch --skip-column-names --quick -e "SELECT * FROM projects" |
              psql "$1" -Xq -v ON_ERROR_STOP=1 -c "SET timezone = 'UTC'" -c "COPY projects FROM STDIN (NULL 'NULL')""#;
        measure::run(&mut self.script(script, &[&destination.url]))
    }

    fn dump(&self, file: &str) -> Cost {
        let script =
            r#"mariadb "${@:2}" --batch --skip-column-names --quick -e "SELECT * FROM projects" >"$1""#;
        measure::run(&mut self.script(script, &[file]))
    }

    /// The client writes null as a word.
    fn load_file(&self, file: &str) -> Cost {
        let nullable = |definition: &str| !definition.contains("NOT NULL");
        let columns = table::COLUMNS
            .map(|(name, _, kind)| if nullable(kind) { format!("@{name}") } else { name.to_owned() })
            .join(", ");
        let nulls: Vec<_> = table::COLUMNS
            .iter()
            .filter(|(_, _, kind)| nullable(kind))
            .map(|(name, ..)| format!("{name} = NULLIF(@{name}, 'NULL')"))
            .collect();
        let load = format!(
            "LOAD DATA LOCAL INFILE '{file}' INTO TABLE projects CHARACTER SET utf8mb4 ({columns}) SET {}",
            nulls.join(", ")
        );
        measure::run(&mut self.script(r#"mariadb "${@:2}" -e "$1""#, &[&load]))
    }

    fn digest(&self) -> String {
        let script = r#"set -o pipefail
            mariadb "${@:2}" --batch --raw --skip-column-names --quick -e "$1" | sha256sum"#;
        let select = "SELECT id, code, name, ifnull(budget, '-'), start_date, date_format(updated_at, '%Y-%m-%d %H:%i:%s.%f'),
            active + 0, external_id, json_value(attributes, '$.number'), description, status, ifnull(owner_id, -1)
            FROM projects ORDER BY id";
        answer(&mut self.script(script, &[select]))
    }

    /// A shell with `arguments`, followed by what the client needs to find this database.
    fn script(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = shell(script, arguments);
        command.args(self.server.arguments()).arg(&self.name);
        self.server.with_password(&mut command);
        command
    }

    fn drop_statement(&self) -> String {
        format!("DROP DATABASE IF EXISTS {}", self.name)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let mut command = Command::new("mariadb");
        command.args(self.server.arguments()).args(["-e", &self.drop_statement()]);
        self.server.with_password(&mut command).status().ok();
    }
}
