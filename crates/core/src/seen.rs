//! Which known records a complete listing has shown: one bit per record.

/// A set of ledger sequence numbers. Memory: one bit per number up to the largest (125 kB for a million records).
#[derive(Debug, Clone, Default)]
pub struct Seen {
    words: Vec<u64>,
}

impl Seen {
    /// Adds a number; returns whether it was new.
    pub fn insert(&mut self, seq: u64) -> bool {
        let (word, bit) = ((seq / 64) as usize, 1 << (seq % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Whether a number is in the set.
    pub fn contains(&self, seq: u64) -> bool {
        self.words.get((seq / 64) as usize).is_some_and(|w| w & (1 << (seq % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let mut seen = Seen::default();
        for seq in [0, 63, 64, 1_000_000] {
            assert!(!seen.contains(seq));
            assert!(seen.insert(seq));
            assert!(!seen.insert(seq));
            assert!(seen.contains(seq));
        }
        assert!(!seen.contains(1));
    }
}
