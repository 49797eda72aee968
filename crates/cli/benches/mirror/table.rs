//! The table that is copied: its columns, its rows, and what happens to them. The same rows every time.

/// Name, type in PostgreSQL, type in MariaDB. The first one is the key.
pub(crate) const COLUMNS: [(&str, &str, &str); 12] = [
    ("id", "bigint NOT NULL", "bigint NOT NULL"),
    ("code", "text NOT NULL", "varchar(40) NOT NULL"),
    ("name", "text NOT NULL", "varchar(100) NOT NULL"),
    ("budget", "numeric(14,2)", "decimal(14,2)"),
    ("start_date", "date NOT NULL", "date NOT NULL"),
    ("updated_at", "timestamptz NOT NULL", "timestamp(6) NOT NULL DEFAULT '2024-01-01'"),
    ("active", "boolean NOT NULL", "boolean NOT NULL"),
    ("external_id", "uuid NOT NULL", "char(36) NOT NULL"),
    ("attributes", "jsonb NOT NULL", "json NOT NULL"),
    ("description", "text NOT NULL", "varchar(200) NOT NULL"),
    ("status", "text NOT NULL", "varchar(20) NOT NULL"),
    ("owner_id", "integer", "int"),
];

/// Expressions on three columns of every row: our way to say it, and PostgreSQL's, to compare what comes out.
pub(crate) const EXPRESSIONS: [(&str, &str, &str); 3] = [
    ("code", "code + '/' + status", "code || '/' || status"),
    ("name", "name.upperAscii()", "upper(name)"),
    (
        "status",
        "status == 'active' ? 'open' : status",
        "CASE status WHEN 'active' THEN 'open' ELSE status END",
    ),
];

/// Every column by name, in order.
pub(crate) fn names() -> String {
    COLUMNS.map(|(name, ..)| name).join(", ")
}

/// The columns as they come out of the expressions, in SQL.
pub(crate) fn computed() -> String {
    let expression = |name: &str| EXPRESSIONS.iter().find(|(column, ..)| *column == name);
    COLUMNS
        .map(|(name, ..)| {
            expression(name).map_or_else(|| name.to_owned(), |(_, _, sql)| format!("{sql} AS {name}"))
        })
        .join(", ")
}

/// The empty table, without key and indexes.
pub(crate) fn create() -> String {
    let columns = COLUMNS.map(|(name, postgres, _)| format!("{name} {postgres}"));
    format!("CREATE TABLE projects ({})", columns.join(", "))
}

pub(crate) const KEY: &str = "ALTER TABLE projects ADD PRIMARY KEY (id)";
pub(crate) const INDEXES: [&str; 2] = [
    "CREATE INDEX projects_updated_at ON projects (updated_at)",
    "CREATE INDEX projects_status ON projects (status)",
];

/// Makes the source: the rows, its key and the index of its cursor. What looks like chance is MD5 of the row's number. The
/// times of change are spread over 2024, in no order, so that two minutes hold a handful of rows as in a real table.
pub(crate) fn fill(rows: u64) -> String {
    format!(
        "{create};
         INSERT INTO projects SELECT n, 'PRJ-' || lpad(n::text, 8, '0'), 'Project ' || substr(h, 1, 12),
           CASE WHEN n % 50 > 0 THEN (r % 100000000) / 100.0 END, date '2018-01-01' + r % 2500,
           timestamptz '2024-01-01 00:00:00Z' + (r % 31536000) * interval '1 s' + (r % 999983) * interval '1 us',
           r % 3 > 0, h::uuid,
           jsonb_build_object('priority', r % 5, 'score', (r % 1000) / 8.0, 'number', 9007199254740993 + n, 'tags', ARRAY[substr(h, 1, 4), 'b']),
           substr(h || ' ' || md5(h) || ' ' || md5(h || 'b') || ' ' || md5(h || 'c') || ' ' || h, 1, 50 + r % 101),
           (ARRAY['active', 'planned', 'closed', 'waiting'])[1 + r % 4], CASE WHEN n % 20 > 0 THEN r % 997 END
           FROM generate_series(1::bigint, {rows}) n, LATERAL (SELECT md5(n::text) AS h) a,
             LATERAL (SELECT ('x' || substr(h, 1, 7))::bit(28)::int AS r) b;
         {KEY}; {}; ANALYZE projects",
        INDEXES[0],
        create = create(),
    )
}

/// Changes 5 % of the rows, others in each round. A round is a day of 2025 and the changes are spread over it, so that
/// the overlap of the next read holds a few hundred of them at most, as with a sync that runs daily.
pub(crate) fn change(round: u64, rows: u64) -> String {
    format!(
        "UPDATE projects SET name = 'Changed ' || substr(md5(id || '/{round}'), 1, 12),
           updated_at = timestamptz '2025-01-01 00:00:00Z' + interval '1 day' * ({round} + id / {rows}.0)
         WHERE id % 20 = {round} % 20"
    )
}

/// Deletes 0.1 % of the rows, others in each round.
pub(crate) fn delete(round: u64) -> String {
    format!("DELETE FROM projects WHERE id % 1000 = (7 + {round}) % 1000")
}

/// Asks for the number of rows and a checksum over all values of what is selected, in no order.
pub(crate) fn checksum(select: &str) -> String {
    format!(
        "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM (SELECT {select} FROM projects) t"
    )
}

/// Asks for the columns with their types, whether they may be null, and the primary key: what must be alike too.
pub(crate) const SHAPE: &str = "SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull), ', ' ORDER BY attnum)
      || (SELECT coalesce(string_agg(pg_get_constraintdef(oid), ''), '') FROM pg_constraint WHERE conrelid = 'projects'::regclass AND contype = 'p')
    FROM pg_attribute WHERE attrelid = 'projects'::regclass AND attnum > 0 AND NOT attisdropped";
