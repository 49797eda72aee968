//! Every key of the format, once: the unknown-key check, the ranges and defaults, the JSON Schema and the reference
//! (`docs/project-file.md`) all follow from these tables.

mod service;

pub(crate) use service::{
    ALERT, ALERT_KINDS, ALL, CHAIN, CHECK, FRESH, HTTP, LIMITS_MAX, MAIL, MISFIRES, RECEIVER, REPORT,
    RETENTION, ROWS, SCHEDULE, SERVER, SLACK, SQL, STEP, SYNCED, TLS, USERS, WEBHOOK,
};

/// A key of a map.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// As it would be written; empty: none.
    pub(crate) default: &'static str,
    /// One sentence or two.
    pub(crate) help: &'static str,
    /// What people of other tools write instead; only ever suggested from.
    pub(crate) also: &'static [&'static str],
}

/// A map with known keys.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) title: &'static str,
    pub(crate) keys: &'static [Key],
}

/// A choice of words.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) words: &'static [&'static str],
    /// Words that are understood and refused, with the reason.
    pub(crate) refused: &'static [(&'static str, &'static str)],
}

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    /// A text that is never shown.
    Secret,
    Integer {
        min: u64,
        max: u64,
    },
    /// A number that may have a fraction.
    Number {
        min: f64,
        max: f64,
    },
    Boolean,
    Duration,
    Size,
    /// CEL.
    Expression,
    /// A statement or an expression in the words of a database.
    Sql,
    /// Any single value.
    Scalar,
    Words(&'static Words),
    /// Texts, at least one, each once.
    Texts,
    Shape(&'static Shape),
    /// A map from names that the user gives.
    Named(&'static Kind),
    /// At least one.
    List(&'static Kind),
    Either(&'static [Kind]),
    /// A connection: its keys follow from its type.
    Connection,
}

impl Shape {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }
}

/// A key that may be left out.
const fn optional(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, required: false, default, help, also: &[] }
}

/// A key that must be given.
const fn required(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, required: true, default: "", help, also: &[] }
}

impl Key {
    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }
}

pub(crate) static PROJECT: Shape = Shape {
    title: "project",
    keys: &[
        required("connections", Kind::Named(&Kind::Connection), "The accounts on the systems, by name."),
        required("syncs", Kind::Named(&Kind::Shape(&SYNC)), "The flows between them, by name.").also(&[
            "pipelines",
            "flows",
            "jobs",
        ]),
        optional(
            "defaults",
            Kind::Shape(&DEFAULTS),
            "",
            "What every sync into a table has unless it says otherwise.",
        ),
        optional("store", Kind::Shape(&STORE), "", "Where Syncline keeps what it knows about both sides.")
            .also(&["state", "database", "ledger"]),
        optional(
            "chains",
            Kind::Named(&Kind::Shape(&CHAIN)),
            "",
            "Steps that depend on each other, by name; they run under `syncline serve`.",
        )
        .also(&["dags", "flows"]),
        optional("reports", Kind::Named(&Kind::Shape(&REPORT)), "", "What chains render and send, by name."),
        optional(
            "alerts",
            Kind::Named(&Kind::Shape(&ALERT)),
            "",
            "Who is told of which change of state, by name.",
        )
        .also(&["notifications"]),
        optional("receivers", Kind::Named(&Kind::Shape(&RECEIVER)), "", "Where alerts go, by name.")
            .also(&["channels", "notifiers"]),
        optional("server", Kind::Shape(&SERVER), "", "How `syncline serve` serves.")
            .also(&["serve", "service"]),
    ],
};

pub(crate) static DEFAULTS: Shape = Shape {
    title: "defaults",
    keys: &[optional(
        "schedule",
        Kind::List(&Kind::Shape(&SCHEDULE)),
        "",
        "Schedules, each with a name; a sync overrides them by name.",
    )
    .also(&["schedules"])],
};

pub(crate) static STORE: Shape = Shape {
    title: "store",
    keys: &[
        optional(
            "path",
            Kind::Secret,
            ".syncline/store.db",
            "SQLite file, relative to the project file; or the address of a PostgreSQL database, `postgres://…`.",
        )
        .also(&["url", "file"]),
        optional(
            "tenant",
            Kind::Text,
            "",
            "PostgreSQL only: whose part of the store it is, where several share it; a name.",
        ),
        optional(
            "max_size",
            Kind::Size,
            "",
            "SQLite only: the file never grows beyond this; a run that needs more stops with a clear error.",
        ),
        optional(
            "busy_timeout",
            Kind::Duration,
            "5s",
            "SQLite only: how long to wait for another process that writes to the file.",
        ),
    ],
};

