//! The write protocol's decisions: what an answer means, and what to do after looking. Pure, and exhaustive over every kind
//! of failure.

use syncline_connect::{
    Error,
    destination::{Applied, Record, Stamp},
    error::Kind,
};
use syncline_core::{mutant, sync::OnEdit};

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// A create.
    Create,
    /// An update.
    Update,
    /// A delete.
    Delete,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Applied.
    Done,
    /// There is nothing to delete any more.
    Gone,
    /// The record to update is gone: make it again.
    Recreate,
    /// Certainly not applied, and not our fault: send again, without counting an attempt.
    Wait,
    /// Certainly not applied: send again, as one more attempt.
    Again,
    /// Nobody knows: look before doing anything else.
    Look,
    /// This record cannot be written as it is.
    Park,
    /// Nothing can be written to this stream.
    StopStream,
    /// Nothing can be written at all.
    StopRun,
}

/// Judges the answer to a write.
pub fn judge(sent: Sent, answer: &Result<Applied, Error>) -> Verdict {
    let Err(error) = answer else { return Verdict::Done };
    match (error.kind, sent) {
        (Kind::Throttled { .. }, _) if mutant!(ThrottlingCostsAttempts) => Verdict::Again,
        (Kind::Unanswered, Sent::Create) if mutant!(UnknownCreateResent) => Verdict::Again,
        (Kind::Unanswered, Sent::Delete) if mutant!(UnknownDeleteDone) => Verdict::Gone,
        (Kind::Duplicate, Sent::Create) if mutant!(DuplicateGivenUp) => Verdict::Park,
        (Kind::Throttled { .. }, _) => Verdict::Wait,
        (Kind::Unreachable | Kind::Locked, _) => Verdict::Again,
        (Kind::Unanswered | Kind::Protocol, _) => Verdict::Look,
        (Kind::VersionMismatch, Sent::Create) => Verdict::Again,
        (Kind::VersionMismatch, Sent::Update | Sent::Delete) => Verdict::Look,
        (Kind::RecordMissing, Sent::Delete) => Verdict::Gone,
        (Kind::RecordMissing, Sent::Update) => Verdict::Recreate,
        (Kind::RecordMissing, Sent::Create) => Verdict::StopStream,
        // Our own lost create, or a record of somebody else: the stamp tells.
        (Kind::Duplicate, Sent::Create) => Verdict::Look,
        (Kind::Duplicate, Sent::Update | Sent::Delete) | (Kind::Rejected, _) => Verdict::Park,
        (Kind::StreamMissing | Kind::StreamFull, _) => Verdict::StopStream,
        (
            Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::Definition
            | Kind::ConsentRequired
            | Kind::Challenged
            | Kind::UserTokenRefused
            | Kind::LicenceRequired
            | Kind::Unpublished
            // Of sources only.
            | Kind::PositionLost,
            _,
        ) => Verdict::StopRun,
    }
}

/// What to do after looking for a record by its stamp or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterLook {
    /// It is as it should be.
    Done(Applied),
    /// It is not there, and that is as it should be.
    Gone,
    /// It is there with other values, and ours: write over it.
    Overwrite(Applied),
    /// It was certainly not applied: send the same again.
    SendAgain,
    /// It may still be applied late: look again after the settle time, then send.
    Settle,
    /// The record to update is gone: make it again.
    Recreate,
    /// Delete it in the version it has now.
    DeleteVersion(Applied),
    /// Somebody else edited it and the sync says to report that.
    Conflict,
    /// So many records carry the stamp: a person must choose.
    Quarantine(usize),
    /// Something else than the stamp is taken by another record.
    Park,
}

/// After looking for the stamp of a create whose answer was lost or that met a duplicate. `same` says whether a record
/// holds what we wanted to write; `settled`, whether the settle time has passed since the answer was lost.
pub fn after_create(
    found: &[Record],
    same: impl Fn(&Record) -> bool,
    stamp: Stamp,
    duplicate: bool,
    settled: bool,
) -> AfterLook {
    match found {
        [one] if same(one) => AfterLook::Done(applied(one)),
        [one] => AfterLook::Overwrite(applied(one)),
        [] if duplicate && settled => AfterLook::Park,
        // Our own lost create may be what is in the way and not be found yet; parked now, it would belong to nobody.
        [] if duplicate => AfterLook::Settle,
        // The far side refuses a second one: sending again is safe at once, however late the first arrives.
        [] if stamp == Stamp::Unique || settled || mutant!(SettleForgotten) => AfterLook::SendAgain,
        [] => AfterLook::Settle,
        several => AfterLook::Quarantine(several.len()),
    }
}

/// After reading the record of an update whose answer was lost or that met another version.
pub fn after_update(
    found: Option<&Record>,
    same: bool,
    expected: Option<&str>,
    on_edit: OnEdit,
) -> AfterLook {
    let Some(record) = found else { return AfterLook::Recreate };
    if same {
        return AfterLook::Done(applied(record));
    }
    if expected.is_some() && record.version.as_deref() == expected {
        return AfterLook::SendAgain;
    }
    match on_edit {
        OnEdit::Overwrite => AfterLook::Overwrite(applied(record)),
        OnEdit::Report => AfterLook::Conflict,
    }
}

