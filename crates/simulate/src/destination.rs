//! An honest connector to the far side over a network that is not: every answer it gives is true, and many answers are lost.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use syncline_connect::{
    Destination, Error,
    budget::{Budget, Permit},
    destination::{Applied, Facts, Listed, Lister, Operation, Record, Stamp},
    error::Kind,
};
use syncline_core::{
    identity::Identity,
    schema::{Field, Stream},
};

use crate::{
    far::{self, Answer},
    world::{Shared, World},
};

/// The destination as one process sees it.
pub struct FarDestination {
    /// The world it is in.
    pub world: Shared,
    /// Which process.
    pub process: u32,
    /// Its quota.
    pub budget: Arc<Budget>,
}

/// What happens to a request on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It arrives and is answered.
    Well,
    /// It never leaves.
    Unreachable,
    /// It is lost on the way there.
    LostBefore,
    /// Its answer is lost.
    LostAfter,
    /// The client gives up; it arrives later.
    Late,
    /// It is delivered twice; one of the two answers comes back.
    Twice,
    /// Refused for now, with or without a time.
    Throttled(Option<Duration>),
    /// A part of it is refused for now.
    PartlyThrottled,
    /// The answer is cut off.
    CutOff,
    /// Locked for a moment.
    Locked,
    /// The answer makes no sense.
    Nonsense,
    /// The credential, the list or its room fail until the run ends.
    Hard(Kind),
}

impl World {
    fn fate(&mut self, writes: bool) -> Fate {
        if !self.strikes(|c| c.requests) {
            return Fate::Well;
        }
        let wait = Duration::from_secs(self.random.u64(0..30));
        match self.random.u8(0..32) {
            0..3 => Fate::Unreachable,
            3..8 => Fate::LostBefore,
            8..14 => Fate::LostAfter,
            14..18 if writes => Fate::Late,
            18..21 if writes => Fate::Twice,
            21..23 => Fate::Throttled(Some(wait)),
            23 => Fate::Throttled(None),
            24 | 25 if writes => Fate::PartlyThrottled,
            26 | 27 => Fate::CutOff,
            28 => Fate::Locked,
            29 => Fate::Nonsense,
            30 => Fate::Hard(Kind::Unauthenticated),
            31 if writes => Fate::Hard(Kind::StreamFull),
            _ => Fate::LostAfter,
        }
    }
}

impl FarDestination {
    /// Waits for the quota; a request of `units` leaves when this returns.
    async fn spend(&self, units: u64) -> Permit {
        let permit = self.budget.acquire(units).await;
        let mut world = self.world.lock();
        let now = world.now();
        world.charge(now, units, self.process);
        permit
    }

    /// A read: spends, waits, and perhaps fails.
    async fn ask(&self, what: &str) -> Result<(), Error> {
        let permit = self.spend(1).await;
        let (fate, latency) = {
            let mut world = self.world.lock();
            world.advance();
            (world.fate(false), world.moment(Duration::from_millis(300)))
        };
        tokio::time::sleep(latency).await;
        drop(permit);
        let mut world = self.world.lock();
        world.advance();
        let node = format!("node {}", self.process);
        world.say(&node, format_args!("{what}: {fate:?}"));
        match fate {
            Fate::Well => Ok(()),
            Fate::Unreachable => Err(error(Kind::Unreachable)),
            Fate::Throttled(wait) => Err(self.throttled(wait)),
            Fate::Locked => Err(error(Kind::Locked)),
            Fate::Nonsense => Err(error(Kind::Protocol)),
            Fate::Hard(kind) => Err(error(kind)),
            _ => Err(error(Kind::Unanswered)),
        }
    }

    fn throttled(&self, asked: Option<Duration>) -> Error {
        let retry_after = asked.unwrap_or(Duration::from_secs(10));
        self.budget.close_for(retry_after);
        error(Kind::Throttled { retry_after })
    }

