//! What people ask of a service from the command line: on the store, whether a service runs or not.

use std::sync::Arc;

use syncline_engine::service::{
    Served,
    control::{Control, Refused},
};
use syncline_store::service::{DefinitionKind, ServiceStore};
use tokio::sync::watch;

use super::reading::{self, Place};
use crate::{
    exit::{Exit, Failure},
    wiring::{self, Serving, Systems},
};

/// A control over the definitions as they lie there. What the API stored and does not fit the project is left out.
///
/// # Errors
/// When the project is broken, or the store.
pub(crate) async fn at_rest(place: &Place, store: Arc<dyn ServiceStore>) -> Result<Control, Failure> {
    let stored = store.definitions().await?;
    let found = match reading::read(place, &stored).found {
        Ok(found) => found,
        Err(_) => {
            let project: Vec<_> =
                stored.into_iter().filter(|d| d.stored.kind == DefinitionKind::Project).collect();
            reading::read(place, &project).found.map_err(|broken| Failure::usage(broken.told))?
        }
    };
    let clock = wiring::clock();
    let since = clock.now();
    let served = Served { project: found.project, number: 1, since, origins: found.origins, broken: None };
    let (_, served) = watch::channel(Arc::new(served));
    let systems = Serving { systems: Systems::new(&place.directory()), store: Arc::clone(&store) };
    Ok(Control::new(store, clock, served, Arc::new(systems)))
}

/// Whether no service has given a sign of life lately.
pub(crate) async fn nobody_serves(store: &dyn ServiceStore) -> Result<bool, Failure> {
    let now = wiring::clock().now();
    let lately = now.checked_sub(jiff::SignedDuration::try_from(LATELY).unwrap_or_default()).unwrap_or(now);
    Ok(store.nodes().await?.iter().all(|(_, beat)| *beat < lately))
}

/// Longer than the time between two signs of life.
const LATELY: std::time::Duration = std::time::Duration::from_secs(60);

/// Why something that was asked for is not done.
pub(crate) fn refused(refused: Refused) -> Failure {
    match refused {
        Refused::Store(error) => error.into(),
        Refused::Engine(error) => error.into(),
        Refused::Unknown(what) | Refused::Unfit(what) => Failure { exit: Exit::Usage, what, hint: None },
        other => Failure::failed(other.to_string()),
    }
}
