//! The delete guard: when deletes wait for a person.

use crate::{mutant, sync::Deletes};

/// What to do with the deletes that a complete listing implies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allow,
    /// Hold them all; the sentence says why.
    Hold(String),
}

/// Judges `gone` deletes out of `known` live records, after a listing that showed `listed` records.
///
/// Held when they exceed both the count and the share of the guard, or when the source is empty; unless an approval
/// covers them. An empty destination side has no known records, so nothing can be gone.
pub fn judge(deletes: &Deletes, gone: u64, known: u64, listed: u64, approved: Option<u64>) -> Verdict {
    let covers = |ceiling| gone <= ceiling || mutant!(ApprovalWithoutCeiling);
    if gone == 0 || approved.is_some_and(covers) {
        return Verdict::Allow;
    }
    let over = match approved {
        Some(ceiling) => format!("; the approval covers {ceiling} only"),
        None => String::new(),
    };
    if listed == 0 && !mutant!(GuardForgetsEmptySource) {
        return Verdict::Hold(format!("the source is empty and {known} records are known{over}"));
    }
    let percent = gone as f64 * 100.0 / known.max(1) as f64;
    let count = deletes.guard_count + u64::from(mutant!(GuardOffByOne));
    if gone > count && percent > deletes.guard_percent {
        return Verdict::Hold(format!(
            "{gone} of {known} known records ({percent:.1} %) are gone from the source; the guard allows {} or {} %{over}",
            deletes.guard_count, deletes.guard_percent
        ));
    }
    Verdict::Allow
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::DeletePolicy;

    #[test]
    fn holds_above_both_limits_and_on_an_empty_source() {
        let deletes = Deletes {
            policy: DeletePolicy::Delete,
            guard_count: 10,
            guard_percent: 10.0,
            out_of_filter: false,
            detect: Default::default(),
        };
        let held =
            |gone, known, listed, approved| judge(&deletes, gone, known, listed, approved) != Verdict::Allow;
        assert!(!held(0, 0, 0, None));
        assert!(!held(10, 20, 10, None), "at the count");
        assert!(held(11, 20, 9, None));
        assert!(!held(11, 110, 99, None), "at the percentage");
        assert!(held(11, 109, 98, None));
        assert!(held(1, 1, 0, None), "an empty source");
        assert!(!held(600, 1000, 400, Some(600)));
        assert!(held(601, 1000, 399, Some(600)));
    }
}
