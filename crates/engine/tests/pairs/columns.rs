//! Columns of every type of every database, with the values at the edges of each, and values drawn at random.

use fastrand::Rng;

/// A column of a source table.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Its type in the database's words.
    pub(crate) declared: &'static str,
    /// Values as texts; those that begin with `=` are SQL.
    pub(crate) edges: &'static [&'static str],
    /// Draws one more.
    pub(crate) draw: fn(&mut Rng) -> String,
}

const fn column(
    name: &'static str,
    declared: &'static str,
    edges: &'static [&'static str],
    draw: fn(&mut Rng) -> String,
) -> Column {
    Column { name, declared, edges, draw }
}

/// 38 digits, 36 of them before the point.
const LONG: &str = "123456789012345678901234567890123456.78";
const BINARY_ARRAY: &str = r#"{"\\x","\\x00ff",NULL}"#;
const TEXT_ARRAY: &str = r#"{"",NULL,"NULL","a,b","\"","\\",🙂}"#;

pub(crate) const POSTGRES: &[Column] = &[
    column("yes", "boolean", &["true", "false"], boolean),
    column("i2", "smallint", &["-32768", "0", "32767"], |r| r.i16(..).to_string()),
    column("i4", "integer", &["-2147483648", "2147483647"], |r| r.i32(..).to_string()),
    column("i8", "bigint", &["-9223372036854775808", "9223372036854775807"], |r| r.i64(..).to_string()),
    column("o", "oid", &["0", "4294967295"], |r| r.u32(..).to_string()),
    column("f4", "real", &["NaN", "Infinity", "-Infinity", "-0", "0.1", "1e-45", "3.4028235e38"], |r| {
        f32::from_bits(r.u32(..)).to_string()
    }),
    column(
        "f8",
        "double precision",
        &["NaN", "Infinity", "-Infinity", "-0", "0.1", "5e-324", "1.7976931348623157e308"],
        double,
    ),
    column(
        "n",
        "numeric",
        &["NaN", "Infinity", "-Infinity", LONG, "0.00", "1.500", "1e-500", "1e500", "-1e-16383"],
        decimal,
    ),
    column("n38", "numeric(38,2)", &["NaN", LONG, "-999999999999999999999999999999999999.99", "0.01"], |r| {
        cents(r, 36)
    }),
    column("n76", "numeric(80,10)", &["1e69", "-0.0000000001"], |r| cents(r, 60)),
    column("n_", "numeric(3,-2)", &["12300", "-99900"], |r| format!("{}00", r.u32(0..1000))),
    column("cash", "money", &["-92233720368547758.08", "92233720368547758.07", "0"], |r| cents(r, 12)),
    column(
        "t",
        "text",
        &[
            "",
            " ",
            "a ",
            "🙂",
            "NULL",
            "\\N",
            "007",
            "1e5",
            "it's \"q\"",
            "a\tb\r\nc",
            "cafe\u{301}",
            "\u{feff}",
            "infinity",
            "a,b;c",
            "\u{1}",
            "\\.",
        ],
        text,
    ),
    column("v5", "character varying(5)", &["", "ab   ", "🙂🙂🙂🙂🙂"], |r| {
        text(r).chars().take(5).collect()
    }),
    column("c5", "character(5)", &["", "a", "äöü"], |r| text(r).chars().take(5).collect()),
    column("c1", "\"char\"", &["a", ""], |r| r.lowercase().to_string()),
    column("nm", "name", &["", "a b"], |r| r.alphanumeric().to_string()),
    column("by", "bytea", &["\\x", "\\x00", "\\x0d0aff"], |r| format!("\\x{}", hex(r))),
    column(
        "d",
        "date",
        &[
            "infinity",
            "-infinity",
            "4713-01-01 BC",
            "0044-03-15 BC",
            "0001-12-31 BC",
            "0001-01-01",
            "2000-02-29",
            "9999-12-31",
            "10000-01-01",
            "5874897-12-31",
        ],
        date,
    ),
    column("tm", "time without time zone", &["00:00", "23:59:59.999999", "24:00:00"], time),
    column("tmz", "time with time zone", &["00:00+15:59", "24:00:00-15:59"], |r| format!("{}+02", time(r))),
    column("tm0", "time(0) without time zone", &["10:17:05"], |r| format!("{:02}:00", r.u32(0..24))),
    column(
        "ts",
        "timestamp without time zone",
        &[
            "infinity",
            "-infinity",
            "4714-11-24 00:00:00 BC",
            "0044-03-15 10:00 BC",
            "0001-01-01",
            "1969-12-31 23:59:59.999999",
            "2026-03-29 02:30:00",
            "9999-12-31 23:59:59.999999",
            "10000-01-01",
            "294246-12-31",
            "294276-12-31 23:59:59.999999",
        ],
        |r| format!("{} {}", date(r), time(r)),
    ),
    column(
        "tz",
        "timestamp with time zone",
        &[
            "infinity",
            "-infinity",
            "4713-01-01 00:00+00 BC",
            "0044-03-15 10:00+00 BC",
            "2026-10-25 02:30:00+02",
            "2026-10-25 02:30:00+01",
            "2026-01-01 00:00+15:59",
            "9999-12-31 23:59:59.999999+00",
            "10000-01-01 00:00+00",
            "294276-12-31 23:59:59.999999+00",
        ],
        |r| format!("{} {}+05:45", date(r), time(r)),
    ),
    column("iv", "interval", &["178000000 years", "-1 mon +2 days -03:04:05.000006", "0"], |r| {
        format!("{} days {} sec", r.i16(..), r.i16(..))
    }),
    column("ivd", "interval day to second(3)", &["1 day 00:00:00.123"], |r| format!("{} sec", r.i16(..))),
    column(
        "u",
        "uuid",
        &["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
        uuid,
    ),
    column(
        "j",
        "json",
        &[
            "null",
            " [1 , 2.50] ",
            "{\"a\":1,\"a\":2}",
            "\"\\u0000\"",
            "12345678901234567890123",
            "\"\"",
            "1e400",
            "[\n1]",
            "\"🙂\"",
        ],
        json,
    ),
    column(
        "jb",
        "jsonb",
        &[
            "null",
            "12345678901234567890123.4500",
            "{\"b\":[9007199254740993],\"a\":{}}",
            "\"\\ud83d\\ude42\"",
            "false",
        ],
        json,
    ),
    column("ip", "inet", &["0.0.0.0/0", "::1", "192.168.0.1/24"], ipv4),
    column("net", "cidr", &["10.0.0.0/8", "::/0"], ipv4),
    column("mac", "macaddr", &["ff:ff:ff:ff:ff:ff"], |r| format!("08:00:2b:01:02:{:02x}", r.u8(..))),
    column("mac8", "macaddr8", &["ff:ff:ff:ff:ff:ff:ff:ff"], |r| {
        format!("08:00:2b:01:02:03:04:{:02x}", r.u8(..))
    }),
    column("b5", "bit(5)", &["00000", "11111"], |r| bits(r, 5)),
    column(
        "vb",
        "bit varying",
        &["", "1", "0000000000000000000000000000000000000000000000000000000000000000001"],
        |r| bits(r, 70),
    ),
    column("pt", "point", &["(0.1,-1e300)", "(NaN,Infinity)"], |r| format!("({},{})", r.f64(), r.f64())),
    column("fts", "tsvector", &["", "'a b':1A fat"], |r| r.alphanumeric().to_string()),
    column("lsn", "pg_lsn", &["0/0", "FFFFFFFF/FFFFFFFF"], |r| format!("{:X}/{:X}", r.u32(..), r.u32(..))),
    column("r4", "int4range", &["empty", "(,)", "[1,5]"], |r| format!("[{},)", r.i16(..))),
    column("rn", "numrange", &["[1.50,2]", "empty"], |r| format!("[{},)", cents(r, 20))),
    column("rt", "tstzrange", &["[-infinity,infinity]", "[2026-01-01 00:00+00,)"], |_| "empty".into()),
    column("e", "mood", &["so-so", "it's 🙂", ""], |r| ["so-so", ""][r.usize(..2)].into()),
    column("dom", "short", &["", "abc"], |r| r.alphanumeric().to_string()),
    column("comp", "pair", &["(1,a)", "(,\"\")"], |r| format!("({},x)", r.i16(..))),
    column("ai", "integer[]", &["{}", "{NULL,1}", "{{1,2},{3,4}}", "[5:6]={1,2}"], |r| {
        format!("{{{},{}}}", r.i32(..), r.i32(..))
    }),
    column("at", "text[]", &["{}", TEXT_ARRAY], |r| format!("{{{},NULL}}", r.alphanumeric())),
    column("an", "numeric[]", &["{NaN,1.500}", "{12345678901234567890123456789012345678.9}"], |r| {
        format!("{{{}}}", decimal(r))
    }),
    column("an2", "numeric(6,2)[]", &["{1.50,NULL,-9999.99}", "{NaN}"], |r| format!("{{{}}}", cents(r, 4))),
    column("af", "double precision[]", &["{NaN,-Infinity,0.1}"], |r| format!("{{{}}}", double(r))),
    column("ab", "boolean[]", &["{t,f,NULL}"], |r| format!("{{{}}}", boolean(r))),
    column("aby", "bytea[]", &[BINARY_ARRAY], |r| format!("{{\"\\\\x{}\"}}", hex(r))),
    column("ad", "date[]", &["{infinity,2026-01-31}", "{\"0044-03-15 BC\"}"], |r| {
        format!("{{\"{}\"}}", date(r))
    }),
    column("atm", "time without time zone[]", &["{24:00:00,00:00:00.000001}"], |r| {
        format!("{{{}}}", time(r))
    }),
    column("atz", "timestamp with time zone[]", &["{-infinity,\"2026-01-31 10:00+02\"}"], |r| {
        format!("{{\"{} {}+00\"}}", date(r), time(r))
    }),
    column("au", "uuid[]", &["{00000000-0000-0000-0000-000000000000}"], |r| format!("{{{}}}", uuid(r))),
    column("aj", "jsonb[]", &["{\"[1]\",NULL,\"null\",\"12345678901234567890\"}"], |r| {
        format!("{{\"[{}]\"}}", r.i64(..))
    }),
    column("aip", "inet[]", &["{::1,10.0.0.0/8}"], |r| format!("{{{}}}", ipv4(r))),
    column("ae", "mood[]", &["{so-so,\"\",NULL}"], |_| "{so-so}".into()),
    column("acash", "money[]", &["{1.50,-92233720368547758.08}"], |r| format!("{{{}}}", cents(r, 9))),
];

pub(crate) const SQLITE: &[Column] = &[
    column("yes", "BOOLEAN", &["=0", "=1", "t", "FALSE", "=2", "maybe"], |r| format!("={}", r.u8(..2))),
    column("i", "INTEGER", &["=-9223372036854775808", "=9223372036854775807", "=1.5", "abc"], |r| {
        format!("={}", r.i64(..))
    }),
    column("ub", "BIGINT UNSIGNED", &["=18446744073709551615"], |r| format!("={}", r.u32(..))),
    column(
        "f",
        "DOUBLE",
        &["=9e999", "=-9e999", "=0.1", "=5e-324", "=-0.0", "=9007199254740993", "x"],
        |r| format!("={:e}", r.f64()),
    ),
    column(
        "n",
        "DECIMAL(14,2)",
        &["=1.5", "123456789012.34", "12345678901234.567", "9223372036854775807"],
        |r| cents(r, 12),
    ),
    column("nt", "DECIMAL_TEXT(38,2)", &[LONG, "0012.50", "NaN", "-0", "1e3", "0x10"], |r| cents(r, 36)),
    column("nu", "DECIMAL_TEXT", &[LONG, "1e500", "+.5", "Infinity", " 1.50 ", "5."], decimal),
    column(
        "t",
        "TEXT",
        &[
            "",
            " ",
            "🙂",
            "007",
            "1e5",
            "=char(97,0,98)",
            "NULL",
            "=7",
            "=x'61'",
            "=CAST(x'ff' AS TEXT)",
            "a\r\nb",
            "infinity",
        ],
        text,
    ),
    column("v5", "VARCHAR(5)", &["longer than five", ""], text),
    column("untyped", "", &["=1", "=1.5", "text"], text),
    column("by", "BLOB", &["=x''", "=x'00'", "=x'0d0aff'", "text"], |r| format!("=x'{}'", hex(r))),
    column(
        "d",
        "DATE",
        &[
            "0001-01-01",
            "-000043-03-15",
            "0000-12-31",
            "9999-12-31",
            "infinity",
            "-infinity",
            "=0",
            "=-1",
            "2026-02-31",
            "2026-01-31 10:00",
            "0000-00-00",
        ],
        |r| format!("{:04}-02-28", r.u32(1..9999)),
    ),
    column("tm", "TIME", &["00:00", "23:59:59.999999", "24:00:00.000000", "25:00", "10:00:00.0000001"], time),
    column(
        "ts",
        "TIMESTAMP",
        &[
            "2026-01-31T12:00:00+02:00",
            "-000043-03-15 10:00:00Z",
            "9999-12-31 23:59:59.999999Z",
            "infinity",
            "-infinity",
            "=253402300799",
            "=-1",
            "=9223372036854775807",
            "2026-01-31",
            "2026-13-01 00:00:00Z",
        ],
        |r| format!("2026-01-31 {}Z", time(r)),
    ),
    column(
        "tw",
        "TIMESTAMP WITHOUT TIME ZONE",
        &[
            "2026-03-29 02:30:00",
            "0001-01-01 00:00:00",
            "-009999-01-01 00:00:00",
            "infinity",
            "9999-12-31 23:59:59.999999",
        ],
        |r| format!("2026-01-31 {}", time(r)),
    ),
    column(
        "u",
        "UUID",
        &[
            "FFFFFFFF-ffff-ffff-ffff-ffffffffffff",
            "=x'00112233445566778899aabbccddeeff'",
            "not one",
            "=x'00'",
        ],
        uuid,
    ),
    column("j", "JSON", &["{\"a\":1}", "12345678901234567890123", "=5", "null", "", "not json"], json),
    column(
        "jt",
        "JSON_TEXT",
        &[
            "12345678901234567890123",
            "null",
            "\"\\u0000\"",
            "{\"a\":1.50, \"b\":[9007199254740993]}",
            "{\"a\":1,\"a\":2}",
            "not json",
            "[\r\n]",
            "\"\"",
        ],
        json,
    ),
];

pub(crate) const MYSQL: &[Column] = &[
    column("yes", "tinyint(1)", &["0", "1", "2", "-128"], |r| r.u8(..2).to_string()),
    column("i1", "tinyint", &["-128", "127"], |r| r.i8(..).to_string()),
    column("u1", "tinyint unsigned", &["255"], |r| r.u8(..).to_string()),
    column("i3", "mediumint", &["-8388608", "8388607"], |r| r.i16(..).to_string()),
    column("u4", "int unsigned zerofill", &["0", "4294967295"], |r| r.u32(..).to_string()),
    column("i8", "bigint", &["-9223372036854775808", "9223372036854775807"], |r| r.i64(..).to_string()),
    column("u8", "bigint unsigned", &["0", "18446744073709551615"], |r| r.u64(..).to_string()),
    column("y", "year", &["0", "1901", "2155"], |r| r.u32(1901..2155).to_string()),
    column("b1", "bit(1)", &["=b'0'", "=b'1'"], |r| format!("=b'{}'", bits(r, 1))),
    column("b8", "bit(8)", &["=b'11111111'"], |r| format!("=b'{}'", bits(r, 8))),
    column("b63", "bit(63)", &["=9223372036854775807"], |r| format!("=b'{}'", bits(r, 63))),
    column("b64", "bit(64)", &["=18446744073709551615"], |r| format!("=b'{}'", bits(r, 64))),
    column("n38", "decimal(38,2)", &[LONG, "-0.01"], |r| cents(r, 36)),
    column(
        "n65",
        "decimal(65,30)",
        &["99999999999999999999999999999999999.999999999999999999999999999999"],
        |r| cents(r, 30),
    ),
    column("f4", "float", &["0.1", "3.40282e38", "=-0e0"], |r| r.f32().to_string()),
    column("f8", "double", &["0.1", "1.7976931348623157e308", "2.2250738585072014e-308", "=-0e0"], |r| {
        r.f64().to_string()
    }),
    column("c5", "char(5)", &["", "a ", "🙂"], |r| text(r).chars().take(5).collect()),
    column(
        "v",
        "varchar(40)",
        &["", "a ", "🙂", "=concat('a', char(0), 'b')", "007", "NULL", "\u{1}", "infinity"],
        text,
    ),
    column("t", "longtext", &["", "a\r\nb", "cafe\u{301}"], text),
    column("e", "enum('', 'a', 'it''s')", &["", "a", "it's", "=0"], |_| "a".into()),
    column("s", "set('a', 'b')", &["", "a,b"], |_| "b".into()),
    column("b4", "binary(4)", &["", "=x'00ff'"], |r| format!("=x'{:08x}'", r.u32(..))),
    column("vb", "varbinary(40)", &["", "=x'00'"], |r| format!("=x'{}'", hex(r))),
    column("lb", "longblob", &["=x'0d0a'"], |r| format!("=x'{}'", hex(r))),
    column(
        "d",
        "date",
        &["0000-00-00", "2026-00-05", "2026-02-31", "0000-01-01", "0001-01-01", "9999-12-31"],
        |r| format!("{:04}-02-28", r.u32(1..9999)),
    ),
    column(
        "dt",
        "datetime(6)",
        &["0000-00-00 00:00:00", "0001-01-01", "2026-03-29 02:30:00", "9999-12-31 23:59:59.999999"],
        |r| format!("2026-01-31 {}", time(r)),
    ),
    column(
        "ts",
        "timestamp(6) null",
        &["0000-00-00 00:00:00", "1970-01-01 00:00:01", "2026-10-25 00:30:00", "2038-01-19 03:14:07.999999"],
        |r| format!("2026-01-31 {}", time(r)),
    ),
    column(
        "tm",
        "time(6)",
        &["00:00", "23:59:59.999999", "24:00:00", "24:00:00.000001", "-00:00:01", "838:59:59"],
        time,
    ),
    column(
        "j",
        "json",
        &["null", "12345678901234567890123", "{\"a\":1.50,\"a\":2}", "\"\\u0000\"", "[ 1 ]"],
        json,
    ),
    column("u", "uuid", &["00000000-0000-0000-0000-000000000000"], uuid),
    column("ip", "inet6", &["::", "::ffff:1.2.3.4"], |_| "::1".into()),
];

fn boolean(random: &mut Rng) -> String {
    random.bool().to_string()
}

fn double(random: &mut Rng) -> String {
    f64::from_bits(random.u64(..)).to_string()
}

fn digits(random: &mut Rng, count: usize) -> String {
    (0..count).map(|_| random.digit(10)).collect()
}

/// Any number of digits before and after the point.
fn decimal(random: &mut Rng) -> String {
    let (whole, fraction) = (random.usize(1..60), random.usize(1..60));
    format!("{}{}.{}", ["", "-"][random.usize(..2)], digits(random, whole), digits(random, fraction))
}

/// At most `whole` digits before the point, two after it.
fn cents(random: &mut Rng, whole: usize) -> String {
    let whole = random.usize(1..=whole);
    format!("{}{}.{}", ["", "-"][random.usize(..2)], digits(random, whole), digits(random, 2))
}

/// Characters that one system or another treats as special, and any others but NUL.
fn text(random: &mut Rng) -> String {
    const ODD: &[char] = &[
        '"', '\'', '\\', ',', ';', '\t', '\n', '\r', ' ', '🙂', 'ß', '\u{301}', '%', '{', '\u{7f}',
        '\u{2028}',
    ];
    let one = |random: &mut Rng| match random.u8(..3) {
        0 => ODD[random.usize(..ODD.len())],
        1 => random.alphanumeric(),
        _ => random.char('\u{1}'..),
    };
    // `=` in front is SQL here
    let first = random.alphanumeric();
    std::iter::once(first).chain((0..random.usize(..12)).map(|_| one(random))).collect()
}

fn hex(random: &mut Rng) -> String {
    (0..random.usize(..20)).map(|_| format!("{:02x}", random.u8(..))).collect()
}

fn bits(random: &mut Rng, count: usize) -> String {
    (0..count).map(|_| random.digit(2)).collect()
}

fn date(random: &mut Rng) -> String {
    format!("{:04}-{:02}-{:02}", random.u32(1..12_000), random.u32(1..13), random.u32(1..29))
}

fn time(random: &mut Rng) -> String {
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        random.u32(..24),
        random.u32(..60),
        random.u32(..60),
        random.u32(..1_000_000)
    )
}

fn uuid(random: &mut Rng) -> String {
    let hex = format!("{:032x}", random.u128(..));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn ipv4(random: &mut Rng) -> String {
    format!("10.{}.{}.{}", random.u8(..), random.u8(..), random.u8(..))
}

fn json(random: &mut Rng) -> String {
    let text: String = text(random).chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect();
    format!("{{\"n\": {}{}, \"t\": [\"{text}\", null, {{}}]}}", random.u64(1..), digits(random, 10))
}
