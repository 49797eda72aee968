//! Nodes at work: what is due is done once, whatever happens to who does it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_core::{
    counts::Counts,
    project::{Project, ServerOptions},
    run::Status,
    schedule::{Overlap, Schedule},
    sync::Mode,
};
use syncline_engine::service::{Control, Done, Executor, Order, StartOptions};
use syncline_store::{
    About, NewRun, RunEnd,
    service::{Decision, Enqueued, Limits, Occurrence, OccurrenceState, Subject},
};
use tokio::sync::{Notify, watch};

use super::{
    house::{House, events, until},
    kit::{HOUR, MINUTE, every, project, sync, time},
};

const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT, changed TIMESTAMP);
    INSERT INTO orders VALUES (1, 'one', '2026-03-01 10:00:00'), (2, 'two', '2026-03-01 11:00:00');";

fn hourly() -> Arc<Project> {
    project(vec![sync("orders", vec![every("hourly", HOUR)])], Vec::new())
}

fn orders() -> Subject {
    Subject::sync("orders")
}

/// How an executor of these tests carries out orders.
enum Way {
    /// At once.
    Succeeds,
    /// After this time.
    Takes(Duration),
    Fails,
    /// Until it is asked to stop.
    Obeys,
    /// Until it is dropped, whatever it is asked.
    Hangs,
    Panics,
    /// Until the test says so.
    Waits(Arc<Notify>),
}

