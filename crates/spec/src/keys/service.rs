//! The keys of what only a service has a use for: schedules, chains, reports, alerts, the server itself.

use super::{Kind, MODES, Shape, Words, optional, required};

pub(crate) static SCHEDULE: Shape = Shape {
    title: "schedule",
    keys: &[
        optional("name", Kind::Text, "", "Name, for `run --schedule` and for overriding a default."),
        optional("every", Kind::Duration, "", "Interval. Exactly one of `every` and `cron` is given."),
        optional("cron", Kind::Text, "", "Five fields: minute, hour, day of month, month, day of week."),
        optional("zone", Kind::Text, "UTC", "IANA time zone of `cron`, such as `Europe/Berlin`.")
            .also(&["timezone", "tz"]),
        optional(
            "mode",
            Kind::Words(&MODES),
            "",
            "Syncs only: mode of these runs, where it differs from the sync's.",
        ),
        optional(
            "lookback",
            Kind::Number { min: 0.0, max: 1000.0 },
            "0",
            "Tables only: an incremental run reads from the last successful start less `every` times this, where that is below the cursor.",
        ),
        optional(
            "prepurge",
            Kind::Boolean,
            "false",
            "Tables only: a full run replaces the table as a whole instead of merging into it.",
        ),
        optional(
            "reindex",
            Kind::Boolean,
            "false",
            "Tables only: the table's indexes are rebuilt after the run.",
        ),
        optional(
            "misfire",
            Kind::Either(&[Kind::Words(&MISFIRES), Kind::Shape(&ALL)]),
            "latest",
            "What becomes of times that passed while nothing could run.",
        )
        .also(&["missed", "catchup"]),
        optional(
            "overlap",
            Kind::Words(&OVERLAPS),
            "skip",
            "What becomes of a time that comes while the run before still goes on.",
        )
        .also(&["concurrency"]),
        optional(
            "jitter",
            Kind::Duration,
            "a tenth of `every`, at most 1m; nothing with `cron`",
            "Starts are spread over this span, always the same way, so that not everything starts at once.",
        )
        .also(&["splay", "spread"]),
        optional("enabled", Kind::Boolean, "true", "Whether it is in force."),
    ],
};

pub(crate) static ALL: Shape = Shape {
    title: "all",
    keys: &[required(
        "all",
        Kind::Integer { min: 1, max: 10_000 },
        "A run for each of them, the latest so many.",
    )],
};

pub(crate) static CHAIN: Shape = Shape {
    title: "chain",
    keys: &[
        required("steps", Kind::Named(&Kind::Shape(&STEP)), "The steps, by name; at most 200."),
        optional(
            "schedule",
            Kind::Either(&[Kind::Shape(&SCHEDULE), Kind::List(&Kind::Shape(&SCHEDULE))]),
            "",
            "When to run; without it, when somebody asks.",
        )
        .also(&["schedules"]),
    ],
};

pub(crate) static STEP: Shape = Shape {
    title: "step",
    keys: &[
        optional("sync", Kind::Text, "", "Runs the sync of this name."),
        optional(
            "mode",
            Kind::Words(&MODES),
            "that of the sync",
            "With `sync` only: what it reads this time.",
        ),
        optional("sql", Kind::Shape(&SQL), "", "Runs statements on a database, in one transaction.").also(&[
            "statement",
            "statements",
            "query",
        ]),
        optional("check", Kind::Shape(&CHECK), "", "Looks at data; fails when it is not as it must be."),
        optional("http", Kind::Shape(&HTTP), "", "Calls a web service.").also(&["webhook", "request"]),
        optional("report", Kind::Text, "", "Renders and sends the report of this name."),
        optional("needs", Kind::Texts, "", "Steps that must have ended well before it starts.").also(&[
            "depends_on",
            "after",
            "depends",
            "dependencies",
        ]),
        optional(
            "required",
            Kind::Boolean,
            "true",
            "Whether its failure fails the chain and stops what needs it; that of another one makes it partial.",
        ),
        optional(
            "requires",
            Kind::List(&Kind::Shape(&CHECK)),
            "",
            "What must hold of the data before it starts; at most 20.",
        )
        .also(&["preconditions", "prerequisites"]),
        optional("timeout", Kind::Duration, "1h", "How long it may take."),
    ],
};

pub(crate) static SQL: Shape = Shape {
    title: "sql",
    keys: &[
        required("connection", Kind::Text, "Name of a connection to a database."),
        optional("statement", Kind::Sql, "", "Exactly one of `statement` and `statements` is given.")
            .also(&["query", "sql"]),
        optional("statements", Kind::List(&Kind::Sql), "", "Several, in this order; at most 100."),
    ],
};

