//! MySQL 8 and MariaDB 10.6 or newer. <https://mariadb.com/kb/en/sql-statements/>
//!
//! One dialect, two sets of types: MariaDB's JSON is a text that stays as it is, MySQL's JSON changes numbers.

use syncline_core::schema::{FieldType, Limits};

use super::{Dialect, Length, UpdateForm};
use crate::database::Column;

/// The facts, as MySQL has them.
pub static MYSQL: Dialect = BASE;

/// The facts, as MariaDB has them.
pub static MARIADB: Dialect = Dialect {
    declare: |kind, key| match kind {
        FieldType::Json | FieldType::List(_) => "json".into(),
        other => declare(other, key),
    },
    ..BASE
};

const BASE: Dialect = Dialect {
    name: "mysql",
    quotes: ('`', '`'),
    name_max: Length::Chars(64),
    transactional_ddl: false,
    parameter: |_| "?".to_owned(),
    declare,
    limits: |column| limits(&column.declared, &column.kind),
    differ,
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("CAST({value} AS CHAR)"),
    limited: |select, limit| format!("SELECT {select} LIMIT {limit}"),
    update: UpdateForm::Join,
    delete_names_alias: true,
    alias: "AS ",
    create_staging: ("CREATE TABLE", "CREATE TEMPORARY TABLE"),
    session_table: ("", ""),
    nullable: "",
    // Byte by byte, spaces at the end included: what is a key elsewhere is one here. Each server reads its own comment.
    table_suffix: " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 \
                   /*M! COLLATE=utf8mb4_nopad_bin */ /*!80017 COLLATE=utf8mb4_0900_bin */",
    retype: |table, column, declared, nullable| {
        let null = if nullable { "NULL" } else { "NOT NULL" };
        format!("ALTER TABLE {table} MODIFY {column} {declared} {null}")
    },
    drop_table: |table| format!("DROP TABLE IF EXISTS {table}"),
    merge: None,
    now: "utc_timestamp(6)",
    truth: "1",
    falsehood: "0",
    boolean: "tinyint(1)",
    own_types: ("varchar(190)", "longtext", "bigint"),
    begin: "START TRANSACTION",
    for_update: " FOR UPDATE",
    widens,
};

/// Longest text in a key: with four bytes a character, several of them fit into an index of 3,072 bytes.
const KEY_CHARS: u32 = 190;

fn declare(kind: &FieldType, key: bool) -> String {
    match kind {
        FieldType::Boolean => "tinyint(1)".into(),
        FieldType::Int64 => "bigint".into(),
        FieldType::Float64 => "double".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } if *p <= 65 && *s <= 30 && s <= p => {
            format!("decimal({p},{s})")
        }
        // no bound, or more digits than it has: what does not fit is refused one by one
        FieldType::Decimal { .. } => "decimal(65,30)".into(),
        FieldType::Text if key => format!("varchar({KEY_CHARS})"),
        FieldType::Text => "longtext".into(),
        FieldType::Binary if key => format!("varbinary({})", KEY_CHARS * 4),
        FieldType::Binary => "longblob".into(),
        FieldType::Date => "date".into(),
        FieldType::Time => "time(6)".into(),
        // TIMESTAMP ends in 2038; our sessions are in UTC
        FieldType::Timestamp { .. } => "datetime(6)".into(),
        // MariaDB has a type, which refuses some: those of version 8 and above that are not of the usual variant
        FieldType::Uuid => "char(36)".into(),
        // MySQL's JSON type changes numbers; what is written stays as it is
        FieldType::Json | FieldType::List(_) => "longtext".into(),
    }
}

/// Texts are compared byte by byte: most collations take `a` and `A` for the same. (A staging column has the encoding of the
/// table's.)
fn differ(left: &str, right: &str, column: &Column) -> String {
    let is_text = matches!(column.kind, FieldType::Text | FieldType::Json | FieldType::List(_));
    match Declared::of(&column.declared).name.as_str() {
        // its own text, the same for the same value
        "json" => {
            format!("NOT (CAST(CAST({left} AS CHAR) AS BINARY) <=> CAST(CAST({right} AS CHAR) AS BINARY))")
        }
        "inet4" | "inet6" | "uuid" => format!("NOT ({left} <=> {right})"),
        _ if is_text => format!("NOT (CAST({left} AS BINARY) <=> CAST({right} AS BINARY))"),
        _ => format!("NOT ({left} <=> {right})"),
    }
}

