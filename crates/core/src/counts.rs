//! The account of a run: every record read ends in exactly one place.

use serde::{Deserialize, Serialize};

/// Records by outcome.
///
/// `read` counts source records plus the absences that a complete listing proved (records that are known and were not
/// in it): each of those is a record whose outcome is deleted, held, skipped or parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Records read, absences included.
    pub read: u64,
    /// Made in the destination.
    pub created: u64,
    /// Changed in the destination.
    pub updated: u64,
    /// Made in another stream and removed from the old one.
    pub moved: u64,
    /// Removed, or marked as gone under the soft policy.
    pub deleted: u64,
    /// Already equal.
    pub unchanged: u64,
    /// Not wanted: left the filter, or gone under the ignore policy.
    pub skipped: u64,
    /// Failed; waiting for their retry.
    pub parked: u64,
    /// Deletes waiting for approval.
    pub held: u64,
    /// Edited on both sides; left alone.
    pub conflicted: u64,
}

impl Counts {
    /// Records whose outcome is known.
    pub fn accounted(&self) -> u64 {
        self.created
            + self.updated
            + self.moved
            + self.deleted
            + self.unchanged
            + self.skipped
            + self.parked
            + self.held
            + self.conflicted
    }

    /// Whether every record read is accounted for; a run for which this is false has failed.
    pub fn closed(&self) -> bool {
        self.read == self.accounted()
    }

    /// Records written to the destination.
    pub fn written(&self) -> u64 {
        self.created + self.updated + self.moved + self.deleted
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.created += other.created;
        self.updated += other.updated;
        self.moved += other.moved;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
        self.skipped += other.skipped;
        self.parked += other.parked;
        self.held += other.held;
        self.conflicted += other.conflicted;
    }
}