pub(crate) static CHECK: Shape = Shape {
    title: "check",
    keys: &[
        optional(
            "rows",
            Kind::Shape(&ROWS),
            "",
            "The number that a query gives. Exactly one of `rows`, `fresh` and `synced` is given.",
        )
        .also(&["count"]),
        optional("fresh", Kind::Shape(&FRESH), "", "The age of the time that a query gives.")
            .also(&["freshness", "age"]),
        optional("synced", Kind::Shape(&SYNCED), "", "The age of a sync's last complete run."),
    ],
};

pub(crate) static ROWS: Shape = Shape {
    title: "rows",
    keys: &[
        required("connection", Kind::Text, "Name of a connection to a database."),
        required("query", Kind::Sql, "Gives one number: `select count(*) from …`.")
            .also(&["sql", "statement"]),
        optional("min", Kind::Integer { min: 0, max: i64::MAX as u64 }, "1 without `max`", "At least."),
        optional("max", Kind::Integer { min: 0, max: i64::MAX as u64 }, "", "At most."),
    ],
};

pub(crate) static FRESH: Shape = Shape {
    title: "fresh",
    keys: &[
        required("connection", Kind::Text, "Name of a connection to a database."),
        required("query", Kind::Sql, "Gives one time: `select max(updated_at) from …`; null is never fresh.")
            .also(&["sql", "statement"]),
        required("within", Kind::Duration, "Not older than this.").also(&["max_age", "age"]),
    ],
};

pub(crate) static SYNCED: Shape = Shape {
    title: "synced",
    keys: &[
        required("sync", Kind::Text, "Name of the sync."),
        required("within", Kind::Duration, "Not longer ago than this.").also(&["max_age", "age"]),
    ],
};

pub(crate) static HTTP: Shape = Shape {
    title: "http",
    keys: &[
        required("url", Kind::Secret, "Address, `https://…` or `http://…`."),
        optional("method", Kind::Words(&METHODS), "POST", "Method."),
        optional("headers", Kind::Named(&Kind::Secret), "", "Headers, by name."),
        optional("body", Kind::Secret, "", "Body, sent as it is.").also(&["data"]),
        optional(
            "expect",
            Kind::List(&Kind::Integer { min: 100, max: 599 }),
            "200 to 299",
            "Statuses that mean success.",
        )
        .also(&["status", "statuses"]),
    ],
};

pub(crate) static REPORT: Shape = Shape {
    title: "report",
    keys: &[
        required("connection", Kind::Text, "Name of a connection to a database."),
        optional(
            "query",
            Kind::Sql,
            "",
            "Statement whose records the templates know as `rows`. Exactly one of `query` and `queries` is given.",
        )
        .also(&["sql", "statement"]),
        optional(
            "queries",
            Kind::Named(&Kind::Sql),
            "",
            "Name in the templates: statement; the first is the main one; at most 20.",
        ),
        optional(
            "group_by",
            Kind::Text,
            "",
            "Column of the main query: one message for each of its values, `group` in the templates.",
        ),
        required("subject", Kind::Text, "Subject of the mail, a template."),
        optional(
            "template",
            Kind::Text,
            "",
            "File with the HTML, a template; relative to the project file. Exactly one of `template` and `html` is given.",
        ),
        optional("html", Kind::Text, "", "The HTML itself, a template."),
        optional("text", Kind::Text, "made from the HTML", "The mail as plain text, a template."),
        optional("to", Kind::Texts, "", "Addresses, or templates of them such as `{{ group }}`.")
            .also(&["recipients", "email"]),
        optional(
            "file",
            Kind::Text,
            "",
            "File that the HTML is written to, a template; relative to the project file.",
        )
        .also(&["path", "output"]),
    ],
};

pub(crate) static ALERT: Shape = Shape {
    title: "alert",
    keys: &[
        required("on", Kind::List(&Kind::Words(&ALERT_KINDS)), "Changes of state that are told.")
            .also(&["when", "events", "kinds"]),
        optional("about", Kind::Texts, "all", "Names of the syncs and chains that it is about.")
            .also(&["syncs", "chains", "for"]),
        required("to", Kind::Texts, "Names of receivers.").also(&["receivers", "notify"]),
        optional(
            "throttle",
            Kind::Duration,
            "1h",
            "At most one message in this time for each sync or chain and change; a recovery is always told.",
        ),
        optional(
            "parked",
            Kind::Integer { min: 0, max: i64::MAX as u64 },
            "100",
            "With `parked`: more than so many records.",
        ),
        optional(
            "anomaly",
            Kind::Number { min: 1.0, max: 10_000.0 },
            "50",
            "With `anomaly`: this many percent fewer or more records than the median of the ten full runs before.",
        ),
    ],
};

