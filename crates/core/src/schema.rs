//! What a stream looks like: its fields, their types, and the limits the system puts on their values.

use serde::{Deserialize, Serialize};

/// The type of a field, the same set for every system.
///
/// A connector maps each of its native types to one of these, or to nothing: a field of an unsupported type is
/// listed in [`Stream::unsupported`] with the reason, never guessed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// True or false.
    Boolean,
    /// Signed 64-bit integer.
    Int64,
    /// IEEE 754 double.
    Float64,
    /// Exact decimal. `None` means the system does not bound it.
    Decimal {
        /// Digits in all.
        precision: Option<u32>,
        /// Digits after the point.
        scale: Option<u32>,
    },
    /// Unicode text.
    Text,
    /// Bytes.
    Binary,
    /// Calendar date.
    Date,
    /// Time of day, microseconds.
    Time,
    /// Point in time, microseconds. `zoned`: an instant in UTC; otherwise wall-clock time without a zone.
    Timestamp {
        /// Whether the value is an instant.
        zoned: bool,
    },
    /// 128-bit identifier.
    Uuid,
    /// JSON text.
    Json,
    /// Several values of one type.
    List(Box<FieldType>),
}

impl std::fmt::Display for FieldType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision: Some(p), scale: Some(s) } => write!(f, "decimal({p},{s})"),
            Self::Decimal { .. } => f.write_str("decimal"),
            Self::Text => f.write_str("text"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp { zoned: true } => f.write_str("timestamp with zone"),
            Self::Timestamp { zoned: false } => f.write_str("timestamp"),
            Self::Uuid => f.write_str("uuid"),
            Self::Json => f.write_str("json"),
            Self::List(of) => write!(f, "list of {of}"),
        }
    }
}

/// One field of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The name the system's API uses (SharePoint: the internal name).
    pub name: String,
    /// The name people see, where it differs.
    pub label: Option<String>,
    /// Type.
    pub kind: FieldType,
    /// Whether null is allowed.
    pub nullable: bool,
    /// What the system demands of a value. Sources leave the default.
    pub limits: Limits,
    /// The type in the system's own words (`numeric(14,2)`), where a table of the same [`Stream::dialect`] may be created with
    /// it; `None`: only `kind` is known.
    pub native: Option<String>,
}

impl Field {
    /// A field without limits.
    pub fn new(name: impl Into<String>, kind: FieldType, nullable: bool) -> Self {
        Self { name: name.into(), label: None, kind, nullable, limits: Limits::default(), native: None }
    }
}

/// What a destination field demands of its values and how it stores them. Values that break a limit are refused
/// before they are sent: a record with a clear error instead of a rejected batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Most characters (UTF-16 units, as SharePoint counts) of a text.
    pub max_length: Option<usize>,
    /// Smallest number, inclusive.
    pub minimum: Option<f64>,
    /// Largest number, inclusive.
    pub maximum: Option<f64>,
    /// Allowed values of a choice; empty: any.
    pub choices: Vec<String>,
    /// First and last year of dates and timestamps.
    pub years: Option<(i32, i32)>,
    /// The system keeps whole seconds only.
    pub whole_seconds: bool,
    /// The system stores a decimal as a double: digits that do not survive it are an error on the record.
    pub as_double: bool,
    /// The system does not tell the empty text from null.
    pub empty_is_null: bool,
    /// Leading and trailing white space and the kind of line end may be changed by the system.
    pub loose_space: bool,
    /// NUL and other control characters are refused.
    pub no_control: bool,
    /// NUL is refused.
    pub no_nul: bool,
    /// Most characters (Unicode code points, as SQL counts) of a text.
    pub max_chars: Option<usize>,
    /// NaN and infinite numbers are refused.
    pub finite: bool,
    /// Infinite dates and timestamps are values like others, whatever `years` says.
    pub infinity: bool,
    /// JSON must be well formed, and without the escape of NUL.
    pub valid_json: bool,
    /// NaN is refused; infinity is kept.
    pub no_nan: bool,
    /// A text that looks like a number is refused: the system would store the number (`007` as 7).
    pub no_number: bool,
    /// Most digits of a decimal before and after the point.
    pub digits: Option<(u32, u32)>,
    /// The highest character that the system's encoding has.
    pub max_char: Option<char>,
    /// Fewest and most bytes of a text (as UTF-8) or of bytes.
    pub bytes: Option<(usize, usize)>,
    /// The system cuts spaces at the end of a text off: such texts are refused.
    pub no_space_at_end: bool,
    /// First and last timestamp, in microseconds since 1970 UTC.
    pub times: Option<(i64, i64)>,
    /// Texts that differ in case, accents or spaces at their end may be the same to the system.
    pub folds: bool,
    /// A text that the system stores as a link with address and description.
    pub hyperlink: bool,
    /// A value must be given.
    pub required: bool,
    /// Cannot be written.
    pub read_only: bool,
    /// The system enforces uniqueness.
    pub unique: bool,
    /// There is an index on it.
    pub indexed: bool,
}

/// A stream: a table, view, list or API resource as the connector found it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stream {
    /// The name under which it was asked for.
    pub name: String,
    /// The system's own identifier (SharePoint: list GUID); stable when the stream is renamed.
    pub id: String,
    /// Whose words [`Field::native`] is in: `postgres`, `mysql`, `sqlite` …
    pub dialect: Option<&'static str>,
    /// Supported fields in the system's order.
    pub fields: Vec<Field>,
    /// Fields whose type this connector does not carry: name and reason.
    pub unsupported: Vec<(String, String)>,
    /// Columns of the primary key, in order; empty: none.
    pub primary_key: Vec<String>,
    /// Other unique constraints and indexes (not partial, not on expressions): name and columns.
    pub unique: Vec<(String, Vec<String>)>,
    /// Columns that lead a usable index.
    pub indexed: Vec<String>,
    /// About how many records; from statistics, may be off or unknown.
    pub records: Option<u64>,
    /// Parameters that a listing takes: name, and whether it must be given.
    pub params: Vec<(String, bool)>,
    /// Whether the source tells changes by tokens of its own: incremental reading needs no cursor column then, and positions
    /// are texts that only the source understands.
    pub tells_changes: bool,
    /// Things an operator should know (missing permission, no index …), one sentence each.
    pub notes: Vec<String>,
}

impl Stream {
    /// The field called `name`, exactly.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Position of the field called `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// Whether `columns` (in any order) are exactly the primary key or a unique constraint.
    pub fn is_unique(&self, columns: &[String]) -> bool {
        let same = |key: &[String]| key.len() == columns.len() && columns.iter().all(|c| key.contains(c));
        (!self.primary_key.is_empty() && same(&self.primary_key))
            || self.unique.iter().any(|(_, key)| same(key))
    }
}
