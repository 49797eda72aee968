//! The names that other definitions may use.

use crate::{
    problem::did_you_mean,
    reader::{Reader, Record, Spot},
};

/// Connections, syncs and so on that exist.
#[derive(Debug, Default)]
pub(crate) struct Names<'n> {
    pub(crate) connections: Vec<&'n str>,
    pub(crate) syncs: Vec<&'n str>,
    pub(crate) chains: Vec<&'n str>,
    pub(crate) reports: Vec<&'n str>,
    pub(crate) receivers: Vec<&'n str>,
    /// Those of the syncs whose runs must be given values.
    pub(crate) asked_for: Vec<String>,
}

impl Names<'_> {
    /// The connection that a map names.
    pub(crate) fn connection(&self, reader: &mut Reader<'_>, record: &Record<'_>) -> Option<String> {
        let (name, spot) = (record.text(reader, "connection")?, record.get("connection")?);
        known(reader, &spot, name, &self.connections, "connection")
    }

    /// The sync that a key names.
    pub(crate) fn sync(&self, reader: &mut Reader<'_>, record: &Record<'_>, key: &str) -> Option<String> {
        let (name, spot) = (record.text(reader, key)?, record.get(key)?);
        known(reader, &spot, name, &self.syncs, "sync")
    }

    /// As [`sync`](Self::sync), of one that a chain can run: nobody gives values to parameters there.
    pub(crate) fn sync_of_step(&self, reader: &mut Reader<'_>, step: &Record<'_>) -> Option<String> {
        let (name, spot) = (self.sync(reader, step, "sync")?, step.get("sync")?);
        if self.asked_for.contains(&name) {
            let message = format!(
                "{} {} takes parameters, which a chain has no values for",
                spot.path,
                reader.shown(&spot)
            );
            let hint = "run it by itself, when somebody asks for it".to_owned();
            reader.error(spot.node.place, &spot.path, message, Some(hint));
        }
        Some(name)
    }

    /// The report that a key names.
    pub(crate) fn report(&self, reader: &mut Reader<'_>, record: &Record<'_>, key: &str) -> Option<String> {
        let (name, spot) = (record.text(reader, key)?, record.get(key)?);
        known(reader, &spot, name, &self.reports, "report")
    }
}

/// The name, when it is among those that are known; else it is reported.
pub(crate) fn known(
    reader: &mut Reader<'_>,
    spot: &Spot<'_>,
    name: String,
    known: &[&str],
    what: &str,
) -> Option<String> {
    if known.contains(&name.as_str()) {
        return Some(name);
    }
    let message = format!("{} {} is not a {what}", spot.path, reader.shown(spot));
    let hint = did_you_mean(&name, known, &format!("{what}s"));
    reader.error(spot.node.place, &spot.path, message, hint);
    None
}