    /// What the client is told, given what became of its operations.
    fn told(&self, fate: Fate, answers: Vec<Answer>, throttled: &[bool]) -> Vec<Result<Applied, Error>> {
        let lost = || Err(error(Kind::Unanswered));
        let given = |answer: Answer| answer.map_err(error);
        match fate {
            Fate::Unreachable => answers.iter().map(|_| Err(error(Kind::Unreachable))).collect(),
            Fate::Locked => answers.iter().map(|_| Err(error(Kind::Locked))).collect(),
            Fate::Hard(kind) => answers.iter().map(|_| Err(error(kind))).collect(),
            Fate::Nonsense => answers.iter().map(|_| Err(error(Kind::Protocol))).collect(),
            Fate::LostBefore | Fate::LostAfter | Fate::Late => answers.iter().map(|_| lost()).collect(),
            Fate::Throttled(wait) => {
                let error = self.throttled(wait);
                answers.iter().map(|_| Err(error.clone())).collect()
            }
            Fate::PartlyThrottled => {
                let error = self.throttled(None);
                let mut answers = answers.into_iter();
                let one = |refused: &bool| match refused {
                    true => Err(error.clone()),
                    false => answers.next().map_or_else(lost, given),
                };
                throttled.iter().map(one).collect()
            }
            Fate::CutOff => {
                let kept = answers.len() / 2;
                let one = |(i, answer)| if i < kept { given(answer) } else { lost() };
                answers.into_iter().enumerate().map(one).collect()
            }
            Fate::Well | Fate::Twice => answers.into_iter().map(given).collect(),
        }
    }
}

fn error(kind: Kind) -> Error {
    Error::new(kind, "simulated")
}

#[async_trait]
impl Destination for FarDestination {
    fn facts(&self) -> Facts {
        let world = self.world.lock();
        Facts {
            batch_max: world.scenario.batch_max,
            concurrency: world.scenario.concurrency,
            settle: world.scenario.settle,
            stamp_field: "SynclineKey",
        }
    }

    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        tokio::task::yield_now().await;
        far::list_of(stream).map(far::stream).ok_or_else(|| error(Kind::StreamMissing))
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        Ok(far::LISTS.map(str::to_owned).to_vec())
    }

    fn stamp(&self, _: &Stream) -> Stamp {
        self.world.lock().scenario.stamp
    }

    async fn prepare(&self, _: &Stream) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn write(
        &self,
        stream: &Stream,
        fields: &[Field],
        operations: &[Operation],
    ) -> Vec<Result<Applied, Error>> {
        let permit = self.spend(1 + operations.len() as u64).await;
        let sent = self.leave(stream, fields, operations);
        tokio::time::sleep(sent.answered).await;
        drop(permit);
        let mut world = self.world.lock();
        world.advance();
        let never = || operations.iter().map(|_| Err(Kind::Unanswered)).collect::<Vec<_>>();
        let mut answers = sent.requests.iter().map(|n| world.far.answer(*n).unwrap_or_else(never));
        let (first, second) = (answers.next(), answers.next());
        drop(answers);
        let second_counts = second.is_some() && world.random.bool();
        let answers = if second_counts { second } else { first }.unwrap_or_else(never);
        drop(world);
        let told = self.told(sent.fate, answers, &sent.throttled);
        let short = told.iter().map(|t| match t {
            Ok(_) => "ok",
            Err(error) => error.code(),
        });
        let short = short.collect::<Vec<_>>().join(" ");
        let node = format!("node {}", self.process);
        self.world.lock().say(&node, format_args!("hears: {short}"));
        told
    }

    async fn lookup(
        &self,
        stream: &Stream,
        fields: &[Field],
        identities: &[Identity],
    ) -> Result<Vec<Record>, Error> {
        self.ask(&format!("looks up {} stamps", identities.len())).await?;
        let world = self.world.lock();
        let list = far::list_of(&stream.id).ok_or_else(|| error(Kind::StreamMissing))?;
        let (now, stamps) = (world.now(), identities.iter().map(Identity::stamp).collect::<Vec<_>>());
        let found = world.far.items.iter().filter(|(_, item)| {
            item.list == list
                && item.visible_at <= now
                && item.stamp.as_ref().is_some_and(|s| stamps.contains(s))
        });
        Ok(found.filter_map(|(id, _)| world.far.record(*id, fields)).collect())
    }

    async fn get(
        &self,
        stream: &Stream,
        fields: &[Field],
        ids: &[String],
    ) -> Result<Vec<Option<Record>>, Error> {
        self.ask(&format!("gets {} items", ids.len())).await?;
        let world = self.world.lock();
        let list = far::list_of(&stream.id).ok_or_else(|| error(Kind::StreamMissing))?;
        let one = |id: &String| {
            let id = id.parse().ok().filter(|id| world.far.items.get(id).is_some_and(|i| i.list == list))?;
            world.far.record(id, fields)
        };
        Ok(ids.iter().map(one).collect())
    }

    async fn list(&self, stream: &Stream, fields: &[Field]) -> Result<Box<dyn Lister>, Error> {
        let list = far::list_of(&stream.id).ok_or_else(|| error(Kind::StreamMissing))?;
        let destination =
            Self { world: self.world.clone(), process: self.process, budget: Arc::clone(&self.budget) };
        Ok(Box::new(Pages {
            destination,
            list,
            fields: fields.to_vec(),
            after: 0,
            shown: Vec::new(),
            over: false,
        }))
    }
}

