//! Statements that compare: canonical texts, hashes, sums by bucket, and the records of buckets.
//!
//! One text per value and [`Form`], the same in every database (`docs/verify.md` has the table). The texts of a record are
//! put together with their lengths before them, null as `-`: `3:abc-0:` is `abc`, null and the empty text.

use syncline_core::schema::FieldType;

use crate::compare::{Form, Hash, Partition, Pass};

/// What is different between databases.
#[derive(Debug)]
pub struct Digests {
    /// The number of some values: 60 bits of the MD5 of their texts. The role is `key` or `row`.
    md5: fn(role: &str, &[Term]) -> String,
    /// The same by the database's own functions, where it has some.
    own: Option<fn(&[Term]) -> String>,
    /// The sum of such numbers modulo 2^60, as a whole number.
    sum: fn(&str) -> String,
    /// The range a key is in: how often the width goes into its distance from the first one. Not negative.
    range: fn(key: &str, from: i64, width: i64) -> String,
    /// Ranges of a key that leads an index are counted one by one, in the index's order: nothing is sorted or kept.
    by_index: bool,
}

/// A column in such a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// The column as SQL: `t."name"`.
    pub sql: String,
    /// Its type.
    pub kind: FieldType,
    /// Its type in the database's words.
    pub declared: String,
    /// The form that is wanted.
    pub form: Form,
}

/// A table in such a statement.
#[derive(Debug, Clone)]
pub struct Compared<'a> {
    /// The database.
    pub digests: &'static Digests,
    /// The table or statement as SQL; its alias will be `t`.
    pub from: String,
    /// Key columns.
    pub key: Vec<Term>,
    /// Compared columns.
    pub columns: Vec<Term>,
    /// Conditions on records, joined by AND.
    pub live: String,
    /// Whether an index begins with the key's first column.
    pub indexed: bool,
    /// The pass.
    pub pass: &'a Pass,
}

impl Compared<'_> {
    fn digest(&self, role: &str, terms: &[Term]) -> String {
        match (self.pass.hash, self.digests.own) {
            (Hash::Own, Some(own)) => own(terms),
            _ => (self.digests.md5)(role, terms),
        }
    }

    fn first(&self) -> &str {
        self.key.first().map_or("", |term| term.sql.as_str())
    }

    /// The bucket of a record.
    fn number(&self) -> String {
        match self.pass.partition {
            Partition::Ranges { from, width, .. } => (self.digests.range)(self.first(), from, width),
            Partition::Hashed { count } => {
                format!("({} & {})", self.digest("key", &self.key), count.saturating_sub(1))
            }
        }
    }

    /// Number, records and sum of each bucket that is not empty.
    pub fn summarize(&self) -> String {
        let digest = if self.pass.columns.is_empty() {
            self.digest("key", &self.key)
        } else {
            self.digest("row", &[self.key.as_slice(), self.columns.as_slice()].concat())
        };
        let sum = (self.digests.sum)(&digest);
        let Self { from, live, .. } = self;
        if let Some((first, width, count)) = self.walked().filter(|_| self.pass.columns.is_empty()) {
            let key = self.first();
            let sum = match self.pass.hash {
                Hash::Bits => format!("bit_or(1::bigint << ({key} - (({first}) + s.n * {width}))::integer)"),
                Hash::Md5 | Hash::Own => sum,
            };
            return format!(
                "SELECT s.n, x.c, x.s FROM generate_series(0::bigint, {}) AS s(n), LATERAL (SELECT count(*) AS c, {sum} AS \
                 s FROM {from} AS t WHERE {key} >= ({first}) + s.n * {width} AND {key} <= ({first}) + s.n * {width} + {} \
                 AND {live}) AS x WHERE x.c > 0",
                count.saturating_sub(1),
                width - 1,
            );
        }
        format!(
            "SELECT {} AS n, count(*) AS c, {sum} AS s FROM {from} AS t WHERE {live} GROUP BY 1",
            self.number()
        )
    }

    /// Ranges that are walked by an index.
    fn walked(&self) -> Option<(i64, i64, u32)> {
        match self.pass.partition {
            Partition::Ranges { from, width, count } if self.digests.by_index && self.indexed => {
                Some((from, width, count))
            }
            _ => None,
        }
    }

    /// Whether [`Self::rows`] is for ranges of an index; else it is one scan.
    pub fn walks(&self) -> bool {
        self.walked().is_some()
    }

    /// `select` of the records of some buckets. The numbers are ours and stand in the statement, so that the planner sees them.
    pub fn rows(&self, select: &str, buckets: &[u32]) -> String {
        let Self { from, live, .. } = self;
        let Some((first, width, _)) = self.walked() else {
            let numbers = buckets.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            return format!(
                "SELECT {select} FROM {from} AS t WHERE {live} AND {} IN ({numbers})",
                self.number()
            );
        };
        let at = |n: u32| i128::from(first) + i128::from(n) * i128::from(width);
        let runs = spans(buckets);
        let starts = runs.iter().map(|(start, _)| at(*start).to_string()).collect::<Vec<_>>().join(",");
        let ends = runs.iter().map(|(_, past)| (at(*past) - 1).to_string()).collect::<Vec<_>>().join(",");
        let key = self.first();
        format!(
            "SELECT x.* FROM unnest('{{{starts}}}'::bigint[], '{{{ends}}}'::bigint[]) AS s(a, b), LATERAL (SELECT {select} \
             FROM {from} AS t WHERE {key} >= s.a AND {key} <= s.b AND {live} OFFSET 0) AS x"
        )
    }
}

