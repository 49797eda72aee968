//! Whatever expression a person writes, evaluating it on one record ends soon, in little memory, on the stack of an ordinary
//! thread: with a value or with a reason.

use std::{sync::mpsc::sync_channel, time::Duration};

use syncline_core::{expr::Expr, value::Value};

/// Stack of a thread unless its maker asks for more; tokio's workers have the same.
const STACK: usize = 2 << 20;

/// Only ever reached when something hangs.
const HANGS: Duration = Duration::from_secs(120);

fn long_text() -> Value<'static> {
    Value::Text("lorem ipsum, ".repeat(8_000).into())
}

fn record(name: &str) -> Value<'static> {
    let tags = |n: usize| Value::List((0..n).map(|i| Value::Text(format!("tag {i}").into())).collect());
    match name {
        "notes" => long_text(),
        "tags" => tags(10_000),
        "some_tags" => tags(500),
        "too_many" => tags(10_001),
        "pattern" => Value::Text("^lorem".into()),
        "status" => Value::Text("Active".into()),
        "at" => Value::Timestamp { micros: 253_402_300_799_000_000, zoned: true },
        "n" => Value::Int64(i64::MIN),
        _ => Value::Null,
    }
}

/// What compiling and evaluating come to, on a stack of the usual size.
fn outcome(text: &str) -> Result<String, String> {
    let (send, receive) = sync_channel(1);
    let text = text.to_owned();
    let shown: String = text.chars().take(80).collect();
    let work = move || {
        let value = Expr::compile(&text).map_err(|e| e.message).and_then(|e| e.evaluate(record));
        send.send(value.map(|v| v.type_name().to_owned())).unwrap();
    };
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap();
    receive.recv_timeout(HANGS).unwrap_or_else(|_| panic!("hangs or panics: {shown}"))
}

fn refused(text: &str, why: &str) {
    let error = outcome(text).unwrap_err();
    assert!(error.contains(why), "{}: {error}", text.chars().take(80).collect::<String>());
}

#[test]
fn chains_are_as_deep_as_they_are_long() {
    for operator in ["+", "-", "*", "<", "=="] {
        refused(&format!("1{}", format!("{operator}1").repeat(1_300)), "levels; at most 500 are allowed");
    }
    refused(&format!("status{}", ".trim()".repeat(580)), "levels; at most 500 are allowed");
    refused(&format!("status{}", ".x".repeat(2_000)), "levels; at most 500 are allowed");
    refused(&format!("tags{}", "[0]".repeat(1_300)), "levels; at most 500 are allowed");
    assert_eq!(outcome(&format!("1{}", "+1".repeat(450))), Ok("int64".into()));
    let any = format!("status == 'x'{}", " || status == 'x'".repeat(230));
    assert_eq!(outcome(&any), Ok("boolean".into()), "the usual long condition");
}

#[test]
fn brackets_of_every_kind_end_the_parser_first() {
    for (open, close) in [("(", ")"), ("[", "]"), ("{1: ", "}"), ("string(", ")"), ("n == 1 ? 1 : (", ")")] {
        let deep = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        assert!(outcome(&deep(250)).is_err(), "{open}");
        assert!(Expr::compile(&deep(12)).is_ok(), "{open}");
    }
    for run in ["-", "!", "(", "[", "{", "'", "\"", "\\", "?", ".", "@", "\u{301}"] {
        let _ends = outcome(&run.repeat(4_096 / run.len()));
    }
}

#[test]
fn loops_inside_each_other_multiply() {
    let ten = "[0,1,2,3,4,5,6,7,8,9]";
    let nested = |levels| format!("{}true{}", format!("{ten}.all(x, ").repeat(levels), ")".repeat(levels));
    assert_eq!(outcome(&nested(4)), Ok("boolean".into()));
    refused(&nested(6), "6 loops stand inside each other; at most 5 may");
    let twenty = format!("({ten} + {ten})");
    let wide = format!("{}true{}", format!("{twenty}.map(x, ").repeat(5), ")".repeat(5));
    refused(&wide, "could take more than 10000000 steps");
    refused("tags.all(a, tags.exists(b, a == b))", "could take more than 10000000 steps");
    assert_eq!(outcome("some_tags.all(a, some_tags.exists(b, a == b))"), Ok("boolean".into()));
    refused("notes.split('').map(x, notes)", "could take more than 10000000 steps");
    refused("size(too_many)", "at most 10000 are allowed");
}

#[test]
fn texts_that_double_are_refused_before_they_are_made() {
    refused(&format!("[status]{}", ".map(x, x + x)".repeat(60)), "could take more than 10000000 steps");
    refused(&format!("status{}", ".replace('', 'xxxxxxxxxx')".repeat(40)), "could take more than");
    refused(&format!("'a'{}", ".replace('a', 'aaaaaaaaaa')".repeat(40)), "could take more than");
    refused("notes.split('').join(notes)", "could take more than 10000000 steps");
    refused("notes.replace('', notes)", "could take more than 10000000 steps");
    refused("notes.indexOf(notes)", "could take more than 10000000 steps");
    refused(&format!("[status]{}", ".map(x, '%s%s'.format([x, x]))".repeat(40)), "could take more than");
}

#[test]
fn what_people_do_with_long_texts_and_lists_goes_through() {
    for text in [
        "notes.split(',').map(x, x.trim()).join('; ')",
        "notes.replace(',', ' and ')",
        "notes.replace(status, '')",
        "notes.lowerAscii().contains('ipsum')",
        "notes.indexOf('no such words') < 0",
        "'%s: %s'.format([status, notes])",
        "notes.matches('^[a-z ,]+$')",
        "tags.exists(t, t == 'tag 9999')",
        "tags.filter(t, t.startsWith('tag 1')).map(t, t.upperAscii())",
        "tags.exists(t, t.matches('^tag [0-9]$'))",
        "status + ' ' + notes",
        "status.matches('[\\\\w.+-]+@[\\\\w-]+[.][\\\\w.]+')",
        "status.matches(pattern)",
    ] {
        assert!(outcome(text).is_ok(), "{text}: {:?}", outcome(text));
    }
}

#[test]
fn patterns_are_looked_at_when_they_are_written() {
    refused("status.matches('(')", "the pattern of matches() is not a regular expression");
    refused("status.matches('((a{100}){100}){100}')", "too large when its repetitions are written out");
    refused("notes.matches(pattern)", "could take more than 10000000 steps");
    // Backtracking engines take for ever; this one does not backtrack.
    assert_eq!(outcome("('a' + 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').matches('^(a+)+$')"), Ok("boolean".into()));
    let error = Expr::compile("status == 'x' && status.matches('[')").unwrap_err();
    assert_eq!(error.offset, Some(32));
}

#[test]
fn numbers_and_times_at_their_ends_are_errors_not_panics() {
    for text in [
        "n / -1",
        "n % -1",
        "-n",
        "n - 1",
        "n * 2",
        "int(1e300)",
        "uint(-1)",
        "at + duration('9999999h')",
        "at - timestamp('0001-01-01T00:00:00Z')",
        "duration('9223372036s') + duration('9223372036s')",
        "duration('99999999999999h')",
        "timestamp(9223372036854775807)",
        "at.getHours('+99:99')",
        "status.substring(99)",
        "status.substring(-1)",
        "status.substring(3, 1)",
        "status.charAt(-1)",
        "status.indexOf('x', 99)",
        "[1][99]",
        "[1][-1]",
        "1 / 0",
        "1 % 0",
        "'%.999999999f'.format([1.0])",
    ] {
        assert!(outcome(text).is_err(), "{text}: {:?}", outcome(text));
    }
}