/// A request on its way, as its sender sees it.
struct Sent {
    fate: Fate,
    /// One request, or two when it is delivered twice; none when it never arrives.
    requests: Vec<u64>,
    /// Operations that are refused for now.
    throttled: Vec<bool>,
    /// How long until the client hears something, or gives up.
    answered: Duration,
}

impl FarDestination {
    /// Draws the fate of a request and sends it off.
    fn leave(&self, stream: &Stream, fields: &[Field], operations: &[Operation]) -> Sent {
        let mut world = self.world.lock();
        world.advance();
        let told = operations.iter().map(far::told).collect::<Vec<_>>().join(", ");
        let fate = world.fate(true);
        let node = format!("node {}", self.process);
        world.say(&node, format_args!("sends to {}: {told} ({fate:?})", stream.name));
        world.check_intended(operations);
        let (now, settle) = (world.now(), world.scenario.settle);
        let arrives = world.moment(Duration::from_millis(200).min(settle / 4));
        let answered = arrives + world.moment(Duration::from_millis(200));
        let visible_after = if world.quiet { Duration::ZERO } else { world.moment(settle / 2) };
        let throttled: Vec<bool> =
            operations.iter().map(|_| fate == Fate::PartlyThrottled && world.random.bool()).collect();
        let delivered: Vec<Operation> =
            operations.iter().zip(&throttled).filter(|(_, t)| !**t).map(|(o, _)| o.clone()).collect();
        let list = far::list_of(&stream.id).unwrap_or_default();
        let late = world.moment(settle / 4);
        let dues = match fate {
            Fate::Unreachable | Fate::LostBefore | Fate::Throttled(_) | Fate::Locked | Fate::Hard(_) => {
                Vec::new()
            }
            Fate::Late => vec![arrives + late],
            Fate::Twice => {
                world.doubled |= world.scenario.stamp != Stamp::Unique;
                vec![arrives, arrives]
            }
            _ => vec![arrives],
        };
        let requests = dues
            .into_iter()
            .map(|due| world.far.send(now + due, list, fields, &delivered, visible_after))
            .collect();
        Sent { fate, requests, throttled, answered }
    }
}

/// A listing of a list, page by page. Its connector notices repeated pages and expired tokens, and begins anew.
struct Pages {
    destination: FarDestination,
    list: usize,
    fields: Vec<Field>,
    after: u64,
    shown: Vec<u64>,
    over: bool,
}

#[async_trait]
impl Lister for Pages {
    async fn next(&mut self) -> Result<Option<Vec<Listed>>, Error> {
        if self.over {
            return Ok(None);
        }
        loop {
            match self.destination.ask("lists a page").await {
                Err(Error { kind: Kind::Throttled { .. }, .. }) => {}
                Err(error) => {
                    self.over = true;
                    return Err(error);
                }
                Ok(()) => break,
            }
        }
        let mut world = self.destination.world.lock();
        if world.strikes(|c| c.requests / 8) && !self.shown.is_empty() {
            // The token has expired: from the start, with what is gone by now.
            self.after = 0;
            let gone = self.shown.iter().filter(|id| !world.far.items.contains_key(id));
            return Ok(Some(gone.map(|id| Listed::Deleted(id.to_string())).collect()));
        }
        let size = world.random.usize(0..8);
        let items = world.far.items.iter().filter(|(id, item)| item.list == self.list && **id > self.after);
        let page: Vec<u64> = items.map(|(id, _)| *id).take(size).collect();
        let more =
            |id: u64| world.far.items.iter().any(|(other, item)| item.list == self.list && *other > id);
        self.after = page.last().copied().unwrap_or(self.after);
        self.over = !more(self.after);
        self.shown.extend(&page);
        Ok(Some(
            page.iter().filter_map(|id| world.far.record(*id, &self.fields)).map(Listed::Record).collect(),
        ))
    }
}