/// Ascending numbers as half-open runs of neighbours.
fn spans(numbers: &[u32]) -> Vec<(u32, u32)> {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some((_, past)) if *past == *number => *past += 1,
            _ => spans.push((*number, number + 1)),
        }
    }
    spans
}

/// 2^60: sums are taken modulo this.
const MODULUS: i64 = 1 << 60;

/// Texts with their lengths before them.
fn joined(
    terms: &[Term],
    text: fn(&Term) -> String,
    each: fn(&str) -> String,
    all: fn(&[String]) -> String,
) -> String {
    all(&terms.iter().map(|term| each(&text(term))).collect::<Vec<_>>())
}

/// PostgreSQL. Its sessions are in UTC, with `DateStyle` ISO and doubles in their shortest form.
pub static POSTGRES: Digests = Digests {
    md5: |_, terms| {
        let each = |x: &str| format!("coalesce(length({x}) || ':' || {x}, '-')");
        let text = joined(terms, postgres_text, each, |parts| parts.join(" || "));
        format!("('x' || substr(md5({text}), 1, 15))::bit(60)::bigint")
    },
    own: Some(|terms| terms.iter().enumerate().map(postgres_own).collect::<Vec<_>>().join(" # ")),
    sum: |digest| format!("mod(sum({digest}), {MODULUS})::bigint"),
    range: |key, from, width| format!("(({key}::bigint - ({from})) / {width})"),
    by_index: true,
};

fn postgres_text(term: &Term) -> String {
    let c = &term.sql;
    match term.form {
        Form::Integer if term.kind == FieldType::Boolean => format!("{c}::integer::text"),
        Form::Decimal => format!("trim_scale({c}::numeric)::text"),
        Form::Bytes => format!("encode({c}, 'hex')"),
        Form::Time => format!("(extract(epoch FROM {c}) * 1000000)::bigint::text"),
        Form::Timestamp => format!(
            "CASE WHEN isfinite({c}) THEN (extract(epoch FROM {c}) * 1000000)::bigint::text ELSE {c}::text END"
        ),
        // the cast to text would take its blanks away
        Form::Text | Form::Same if term.declared.starts_with("character(") => {
            format!("textin(bpcharout({c}))")
        }
        Form::Integer | Form::Text | Form::Date | Form::Uuid | Form::Same => format!("{c}::text"),
    }
}

