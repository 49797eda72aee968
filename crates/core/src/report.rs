//! Reports: a query rendered through a template, to mail and to a file.

/// A report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Unique among the project's reports.
    pub name: String,
    /// Connection that is queried.
    pub connection: String,
    /// Name in the template, and statement; the first one is the main query.
    pub queries: Vec<(String, String)>,
    /// One message for each value of this column of the main query; none: one message in all.
    pub group_by: Option<String>,
    /// Subject, a template.
    pub subject: String,
    /// HTML, a template (the text itself, not its path).
    pub html: String,
    /// Plain text, a template; none: made from the HTML.
    pub text: Option<String>,
    /// Receivers: templates of addresses (`{{ group }}`).
    pub to: Vec<String>,
    /// File that the HTML is written to: a template of a path relative to the project file.
    pub file: Option<String>,
}
