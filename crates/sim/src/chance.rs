//! The one source of chance: a seeded generator, so that a seed and a request order give the same world again.

use uuid::Uuid;

/// Identifiers, opaque tokens and dice.
#[derive(Debug)]
pub(crate) struct Chance {
    rng: fastrand::Rng,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed) }
    }

    pub(crate) fn guid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.u128(..).to_be_bytes()).into_uuid()
    }

    /// A token that says nothing to its bearer (facts §5.2 [D]: Graph tokens are opaque to clients).
    pub(crate) fn opaque(&mut self, length: usize) -> String {
        std::iter::repeat_with(|| self.rng.alphanumeric()).take(length).collect()
    }

    /// A number below `limit`; 0 when that is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.rng.u64(..limit.max(1))
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.f64() < probability
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.rng.shuffle(items);
    }
}