/// The one key that every connection has; the others come from its type.
pub(crate) static CONNECTION: Shape = Shape {
    title: "connection",
    keys: &[required("type", Kind::Text, "Kind of system; the other keys depend on it.").also(&[
        "kind",
        "connector",
        "driver",
    ])],
};

pub(crate) static SYNC: Shape = Shape {
    title: "sync",
    keys: &[
        required("from", Kind::Shape(&FROM), "Where records come from.").also(&["source", "input"]),
        required("to", Kind::Shape(&TO), "Where they go.").also(&["destination", "target", "output", "sink"]),
        optional(
            "mode",
            Kind::Words(&MODES),
            "incremental with a cursor, else full",
            "What an ordinary run reads: everything, or what changed since the stored cursor.",
        ),
        optional(
            "write",
            Kind::Words(&WRITES),
            "upsert; for files replace",
            "How records are written; mirror also removes what the source no longer has.",
        )
        .also(&["write_mode", "disposition"]),
        optional(
            "deletes",
            Kind::Either(&[Kind::Words(&DELETE_POLICIES), Kind::Shape(&DELETES)]),
            "ignore; with mirror: delete",
            "What happens to a destination record whose source record is gone.",
        ),
        optional(
            "fields",
            Kind::Named(&Kind::Either(&[Kind::Text, Kind::Shape(&FIELD)])),
            "for tables every source column; for lists required",
            "Destination field: source column, or a map.",
        )
        .also(&["columns", "mapping", "mappings", "map"]),
        optional(
            "route",
            Kind::List(&Kind::Shape(&ROUTE)),
            "",
            "Other lists for some records: the first condition that holds decides; none: `to.list`.",
        )
        .also(&["routes", "routing", "rules"]),
        optional(
            "adopt",
            Kind::Shape(&ADOPT),
            "",
            "How records that the destination already holds are recognised at first contact.",
        ),
        optional(
            "on_edit",
            Kind::Words(&ON_EDITS),
            "overwrite",
            "What to do when somebody edited a destination record that is about to be updated.",
        )
        .also(&["on_conflict", "conflict"]),
        optional(
            "batch",
            Kind::Integer { min: 1, max: 5000 },
            "500",
            "Most operations that are written between two checkpoints.",
        )
        .also(&["batch_size"]),
        optional(
            "schedule",
            Kind::Either(&[Kind::Shape(&SCHEDULE), Kind::List(&Kind::Shape(&SCHEDULE))]),
            "those of `defaults`",
            "When to run under `syncline serve`, and what is different then.",
        )
        .also(&["schedules"]),
        optional(
            "params",
            Kind::Texts,
            "",
            "Tables only: parameters whose values every run is given; it is then about this part of the records only.",
        )
        .also(&["parameters", "args"]),
        optional(
            "fresh",
            Kind::Duration,
            "",
            "With `params`: a part that was loaded within this time is not loaded again, unless somebody insists.",
        )
        .also(&["ttl", "max_age"]),
        optional(
            "each",
            Kind::Shape(&EACH),
            "",
            "With `params`: how the parts of a series are found, so that all can be asked for at once.",
        ),
    ],
};

pub(crate) static EACH: Shape = Shape {
    title: "each",
    keys: &[
        required("connection", Kind::Text, "Name of the connection that is asked."),
        required(
            "query",
            Kind::Sql,
            "Query with a row for each part and a column for each of the sync's `params`; it may use `:owner` and `params`.",
        )
        .also(&["sql", "statement"]),
        optional("params", Kind::Texts, "", "Parameters whose values are given with the request.")
            .also(&["parameters"]),
    ],
};

