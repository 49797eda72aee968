//! `${NAME}`, `${file:path}` and `$${` in values.

use std::{borrow::Cow, collections::BTreeMap};

use crate::problem::{did_you_mean, echo};

/// Most text that a variable or file may give: certificates are a few kilobytes.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Most text that all variables of a file may give together, so that aliases cannot multiply one without bound.
const TOTAL_BYTES_MAX: usize = 8 << 20;

/// Longest name of an environment variable that is repeated whole.
const NAME_BYTES_MAX: usize = 64;

/// Most variables of one text that are reported; finding the place of each walks the text from its start.
const FAULTS_MAX: usize = 16;

/// What a project file may ask of its surroundings. Only the command line has the real ones.
pub trait Environment {
    /// The value of an environment variable; `None`: not set (or not Unicode).
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a file; `path` is as written, so a relative one is relative to the project file.
    ///
    /// # Errors
    /// Why it cannot be read, without the path: `not found`, `permission denied`.
    fn file(&self, path: &str) -> Result<String, String>;

    /// Who answers for the values of `store`, where that is somebody else: who makes up what is missing must not make up
    /// where the store is.
    fn for_store(&self) -> Option<&dyn Environment> {
        None
    }
}

/// A text with its variables filled in.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// `None` when a variable could not be filled in; then the first of them are among the `faults`.
    pub(crate) text: Option<String>,
    /// Whether there was any variable.
    pub(crate) any: bool,
    pub(crate) faults: Vec<VariableFault>,
}

/// A variable that cannot be filled in.
#[derive(Debug, Clone)]
pub(crate) struct VariableFault {
    /// Byte offset of its `$` in the text.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

type Looked = Result<String, (String, Option<String>)>;

/// Fills variables in; each is asked for once.
pub(crate) struct Variables<'e> {
    /// `None`: this text has no variables.
    environment: Option<&'e dyn Environment>,
    known: BTreeMap<String, Looked>,
    total: usize,
}

impl<'e> Variables<'e> {
    pub(crate) fn new(environment: &'e dyn Environment) -> Self {
        Self { environment: Some(environment), known: BTreeMap::new(), total: 0 }
    }

    /// The same for the values of `store`.
    pub(crate) fn for_store(&self) -> Option<Self> {
        self.environment.and_then(Environment::for_store).map(Self::new)
    }

    /// For texts in which a variable is an error.
    pub(crate) fn refused() -> Self {
        Self { environment: None, known: BTreeMap::new(), total: 0 }
    }

    pub(crate) fn fill(&mut self, written: &str) -> Filled {
        let mut filled = Filled::default();
        let mut text = String::new();
        let mut rest = written;
        while let Some(dollar) = rest.find("${") {
            let offset = written.len() - rest.len() + dollar;
            // `$${` stands for the text `${`.
            if rest[..dollar].ends_with('$') {
                text.push_str(&rest[..dollar - 1]);
                text.push_str("${");
                rest = &rest[dollar + 2..];
                continue;
            }
            text.push_str(&rest[..dollar]);
            filled.any = true;
            let Some(end) = rest[dollar..].find('}') else {
                filled.faults.push(VariableFault {
                    offset,
                    message: "\"${\" without its \"}\"".to_owned(),
                    hint: Some("write $${ for the text ${ itself".to_owned()),
                });
                return filled;
            };
            let name = &rest[dollar + 2..dollar + end];
            rest = &rest[dollar + end + 1..];
            match self.look_up(name) {
                Ok(value) => text.push_str(&value),
                Err((message, hint)) => filled.faults.push(VariableFault { offset, message, hint }),
            }
            if filled.faults.len() == FAULTS_MAX {
                return filled;
            }
        }
        text.push_str(rest);
        filled.text = filled.faults.is_empty().then_some(text);
        filled
    }

    fn look_up(&mut self, name: &str) -> Looked {
        if !self.known.contains_key(name) {
            let value = self.ask(name);
            self.known.insert(name.to_owned(), value);
        }
        let value = self.known.get(name).cloned().unwrap_or_else(|| Err(("not known".to_owned(), None)))?;
        self.total += value.len();
        if self.total > TOTAL_BYTES_MAX {
            return Err((
                format!("the variables of this file give more than {TOTAL_BYTES_MAX} bytes in all"),
                None,
            ));
        }
        Ok(value)
    }

