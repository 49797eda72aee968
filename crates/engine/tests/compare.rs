//! Comparing tables of real databases: `a` is the source, `b` the destination.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use futures::FutureExt;
use syncline_connect::{
    Source,
    budget::Budgets,
    clock::SystemClock,
    compare::{Marked, Subject},
    postgres,
    registry::{Connector, Context},
    sqlite,
};
use syncline_core::{connection::Connection, value::Value};
use syncline_engine::load::compare::{Finding, Findings, Gone, How, Sides, What, gone_keys, verify};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

static COUNTER: AtomicU32 = AtomicU32::new(0);

async fn client(url: &str) -> (Client, JoinSet<()>) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    (client, driver)
}

async fn open(kind: &dyn Connector, options: serde_json::Value, directory: &Path) -> Arc<dyn Source> {
    let clock = Arc::new(SystemClock::new());
    let context = Context {
        clock: clock.clone(),
        budgets: Arc::new(Budgets::new(clock)),
        seed: 1,
        directory: directory.to_owned(),
        caller: Default::default(),
    };
    let connection = Connection { name: "test".into(), kind: kind.spec().name.into(), options };
    kind.source(&connection, &context).await.unwrap()
}

/// A database that only one test uses.
struct World {
    source: Arc<dyn Source>,
    client: Client,
    _driver: JoinSet<()>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "tests are told of the server by the environment")]
    async fn with<F: Future<Output = ()>>(test: impl FnOnce(Arc<Self>) -> F) {
        let server = std::env::var("SYNCLINE_TEST_POSTGRES").expect("run it through scripts/with-postgres");
        let name = format!("compare_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let (admin, _driver) = client(&server).await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (base, _) = server.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}");
        let source = open(&postgres::Connector, serde_json::json!({ "url": url }), Path::new("")).await;
        let (client, _driver) = client(&url).await;
        let world = Arc::new(Self { source, client, _driver });
        let outcome = AssertUnwindSafe(test(world)).catch_unwind().await;
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// Both tables are made with these columns.
    async fn tables(&self, columns: &str) {
        self.run(&format!("CREATE TABLE a ({columns}); CREATE TABLE b ({columns})")).await;
    }

    async fn sides(&self, source: &Subject, destination: &Subject) -> Sides {
        let (a, b) = (self.source.side(source).await.unwrap(), self.source.side(destination).await.unwrap());
        Sides::of(a.unwrap(), b.unwrap(), source.key.len())
    }

    async fn gone(&self, key: &[&str]) -> Gone {
        let mut sides = self.sides(&subject("a", key, &[]), &subject("b", key, &[])).await;
        gone_keys(&mut sides).await.unwrap()
    }

    async fn verify(&self, key: &[&str], columns: &[&str]) -> Findings {
        let mut sides = self.sides(&subject("a", key, columns), &subject("b", key, columns)).await;
        verify(&mut sides, 100).await.unwrap()
    }
}

fn subject(table: &str, key: &[&str], columns: &[&str]) -> Subject {
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    Subject { table: table.into(), key: names(key), columns: names(columns), gone: None }
}

fn keys(gone: &Gone) -> Vec<Vec<Value<'static>>> {
    let mut keys = Vec::new();
    for batch in &gone.keys {
        for row in 0..batch.len() {
            keys.push((0..batch.fields().len()).map(|c| batch.value(row, c).into_owned()).collect());
        }
    }
    assert_eq!(keys.len() as u64, gone.count);
    keys
}

fn whole(gone: &Gone) -> Vec<i64> {
    let number = |key: &Vec<Value<'static>>| match key[0] {
        Value::Int64(n) => n,
        ref other => panic!("{}", other.type_name()),
    };
    let mut keys: Vec<_> = keys(gone).iter().map(number).collect();
    keys.sort_unstable();
    keys
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