pub(crate) static FROM: Shape = Shape {
    title: "from",
    keys: &[
        required("connection", Kind::Text, "Name of a connection that can be read from."),
        optional(
            "table",
            Kind::Text,
            "",
            "Table or view, with its schema where it has one. Exactly one of `table` and `query` is given.",
        )
        .also(&["stream", "view", "name", "from", "path"]),
        optional(
            "query",
            Kind::Sql,
            "",
            "Statement that gives the records, in the source's own words; needs `key`.",
        )
        .also(&["sql", "select", "statement"]),
        optional(
            "resource",
            Kind::Text,
            "",
            "APIs only, instead of `table`: what the API calls what is read.",
        ),
        optional(
            "list",
            Kind::Text,
            "",
            "APIs only, instead of `table`: list that is read, by title, path or id.",
        ),
        optional(
            "mass_query",
            Kind::Sql,
            "",
            "Tables only: statement that full runs read instead of `table` or `query`.",
        ),
        optional(
            "key",
            Kind::Either(&[Kind::Words(&KEY_WORDS), Kind::Texts, Kind::Shape(&KEY)]),
            "primary",
            "Which columns say \"same record\": `primary` (the primary key), a list of columns, or a map.",
        )
        .also(&["primary_key", "id", "keys"]),
        optional("cursor", Kind::Text, "", "Column that grows with every change, such as `updated_at`."),
        optional(
            "overlap",
            Kind::Either(&[Kind::Duration, Kind::Integer { min: 0, max: i64::MAX as u64 }]),
            "2m; for integer cursors 1000",
            "How far before the stored cursor an incremental run starts: a duration, or a number for integer cursors.",
        ),
        optional(
            "lag",
            Kind::Duration,
            "0s",
            "How far below \"now\" an incremental run stops, where the database cannot tell its oldest writer.",
        ),
        optional(
            "tombstone",
            Kind::Either(&[Kind::Text, Kind::Shape(&TOMBSTONE)]),
            "",
            "Column that is set (or true) on a record that was deleted softly in the source, or a map.",
        ),
        optional(
            "filter",
            Kind::Expression,
            "",
            "CEL condition over source columns; only records for which it holds are synced.",
        )
        .also(&["where", "when"]),
    ],
};

pub(crate) static KEY: Shape = Shape {
    title: "key",
    keys: &[
        optional("columns", Kind::Texts, "", "These columns, in this order."),
        optional("unique", Kind::Text, "", "The columns of this unique constraint."),
        optional(
            "hashed",
            Kind::Either(&[Kind::Words(&HASHED_WORDS), Kind::Texts]),
            "",
            "For tables without a key: a hash over these columns, or `all`. An edit is then a new record and the disappearance of an old one.",
        ),
        optional("ignore_case", Kind::Boolean, "false", "Compare texts without regard to case."),
    ],
};

pub(crate) static TOMBSTONE: Shape = Shape {
    title: "tombstone",
    keys: &[
        required("column", Kind::Text, "The column.").also(&["field", "name"]),
        optional(
            "values",
            Kind::Texts,
            "any but null and false",
            "Tables only: the values of it that say \"deleted\", where it is a status.",
        )
        .also(&["value"]),
    ],
};

pub(crate) static TO: Shape = Shape {
    title: "to",
    keys: &[
        required("connection", Kind::Text, "Name of a connection that can be written to."),
        optional(
            "list",
            Kind::Text,
            "",
            "APIs only, required there: list for records that no route takes, by title, path or id.",
        )
        .also(&["stream", "name"]),
        optional(
            "table",
            Kind::Text,
            "`from.table`",
            "Databases only: table, with its schema where it has one.",
        ),
        optional("path", Kind::Text, "`from.table`", "Files only: the file.").also(&["file"]),
        optional(
            "schema",
            Kind::Words(&SCHEMA_POLICIES),
            "evolve",
            "Tables only: what happens when the source has columns or types that the table lacks.",
        )
        .also(&["schema_policy", "evolution"]),
        optional(
            "match",
            Kind::Texts,
            "what the key is mapped to",
            "Databases only: destination columns that say \"same record\".",
        )
        .also(&["match_on", "on", "key"]),
        optional(
            "update",
            Kind::Texts,
            "all but `match`",
            "Databases only: destination columns that are updated.",
        )
        .also(&["update_columns"]),
        optional(
            "insert",
            Kind::Texts,
            "all",
            "Databases only: destination columns that are given to a new record.",
        )
        .also(&["insert_columns"]),
        optional(
            "update_when",
            Kind::Sql,
            "",
            "Databases only: condition over `s` (the source's record) and `d` (the destination's); only then is a record updated.",
        ),
        optional(
            "partition",
            Kind::Named(&Kind::Text),
            "",
            "Databases only: columns that hold a parameter, and which (`owner` is the user for whom it runs): only rows that have its values there are touched.",
        ),
        optional(
            "after",
            Kind::List(&Kind::Sql),
            "",
            "Databases only: statements that run after the load, in its transaction; at most 100. `:name` is a parameter.",
        )
        .also(&["post", "post_processor", "hooks"]),
        optional(
            "lock_timeout",
            Kind::Duration,
            "30s",
            "Databases only: how long to wait for locks that others hold.",
        ),
        optional(
            "parallel",
            Kind::Integer { min: 1, max: 64 },
            "one per core, at most 4",
            "Tables only: most ranges that are read and staged at once.",
        )
        .also(&["parallelism", "threads"]),
    ],
};