/// One number per column, seeded by its place, so that values that change places are seen.
fn postgres_own((place, term): (usize, &Term)) -> String {
    let (c, seed) = (&term.sql, place + 1);
    let hash = match term.form {
        Form::Integer if term.kind == FieldType::Boolean => {
            format!("hashint8extended({c}::integer, {seed})")
        }
        Form::Integer => format!("hashint8extended({c}, {seed})"),
        Form::Decimal => format!("hash_numeric_extended({c}::numeric, {seed})"),
        Form::Timestamp => match term.kind {
            FieldType::Timestamp { zoned: true } => {
                format!("timestamp_hash_extended({c} AT TIME ZONE 'UTC', {seed})")
            }
            _ => format!("timestamp_hash_extended({c}, {seed})"),
        },
        Form::Time => format!("time_hash_extended({c}, {seed})"),
        Form::Uuid if term.kind == FieldType::Uuid && term.declared == "uuid" => {
            format!("uuid_hash_extended({c}, {seed})")
        }
        Form::Text | Form::Bytes | Form::Date | Form::Uuid | Form::Same => {
            format!("hashtextextended({} COLLATE \"C\", {seed})", postgres_text(term))
        }
    };
    format!("coalesce({hash}, {seed})")
}

/// MySQL and MariaDB. Its sessions are in UTC, with utf8mb4.
pub static MYSQL: Digests = Digests {
    md5: |_, terms| {
        let each = |x: &str| format!("IFNULL(CONCAT(CHAR_LENGTH({x}), ':', {x}), '-')");
        let text = joined(terms, mysql_text, each, |parts| format!("CONCAT({})", parts.join(", ")));
        format!("CAST(CONV(LEFT(MD5({text}), 15), 16, 10) AS UNSIGNED)")
    },
    own: None,
    sum: |digest| format!("CAST(MOD(SUM({digest}), {MODULUS}) AS SIGNED)"),
    range: |key, from, width| format!("(({key} - ({from})) DIV {width})"),
    by_index: false,
};

fn mysql_text(term: &Term) -> String {
    let c = &term.sql;
    match term.form {
        Form::Integer => format!("CAST({c} AS CHAR)"),
        Form::Decimal => {
            let dotted = format!("IF(LOCATE('.', CAST({c} AS CHAR)), '', '.')");
            format!("TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM CONCAT(CAST({c} AS CHAR), {dotted})))")
        }
        Form::Text | Form::Same => format!("CONVERT({c} USING utf8mb4)"),
        Form::Bytes => format!("LOWER(HEX({c}))"),
        Form::Date => format!("DATE_FORMAT({c}, '%Y-%m-%d')"),
        Form::Time => {
            format!("CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', TIMESTAMP('1970-01-01', {c})) AS CHAR)")
        }
        Form::Timestamp => format!("CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {c}) AS CHAR)"),
        Form::Uuid if term.kind == FieldType::Uuid => format!("LOWER(CONVERT({c} USING utf8mb4))"),
        Form::Uuid => format!("CONVERT({c} USING utf8mb4)"),
    }
}

