//! Named places at which a run can be made to fail, to stop dead, or to wait: for proving what happens then.
//!
//! One place at a time is armed, by the binary, for the whole process. What happens at a place comes in as a function,
//! for nothing here does I/O. Without debug assertions [`failpoint!`](crate::failpoint!) leaves no code behind.

use std::{
    fmt,
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Every place, as `crate.where.when`.
pub const PLACES: &[&str] = &[
    "cli.run.opened",
    "engine.recover.looked",
    "engine.contact.listed",
    "engine.parked.retried",
    "engine.send.before",
    "engine.send.after",
    "engine.move.created",
    "engine.deletes.before",
    "engine.cursor.before",
    "engine.load.staging",
    "engine.load.before_commit",
    "engine.load.committed",
    "connect.source.between_pages",
    "connect.source.before_end",
    "connect.sharepoint.before_send",
    "connect.sharepoint.before_read",
    "store.claim.before_commit",
    "store.claim.after_commit",
    "store.start_run.before_commit",
    "store.start_run.after_commit",
    "store.intend.before_commit",
    "store.intend.after_commit",
    "store.checkpoint.before_commit",
    "store.checkpoint.after_commit",
    "store.finish_run.before_commit",
    "store.finish_run.after_commit",
    "store.reset.before_commit",
    "store.reset.after_commit",
    "store.waiting.before_commit",
    "store.waiting.after_commit",
    "store.service.before_commit",
    "store.service.after_commit",
];

/// What happens at an armed place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The place returns an error.
    Error,
    /// The process goes no further, so that it can be killed exactly there.
    Crash,
    /// The process waits until it is told to go on.
    Delay,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 3] = [Self::Error, Self::Crash, Self::Delay];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Crash => "crash",
            Self::Delay => "delay",
        }
    }
}

/// A place, what is to happen there, and the how many-th time: `name=action`, `name=action@3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// One of [`PLACES`].
    pub place: &'static str,
    /// What happens.
    pub action: Action,
    /// It happens once, when the place is reached for this time; from 1.
    pub hit: u64,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.place, self.action.as_str())?;
        if self.hit == 1 { Ok(()) } else { write!(f, "@{}", self.hit) }
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once('=').ok_or("it must read NAME=ACTION or NAME=ACTION@HIT")?;
        let place = PLACES.iter().find(|place| **place == name);
        let place = place.ok_or_else(|| format!("there is no failpoint {name:?}"))?;
        let (action, hit) = rest.split_once('@').unwrap_or((rest, "1"));
        let action = Action::ALL.into_iter().find(|known| known.as_str() == action);
        let action = action.ok_or("the action is one of error, crash and delay")?;
        let hit = hit.parse().ok().filter(|hit| *hit > 0).ok_or("the hit is a whole number from 1")?;
        Ok(Self { place, action, hit })
    }
}

/// What carries an action out when its place is reached.
pub type Act = fn(&Setting);

struct Armed {
    setting: Setting,
    act: Act,
    reached: AtomicU64,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Arms a place for as long as the process lives. `act` is called on the thread that reaches it, which may wait there.
/// Returns whether it is armed now: a second place never is.
pub fn arm(setting: Setting, act: Act) -> bool {
    ARMED.set(Armed { setting, act, reached: AtomicU64::new(0) }).is_ok()
}

/// A place is reached; does there what was armed. Returns whether the place must return an error.
pub fn reached(place: &str) -> bool {
    ARMED.get().is_some_and(|armed| armed.reached(place))
}

impl Armed {
    fn reached(&self, place: &str) -> bool {
        let Setting { place: armed, action, hit } = self.setting;
        if armed != place || self.reached.fetch_add(1, Relaxed) + 1 != hit {
            return false;
        }
        (self.act)(&self.setting);
        action == Action::Error
    }
}

/// Whether a name is one of [`PLACES`]; asked by the compiler for every place in the code.
pub const fn is_place(name: &str) -> bool {
    let mut index = 0;
    while index < PLACES.len() {
        if equal(PLACES[index].as_bytes(), name.as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

/// `==` of slices is not for the compiler's own use yet.
const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// A place of [`PLACES`]: `failpoint!("store.claim.before_commit", Fault::failpoint)`. The function makes the error that is
/// returned there, if an error was asked for, from the place's name. It may be called in sync and async code.
#[macro_export]
macro_rules! failpoint {
    ($place:expr, $error:expr) => {
        #[cfg(debug_assertions)]
        {
            const PLACE: &str = $place;
            const { assert!($crate::failpoint::is_place(PLACE), "not in core::failpoint::PLACES") };
            if $crate::failpoint::reached(PLACE) {
                return Err($error(PLACE).into());
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn settings_read_as_they_are_written() {
        for text in ["store.claim.before_commit=crash", "engine.send.after=error@12", "cli.run.opened=delay"]
        {
            assert_eq!(text.parse::<Setting>().unwrap().to_string(), text);
        }
        let wrong = |text: &str| text.parse::<Setting>().unwrap_err();
        assert_eq!(wrong("engine.send.after"), "it must read NAME=ACTION or NAME=ACTION@HIT");
        assert_eq!(wrong("engine.sent=crash"), "there is no failpoint \"engine.sent\"");
        assert_eq!(wrong("engine.send.after=panic"), "the action is one of error, crash and delay");
        for hit in ["0", "", "-1", "x"] {
            assert_eq!(wrong(&format!("engine.send.after=crash@{hit}")), "the hit is a whole number from 1");
        }
    }

    #[test]
    fn acts_once_at_its_place_and_hit() {
        static ACTED: AtomicU64 = AtomicU64::new(0);
        let setting = "engine.send.after=error@2".parse().unwrap();
        let act: Act = |_| ACTED.store(ACTED.load(Relaxed) + 1, Relaxed);
        let armed = Armed { setting, act, reached: AtomicU64::new(0) };
        let failed = ["engine.send.after", "engine.send.before", "engine.send.after", "engine.send.after"]
            .map(|place| armed.reached(place));
        assert_eq!((failed, ACTED.load(Relaxed)), ([false, false, true, false], 1));
    }

    #[test]
    fn places_are_named_by_crate_where_and_when() {
        assert_eq!(PLACES.iter().collect::<BTreeSet<_>>().len(), PLACES.len(), "a name is there twice");
        for place in PLACES {
            assert!(is_place(place));
            let parts: Vec<&str> = place.split('.').collect();
            assert!(parts.len() == 3 && parts.iter().all(|part| !part.is_empty()), "{place}");
            assert!(["cli", "engine", "connect", "store"].contains(&parts[0]), "{place}");
        }
        assert!(!is_place("store.claim") && !is_place(""));
    }
}