pub(crate) static DELETES: Shape = Shape {
    title: "deletes",
    keys: &[
        optional(
            "policy",
            Kind::Words(&DELETE_POLICIES),
            "ignore; with mirror: delete",
            "As in the short form.",
        ),
        optional(
            "field",
            Kind::Text,
            "DeletedAt",
            "Soft only: destination field that receives the time (or true), and is cleared when the record comes back.",
        ),
        optional("guard", Kind::Shape(&GUARD), "", "Deletes are held for approval when they exceed both."),
        optional(
            "out_of_filter",
            Kind::Boolean,
            "false",
            "Whether a record that stops matching `from.filter` counts as gone.",
        ),
        optional(
            "detect",
            Kind::Words(&DETECTS),
            "listing",
            "Databases only: how it is found out that records are gone.",
        ),
    ],
};

pub(crate) static GUARD: Shape = Shape {
    title: "guard",
    keys: &[
        optional("count", Kind::Integer { min: 0, max: i64::MAX as u64 }, "10", "This many records."),
        optional("percent", Kind::Number { min: 0.0, max: 100.0 }, "10", "This share of the known records."),
    ],
};

pub(crate) static FIELD: Shape = Shape {
    title: "field",
    keys: &[
        optional(
            "from",
            Kind::Text,
            "",
            "Source column. Exactly one of `from`, `cel`, `sql` and `param` is given.",
        )
        .also(&["column", "source"]),
        optional(
            "transform",
            Kind::Either(&[Kind::Words(&TRANSFORMS), Kind::List(&Kind::Words(&TRANSFORMS))]),
            "",
            "With `from`: functions that are applied to its value, in this order.",
        )
        .also(&["transforms", "functions", "normalise", "normalize"]),
        optional("cel", Kind::Expression, "", "CEL expression over source columns.")
            .also(&["expression", "expr"]),
        optional(
            "sql",
            Kind::Sql,
            "",
            "Tables only: expression in the source's own SQL, which the source evaluates.",
        ),
        optional(
            "param",
            Kind::Text,
            "",
            "Tables only: parameter of the run: one of `params`, or `owner`, `run_at` or `run`.",
        )
        .also(&["parameter"]),
        optional(
            "direction",
            Kind::Words(&DIRECTIONS),
            "push",
            "Which way the value flows; a one-way sync writes `push` and `both`.",
        ),
        optional("required", Kind::Boolean, "false", "A record whose value is null is parked."),
        optional("default", Kind::Scalar, "", "Written when the value is null."),
        optional(
            "as",
            Kind::Words(&KINDS),
            "",
            "Write the value as this kind, which the destination does not tell of itself.",
        ),
    ],
};

pub(crate) static ROUTE: Shape = Shape {
    title: "route",
    keys: &[
        required("when", Kind::Expression, "CEL condition over source columns.").also(&["if", "condition"]),
        required("list", Kind::Text, "List for records for which it holds.").also(&["to", "table", "stream"]),
    ],
};

pub(crate) static ADOPT: Shape = Shape {
    title: "adopt",
    keys: &[required(
        "by",
        Kind::Texts,
        "Mapped destination fields that together say which record is which.",
    )],
};

pub(crate) static MODES: Words = Words {
    words: &["full", "incremental"],
    refused: &[("changes", "reading a change log is not in this version")],
};

pub(crate) static WRITES: Words = Words { words: &["append", "upsert", "mirror", "replace"], refused: &[] };
pub(crate) static SCHEMA_POLICIES: Words = Words { words: &["evolve", "freeze"], refused: &[] };
pub(crate) static DETECTS: Words = Words { words: &["listing", "keys"], refused: &[] };
pub(crate) static DELETE_POLICIES: Words = Words { words: &["ignore", "soft", "delete"], refused: &[] };
pub(crate) static KEY_WORDS: Words = Words { words: &["primary"], refused: &[] };
pub(crate) static HASHED_WORDS: Words = Words { words: &["all"], refused: &[] };
pub(crate) static ON_EDITS: Words = Words { words: &["overwrite", "report"], refused: &[] };
pub(crate) static DIRECTIONS: Words = Words { words: &["both", "push", "pull"], refused: &[] };
pub(crate) static TRANSFORMS: Words = Words {
    words: syncline_core::functions::TRANSFORMS,
    refused: &[("lowercase", "it is called \"lower\""), ("strip", "it is called \"trim\"")],
};
pub(crate) static KINDS: Words = Words { words: &["hyperlink"], refused: &[] };
