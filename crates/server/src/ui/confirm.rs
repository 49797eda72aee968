//! The page that asks before something is done.

use askama::Template;

use super::layout::Frame;

/// Asks first: what will happen, what it means, and one button.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(crate) struct Confirm {
    pub(crate) frame: Frame,
    /// The question: `Reset the cursor of projects?`
    pub(crate) question: String,
    /// What it means, a sentence each.
    pub(crate) means: Vec<String>,
    /// Where the form is sent.
    pub(crate) action: String,
    /// Fields that go with it unseen.
    pub(crate) hidden: Vec<(&'static str, String)>,
    /// Fields to be filled in.
    pub(crate) fields: Vec<Field>,
    /// What the button says.
    pub(crate) button: &'static str,
    /// Whether it takes something away.
    pub(crate) grave: bool,
    /// Where to go instead.
    pub(crate) back: String,
}

/// A field of a form that asks first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// One of several: name, label, and value, words and whether it is chosen.
    Choice { name: &'static str, label: &'static str, options: Vec<(String, String, bool)> },
    /// A box to tick.
    Tick { name: &'static str, label: &'static str },
    /// A number.
    Number { name: &'static str, label: &'static str, value: String, min: u64, max: u64 },
    /// A line of text.
    Text { name: &'static str, label: &'static str, required: bool },
}
