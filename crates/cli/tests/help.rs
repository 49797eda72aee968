//! The help of every command, word for word: it is the first document people read.

use crate::kit::Place;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["init"],
    &["check"],
    &["plan"],
    &["run"],
    &["status"],
    &["schedules"],
    &["runs"],
    &["show"],
    &["verify"],
    &["parked"],
    &["parked", "list"],
    &["parked", "retry"],
    &["parked", "drop"],
    &["held"],
    &["held", "list"],
    &["held", "approve"],
    &["held", "reject"],
    &["reset"],
    &["backup"],
    &["restore"],
    &["serve"],
    &["pause"],
    &["unpause"],
    &["chains"],
    &["chains", "list"],
    &["chains", "show"],
    &["chains", "resume"],
    &["occurrences"],
    &["occurrences", "list"],
    &["occurrences", "cancel"],
    &["apply"],
    &["definitions"],
    &["definitions", "list"],
    &["definitions", "versions"],
    &["definitions", "diff"],
    &["report"],
    &["alerts"],
    &["alerts", "list"],
    &["alerts", "test"],
    &["tokens"],
    &["tokens", "create"],
    &["tokens", "list"],
    &["tokens", "revoke"],
    &["schema"],
    &["sim"],
    &["demo"],
];

#[test]
fn help_of_every_command() {
    let place = Place::empty();
    for command in COMMANDS {
        let mut command_line = place.command(command);
        // The width is the terminal's, or this.
        let output = command_line.arg("--help").env("COLUMNS", "100").output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let name = if command.is_empty() { "syncline".to_owned() } else { command.join("_") };
        insta::assert_snapshot!(format!("help_{name}"), String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn every_command_has_its_help_here() {
    let all = Place::empty().syncline(&["--help"]).with_code(0).out;
    let listed =
        all.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Longer texts go on in lines that are indented further.
    for line in listed.filter(|line| !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        assert!(name == "help" || COMMANDS.contains(&[name].as_slice()), "{name} is missing in COMMANDS");
    }
}

#[test]
fn versions_and_mistakes() {
    let place = Place::empty();
    let version = format!("syncline {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(place.syncline(&["--version"]).with_code(0).out, version);
    place.syncline(&[]).with_code(2);
    place.syncline(&["rnu"]).with_code(2).saying("a similar subcommand exists: 'runs'");
    place.syncline(&["run", "--moed", "full"]).with_code(2).saying("a similar argument exists: '--mode'");
    place.syncline(&["run", "--mode", "ful"]).with_code(2).saying("a similar value exists: 'full'");
    place.syncline(&["held", "approve", "projects"]).with_code(2).saying("--max <N>");
    place.syncline(&["check", "--offline", "--fix"]).with_code(2);
    place.syncline(&["run", "-q", "-v"]).with_code(2);
}