/// A type in the words of the catalogue, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// `decimal`.
    pub(crate) name: String,
    /// What stands in the parentheses, where those are numbers.
    pub(crate) numbers: Vec<u32>,
    pub(crate) unsigned: bool,
}

impl Declared {
    /// Takes `decimal(14,2) unsigned` apart.
    pub(crate) fn of(declared: &str) -> Self {
        let lower = declared.trim().to_ascii_lowercase();
        let end = lower.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(lower.len());
        let inside = lower.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
        let numbers = inside.map_or_else(Vec::new, |(inside, _)| {
            inside.split(',').map_while(|part| part.trim().parse().ok()).collect()
        });
        let name = match &lower[..end] {
            "integer" => "int",
            "boolean" | "bool" => "tinyint",
            "numeric" | "dec" => "decimal",
            name => name,
        };
        let is_choice = matches!(name, "enum" | "set");
        Self { name: name.to_owned(), numbers, unsigned: !is_choice && lower.contains("unsigned") }
    }

    fn number(&self, at: usize, default: u32) -> u32 {
        self.numbers.get(at).copied().unwrap_or(default)
    }

    /// Digits of a second that `time`, `datetime` and `timestamp` keep.
    pub(crate) fn fraction(&self) -> u32 {
        self.number(0, 0).min(6)
    }

    /// Smallest and largest number.
    fn range(&self) -> Option<(f64, f64)> {
        let bits = match self.name.as_str() {
            "tinyint" => 8,
            "smallint" => 16,
            "mediumint" => 24,
            "int" => 32,
            "bigint" => 64,
            "year" => return Some((1901.0, 2155.0)),
            "bit" => return Some((0.0, (self.number(0, 1) as f64).exp2() - 1.0)),
            "decimal" | "float" | "double" if self.unsigned => return Some((0.0, f64::MAX)),
            _ => return None,
        };
        let all = f64::from(bits).exp2();
        Some(if self.unsigned { (0.0, all - 1.0) } else { (-all / 2.0, all / 2.0 - 1.0) })
    }

    /// Most bytes of a text or of bytes.
    fn bytes(&self) -> Option<(usize, usize)> {
        let length = self.number(0, 1) as usize;
        Some(match self.name.as_str() {
            "tinytext" | "tinyblob" => (0, 255),
            "text" | "blob" => (0, 65_535),
            "mediumtext" | "mediumblob" => (0, 16_777_215),
            "varbinary" => (0, length),
            // shorter ones would be filled up
            "binary" => (length, length),
            _ => return None,
        })
    }
}

/// The last second of a `timestamp` in servers whose seconds have 32 bits; 0 is the zero date.
const TIMESTAMPS: (i64, i64) = (1_000_000, 2_147_483_647_999_999);

/// What a column of this type demands of its values.
pub(crate) fn limits(declared: &str, kind: &FieldType) -> Limits {
    let own = Declared::of(declared);
    let mut limits = Limits { bytes: own.bytes(), ..Limits::default() };
    if *kind != FieldType::Boolean
        && let Some((minimum, maximum)) = own.range()
    {
        (limits.minimum, limits.maximum) = (Some(minimum), Some(maximum));
    }
    match own.name.as_str() {
        "float" | "double" => limits.finite = true,
        "decimal" => {
            let (precision, scale) = (own.number(0, 10), own.number(1, 0));
            limits.finite = true;
            limits.digits = Some((precision.saturating_sub(scale), scale));
        }
        "char" => {
            limits.max_chars = Some(own.number(0, 1) as usize);
            limits.no_space_at_end = true;
        }
        "varchar" => limits.max_chars = Some(own.number(0, 1) as usize),
        "json" => limits.valid_json = true,
        "enum" => limits.choices = choices(declared),
        "date" => limits.years = Some(YEARS),
        "datetime" => limits.years = Some(YEARS),
        "timestamp" => limits.times = Some(TIMESTAMPS),
        _ => {}
    }
    if matches!(own.name.as_str(), "datetime" | "timestamp") {
        limits.whole_seconds = own.fraction() == 0;
    }
    limits
}

/// The manual promises dates from the year 1000 on. Those before are kept all the same (the tests look), and the first day
/// of the year 1 is what many systems write for "none".
const YEARS: (i32, i32) = (1, 9999);

