//! A ratchet on the length of files. Long files are the exception, and an exception says why.

use super::{expect_none, files};

/// Lines after which a file is looked at again.
const LINES_MAX: usize = 600;

/// File, the lines it may have, and why it is better long than cut up. The number may go down; before it goes up, think.
const LONG: &[(&str, usize, &str)] = &[(
    "crates/spec/tests/problems.rs",
    700,
    "a table of bad files, each with the words and the place it must give",
)];

#[test]
fn long_files_say_why() {
    let files = files();
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let lines = file.text.lines().count();
        let excepted = LONG.iter().find(|(path, _, _)| *path == file.path);
        let most = excepted.map_or(LINES_MAX, |(_, most, _)| *most);
        if lines > most {
            problems.push(format!("{}: {lines} lines, {most} allowed", file.path));
        }
    }
    for (path, most, _) in LONG {
        let now = files.iter().find(|file| file.path == *path).map(|file| file.text.lines().count());
        if now.is_none_or(|lines| lines <= LINES_MAX) {
            problems.push(format!(
                "{path}: {most} lines are allowed and no longer needed: take the exception out"
            ));
        }
    }
    expect_none(
        &problems,
        "Find the second idea in the file and move it out, or add it to LONG with the reason.",
    );
}
