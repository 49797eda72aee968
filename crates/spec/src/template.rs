//! The project that `syncline init` writes.

/// A commented project: PostgreSQL to SharePoint, with each key explained in a line.
pub fn template() -> &'static str {
    include_str!("template.yaml")
}
