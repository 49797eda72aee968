//! The source changes while it is read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use super::kit::{Db, Loads, MIRROR};
use crate::kit::until;

/// Writers at full speed until they are told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    #[expect(clippy::print_stdout, reason = "the seed, for whoever repeats a failure")]
    #[expect(clippy::disallowed_methods, reason = "`end` joins them")]
    fn start(source: &Db, seed: u64, statements: &[&'static str]) -> Self {
        println!("seed {seed}");
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = statements.iter().copied().zip(seed..).map(|(statement, seed)| {
            let (session, stop, written) = (source.again(), Arc::clone(&stop), Arc::clone(&written));
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                while !stop.load(Ordering::Relaxed) {
                    let id = random.u32(1..2_000).to_string();
                    session.sql(&statement.replace("$id", &id));
                    written.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { threads: threads.collect(), stop, written }
    }

    /// Waits until they have written so much more.
    fn go_on(&self, times: u64) {
        let wanted = self.written.load(Ordering::Relaxed) + times;
        until("the writers write", || self.written.load(Ordering::Relaxed) >= wanted);
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

const UPDATE: &str = "UPDATE things SET name = 'u', amount = amount + 1, updated_at = now() WHERE id = $id";
/// Many records with one and the same time.
const TIED: &str = "UPDATE things SET name = 'tied', updated_at = now() WHERE id BETWEEN $id AND $id + 60";
const INSERT: &str = "INSERT INTO things VALUES ($id, 'again', 0, now()) ON CONFLICT DO NOTHING; \
                      INSERT INTO things SELECT max(id) + 1, 'new', $id, now() FROM things ON CONFLICT DO NOTHING";
const DELETE: &str = "DELETE FROM things WHERE id = $id";
/// A clock behind by less than the overlap.
const BEHIND: &str =
    "UPDATE things SET name = 'behind', updated_at = now() - interval '50 seconds' WHERE id = $id";
/// Stamped at its beginning, seen much later.
const LATE: &str = "BEGIN; UPDATE things SET name = 'late', updated_at = now() WHERE id = $id; \
                    SELECT pg_sleep(0.2); UPDATE things SET amount = 5, updated_at = now() WHERE id = $id + 2000; COMMIT";

#[test]
fn two_runs_after_the_writers_stop_both_sides_are_equal() {
    let loads = Loads::new();
    loads.things(2_000);
    loads.project(MIRROR);
    let writers = Writers::start(&loads.from, 42, &[UPDATE, TIED, INSERT, DELETE, BEHIND, LATE]);
    for mode in ["full", "incremental", "full", "incremental", "incremental"] {
        writers.go_on(100);
        // over one run and the beginning of the next one a transaction is open whose time is old when it commits
        let late = loads.from.again();
        late.sql("SET deadlock_timeout = '1h'; BEGIN; INSERT INTO things SELECT max(id) + 100000, 'open', 1, now() FROM things");
        loads.run(&["-q", "--mode", mode]).with_code(0);
        late.sql("COMMIT");
    }
    writers.end();
    loads.run(&["-q", "--mode", "incremental"]).with_code(0);
    loads.run(&["-q", "--mode", "full"]).with_code(0);
    loads.same("things");
}

#[test]
fn incremental_runs_alone_find_every_change_that_is_stamped_with_its_transaction() {
    let loads = Loads::new();
    loads.things(2_000);
    loads.project(MIRROR);
    loads.run(&["-q"]).with_code(0);
    let writers = Writers::start(&loads.from, 7, &[UPDATE, TIED, INSERT, LATE]);
    for _ in 0..6 {
        writers.go_on(100);
        let late = loads.from.again();
        late.sql("BEGIN; INSERT INTO things SELECT max(id) + 100000, 'open', 1, now() FROM things");
        let ended = loads.run(&["--json"]).with_code(0);
        assert!(ended.out.contains(r#""mode":"incremental""#), "{}", ended.out);
        loads.run(&["-q"]).with_code(0);
        late.sql("COMMIT");
    }
    writers.end();
    loads.run(&["-q"]).with_code(0);
    loads.run(&["-q"]).with_code(0);
    loads.same("things");
}

#[test]
fn replacing_while_writers_write_gives_one_moment_of_the_source() {
    let loads = Loads::new();
    // two accounts whose sum is always the same: a copy that mixes moments has another one
    loads.from.sql(
        "CREATE TABLE accounts (id int PRIMARY KEY, amount int NOT NULL, filler text); \
         INSERT INTO accounts SELECT i, 100, repeat('x', 700) FROM generate_series(1, 20000) i",
    );
    loads.project(
        "  accounts:\n    from: { connection: source, table: public.accounts }\n    \
         to: { connection: cache, table: public.accounts, parallel: 2 }\n    write: replace",
    );
    const MOVE: &str = "UPDATE accounts SET amount = amount + CASE WHEN id = $id THEN 7 ELSE -7 END WHERE id IN ($id, 20000 - $id)";
    let writers = Writers::start(&loads.from, 3, &[MOVE]);
    for _ in 0..4 {
        writers.go_on(50);
        loads.run(&["-q"]).with_code(0);
        assert_eq!(loads.to.one("SELECT count(*), sum(amount) FROM accounts"), "20000|2000000");
    }
    writers.end();
    loads.run(&["-q"]).with_code(0);
    loads.same("accounts");
}
