//! Random sequences of writes, batches and deltas: the mirror built from delta equals the list.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use syncline_sim::{Fault, FaultMatch, FaultRule, FaultWhen, PartOrder};

use crate::caller::{Bench, part, still};

#[tokio::test]
async fn a_mirror_built_from_delta_equals_the_list() {
    for seed in 1..=12 {
        run(seed, false).await;
    }
}

#[tokio::test]
async fn also_when_answers_get_lost() {
    for seed in 101..=106 {
        run(seed, true).await;
    }
}

/// What the mirror knows: item id to ETag and title.
type Mirror = BTreeMap<String, (String, Option<String>)>;

struct Run {
    bench: Bench,
    list: String,
    rng: fastrand::Rng,
    mirror: Mirror,
    link: String,
    keys: u32,
}

async fn run(seed: u64, faults: bool) {
    let mut options = still();
    options.seed = seed;
    options.switches.batch_execution = PartOrder::Shuffled;
    options.switches.batch_responses = PartOrder::Shuffled;
    options.switches.delta_shuffled = seed.is_multiple_of(2);
    options.switches.delta_duplicates = if seed.is_multiple_of(3) { 0.5 } else { 0.0 };
    options.switches.default_page_size = 1 + (seed as usize % 7);
    let bench = Bench::start(options).await;
    let list = bench.list("Projects");
    if faults {
        for what in [Fault::ResetAfterApply, Fault::ResetBeforeApply, Fault::TruncatedBody] {
            let when = FaultWhen::sometimes(0.05);
            bench
                .world()
                .add_fault(FaultRule { matches: FaultMatch::default(), when, what })
                .expect("a rule");
        }
    }
    let link = format!("{list}/items/delta?$expand=fields($select=Title)");
    let rng = fastrand::Rng::with_seed(seed);
    let mut run = Run { bench, list, rng, mirror: Mirror::new(), link, keys: 0 };
    for step in 0..60 {
        run.step().await;
        if run.rng.u8(..8) == 0 {
            run.follow_delta().await;
        }
        if step == 30 {
            run.bench.world().expire_delta_tokens();
        }
    }
    run.bench.world().clear_faults(None);
    run.follow_delta().await;
    let stored: Mirror = run
        .bench
        .world()
        .items("Projects")
        .expect("the list")
        .into_iter()
        .map(|item| {
            let title = item.fields.get("Title").and_then(Value::as_str).map(str::to_owned);
            (item.id.to_string(), (item.e_tag, title))
        })
        .collect();
    assert_eq!(run.mirror, stored, "seed {seed}");
    assert!(!stored.is_empty(), "seed {seed} did nothing");
}

impl Run {
    /// One write or one batch of writes. Lost answers are nobody's business here.
    async fn step(&mut self) {
        let count = self.rng.usize(1..=6);
        let mut writes = Vec::new();
        for id in 0..count {
            writes.push(self.write(&id.to_string()));
        }
        if let [one] = writes.as_slice() {
            let path = format!("/v1.0{}", one["url"].as_str().expect("a url"));
            let method = one["method"].as_str().expect("a method");
            self.bench.send(method, &path, &[], one.get("body")).await.ok();
        } else {
            let batch = json!({ "requests": writes });
            self.bench.send("POST", "/v1.0/$batch", &[], Some(&batch)).await.ok();
        }
    }

    fn write(&mut self, id: &str) -> Value {
        let item = self.rng.u32(1..40);
        let title = format!("T{}", self.rng.u32(..1_000));
        let title = if self.rng.u8(..10) == 0 { Value::Null } else { title.into() };
        match self.rng.u8(..10) {
            0..=4 => {
                self.keys += 1;
                let fields = json!({ "Title": title, "SynclineKey": format!("k{}", self.keys % 50) });
                part(id, "POST", &format!("{}/items", self.list), Some(json!({ "fields": fields })))
            }
            5..=7 => part(
                id,
                "PATCH",
                &format!("{}/items/{item}/fields", self.list),
                Some(json!({ "Title": title })),
            ),
            _ => part(id, "DELETE", &format!("{}/items/{item}", self.list), None),
        }
    }

    /// Reads to the deltaLink. The pages count only together: a lost answer or a 410 starts over.
    async fn follow_delta(&mut self) {
        let mut link = self.link.clone();
        let mut changed = self.mirror.clone();
        for _ in 0..2_000 {
            let Ok(answer) = self.bench.send("GET", &link, &[], None).await else { continue };
            if answer.status == 410 {
                link = answer.header("location").expect("a fresh link").to_owned();
                assert_eq!(answer.code(), "resyncChangesApplyDifferences");
                changed.clear();
                continue;
            }
            assert_eq!(answer.status, 200, "{}", answer.body);
            for item in answer.values() {
                let id = item["id"].as_str().expect("an id").to_owned();
                if item.get("deleted").is_some() {
                    changed.remove(&id);
                    continue;
                }
                let title = item["fields"]["Title"].as_str().map(str::to_owned);
                changed.insert(id, (item["eTag"].as_str().expect("an ETag").to_owned(), title));
            }
            if let Some(next) = answer.body["@odata.nextLink"].as_str() {
                link = next.to_owned();
                continue;
            }
            self.mirror = changed;
            self.link = answer.body["@odata.deltaLink"].as_str().expect("a deltaLink").to_owned();
            return;
        }
        panic!("the delta does not end");
    }
}