/// After reading the record of a delete whose answer was lost or that met another version.
pub fn after_delete(found: Option<&Record>, expected: Option<&str>, on_edit: OnEdit) -> AfterLook {
    let Some(record) = found else { return AfterLook::Gone };
    if expected.is_some() && record.version.as_deref() == expected {
        return AfterLook::SendAgain;
    }
    match on_edit {
        OnEdit::Overwrite => AfterLook::DeleteVersion(applied(record)),
        OnEdit::Report => AfterLook::Conflict,
    }
}

fn applied(record: &Record) -> Applied {
    Applied { id: record.id.clone(), version: record.version.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use syncline_core::remedy::{Effect, Remedy};

    const KINDS: [Kind; 14] = [
        Kind::Unreachable,
        Kind::Unanswered,
        Kind::Throttled { retry_after: Duration::ZERO },
        Kind::Unauthenticated,
        Kind::Forbidden,
        Kind::StreamMissing,
        Kind::RecordMissing,
        Kind::VersionMismatch,
        Kind::Duplicate,
        Kind::Rejected,
        Kind::StreamFull,
        Kind::Locked,
        Kind::Protocol,
        Kind::Definition,
    ];

    fn record(id: &str, version: &str) -> Record {
        Record { id: id.into(), version: Some(version.into()), stamp: None, values: Vec::new() }
    }

    #[test]
    fn what_nobody_knows_is_never_sent_again_blindly() {
        for kind in KINDS {
            for sent in [Sent::Create, Sent::Update, Sent::Delete] {
                let error = Error::new(kind, "x");
                let verdict = judge(sent, &Err(error.clone()));
                match error.effect() {
                    Effect::Unknown => assert_eq!(verdict, Verdict::Look, "{kind:?} {sent:?}"),
                    Effect::NotApplied | Effect::Applied => {}
                }
                if matches!(verdict, Verdict::Wait | Verdict::Again) {
                    assert!(matches!(error.remedy(), Remedy::RetryAfter(_)), "{kind:?} {sent:?}");
                }
            }
        }
    }

    #[test]
    fn a_lost_create_is_looked_up_first() {
        let one = [record("7", "v1")];
        let applied = Applied { id: "7".into(), version: Some("v1".into()) };
        let after = |found: &[Record], same, stamp, duplicate, settled| {
            after_create(found, |_| same, stamp, duplicate, settled)
        };
        assert_eq!(after(&one, true, Stamp::Unique, false, false), AfterLook::Done(applied.clone()));
        assert_eq!(after(&one, false, Stamp::Unique, false, false), AfterLook::Overwrite(applied));
        assert_eq!(after(&[], false, Stamp::Unique, false, false), AfterLook::SendAgain);
        assert_eq!(after(&[], false, Stamp::Indexed, false, false), AfterLook::Settle);
        assert_eq!(after(&[], false, Stamp::Indexed, false, true), AfterLook::SendAgain);
        assert_eq!(after(&[], false, Stamp::Unique, true, false), AfterLook::Settle, "perhaps not found yet");
        assert_eq!(after(&[], false, Stamp::Unique, true, true), AfterLook::Park, "another unique column");
        let two = [record("7", "v1"), record("8", "v1")];
        assert_eq!(after(&two, true, Stamp::Indexed, false, true), AfterLook::Quarantine(2));
    }

    #[test]
    fn edits_behind_our_back_follow_the_policy() {
        let mine = record("7", "v1");
        let edited = record("7", "v2");
        let now = Applied { id: "7".into(), version: Some("v2".into()) };
        use OnEdit::{Overwrite, Report};
        assert_eq!(after_update(Some(&mine), false, Some("v1"), Report), AfterLook::SendAgain);
        assert_eq!(
            after_update(Some(&edited), false, Some("v1"), Overwrite),
            AfterLook::Overwrite(now.clone())
        );
        assert_eq!(after_update(Some(&edited), false, Some("v1"), Report), AfterLook::Conflict);
        assert_eq!(
            after_update(Some(&edited), true, Some("v1"), Report),
            AfterLook::Done(now.clone()),
            "an echo"
        );
        assert_eq!(after_update(None, false, Some("v1"), Report), AfterLook::Recreate);
        assert_eq!(after_delete(None, Some("v1"), Report), AfterLook::Gone);
        assert_eq!(after_delete(Some(&mine), Some("v1"), Report), AfterLook::SendAgain);
        assert_eq!(after_delete(Some(&edited), Some("v1"), Report), AfterLook::Conflict);
        assert_eq!(after_delete(Some(&edited), Some("v1"), Overwrite), AfterLook::DeleteVersion(now));
    }
}
