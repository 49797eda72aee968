//! Whatever the bytes, reading ends soon, without a panic, and says why.

use syncline_spec::{FILE_BYTES_MAX, Severity, decode, parse};

use crate::world::{CONNECTORS, World, load, problems, project, rendered};

/// A file of common mistakes; all of them are found at once, in the file's order.
#[test]
fn a_long_bad_file() {
    insta::assert_snapshot!("bad", problems(include_str!("files/bad.yaml")));
}

#[test]
fn every_problem_points_into_the_file() {
    let text = include_str!("files/bad.yaml");
    for problem in parse("p.yaml", text, CONNECTORS, &World).unwrap_err() {
        let line = text.lines().nth(problem.line - 1).unwrap_or_default();
        assert!(problem.column <= line.chars().count() + 1, "{problem}");
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    for length in 0..2_000 {
        let bytes: Vec<u8> = (0..length % 300).map(|_| random.u8(..)).collect();
        let text = match decode("p.yaml", &bytes) {
            Ok(text) => text.to_owned(),
            Err(problem) => {
                assert_eq!(problem.message, "the file is not UTF-8");
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
        let _seen = problems(&text);
    }
}

#[test]
fn hostile_files_are_refused() {
    let large = "#".repeat(FILE_BYTES_MAX + 1);
    assert_eq!(problems(&large), "p.yaml:1:1: the file has 8388609 bytes; at most 8388608 are allowed\n");
    assert!(decode("p.yaml", large.as_bytes()).is_err());
    // Every level holds the one before ten times.
    let bomb: String = (1..9).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        let before = format!("*a{},", n - 1).repeat(10);
        format!("{text}a{n}: &a{n} [{before}]\n")
    });
    assert!(
        problems(&bomb).contains("more than 600000 values, counting what aliases repeat"),
        "{}",
        problems(&bomb)
    );
    // More problems than anybody reads: they are counted, and none of them costs more than the first.
    let keys: String = (0..60_000).map(|n| format!("key_{n}: 1\n")).collect();
    let found = problems(&keys);
    assert_eq!(found.lines().count(), 1001);
    assert!(found.ends_with("59002 more problems are not shown\n"), "{}", found.lines().last().unwrap());
    let long = format!("{}: 1\n", "x".repeat(1000));
    assert!(problems(&long).contains("…\" at the top level"), "{}", problems(&long));
    let deep: String = (0..1000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert_eq!(problems(&deep), "p.yaml:33:33: nested deeper than 32 levels\n");
    // Each is found by walking the text from its start.
    assert_eq!(
        problems(&project(&format!("    mode: \"{}\"\n", "${X}".repeat(200_000)))).lines().count(),
        16
    );
    for expression in ["(".repeat(4000), "-".repeat(4000), "[".repeat(4000), "!".repeat(4000)] {
        let found = problems(&project(&format!("    route: [{{ when: \"{expression}\", list: l }}]\n")));
        assert!(found.starts_with("p.yaml:6:") && found.lines().count() == 1, "{found}");
    }
    let names: String = (0..40_000).map(|n| format!("n{n}, ")).collect();
    assert_eq!(problems(&project(&format!("    adopt: {{ by: [{names}] }}\n"))).lines().count(), 1001);
}

#[test]
fn decoding() {
    assert_eq!(decode("p.yaml", "a: é".as_bytes()), Ok("a: é"));
    let problem = decode("p.yaml", b"a: b\nc: \xc3\xa9 \xff").unwrap_err();
    assert_eq!(problem.to_string(), "p.yaml:2:6: the file is not UTF-8; save the file as UTF-8");
}

#[test]
fn there_are_limits_on_how_many() {
    let sync = "from: { connection: a, table: t }, to: { connection: b, list: l }, fields: { F: c }";
    let syncs: String = (0..20_001).map(|n| format!("  s{n}: {{ {sync} }}\n")).collect();
    let text = project("");
    let (head, _) = text.split_once("syncs:").unwrap();
    let found = problems(&format!("{head}syncs:\n{syncs}"));
    assert_eq!(found, "p.yaml:4:1: 20001 syncs; at most 20000 are allowed\n");
    let fewer: String = syncs.lines().take(20_000).map(|l| format!("{l}\n")).collect();
    assert_eq!(load(&format!("{head}syncs:\n{fewer}")).project.syncs.len(), 20_000);
}

#[test]
fn a_file_with_warnings_only_is_good() {
    let loaded = load(&project("    route: [{ when: 1 == 2, list: m }]\n"));
    assert!(
        loaded.warnings.iter().all(|w| w.severity == Severity::Warning),
        "{}",
        rendered(&loaded.warnings)
    );
    assert_eq!(loaded.warnings.len(), 1);
}