/// SQLite. Its cells have many forms, so the whole number comes from functions that the session registers for its pass.
pub static SQLITE: Digests = Digests {
    md5: |role, terms| {
        let columns: Vec<_> = terms.iter().map(|term| term.sql.as_str()).collect();
        format!("syncline_{role}_digest({})", columns.join(", "))
    },
    own: None,
    // its sums must stay below 2^63: those of each half do
    sum: |digest| {
        format!(
            "((sum({digest} >> 30) & 1073741823) << 30) + (sum({digest} & 1073741823) & 1152921504606846975) & \
             1152921504606846975"
        )
    },
    range: |key, from, width| format!("(({key} - ({from})) / {width})"),
    by_index: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn term(name: &str, kind: FieldType, form: Form) -> Term {
        Term { sql: format!("t.\"{name}\""), kind, declared: String::new(), form }
    }

    fn compared<'a>(digests: &'static Digests, pass: &'a Pass) -> Compared<'a> {
        Compared {
            digests,
            from: "\"p\"".into(),
            key: vec![term("id", FieldType::Int64, Form::Integer)],
            columns: pass.columns.iter().map(|form| term("a", FieldType::Text, *form)).collect(),
            live: "t.\"id\" IS NOT NULL".into(),
            indexed: true,
            pass,
        }
    }

    fn pass(hash: Hash, partition: Partition, columns: &[Form]) -> Pass {
        Pass { key: vec![Form::Integer], columns: columns.to_vec(), hash, partition }
    }

    #[test]
    fn ranges_are_walked_where_there_is_an_index() {
        let ranges = Partition::Ranges { from: -5, width: 10, count: 3 };
        let pass = pass(Hash::Own, ranges, &[]);
        let sql = compared(&POSTGRES, &pass);
        assert_eq!(
            sql.summarize(),
            "SELECT s.n, x.c, x.s FROM generate_series(0::bigint, 2) AS s(n), LATERAL (SELECT count(*) AS c, \
             mod(sum(coalesce(hashint8extended(t.\"id\", 1), 1)), 1152921504606846976)::bigint AS s FROM \"p\" AS t WHERE \
             t.\"id\" >= (-5) + s.n * 10 AND t.\"id\" <= (-5) + s.n * 10 + 9 AND t.\"id\" IS NOT NULL) AS x WHERE x.c > 0"
        );
        assert_eq!(
            sql.rows("t.\"id\"", &[0, 1, 2]),
            "SELECT x.* FROM unnest('{-5}'::bigint[], '{24}'::bigint[]) AS s(a, b), LATERAL (SELECT t.\"id\" FROM \"p\" AS t \
             WHERE t.\"id\" >= s.a AND t.\"id\" <= s.b AND t.\"id\" IS NOT NULL OFFSET 0) AS x"
        );
        let scanned = Compared { indexed: false, ..sql };
        assert_eq!(
            scanned.rows("t.\"id\"", &[0, 2]),
            "SELECT t.\"id\" FROM \"p\" AS t WHERE t.\"id\" IS NOT NULL AND ((t.\"id\"::bigint - (-5)) / 10) IN (0, 2)"
        );
    }

    #[test]
    fn records_are_hashed_in_each_database() {
        let pass = pass(Hash::Md5, Partition::Hashed { count: 8 }, &[Form::Text]);
        assert_eq!(
            compared(&SQLITE, &pass).summarize(),
            "SELECT (syncline_key_digest(t.\"id\") & 7) AS n, count(*) AS c, \
             ((sum(syncline_row_digest(t.\"id\", t.\"a\") >> 30) & 1073741823) << 30) + (sum(syncline_row_digest(t.\"id\", \
             t.\"a\") & 1073741823) & 1152921504606846975) & 1152921504606846975 AS s FROM \"p\" AS t WHERE t.\"id\" IS NOT \
             NULL GROUP BY 1"
        );
        assert!(compared(&MYSQL, &pass).summarize().contains(
            "MD5(CONCAT(IFNULL(CONCAT(CHAR_LENGTH(CAST(t.\"id\" AS CHAR)), ':', CAST(t.\"id\" AS CHAR)), '-'), "
        ));
        assert!(compared(&POSTGRES, &pass).summarize().contains(
            "('x' || substr(md5(coalesce(length(t.\"id\"::text) || ':' || t.\"id\"::text, '-') || "
        ));
    }

    #[test]
    fn neighbours_are_read_together() {
        assert_eq!(spans(&[]), []);
        assert_eq!(spans(&[1, 2, 3, 7, 9, 10]), [(1, 4), (7, 8), (9, 11)]);
    }
}
