//! Units of the far side's quotas: what earlier processes spent, and what is to be recorded.

use std::time::Duration;

use crate::{Engine, Error};

/// Units that earlier processes spent still count.
pub(crate) async fn restore_budgets(engine: &Engine) -> Result<(), Error> {
    let now = engine.clock.now();
    for budget in engine.budgets.all() {
        if !budget.first_use() {
            continue;
        }
        let since = now.checked_sub(jiff::SignedDuration::from_hours(24)).unwrap_or(now);
        for (at, units) in engine.store.spent(budget.name(), since).await? {
            budget.restore(units, Duration::try_from(now.duration_since(at)).unwrap_or_default());
        }
    }
    Ok(())
}

/// Units spent since the last call, by budget.
pub(crate) fn spent(engine: &Engine) -> Vec<(String, u64)> {
    let budgets = engine.budgets.all();
    budgets.iter().map(|b| (b.name().to_owned(), b.take_unsaved())).filter(|(_, units)| *units > 0).collect()
}