#[tokio::test]
async fn deletes_are_found_where_they_are() {
    World::with(|world| async move {
        world.tables("id bigint PRIMARY KEY, n integer").await;
        world
            .run(
                "INSERT INTO b SELECT i, i FROM generate_series(1, 20000) i; INSERT INTO a SELECT * FROM b \
                 WHERE id % 4000 <> 7 AND id NOT BETWEEN 9001 AND 9300; INSERT INTO a VALUES (20001, 1); ANALYZE",
            )
            .await;
        let gone = world.gone(&["id"]).await;
        let expected: Vec<i64> =
            [7, 4007, 8007].into_iter().chain(9001..=9300).chain([12_007, 16_007]).collect();
        assert_eq!(whole(&gone), expected);
        assert_eq!((gone.listed, gone.known, gone.unreadable), (19_696, 20_000, 0));
        assert_eq!(gone.read, 0, "the first pass says it all");
        // without an index on one side, the hashes of ranges are compared
        world.run("ALTER TABLE a DROP CONSTRAINT a_pkey").await;
        let gone = world.gone(&["id"]).await;
        assert_eq!(whole(&gone), expected);
        assert!(gone.read < 3_000, "{} records were read", gone.read);
        world.run("ALTER TABLE a ADD PRIMARY KEY (id)").await;
        world.run("INSERT INTO a SELECT * FROM b ON CONFLICT DO NOTHING; DELETE FROM a WHERE id > 20000").await;
        let gone = world.gone(&["id"]).await;
        assert_eq!((gone.count, gone.read), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn an_empty_side_is_no_special_case() {
    World::with(|world| async move {
        world.tables("id integer PRIMARY KEY").await;
        assert_eq!(world.gone(&["id"]).await.count, 0);
        world.run("INSERT INTO b SELECT generate_series(-300, 299)").await;
        let gone = world.gone(&["id"]).await;
        assert_eq!((gone.count, gone.known, gone.listed), (600, 600, 0));
        assert_eq!(whole(&gone), (-300..300).collect::<Vec<_>>());
        world.run("INSERT INTO a SELECT * FROM b; DELETE FROM b").await;
        let gone = world.gone(&["id"]).await;
        assert_eq!((gone.count, gone.known, gone.listed), (0, 0, 600));
        let findings = world.verify(&["id"], &[]).await;
        assert_eq!((findings.missing, findings.records.len()), (600, 100));
    })
    .await;
}

#[tokio::test]
async fn keys_of_any_type_are_compared() {
    World::with(|world| async move {
        world.tables("k text, n integer, u uuid").await;
        world
            .run(
                "INSERT INTO b SELECT 'k' || i, i, md5(i::text)::uuid FROM generate_series(1, 3000) i; \
                 INSERT INTO b VALUES ('it''s \"näïve\" 🙂', -1, NULL), ('', 0, NULL), ('A', 1, NULL), (NULL, 5, NULL); \
                 INSERT INTO a SELECT * FROM b WHERE n NOT IN (-1, 0, 77) ORDER BY n DESC; \
                 INSERT INTO a VALUES ('a', 1, NULL)",
            )
            .await;
        let mut found = keys(&world.gone(&["k", "n"]).await);
        found.sort_by_key(|key| format!("{key:?}"));
        let key = |k: &str, n| vec![text(k), Value::Int64(n)];
        assert_eq!(found, [key("", 0), key("it's \"näïve\" 🙂", -1), key("k77", 77)]);
        let found = keys(&world.gone(&["u"]).await);
        let id = u128::from_str_radix("28dd2c7955ce926456240b2ff0100bde", 16).unwrap();
        assert_eq!(found, [vec![Value::Uuid(id.to_be_bytes())]]);
    })
    .await;
}

#[tokio::test]
async fn keys_far_apart_are_compared_by_hash() {
    World::with(|world| async move {
        world.tables("id bigint PRIMARY KEY").await;
        world
            .run(
                "INSERT INTO b SELECT i * 1000003::bigint * 1000003 FROM generate_series(-2000, 2000) i; \
                 INSERT INTO b VALUES (9223372036854775807), (-9223372036854775808); \
                 INSERT INTO a SELECT id FROM b WHERE id NOT IN (9223372036854775807, -3000018000027)",
            )
            .await;
        let gone = world.gone(&["id"]).await;
        assert_eq!(whole(&gone), [-3_000_018_000_027, i64::MAX]);
        assert!(gone.read < 2_000, "{} records were read", gone.read);
    })
    .await;
}

#[tokio::test]
async fn random_differences_are_found_exactly() {
    World::with(|world| async move {
        world.tables("id bigint PRIMARY KEY").await;
        for seed in 0..12 {
            let mut random = fastrand::Rng::with_seed(seed);
            let spread = [3_000, 100_000, 1 << 40][seed as usize % 3];
            let mut pick = |n: usize| -> Vec<i64> { (0..n).map(|_| random.i64(-spread..spread)).collect() };
            let (common, a, b) = (pick(900), pick(30), pick(30));
            world.run("TRUNCATE a, b").await;
            for (table, more) in [("a", &a), ("b", &b)] {
                let values: Vec<_> = common.iter().chain(more).map(|n| format!("({n})")).collect();
                let sql = format!("INSERT INTO {table} VALUES {} ON CONFLICT DO NOTHING", values.join(", "));
                world.run(&sql).await;
            }
            let mut expected: Vec<i64> =
                b.iter().filter(|n| !a.contains(n) && !common.contains(n)).copied().collect();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(whole(&world.gone(&["id"]).await), expected, "seed {seed}");
        }
    })
    .await;
}

#[tokio::test]
async fn records_marked_as_gone_are_left_out() {
    World::with(|world| async move {
        world.tables("id bigint PRIMARY KEY, state text, gone boolean").await;
        world
            .run(
                "INSERT INTO a VALUES (1, 'live', NULL), (2, 'void', NULL), (3, NULL, NULL); \
                 INSERT INTO b VALUES (1, '', NULL), (2, '', false), (3, '', false), (4, '', true)",
            )
            .await;
        let marked = |column: &str, values: &[&str]| {
            let values = values.iter().map(|v| (*v).to_owned()).collect();
            Some(Marked { column: column.into(), values })
        };
        let a = Subject { gone: marked("state", &["void", "it's"]), ..subject("a", &["id"], &[]) };
        let b = Subject { gone: marked("gone", &[]), ..subject("b", &["id"], &[]) };
        assert_eq!(whole(&gone_keys(&mut world.sides(&a, &b).await).await.unwrap()), [2]);
    })
    .await;
}

#[tokio::test]
async fn equal_values_of_different_types_are_equal() {
    World::with(|world| async move {
        world
            .run(
                "CREATE TABLE a (id integer PRIMARY KEY, amount numeric, at timestamptz, n integer, c char(5), e text); \
                 CREATE TABLE b (id bigint PRIMARY KEY, amount numeric(14, 4), at timestamp, n numeric, c text, e text); \
                 SET TimeZone = 'UTC'; \
                 INSERT INTO a SELECT i, i / 4.0, timestamptz '2026-01-31 10:00+00' + i * interval '1 s', i, 'x', '' \
                   FROM generate_series(1, 500) i; \
                 INSERT INTO a VALUES (501, 1.0, 'infinity', 0, NULL, NULL), (502, 100, NULL, 100, NULL, NULL); \
                 INSERT INTO b SELECT id, amount, at, n, 'x    ', e FROM a",
            )
            .await;
        let columns = ["amount", "at", "n", "c", "e"];
        let findings = world.verify(&["id"], &columns).await;
        // char(5) keeps its blanks, and records without a text have none
        assert_eq!((findings.different, findings.missing, findings.extra), (2, 0, 0));
        world.run("UPDATE b SET c = NULL WHERE id > 500").await;
        let findings = world.verify(&["id"], &columns).await;
        assert!(findings.agree(), "{findings:?}");
        assert_eq!((findings.how, findings.source, findings.destination, findings.read), (How::Inside, 502, 502, 0));
        world
            .run(
                "UPDATE b SET amount = amount + 0.0001 WHERE id = 7; UPDATE b SET e = NULL, n = 1 WHERE id = 9; \
                 DELETE FROM b WHERE id = 11; INSERT INTO b VALUES (-4)",
            )
            .await;
        let mut findings = world.verify(&["id"], &columns).await;
        findings.records.sort_by_key(|f| format!("{:?}", f.key));
        let finding = |id, what| Finding { key: vec![Value::Int64(id)], what };
        assert_eq!(
            findings.records,
            [
                finding(-4, What::Extra),
                finding(11, What::Missing),
                finding(7, What::Different(vec!["amount".into()])),
                finding(9, What::Different(vec!["n".into(), "e".into()])),
            ]
        );
        assert_eq!((findings.missing, findings.extra, findings.different), (1, 1, 2));
    })
    .await;
}

#[tokio::test]
async fn columns_without_a_common_form_are_read() {
    World::with(|world| async move {
        world
            .run(
                "CREATE TABLE a (id bigint PRIMARY KEY, j json, f double precision); \
                 CREATE TABLE b (id bigint PRIMARY KEY, j jsonb, f double precision); \
                 INSERT INTO a SELECT i, '[1]', 0.1 * i FROM generate_series(1, 1000) i; INSERT INTO b SELECT * FROM a",
            )
            .await;
        let findings = world.verify(&["id"], &["j", "f"]).await;
        assert!(findings.agree(), "{findings:?}");
        assert_eq!((findings.how, findings.read), (How::Read(vec!["j".into()]), 2_000));
        assert_eq!(world.verify(&["id"], &["f"]).await.how, How::Inside);
        world.run("UPDATE b SET j = '[2]' WHERE id = 500; DELETE FROM a WHERE id = 3").await;
        let findings = world.verify(&["id"], &["j", "f"]).await;
        assert_eq!((findings.extra, findings.different, findings.missing), (1, 1, 0));
    })
    .await;
}

/// The canonical texts of SQLite, which are made here, are those that PostgreSQL makes.
#[tokio::test]
async fn sqlite_and_postgres_have_the_same_texts() {
    World::with(|world| async move {
        let directory = tempfile::tempdir().unwrap();
        let file = rusqlite::Connection::open(directory.path().join("test.db")).unwrap();
        let columns = ["n", "d", "t", "b", "u", "day", "at", "wall", "clock", "yes"];
        file.execute_batch(
            "CREATE TABLE a (id INTEGER PRIMARY KEY, n BIGINT, d DECIMAL, t TEXT, b BLOB, u UUID, day DATE, at TIMESTAMP, \
             wall TIMESTAMP WITHOUT TIME ZONE, clock TIME, yes BOOLEAN); \
             INSERT INTO a VALUES (1, -9223372036854775807, '0012.500', 'näïve 🙂 it''s', x'00ff', \
             '00000000-0000-0001-0000-00000000000A', '2026-01-31', '2026-01-31T12:00:00.5+02:00', '1969-12-31 23:59:59.999999', \
             '10:00:00.25', 1), (2, 0, '-0.0', '', x'', NULL, '0001-01-01', '9999-12-31 23:59:59', NULL, '00:00', 0), \
             (-3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .unwrap();
        world
            .run(
                "CREATE TABLE b (id bigint PRIMARY KEY, n bigint, d numeric, t text, b bytea, u uuid, day date, at timestamptz, \
                 wall timestamp, clock time, yes boolean); \
                 INSERT INTO b VALUES (1, -9223372036854775807, 12.50, 'näïve 🙂 it''s', '\\x00ff', \
                 '00000000-0000-0001-0000-00000000000a', '2026-01-31', '2026-01-31 10:00:00.5+00', \
                 '1969-12-31 23:59:59.999999', '10:00:00.25', true), (2, 0, 0, '', '', NULL, '0001-01-01', \
                 '9999-12-31 23:59:59+00', NULL, '00:00', false); INSERT INTO b VALUES (-3)",
            )
            .await;
        let options = serde_json::json!({ "path": "test.db" });
        let source = open(&sqlite::Connector, options, directory.path()).await;
        for key in [["id"].as_slice(), &["id", "t"]] {
            let rest: Vec<&str> = columns.iter().filter(|c| !key.contains(c)).copied().collect();
            let both = async || {
                let (a, b) = (subject("a", key, &rest), subject("b", key, &rest));
                let (a, b) = (source.side(&a).await.unwrap(), world.source.side(&b).await.unwrap());
                Sides::of(a.unwrap(), b.unwrap(), key.len())
            };
            let findings = verify(&mut both().await, 10).await.unwrap();
            assert!(findings.agree(), "{key:?} {findings:?}");
            // nothing was read: the sums were equal
            assert_eq!((findings.how, findings.read), (How::Inside, 0), "{key:?}");
            world.run("UPDATE b SET yes = NULL WHERE id = 2; INSERT INTO b (id, t) VALUES (9, 'x')").await;
            let findings = verify(&mut both().await, 10).await.unwrap();
            assert_eq!((findings.different, findings.extra, findings.missing), (1, 1, 0));
            assert_eq!(gone_keys(&mut both().await).await.unwrap().count, 1);
            world.run("UPDATE b SET yes = false WHERE id = 2; DELETE FROM b WHERE id = 9").await;
        }
    })
    .await;
}
