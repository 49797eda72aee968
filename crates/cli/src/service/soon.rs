use syncline_spec::*;
#[derive(Clone, Copy)]
pub(crate) enum DocumentKind { Sync, Chain }
pub(crate) struct Definition<'t> { pub(crate) kind: DocumentKind, pub(crate) name: &'t str, pub(crate) text: &'t str }
pub(crate) fn merge(base: Loaded, _: &[syncline_core::connection::ConnectorSpec], _: &[Definition<'_>]) -> Result<Project, Vec<Problem>> { Ok(base.project) }
pub(crate) fn diff(_: &str, new: &str) -> String { new.lines().map(|l| format!("+{l}\n")).collect() }
