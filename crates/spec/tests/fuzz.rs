//! Project files of any bytes: what is read is read the same way again, and what is refused says where and why.

use syncline_core::connection::ConnectorSpec;
use syncline_spec::{Loaded, Problem, decode, parse, template};

use crate::{
    fuzzing,
    good_projects::DESIGN,
    tables,
    world::{CONNECTORS, SECRET, World, rendered},
};

const DICTIONARY: &[&str] = &[
    "connections:",
    "syncs:",
    "store:",
    "type: sqlite",
    "from:",
    "to:",
    "fields:",
    "route:",
    "deletes:",
    "guard:",
    "key:",
    "cel: \"",
    "when: ",
    "filter: ",
    "batch: ",
    "every: ",
    "query: ",
    "mass_query: ",
    "sql: ",
    "match: ",
    "after: ",
    "detect: keys",
    "write: replace",
    "defaults:",
    "schedule:",
    "name: ",
    "lookback: ",
    "enabled: false",
    "\"*\"",
    "overlap: ",
    "default: ",
    "auth:",
    "client_secret: ",
    "url: ",
    "  ",
    "- ",
    "? ",
    "|",
    "|+2\n",
    ">-\n",
    "# ",
    " #",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!x ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "~",
    "${ERP_URL}",
    "${CLIENT_SECRET}",
    "${BROKEN_CEL}",
    "${EMPTY}",
    "${FIFTY}",
    "${file:/run/secrets/x}",
    "${file:",
    "${secret:x}",
    "$${",
    "${",
    "15m",
    "1h 30m",
    "4GiB",
    "1e3s",
    "0x10",
    "0o7",
    "1_000",
    "yes",
    ".inf",
    "2026-01-31",
    "\"\\x",
    "\\u",
    "''",
];

/// Longest line of a message that a person reads.
const LINE_CHARS_MAX: usize = 2_500;

/// Lines as YAML counts them.
fn lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

fn problem_is_sound(problem: &Problem, lines: &[&str]) {
    let shown = format!("{problem}");
    assert!(!problem.message.is_empty(), "{problem:?}");
    assert!(
        !shown.contains(SECRET) && !format!("{problem:?}").contains(SECRET),
        "a secret is shown: {shown}"
    );
    assert!(shown.chars().count() <= LINE_CHARS_MAX, "a message of {} characters", shown.chars().count());
    assert!(!shown.contains('\n'), "a message of several lines: {shown:?}");
    // The end of the file is a place too: just behind its last line.
    assert!(
        (1..=lines.len() + 1).contains(&problem.line),
        "line {} of {}: {shown}",
        problem.line,
        lines.len()
    );
    let line = lines.get(problem.line - 1).copied().unwrap_or_default();
    assert!((1..=line.chars().count() + 1).contains(&problem.column), "column outside of {line:?}: {shown}");
}

fn definition(loaded: &Loaded) -> String {
    format!("{:?}", loaded.project)
}

fn check(bytes: &[u8]) {
    check_with(bytes, CONNECTORS);
    check_with(bytes, tables::CONNECTORS);
}

fn check_with(bytes: &[u8], connectors: &[ConnectorSpec]) {
    let lossy = String::from_utf8_lossy(bytes);
    let text = match decode("p.yaml", bytes) {
        Ok(text) => text,
        Err(problem) => {
            problem_is_sound(&problem, &lines(&lossy));
            &lossy
        }
    };
    let places = lines(text);
    match parse("p.yaml", text, connectors, &World) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|problem| problem_is_sound(problem, &places));
            same_under_comments(text, &loaded, connectors);
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.is_sorted_by_key(Problem::place), "{}", rendered(&problems));
            problems.iter().for_each(|problem| problem_is_sound(problem, &places));
        }
    }
}

/// Comments, empty lines and the kind of line end mean nothing.
fn same_under_comments(text: &str, loaded: &Loaded, connectors: &[ConnectorSpec]) {
    let before = definition(loaded);
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut others = vec![format!("# a comment\n\n{body}")];
    if body.ends_with('\n') {
        others.push(format!("{body}\n# a comment\n"));
    }
    if !body.contains('\r') {
        others.push(body.replace('\n', "\r\n"));
    }
    for other in others {
        let again = parse("p.yaml", &other, connectors, &World);
        let again =
            again.unwrap_or_else(|problems| panic!("refused with a comment: {}", rendered(&problems)));
        assert_eq!(definition(&again), before);
    }
}

#[test]
fn project_files() {
    let seeds = [DESIGN, template(), include_str!("files/bad.yaml"), include_str!("files/tables.yaml")];
    fuzzing::run("project", &seeds, DICTIONARY, check);
}

/// A password may begin with a sign that means something in YAML. Whatever then is wrong, the password is not in it.
#[test]
fn a_secret_without_quotes_is_not_shown() {
    const CANARY: &str = "c4n4ry";
    for written in [
        "c4n4ry",
        "'c4n4ry",
        "\"c4n4ry",
        "!c4n4ry",
        "!c4n4ry x",
        "!!c4n4ry x",
        "!<c4n4ry> x",
        "*c4n4ry",
        "&c4n4ry",
        "&c4n4ry x",
        "@c4n4ry",
        "`c4n4ry",
        "%c4n4ry",
        "|c4n4ry",
        ">c4n4ry",
        "#c4n4ry",
        "?c4n4ry",
        "- c4n4ry",
        "-c4n4ry",
        "[c4n4ry]",
        "[c4n4ry",
        "{c4n4ry: 1}",
        "{c4n4ry}",
        "{c4n4ry",
        "]c4n4ry",
        "}c4n4ry",
        "c4n4ry: x",
        "x: c4n4ry",
        "c4n4ry #x",
        "\"\\c4n4ry\"",
        "\"\\xc4n4ry\"",
        "c4n4ry\0",
        "'' c4n4ry",
        "\"a\"c4n4ry",
        "'a' c4n4ry: b",
        "${c4n4ry",
        "<<: c4n4ry",
        "|2c4n4ry",
        "? c4n4ry",
        "\t- c4n4ry",
        "...c4n4ry",
        "---c4n4ry",
    ] {
        for (start, end) in [
            (
                "connections:\n  b:\n    type: sharepoint\n    auth:\n      client_secret: ",
                "\n      tenant: t\n",
            ),
            ("connections:\n  b: { type: sharepoint, auth: { client_secret: ", ", tenant: t } }\n"),
            ("connections:\n  b:\n    type: postgres\n    url: ", "\n"),
        ] {
            let text = format!("{start}{written}{end}");
            let Err(problems) = parse("p.yaml", &text, CONNECTORS, &World) else { continue };
            assert!(!format!("{problems:?}").contains(CANARY), "{written}: {}", rendered(&problems));
        }
    }
}
