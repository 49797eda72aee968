//! `syncline init`

use std::io::Write;

use crate::{
    args::{Global, InitArgs},
    exit::{Exit, Failure},
    output,
    wiring::reason,
};

pub(crate) fn run(global: &Global, _args: &InitArgs) -> Result<Exit, Failure> {
    let name = global.file.display();
    // `create_new` makes "is there one?" and "make one" a single step.
    let mut file = std::fs::File::create_new(&global.file).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::usage(format!("{name} exists already; it was not touched"))
                .hint("remove it first, or name another file with -f")
        } else {
            Failure::failed(format!("{name} cannot be written: {}", reason(&error)))
        }
    })?;
    file.write_all(syncline_spec::template().as_bytes())
        .map_err(|error| Failure::failed(format!("{name} cannot be written: {}", reason(&error))))?;
    output::line(format!("{name} is written"));
    output::chat(format!("Edit it, set the variables it names, then: syncline{} check", flag(global)));
    Ok(Exit::Done)
}

/// The flag that makes the next command find the file.
fn flag(global: &Global) -> String {
    let name = global.file.display().to_string();
    if name == "syncline.yaml" { String::new() } else { format!(" -f {name}") }
}