/// The values of `enum('a','it''s')`.
fn choices(declared: &str) -> Vec<String> {
    let inside = declared.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(i, _)| i);
    let (mut choices, mut signs) = (Vec::new(), inside.chars().peekable());
    while let Some(sign) = signs.next() {
        if sign != '\'' {
            continue;
        }
        let mut choice = String::new();
        while let Some(sign) = signs.next() {
            if sign == '\'' && signs.next_if_eq(&'\'').is_none() {
                break;
            }
            choice.push(sign);
        }
        choices.push(choice);
    }
    choices
}

fn widens(from: &str, to: &str) -> bool {
    let (a, b) = (Declared::of(from), Declared::of(to));
    let place = |list: &[&str], of: &Declared| list.iter().position(|name| *name == of.name);
    let whole = ["tinyint", "smallint", "mediumint", "int", "bigint"];
    if let (Some(x), Some(y)) = (place(&whole, &a), place(&whole, &b)) {
        // without a sign there is no place for one
        return y > x && (a.unsigned || !b.unsigned);
    }
    for list in
        [["tinytext", "text", "mediumtext", "longtext"], ["tinyblob", "blob", "mediumblob", "longblob"]]
    {
        if let (Some(x), Some(y)) = (place(&list, &a), place(&list, &b)) {
            return y > x;
        }
    }
    match (a.name.as_str(), b.name.as_str()) {
        ("varchar", "varchar") | ("varbinary", "varbinary") => b.numbers > a.numbers,
        ("char" | "varchar", "longtext") | ("varbinary", "longblob") => true,
        ("datetime", "datetime") | ("timestamp", "timestamp") | ("time", "time") => {
            b.fraction() > a.fraction()
        }
        ("float", "double") => a.unsigned == b.unsigned,
        ("decimal", "decimal") => {
            let ((p, s), (q, t)) = ((a.number(0, 10), a.number(1, 0)), (b.number(0, 10), b.number(1, 0)));
            (q, t) != (p, s)
                && t >= s
                && q.saturating_sub(t) >= p.saturating_sub(s)
                && (a.unsigned || !b.unsigned)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::database::{
        Gone, Shape,
        dialect::{Layout, MergeSql, Named, STATE, Which},
    };

    fn column(name: &str, kind: FieldType, nullable: bool) -> Column {
        let declared = declare(&kind, !nullable);
        Column { name: name.into(), kind, declared, nullable }
    }

    fn table() -> Named {
        Named { schema: Some("shop".into()), name: "t`; x".into() }
    }

    fn shape(tombstones: bool) -> Shape {
        let columns = vec![
            column("a", FieldType::Int64, false),
            column("or`der", FieldType::Text, false),
            column("v", FieldType::Decimal { precision: Some(14), scale: Some(2) }, true),
            column("at", FieldType::Timestamp { zoned: true }, true),
            column("t", FieldType::Text, true),
        ];
        Shape { columns, key: vec!["a".into(), "or`der".into()], tombstones, ..Shape::default() }
    }

    fn lines(statements: impl IntoIterator<Item = String>) -> String {
        statements.into_iter().collect::<Vec<_>>().join("\n")
    }

    fn merged(gone: &Gone, tombstones: bool, render: impl Fn(&MergeSql<'_>) -> Vec<String>) -> String {
        let (table, shape) = (table(), shape(tombstones));
        let update = ["v".to_owned(), "at".to_owned(), "t".to_owned()];
        let insert: Vec<_> = shape.columns.iter().map(|c| c.name.clone()).collect();
        let merge = MergeSql {
            dialect: &MYSQL,
            table: &table,
            staging: &table.beside("s1"),
            shape: &shape,
            update: &update,
            insert: &insert,
            update_when: Some("s.at > d.at"),
            gone,
            scope: &[],
        };
        lines(render(&merge))
    }

    #[test]
    fn tables() {
        let (table, shape) = (table(), shape(true));
        let sql = lines([
            MYSQL.create_table(&table, Layout { columns: &shape.columns, key: &shape.key }),
            MYSQL.create_staging(&table.beside("s1"), &shape.columns, true, false),
            MYSQL.create_staging(&table.beside("s1"), &shape.columns[..1], false, true),
            MYSQL.add_column(&table, &shape.columns[2]),
            MYSQL.widen_column(&table, &shape.columns[2]),
            MYSQL.drop_table(&table),
        ]);
        assert_snapshot!(sql, @r#"
        CREATE TABLE `shop`.`t``; x` (`a` bigint NOT NULL, `or``der` varchar(190) NOT NULL, `v` decimal(14,2), `at` datetime(6), `t` longtext, PRIMARY KEY (`a`, `or``der`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 /*M! COLLATE=utf8mb4_nopad_bin */ /*!80017 COLLATE=utf8mb4_0900_bin */
        CREATE TABLE `shop`.`s1` (`a` bigint, `or``der` varchar(190), `v` decimal(14,2), `at` datetime(6), `t` longtext, `syncline_tombstone` tinyint(1)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 /*M! COLLATE=utf8mb4_nopad_bin */ /*!80017 COLLATE=utf8mb4_0900_bin */
        CREATE TEMPORARY TABLE `shop`.`s1` (`a` bigint) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 /*M! COLLATE=utf8mb4_nopad_bin */ /*!80017 COLLATE=utf8mb4_0900_bin */
        ALTER TABLE `shop`.`t``; x` ADD `v` decimal(14,2)
        ALTER TABLE `shop`.`t``; x` MODIFY `v` decimal(14,2) NULL
        DROP TABLE IF EXISTS `shop`.`t``; x`
        "#);
    }

    #[test]
    fn types() {
        let kinds = [
            FieldType::Float64,
            FieldType::Decimal { precision: None, scale: None },
            FieldType::Decimal { precision: Some(70), scale: Some(2) },
            FieldType::Binary,
            FieldType::Date,
            FieldType::Time,
            FieldType::Uuid,
            FieldType::Json,
        ];
        let line = |kind: &FieldType| {
            let of = |dialect: &Dialect| (dialect.declare)(kind, false);
            format!("{kind}: {} | {}", of(&MYSQL), of(&MARIADB))
        };
        assert_snapshot!(lines(kinds.iter().map(line)), @r#"
        float64: double | double
        decimal: decimal(65,30) | decimal(65,30)
        decimal(70,2): decimal(65,30) | decimal(65,30)
        binary: longblob | longblob
        date: date | date
        time: time(6) | time(6)
        uuid: char(36) | char(36)
        json: longtext | json
        "#);
    }

    #[test]
    fn merges() {
        let sql = merged(&Gone::Stay, false, |m| {
            vec![m.update().unwrap_or_default(), m.insert_new(), m.insert_all()]
        });
        assert_snapshot!(sql, @r#"
        UPDATE `shop`.`t``; x` AS d JOIN `shop`.`s1` AS s ON d.`a` = s.`a` AND d.`or``der` = s.`or``der` SET d.`v` = s.`v`, d.`at` = s.`at`, d.`t` = s.`t` WHERE (NOT (d.`v` <=> s.`v`) OR NOT (d.`at` <=> s.`at`) OR NOT (CAST(d.`t` AS BINARY) <=> CAST(s.`t` AS BINARY))) AND (s.at > d.at)
        INSERT INTO `shop`.`t``; x` (`a`, `or``der`, `v`, `at`, `t`) SELECT s.`a`, s.`or``der`, s.`v`, s.`at`, s.`t` FROM `shop`.`s1` AS s WHERE NOT EXISTS (SELECT 1 FROM `shop`.`t``; x` AS d WHERE d.`a` = s.`a` AND d.`or``der` = s.`or``der`)
        INSERT INTO `shop`.`t``; x` (`a`, `or``der`, `v`, `at`, `t`) SELECT s.`a`, s.`or``der`, s.`v`, s.`at`, s.`t` FROM `shop`.`s1` AS s
        "#);
    }

    #[test]
    fn deletes_and_marks() {
        let (tombstones, named) = (Which::Tombstones, table().beside("g1"));
        let sql = merged(&Gone::Delete, true, |m| {
            let remove = |which| m.remove(which).unwrap_or_default();
            vec![
                remove(tombstones),
                remove(Which::Unstaged),
                remove(Which::Named(&named)),
                m.list_gone(Which::Unstaged, 3),
            ]
        });
        assert_snapshot!(sql, @r#"
        DELETE d FROM `shop`.`t``; x` AS d WHERE EXISTS (SELECT 1 FROM `shop`.`s1` AS s WHERE s.`a` = d.`a` AND s.`or``der` = d.`or``der` AND s.`syncline_tombstone` = 1)
        DELETE d FROM `shop`.`t``; x` AS d WHERE NOT EXISTS (SELECT 1 FROM `shop`.`s1` AS s WHERE s.`a` = d.`a` AND s.`or``der` = d.`or``der`)
        DELETE d FROM `shop`.`t``; x` AS d WHERE EXISTS (SELECT 1 FROM `shop`.`g1` AS g WHERE g.`a` = d.`a` AND g.`or``der` = d.`or``der`)
        SELECT CAST(d.`a` AS CHAR), CAST(d.`or``der` AS CHAR) FROM `shop`.`t``; x` AS d WHERE NOT EXISTS (SELECT 1 FROM `shop`.`s1` AS s WHERE s.`a` = d.`a` AND s.`or``der` = d.`or``der`) LIMIT 3
        "#);
        let sql = merged(&Gone::Mark { column: "gone".into(), flag: false }, false, |m| {
            vec![m.update().unwrap_or_default(), m.remove(Which::Unstaged).unwrap_or_default()]
        });
        assert_snapshot!(sql, @r#"
        UPDATE `shop`.`t``; x` AS d JOIN `shop`.`s1` AS s ON d.`a` = s.`a` AND d.`or``der` = s.`or``der` SET d.`v` = s.`v`, d.`at` = s.`at`, d.`t` = s.`t`, d.`gone` = NULL WHERE (NOT (d.`v` <=> s.`v`) OR NOT (d.`at` <=> s.`at`) OR NOT (CAST(d.`t` AS BINARY) <=> CAST(s.`t` AS BINARY)) OR d.`gone` IS NOT NULL) AND (s.at > d.at)
        UPDATE `shop`.`t``; x` AS d SET `gone` = utc_timestamp(6) WHERE NOT EXISTS (SELECT 1 FROM `shop`.`s1` AS s WHERE s.`a` = d.`a` AND s.`or``der` = d.`or``der`) AND d.`gone` IS NULL
        "#);
    }

    #[test]
    fn looks_and_doubtful_keys() {
        let sql = merged(&Gone::Stay, false, |m| {
            let changed = [m.count_changed(), m.list_changed(2)].map(Option::unwrap_or_default);
            let doubtful = [m.delete_keyless(), m.count_doubled(), m.list_doubled(2), m.delete_doubled()];
            [m.count_new(), m.list_new(2, true)].into_iter().chain(changed).chain(doubtful).collect()
        });
        assert_snapshot!(sql, @r#"
        SELECT count(*) FROM `shop`.`s1` AS s WHERE NOT EXISTS (SELECT 1 FROM `shop`.`t``; x` AS d WHERE d.`a` = s.`a` AND d.`or``der` = s.`or``der`)
        SELECT CAST(s.`a` AS CHAR), CAST(s.`or``der` AS CHAR), CAST(s.`a` AS CHAR), CAST(s.`or``der` AS CHAR), CAST(s.`v` AS CHAR), CAST(s.`at` AS CHAR), CAST(s.`t` AS CHAR) FROM `shop`.`s1` AS s WHERE NOT EXISTS (SELECT 1 FROM `shop`.`t``; x` AS d WHERE d.`a` = s.`a` AND d.`or``der` = s.`or``der`) LIMIT 2
        SELECT count(*) FROM `shop`.`s1` AS s JOIN `shop`.`t``; x` AS d ON d.`a` = s.`a` AND d.`or``der` = s.`or``der` WHERE (NOT (d.`v` <=> s.`v`) OR NOT (d.`at` <=> s.`at`) OR NOT (CAST(d.`t` AS BINARY) <=> CAST(s.`t` AS BINARY))) AND (s.at > d.at)
        SELECT CAST(s.`a` AS CHAR), CAST(s.`or``der` AS CHAR), CAST(d.`v` AS CHAR), CAST(d.`at` AS CHAR), CAST(d.`t` AS CHAR), CAST(s.`v` AS CHAR), CAST(s.`at` AS CHAR), CAST(s.`t` AS CHAR) FROM `shop`.`s1` AS s JOIN `shop`.`t``; x` AS d ON d.`a` = s.`a` AND d.`or``der` = s.`or``der` WHERE (NOT (d.`v` <=> s.`v`) OR NOT (d.`at` <=> s.`at`) OR NOT (CAST(d.`t` AS BINARY) <=> CAST(s.`t` AS BINARY))) AND (s.at > d.at) LIMIT 2
        DELETE s FROM `shop`.`s1` AS s WHERE s.`a` IS NULL OR s.`or``der` IS NULL
        SELECT count(*), coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM `shop`.`s1` AS s GROUP BY s.`a`, s.`or``der` HAVING count(*) > 1) AS c
        SELECT CAST(s.`a` AS CHAR), CAST(s.`or``der` AS CHAR) FROM `shop`.`s1` AS s GROUP BY s.`a`, s.`or``der` HAVING count(*) > 1 LIMIT 2
        DELETE s FROM `shop`.`s1` AS s WHERE EXISTS (SELECT 1 FROM (SELECT s.`a`, s.`or``der` FROM `shop`.`s1` AS s GROUP BY s.`a`, s.`or``der` HAVING count(*) > 1) AS c WHERE s.`a` = c.`a` AND s.`or``der` = c.`or``der`)
        "#);
    }

    #[test]
    fn states() {
        let state = table().beside(STATE);
        let sql = lines([
            MYSQL.create_state(&state),
            MYSQL.select_state(&state, true),
            MYSQL.insert_state(&state),
            MYSQL.raise_epoch(&state),
            MYSQL.save_state(&state, 7, 5, true),
        ]);
        assert_snapshot!(sql, @r#"
        CREATE TABLE `shop`.`syncline_state` (`sync` varchar(190) NOT NULL, `table_name` varchar(190) NOT NULL, `epoch` bigint NOT NULL, `position` longtext, `started_at` bigint, PRIMARY KEY (`sync`, `table_name`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 /*M! COLLATE=utf8mb4_nopad_bin */ /*!80017 COLLATE=utf8mb4_0900_bin */
        SELECT CAST(`epoch` AS CHAR), CAST(`position` AS CHAR), CAST(`started_at` AS CHAR) FROM `shop`.`syncline_state` WHERE `sync` = ? AND `table_name` = ? FOR UPDATE
        INSERT INTO `shop`.`syncline_state` (`sync`, `table_name`, `epoch`) VALUES (?, ?, 1)
        UPDATE `shop`.`syncline_state` SET `epoch` = `epoch` + 1 WHERE `sync` = ? AND `table_name` = ?
        UPDATE `shop`.`syncline_state` SET `position` = ?, `started_at` = 5 WHERE `sync` = ? AND `table_name` = ? AND `epoch` = 7
        "#);
    }

    #[test]
    fn wider_types() {
        for (from, to, expected) in [
            ("int(11)", "bigint(20)", true),
            ("int(11)", "int", false),
            ("bigint", "int(11)", false),
            ("int(10) unsigned", "bigint(20)", true),
            ("int", "bigint unsigned", false),
            ("varchar(40)", "varchar(100)", true),
            ("varchar(100)", "varchar(40)", false),
            ("varchar(100)", "longtext", true),
            ("text", "longtext", true),
            ("decimal(10,2)", "decimal(12,2)", true),
            ("decimal(10,2)", "decimal(12,4)", true),
            ("decimal(10,2)", "decimal(12,5)", false),
            ("decimal(10,2)", "decimal(10,2) unsigned", false),
            ("datetime", "datetime(6)", true),
            ("float", "double", true),
            ("enum('bigint')", "bigint", false),
        ] {
            assert_eq!(widens(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn what_types_demand() {
        let of = |declared: &str, kind| limits(declared, &kind);
        let range = |l: Limits| (l.minimum, l.maximum);
        assert_eq!(range(of("tinyint(4)", FieldType::Int64)), (Some(-128.0), Some(127.0)));
        assert_eq!(range(of("tinyint(1)", FieldType::Boolean)), (None, None));
        assert_eq!(range(of("smallint(5) unsigned zerofill", FieldType::Int64)), (Some(0.0), Some(65_535.0)));
        assert_eq!(range(of("bit(3)", FieldType::Int64)), (Some(0.0), Some(7.0)));
        let decimal = FieldType::Decimal { precision: None, scale: None };
        assert_eq!(of("decimal(65,30)", decimal).digits, Some((35, 30)));
        assert_eq!(of("text", FieldType::Text).bytes, Some((0, 65_535)));
        assert_eq!(of("binary(16)", FieldType::Binary).bytes, Some((16, 16)));
        assert_eq!(of("enum('a','it''s','b,c')", FieldType::Text).choices, ["a", "it's", "b,c"]);
        let char = of("char(5)", FieldType::Text);
        assert_eq!((char.max_chars, char.no_space_at_end), (Some(5), true));
        let wall = FieldType::Timestamp { zoned: false };
        assert!(of("datetime", wall.clone()).whole_seconds && !of("datetime(3)", wall).whole_seconds);
    }
}