    fn ask(&self, name: &str) -> Looked {
        let Some(environment) = self.environment else {
            return Err((
                format!("{} has no meaning here: variables are for project files", shown(name)),
                Some("write $${ for the text ${ itself".to_owned()),
            ));
        };
        let value = match name.split_once(':') {
            None => variable(environment, name)?,
            Some(("file", path)) => file(environment, path)?,
            Some(("secret", _)) => {
                return Err((
                    format!(
                        "{} cannot be read: the encrypted secret store is not in this version",
                        shown(name)
                    ),
                    Some("use ${NAME} for an environment variable or ${file:path} for a file".to_owned()),
                ));
            }
            Some((prefix, rest)) => {
                let hint = if rest.starts_with(['-', '?', '+', '=']) {
                    Some("defaults are not supported: set the variable".to_owned())
                } else {
                    did_you_mean(prefix, &["file", "secret"], "known")
                };
                return Err((format!("{} is not a variable", shown(name)), hint));
            }
        };
        if value.len() > VALUE_BYTES_MAX {
            return Err((format!("{} gives more than {VALUE_BYTES_MAX} bytes", shown(name)), None));
        }
        if value.contains('\0') {
            return Err((format!("{} gives a text with a NUL character", shown(name)), None));
        }
        Ok(value)
    }
}

fn variable(environment: &dyn Environment, name: &str) -> Looked {
    let mut chars = name.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err((
            format!("{} is not a variable", shown(name)),
            Some("a name is made of letters, digits and _; write $${ for the text ${ itself".to_owned()),
        ));
    }
    environment.variable(name).ok_or_else(|| {
        (
            format!("the environment variable {} is not set", short(name)),
            Some("set it, or read a file with ${file:path}".to_owned()),
        )
    })
}

fn file(environment: &dyn Environment, path: &str) -> Looked {
    if path.trim().is_empty() {
        return Err(("${file:} names no file".to_owned(), None));
    }
    let mut text = environment
        .file(path)
        .map_err(|why| (format!("the file {} cannot be read: {why}", echo(path)), None))?;
    // One line end, not all white space: editors add exactly one, and a secret may end in a space.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
/// A name as it is, unless it is longer than any name.
fn short(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX { Cow::Borrowed(name) } else { Cow::Owned(echo(name)) }
}

/// `${name}`, cut to a length that fits a line.
fn shown(name: &str) -> String {
    echo(&format!("${{{name}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World;

    impl Environment for World {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "A" => Some("alpha".into()),
                "NESTED" => Some("${A}".into()),
                "HUGE" => Some("x".repeat(VALUE_BYTES_MAX + 1)),
                "BIG" => Some("x".repeat(VALUE_BYTES_MAX)),
                _ => None,
            }
        }

        fn file(&self, path: &str) -> Result<String, String> {
            if path == "secret" { Ok("s3cret \n\r\n".into()) } else { Err("not found".into()) }
        }
    }

    fn fill(text: &str) -> Result<String, Vec<(usize, String)>> {
        let filled = Variables::new(&World).fill(text);
        let faults: Vec<_> = filled.faults.into_iter().map(|f| (f.offset, f.message)).collect();
        filled.text.ok_or(faults)
    }

    #[test]
    fn values_are_filled_in_once() {
        for (text, expected) in [
            ("", ""),
            ("$5 and {A}", "$5 and {A}"),
            ("${A}", "alpha"),
            ("x${A}y${A}", "xalphayalpha"),
            ("$${A} ${A}", "${A} alpha"),
            ("$$${A}", "$${A}"),
            ("${NESTED}", "${A}"),
            ("${file:secret}", "s3cret \n"),
        ] {
            assert_eq!(fill(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_have_offsets() {
        for (text, offset, message) in [
            ("a ${B}", 2, "the environment variable B is not set"),
            (
                "${AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}",
                0,
                "the environment variable \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA…\" is not set",
            ),
            ("${A} ${", 5, "\"${\" without its \"}\""),
            ("${file:other}", 0, "the file \"other\" cannot be read: not found"),
            (
                "${secret:x}",
                0,
                "\"${secret:x}\" cannot be read: the encrypted secret store is not in this version",
            ),
            ("${A:-b}", 0, "\"${A:-b}\" is not a variable"),
            ("${fiel:x}", 0, "\"${fiel:x}\" is not a variable"),
            ("${a b}", 0, "\"${a b}\" is not a variable"),
            ("${HUGE}", 0, "\"${HUGE}\" gives more than 65536 bytes"),
        ] {
            assert_eq!(fill(text), Err(vec![(offset, message.to_owned())]), "{text}");
        }
        assert_eq!(fill("${B} ${C}").unwrap_err().len(), 2);
    }

    #[test]
    fn the_total_is_bounded() {
        let mut variables = Variables::new(&World);
        let faults: usize = (0..200).map(|_| variables.fill("${BIG}").faults.len()).sum();
        assert_eq!(faults, 200 - TOTAL_BYTES_MAX / VALUE_BYTES_MAX);
    }
}