pub(crate) static RECEIVER: Shape = Shape {
    title: "receiver",
    keys: &[
        optional(
            "webhook",
            Kind::Shape(&WEBHOOK),
            "",
            "JSON by POST, signed. Exactly one of `webhook`, `slack` and `email` is given.",
        )
        .also(&["http", "url"]),
        optional("slack", Kind::Shape(&SLACK), "", "A webhook that takes what Slack's do.").also(&["teams"]),
        optional("email", Kind::Texts, "", "Addresses; the mail leaves through `server.mail`.")
            .also(&["mail"]),
    ],
};

pub(crate) static WEBHOOK: Shape = Shape {
    title: "webhook",
    keys: &[
        required("url", Kind::Secret, "Address, `https://…` or `http://…`."),
        required("secret", Kind::Secret, "Key of the signature (HMAC-SHA256 over time and body)."),
    ],
};

pub(crate) static SLACK: Shape =
    Shape { title: "slack", keys: &[required("url", Kind::Secret, "Address of the webhook.")] };

/// Most runs at once.
pub(crate) const LIMITS_MAX: u64 = 1000;

pub(crate) static SERVER: Shape = Shape {
    title: "server",
    keys: &[
        optional(
            "bind",
            Kind::Text,
            "127.0.0.1:8450",
            "Address and port of the API. Anything but loopback needs `tls` and a token.",
        )
        .also(&["listen", "address"]),
        optional("tls", Kind::Shape(&TLS), "", "Certificate and key for HTTPS."),
        optional(
            "parallel",
            Kind::Integer { min: 1, max: LIMITS_MAX },
            "8",
            "Most runs of this node at once.",
        )
        .also(&["workers", "concurrency"]),
        optional(
            "limits",
            Kind::Named(&Kind::Integer { min: 1, max: LIMITS_MAX }),
            "",
            "Connection: most runs of all nodes at once that use it.",
        ),
        optional("retention", Kind::Shape(&RETENTION), "", "How long what has ended is kept."),
        optional("mail", Kind::Shape(&MAIL), "", "How mail leaves, for reports and alerts.")
            .also(&["smtp", "email"]),
        optional("grace", Kind::Duration, "30s", "How long a stop waits for the batches in hand."),
        optional(
            "users",
            Kind::Shape(&USERS),
            "",
            "Whose users may start runs in their own name. Read when the service starts.",
        )
        .also(&["oidc", "jwt", "auth"]),
    ],
};

pub(crate) static USERS: Shape = Shape {
    title: "users",
    keys: &[
        required("issuer", Kind::Text, "Who issues their access tokens (`iss`), an address."),
        required(
            "audience",
            Kind::Texts,
            "For whom the tokens are issued (`aud`): this service; one of them.",
        )
        .also(&["audiences", "aud", "client_id"]),
        optional(
            "jwks",
            Kind::Text,
            "what the issuer's OpenID configuration says",
            "Address of the keys that tokens are signed with.",
        )
        .also(&["jwks_uri", "jwks_url", "keys"]),
        optional("tenant", Kind::Text, "", "The only tenant (`tid`) whose users are served.")
            .also(&["tid", "tenant_id"]),
        optional("clock_skew", Kind::Duration, "1m", "How far the issuer's clock may be off; at most 5m.")
            .also(&["skew", "leeway"]),
        optional("required_scope", Kind::Text, "", "A scope (`scp`) that every token must have.")
            .also(&["scope", "scopes"]),
    ],
};

pub(crate) static TLS: Shape = Shape {
    title: "tls",
    keys: &[
        required("certificate", Kind::Text, "File in PEM: the server's own certificate, then its issuers.")
            .also(&["cert"]),
        required("key", Kind::Text, "File in PEM: its private key."),
    ],
};

pub(crate) static RETENTION: Shape = Shape {
    title: "retention",
    keys: &[
        optional("runs", Kind::Duration, "90d", "Runs that have ended, of syncs and chains."),
        optional("events", Kind::Duration, "30d", "Events.").also(&["logs"]),
    ],
};

pub(crate) static MAIL: Shape = Shape {
    title: "mail",
    keys: &[
        required(
            "url",
            Kind::Secret,
            "`smtp://user:password@host:587` (STARTTLS where offered) or `smtps://…`.",
        ),
        required("from", Kind::Text, "Sender.").also(&["sender"]),
        optional("timeout", Kind::Duration, "30s", "How long one message may take."),
    ],
};

pub(crate) static MISFIRES: Words = Words { words: &["skip", "latest", "all"], refused: &[] };
pub(crate) static OVERLAPS: Words = Words { words: &["skip", "queue"], refused: &[] };
pub(crate) static METHODS: Words = Words { words: &["GET", "POST", "PUT", "PATCH", "DELETE"], refused: &[] };
pub(crate) static ALERT_KINDS: Words =
    Words { words: &["failed", "late", "partial", "parked", "held", "anomaly"], refused: &[] };