/// Carries out orders as it is told, and counts them.
struct Puppet {
    way: Way,
    seen: Mutex<Vec<(String, Timestamp)>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Puppet {
    fn new(way: Way) -> Arc<Self> {
        Arc::new(Self { way, seen: Mutex::default(), now: AtomicUsize::new(0), most: AtomicUsize::new(0) })
    }

    fn seen(&self) -> Vec<(String, Timestamp)> {
        self.seen.lock().unwrap().clone()
    }
}

#[async_trait]
impl Executor for Puppet {
    async fn execute(&self, order: Order, mut cancel: watch::Receiver<bool>) -> Done {
        let asked = &order.claim.asked;
        self.seen.lock().unwrap().push((asked.subject.name.clone(), asked.instant));
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let status = match &self.way {
            Way::Succeeds => Status::Succeeded,
            Way::Takes(time) => {
                tokio::time::sleep(*time).await;
                Status::Succeeded
            }
            Way::Fails => Status::Failed,
            Way::Obeys => {
                cancel.wait_for(|cancel| *cancel).await.unwrap();
                Status::Cancelled
            }
            Way::Hangs => std::future::pending().await,
            Way::Panics => panic!("as the test wants it"),
            Way::Waits(go) => {
                go.notified().await;
                Status::Succeeded
            }
        };
        self.now.fetch_sub(1, Ordering::SeqCst);
        Done { status, error: None }
    }
}

fn states(occurrences: &[Occurrence]) -> Vec<(OccurrenceState, Option<Status>)> {
    occurrences.iter().map(|occurrence| (occurrence.state, occurrence.status)).collect()
}

/// Waits until a subject has so many occurrences that are over.
async fn over(house: &House, control: &Control, subject: &Subject, count: usize) -> Vec<Occurrence> {
    until("occurrences end", || async {
        let all = house.occurrences(control, subject).await;
        let over = |o: &&Occurrence| !matches!(o.state, OccurrenceState::Waiting | OccurrenceState::Claimed);
        all.iter().filter(over).count() >= count
    })
    .await;
    house.occurrences(control, subject).await
}

#[tokio::test(start_paused = true)]
async fn what_is_due_runs_and_is_recorded() {
    let house = House::new(&hourly(), ORDERS);
    let node = house.node("one").await;
    let done = over(&house, &node.control, &orders(), 1).await;
    assert_eq!(states(&done), [(OccurrenceState::Done, Some(Status::Succeeded))]);
    assert_eq!(house.number("b", "SELECT count(*) FROM orders"), 2);
    let run = node.control.store().run(done[0].run.unwrap()).await.unwrap().unwrap();
    assert_eq!(run.status, Status::Succeeded);
    assert_eq!(run.about.schedule.as_deref(), Some("hourly"));
    assert_eq!(run.about.correlation.as_deref(), Some(done[0].asked.correlation.as_str()));
    let kinds: Vec<String> = events(&node.control).await.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["run.started", "run.finished"]);
    house.pass(HOUR).await;
    let done = over(&house, &node.control, &orders(), 2).await;
    assert_eq!(done[1].asked.instant, time("2026-03-01T13:00:00Z"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_never_succeeded_runs_by_its_heaviest_schedule_whichever_is_due() {
    let mass = Schedule { mode: Some(Mode::Full), ..every("mass", 168 * HOUR) };
    let project = project(vec![sync("orders", vec![every("hourly", HOUR), mass])], Vec::new());
    let house = House::new(&project, ORDERS);
    // both are known already, so that neither is due before its time
    let begun = |label: &str| Decision {
        subject: orders(),
        schedule: label.into(),
        considered: house.clock_now(),
        occurrences: Vec::new(),
    };
    let store = house.control().await;
    store.store().decide(&[begun("hourly"), begun("mass")], house.clock_now()).await.unwrap();
    let node = house.node("one").await;
    house.pass(30 * MINUTE).await;
    let done = over(&house, &node.control, &orders(), 1).await;
    assert_eq!(done[0].asked.instant, time("2026-03-01T13:00:00Z"));
    assert_eq!(done[0].asked.schedule.as_deref(), Some("hourly"));
    let runs = node.control.store().runs(Some("orders"), None, 10).await.unwrap();
    let modes: Vec<(&str, Option<&str>)> =
        runs.iter().map(|run| (run.mode.as_str(), run.about.schedule.as_deref())).collect();
    assert_eq!(modes, [("full", Some("mass"))]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_asks_for_starts_at_once_and_once() {
    let project = project(vec![sync("orders", Vec::new())], Vec::new());
    let house = House::new(&project, ORDERS);
    let node = house.node("one").await;
    let start = |key: &'static str, options: StartOptions| {
        let control = node.control.clone();
        async move { control.start(&orders(), &options, Some(key.into()), "ann").await.unwrap() }
    };
    let Enqueued::New(first) = start("k1", StartOptions::default()).await else { panic!("it is new") };
    assert_eq!(start("k1", StartOptions::default()).await, Enqueued::Existing(first));
    let other = StartOptions { mode: Some("full".into()), ..StartOptions::default() };
    assert_eq!(start("k1", other).await, Enqueued::KeyReused);
    let done = over(&house, &node.control, &orders(), 1).await;
    assert_eq!(states(&done), [(OccurrenceState::Done, Some(Status::Succeeded))]);
    assert_eq!(done[0].asked.requested_by, "ann");
    let unknown = node.control.start(&Subject::sync("order"), &StartOptions::default(), None, "ann").await;
    assert_eq!(unknown.unwrap_err().to_string(), "there is no sync \"order\"");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_nodes_with_two_schedulers_do_each_thing_once() {
    let names: Vec<String> = (0..20).map(|n| format!("table_{n:02}")).collect();
    let syncs = names.iter().map(|name| sync(name, vec![every("often", 10 * MINUTE)])).collect();
    let house = House::new(&project(syncs, Vec::new()), "");
    // more than a node's slots are due at once, and each takes a while
    let takes = || Puppet::new(Way::Takes(Duration::from_secs(5)));
    let (one, two) = (takes(), takes());
    let first = house.node_with("one", |_| one.clone()).await;
    let second = house.node_with("two", |_| two.clone()).await;
    until("an hour's work", || async { one.seen().len() + two.seen().len() >= 20 * 6 }).await;
    first.stop().await;
    second.stop().await;
    let mut all = one.seen();
    all.extend(two.seen());
    let different: BTreeSet<&(String, Timestamp)> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "each instant of each sync once");
    assert!(!one.seen().is_empty() && !two.seen().is_empty(), "both work");
    let minutes: BTreeSet<i64> = all.iter().map(|(_, at)| at.as_second() % 600).collect();
    assert_eq!(minutes, BTreeSet::from([0]));
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_node_began_goes_on_elsewhere_within_the_lease_and_ten_seconds() {
    let house = House::new(&hourly(), ORDERS);
    let hanging = Puppet::new(Way::Hangs);
    let first = house.node_with("one", |_| hanging.clone()).await;
    until("it begins", || async { hanging.seen().len() == 1 }).await;
    house.pass(25 * Duration::from_secs(1)).await;
    let killed = house.clock_now();
    first.kill().await;
    let second = house.node("two").await;
    let done = over(&house, &second.control, &orders(), 1).await;
    assert_eq!(states(&done), [(OccurrenceState::Done, Some(Status::Succeeded))]);
    assert_eq!((done[0].attempts, done[0].node.as_deref()), (2, Some("two")));
    let took = done[0].finished_at.unwrap().duration_since(killed);
    assert!(took.as_secs() <= 40, "{took:?}");
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_whole_before_its_node_died_is_not_made_again() {
    let house = House::new(&project(vec![sync("orders", Vec::new())], Vec::new()), ORDERS);
    let dead = house.control().await;
    dead.start(&orders(), &StartOptions::default(), None, "ann").await.unwrap();
    let store = dead.store();
    let claims = store.claim_due("dead", &Limits::default(), 1, house.clock_now()).await.unwrap();
    let about = About { correlation: Some(claims[0].asked.correlation.clone()), ..About::default() };
    let lease = store.claim("orders", house.clock_now()).await.unwrap();
    let new = NewRun { mode: Mode::Full, reason: None, about, at: house.clock_now() };
    let run = store.start_run(&lease, new).await.unwrap();
    let end = RunEnd {
        status: Status::Succeeded,
        counts: Counts::default(),
        by_stream: BTreeMap::new(),
        error: None,
        notes: Vec::new(),
        at: house.clock_now(),
    };
    store.finish_run(&lease, run, end).await.unwrap();
    drop(lease);
    // and then it dies, before it says that the occurrence is done
    let node = house.node("two").await;
    let done = over(&house, &node.control, &orders(), 1).await;
    assert_eq!(states(&done), [(OccurrenceState::Done, Some(Status::Succeeded))]);
    assert_eq!(done[0].attempts, 2);
    assert_eq!(node.control.store().runs(Some("orders"), None, 10).await.unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_order_ends_what_can_end_and_gives_back_the_rest() {
    let house = House::new(&hourly(), ORDERS);
    for way in [Way::Obeys, Way::Hangs] {
        let puppet = Puppet::new(way);
        let node = house.node_with("one", |_| puppet.clone()).await;
        until("it begins", || async { puppet.seen().len() == 1 }).await;
        let asked = house.clock_now();
        let control = node.control.clone();
        node.stop().await;
        let waits = house.occurrences(&control, &orders()).await;
        assert_eq!(waits.last().unwrap().state, OccurrenceState::Waiting);
        let took = house.clock_now().duration_since(asked).as_secs();
        assert!(took <= 31, "{took}");
    }
    let node = house.node("two").await;
    let done = over(&house, &node.control, &orders(), 1).await;
    assert_eq!((done[0].status, done[0].attempts), (Some(Status::Succeeded), 3));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_runs_can_be_cancelled() {
    let house = House::new(&hourly(), ORDERS);
    let puppet = Puppet::new(Way::Obeys);
    let node = house.node_with("one", |_| puppet.clone()).await;
    until("it begins", || async { puppet.seen().len() == 1 }).await;
    let before = house.clock_now();
    let running = house.occurrences(&node.control, &orders()).await[0].id;
    assert_eq!(node.control.cancel(running).await.unwrap(), Some(OccurrenceState::Claimed));
    let done = over(&house, &node.control, &orders(), 1).await;
    assert_eq!(states(&done), [(OccurrenceState::Done, Some(Status::Cancelled))]);
    assert!(house.clock_now().duration_since(before).as_secs() <= 1, "the node heard of it at once");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_renew_drops_its_runs() {
    let house = House::new(&hourly(), ORDERS);
    let puppet = Puppet::new(Way::Hangs);
    let node = house.node_with("one", |_| puppet.clone()).await;
    until("it begins", || async { puppet.seen().len() == 1 }).await;
    let lock = house.file("store");
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    house.pass(Duration::from_secs(45)).await;
    lock.execute_batch("ROLLBACK").unwrap();
    // the node itself claims it anew, under a higher epoch
    until("it begins again", || async { puppet.seen().len() == 2 }).await;
    let again = house.occurrences(&node.control, &orders()).await;
    assert_eq!((again[0].state, again[0].attempts), (OccurrenceState::Claimed, 2));
    node.kill().await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_a_run_is_recorded_and_ends_no_node() {
    let house = House::new(&hourly(), ORDERS);
    let node = house.node_with("one", |_| Puppet::new(Way::Panics)).await;
    let done = over(&house, &node.control, &orders(), 1).await;
    assert_eq!(states(&done)[0], (OccurrenceState::Done, Some(Status::Failed)));
    assert_eq!(done[0].error.as_ref().unwrap().0, "fault");
    house.pass(HOUR).await;
    over(&house, &node.control, &orders(), 2).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_next_try_comes_in_half_an_hour_or_the_interval() {
    let daily = project(vec![sync("orders", vec![every("daily", 24 * HOUR)])], Vec::new());
    let house = House::new(&daily, ORDERS);
    let node = house.node_with("one", |_| Puppet::new(Way::Fails)).await;
    until("it is tried again", || async { house.occurrences(&node.control, &orders()).await.len() == 2 })
        .await;
    let all = house.occurrences(&node.control, &orders()).await;
    let wait = all[1].asked.due_at.duration_since(all[0].finished_at.unwrap());
    assert_eq!(wait.as_secs(), 30 * 60);
    assert!(all[1].asked.retry);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_short_interval_is_its_own_retry() {
    let often = project(vec![sync("orders", vec![every("often", 10 * MINUTE)])], Vec::new());
    let house = House::new(&often, ORDERS);
    let node = house.node_with("one", |_| Puppet::new(Way::Fails)).await;
    let all = over(&house, &node.control, &orders(), 3).await;
    assert!(all.iter().all(|occurrence| !occurrence.asked.retry), "{all:?}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_success_makes_the_retry_needless() {
    let daily = project(vec![sync("orders", vec![every("daily", 24 * HOUR)])], Vec::new());
    let house = House::new(&daily, "");
    let node = house.node("one").await;
    over(&house, &node.control, &orders(), 1).await;
    house.file("a").execute_batch(ORDERS).unwrap();
    node.control.start(&orders(), &StartOptions::default(), None, "ann").await.unwrap();
    let all = over(&house, &node.control, &orders(), 3).await;
    let retry = all.iter().find(|occurrence| occurrence.asked.retry).unwrap();
    assert_eq!(retry.state, OccurrenceState::Skipped);
    assert_eq!(retry.reason.as_deref(), Some("another run succeeded first"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lighter_success_leaves_the_retry_of_a_heavier_one() {
    let mass = Schedule { mode: Some(Mode::Full), ..every("mass", 168 * HOUR) };
    let house = House::new(&project(vec![sync("orders", vec![mass])], Vec::new()), "");
    let node = house.node("one").await;
    over(&house, &node.control, &orders(), 1).await;
    house.file("a").execute_batch(ORDERS).unwrap();
    node.control.start(&orders(), &StartOptions::default(), None, "ann").await.unwrap();
    let all = over(&house, &node.control, &orders(), 2).await;
    let retry = all.iter().find(|occurrence| occurrence.asked.retry).unwrap();
    assert_eq!(retry.state, OccurrenceState::Waiting);
    over(&house, &node.control, &orders(), 3).await;
    let runs = node.control.store().runs(Some("orders"), None, 10).await.unwrap();
    assert_eq!(runs[0].about.schedule.as_deref(), Some("mass"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_instant_that_comes_while_it_runs_is_left_out_or_waits() {
    for (overlap, expected) in
        [(Overlap::Skip, OccurrenceState::Skipped), (Overlap::Queue, OccurrenceState::Done)]
    {
        let schedule = Schedule { overlap, ..every("often", 10 * MINUTE) };
        let house = House::new(&project(vec![sync("orders", vec![schedule])], Vec::new()), ORDERS);
        let go = Arc::new(Notify::new());
        let puppet = Puppet::new(Way::Waits(go.clone()));
        let node = house.node_with("one", |_| puppet.clone()).await;
        until("the next instant comes", || async {
            house.occurrences(&node.control, &orders()).await.len() == 2
        })
        .await;
        assert_eq!(puppet.seen().len(), 1, "one at a time");
        go.notify_one();
        until("it ends", || async {
            go.notify_one();
            house.occurrences(&node.control, &orders()).await[1].state == expected
        })
        .await;
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn paused_and_resumed_schedules_never_fire_the_past() {
    let house = House::new(&hourly(), ORDERS);
    let puppet = Puppet::new(Way::Succeeds);
    let node = house.node_with("one", |_| puppet.clone()).await;
    until("the first", || async { puppet.seen().len() == 1 }).await;
    assert!(node.control.pause(&orders(), Some("hourly")).await.unwrap());
    house.pass(5 * HOUR).await;
    assert_eq!(puppet.seen().len(), 1);
    let upcoming = node.control.next_instants(&orders(), 5).await.unwrap();
    assert_eq!(upcoming[0].instants, []);
    house.pass(10 * MINUTE).await;
    assert!(node.control.resume(&orders(), Some("hourly")).await.unwrap());
    let upcoming = node.control.next_instants(&orders(), 2).await.unwrap();
    assert_eq!(upcoming[0].instants, [time("2026-03-01T18:00:00Z"), time("2026-03-01T19:00:00Z")]);
    house.pass(5 * MINUTE).await;
    assert_eq!(puppet.seen().len(), 1, "nothing of the past");
    house.pass(HOUR).await;
    let seen = puppet.seen();
    assert_eq!(seen[1..], [("orders".to_owned(), time("2026-03-01T18:00:00Z"))]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_at_once_than_a_connection_takes() {
    let names: Vec<String> = (0..12).map(|n| format!("table_{n:02}")).collect();
    let syncs: Vec<_> = names.iter().map(|name| sync(name, vec![every("hourly", HOUR)])).collect();
    let mut limited = (*project(syncs, Vec::new())).clone();
    limited.server = ServerOptions { limits: [("a".to_owned(), 3)].into(), ..ServerOptions::default() };
    let house = House::new(&limited, "");
    let go = Arc::new(Notify::new());
    let puppets = [Puppet::new(Way::Waits(go.clone())), Puppet::new(Way::Waits(go.clone()))];
    let one = house.node_with("one", |_| puppets[0].clone()).await;
    let two = house.node_with("two", |_| puppets[1].clone()).await;
    let running = || puppets.iter().map(|p| p.now.load(Ordering::SeqCst)).sum::<usize>();
    until("everything ran", || async {
        assert!(running() <= 3, "{}", running());
        if running() == 3 {
            go.notify_waiters();
        }
        puppets.iter().map(|p| p.seen().len()).sum::<usize>() == 12
    })
    .await;
    go.notify_waiters();
    one.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn definitions_change_while_serving_and_nothing_is_lost_or_doubled() {
    let house = House::new(&hourly(), ORDERS);
    let puppet = Puppet::new(Way::Succeeds);
    let node = house.node_with("one", |_| puppet.clone()).await;
    until("the first", || async { puppet.seen().len() == 1 }).await;
    house.pass(HOUR).await;
    let more = vec![sync("orders", vec![every("hourly", HOUR)]), sync("bills", vec![every("hourly", HOUR)])];
    house.serve(&project(more, Vec::new()));
    house.pass(HOUR).await;
    house.serve(&project(vec![sync("bills", vec![every("hourly", HOUR)])], Vec::new()));
    house.pass(HOUR).await;
    let of =
        |name: &str| puppet.seen().iter().filter(|(n, _)| n == name).map(|(_, at)| *at).collect::<Vec<_>>();
    let at = |hour: u32| time(&format!("2026-03-01T{hour:02}:00:00Z"));
    assert_eq!(of("orders"), [at(12), at(13), at(14)]);
    assert_eq!(of("bills"), [at(13), at(14), at(15)]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_runs_nothing_twice() {
    let house = House::new(&hourly(), ORDERS);
    let puppet = Puppet::new(Way::Succeeds);
    let node = house.node_with("one", |_| puppet.clone()).await;
    house.pass(HOUR + MINUTE).await;
    house.clock.set_by(-2 * 3600);
    house.pass(2 * HOUR).await;
    house.clock.set_by(48 * 3600);
    house.pass(MINUTE).await;
    node.stop().await;
    let instants: Vec<Timestamp> = puppet.seen().into_iter().map(|(_, at)| at).collect();
    let expected = ["2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z", "2026-03-03T13:00:00Z"];
    assert_eq!(instants, expected.map(time));
}

#[tokio::test(start_paused = true)]
async fn a_run_left_open_by_a_dead_process_is_closed_at_start_up() {
    let house = House::new(&hourly(), ORDERS);
    let control = house.control().await;
    let store = control.store();
    let lease = store.claim("orders", house.clock_now()).await.unwrap();
    let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at: house.clock_now() };
    let open = store.start_run(&lease, new).await.unwrap();
    drop(lease);
    let node = house.node_with("one", |_| Puppet::new(Way::Succeeds)).await;
    until("it is closed", || async { store.run(open).await.unwrap().unwrap().status == Status::Interrupted })
        .await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn settings_of_the_store_go_before_those_of_the_project() {
    let names: Vec<String> = (0..6).map(|n| format!("table_{n}")).collect();
    let syncs = names.iter().map(|name| sync(name, vec![every("hourly", HOUR)])).collect();
    let house = House::new(&project(syncs, Vec::new()), "");
    let control = house.control().await;
    let set = async |name: &str, value: serde_json::Value| {
        control.store().set_setting(name, Some(&value), "ann", house.clock_now()).await.unwrap();
    };
    set("parallel", 2.into()).await;
    let puppet = Puppet::new(Way::Waits(Arc::new(Notify::new())));
    let node = house.node_with("one", |_| puppet.clone()).await;
    house.pass(MINUTE).await;
    assert_eq!(puppet.most.load(Ordering::SeqCst), 2);
    set("parallel", 4.into()).await;
    house.pass(MINUTE).await;
    assert_eq!(puppet.most.load(Ordering::SeqCst), 4);
    node.kill().await;
}
