//! The loop that feeds parsers with damaged input, shared by the crates (see `docs/fuzzing.md`).
//!
//! Every file of a stored corpus goes in as it is, then as many damaged ones as `SYNCLINE_FUZZ` says. An input depends on
//! the seed and its own number only, so that one number repeats it. The parser runs on the stack of an ordinary thread, and
//! a watcher names the input that hangs.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use fastrand::Rng;

/// Inputs of each parser unless `SYNCLINE_FUZZ` says otherwise: some seconds in all, unoptimised.
const ITERATIONS: u64 = 3_000;

/// Seed unless `SYNCLINE_FUZZ_SEED` says otherwise.
const SEED: u64 = 20_260_131;

/// Stack of a thread unless its maker asks for more; tokio's workers have the same.
const STACK: usize = 2 << 20;

/// Longest input that damage makes.
const BYTES_MAX: usize = 64 << 10;

/// A watcher looks this often; an input on which nothing happened in between hangs. Only ever waited for in full by a loop
/// that takes longer.
const HANGS: Duration = Duration::from_secs(120);

/// Texts that are special in more than one format.
const TOKENS: &[&str] = &[
    "",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\0",
    "'",
    "\"",
    "\\",
    "/",
    ",",
    ":",
    ": ",
    ";",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1e999",
    "-1e-999",
    "1e20000",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "0.1",
    "NaN",
    "Infinity",
    "é",
    "e\u{301}",
    "🙂",
    "\u{feff}",
    "\u{202e}",
    "\u{2028}",
    "\u{85}",
    "${",
    "%s",
    "%2f",
    "../",
    "\\u0000",
    "\\ud800",
];

/// Pairs that nest.
const PAIRS: &[(&str, &str)] = &[
    ("[", "]"),
    ("(", ")"),
    ("{\"a\":", "}"),
    ("{a: ", "}"),
    ("\"", "\""),
    ("'", "'"),
    ("- ", ""),
    ("-", ""),
    ("!", ""),
];

/// Reads the corpus `name` of this crate and feeds `check` with it and with what damage makes of it. `check` panics when a
/// law is broken.
pub(crate) fn run(name: &str, seeds: &[&str], dictionary: &[&str], check: impl Fn(&[u8]) + Send + 'static) {
    let (iterations, seed) =
        (from_environment("SYNCLINE_FUZZ", ITERATIONS), from_environment("SYNCLINE_FUZZ_SEED", SEED));
    println!("{name}: {iterations} inputs from SYNCLINE_FUZZ_SEED={seed}");
    let mut corpus = corpus(name);
    corpus.extend(seeds.iter().map(|text| text.as_bytes().to_vec()));
    let words: Vec<String> = TOKENS.iter().chain(dictionary).map(|word| (*word).to_owned()).collect();
    let current = Arc::new(Mutex::new((0, Vec::new())));
    let (done, finished) = mpsc::sync_channel(1);
    let shared = Arc::clone(&current);
    let work = move || {
        for number in 0..iterations + corpus.len() as u64 {
            let input = match corpus.get(number as usize) {
                Some(file) => file.clone(),
                None => damaged(
                    &corpus,
                    &words,
                    &mut Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                ),
            };
            *shared.lock().expect("nobody panics with it") = (number, input.clone());
            if let Err(why) = catch_unwind(AssertUnwindSafe(|| check(&input))) {
                done.send(Some(reason(&*why))).expect("the watcher waits");
                return;
            }
        }
        done.send(None).expect("the watcher waits");
    };
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(work).expect("a thread can be had");
    let mut last = None;
    let outcome = loop {
        match finished.recv_timeout(HANGS) {
            Ok(outcome) => break outcome,
            Err(_) if last == Some(current.lock().expect("nobody panics with it").0) => {
                break Some("hangs".to_owned());
            }
            Err(_) => last = Some(current.lock().expect("nobody panics with it").0),
        }
    };
    if let Some(why) = outcome {
        let (number, input) = current.lock().expect("nobody panics with it").clone();
        let kept = keep(name, number, &input);
        panic!("{name}: input {number} of seed {seed}: {why}\n{}\nkept as {}", shown(&input), kept.display());
    }
    worker.join().expect("it has told its outcome");
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long to go on is the caller's word, and no test runner passes it on"
)]
fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// The stored files, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|why| panic!("{}: {why}", folder.display()))
        .map(|entry| entry.expect("a folder can be listed").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).expect("a stored file can be read")).collect()
}

/// Writes an input that broke a law to where it can be copied into the corpus from.
fn keep(name: &str, number: u64, input: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz").join(name);
    std::fs::create_dir_all(&folder).expect("the build folder can be written");
    let file = folder.join(format!("{number}.txt"));
    std::fs::write(&file, input).expect("the build folder can be written");
    file
}

fn reason(why: &(dyn Any + Send)) -> String {
    let text = why.downcast_ref::<String>().cloned();
    text.or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panics".to_owned())
}

fn shown(input: &[u8]) -> String {
    String::from_utf8_lossy(input).chars().take(600).flat_map(char::escape_debug).collect()
}

/// One input: a file of the corpus with one to eight damages.
fn damaged(corpus: &[Vec<u8>], words: &[String], random: &mut Rng) -> Vec<u8> {
    let mut bytes = corpus[random.usize(..corpus.len())].clone();
    let other = &corpus[random.usize(..corpus.len())];
    for _ in 0..random.usize(1..=8) {
        damage(&mut bytes, other, words, random);
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], words: &[String], random: &mut Rng) {
    let at = random.usize(..=bytes.len());
    let until = (at + random.usize(..24)).min(bytes.len());
    let word = words[random.usize(..words.len())].as_bytes();
    match random.u8(..14) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        1 if at < bytes.len() => bytes[at] = random.u8(..),
        2 => drop(bytes.drain(at..until)),
        3 => bytes.truncate(at),
        4 => put(bytes, at, &bytes[at..until].repeat(random.usize(1..40))),
        5 => put(bytes, at, &word.repeat(if random.u8(..20) == 0 { random.usize(1..3_000) } else { 1 })),
        6 | 7 => drop(bytes.splice(at..until, word.iter().copied())),
        8 => put(bytes, at, chunk(other, random)),
        9 => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[random.usize(..=other.len())..]);
        }
        10 => nest(bytes, at, until, random),
        11 => number(bytes, words, random),
        12 => lines(bytes, random),
        _ => put(bytes, at, &[0xff, 0xc3, 0x28, 0xed, 0xa0, 0x80][..random.usize(1..=6)]),
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    let more = more.to_vec();
    drop(bytes.splice(at..at, more));
}

fn chunk<'o>(other: &'o [u8], random: &mut Rng) -> &'o [u8] {
    let start = random.usize(..=other.len());
    &other[start..(start + random.usize(..200)).min(other.len())]
}

/// Puts a part into brackets, some or very many times.
fn nest(bytes: &mut Vec<u8>, at: usize, until: usize, random: &mut Rng) {
    let (open, close) = PAIRS[random.usize(..PAIRS.len())];
    let levels = if random.u8(..8) == 0 { random.usize(1..4_000) } else { random.usize(1..5) };
    put(bytes, until, &close.as_bytes().repeat(levels));
    put(bytes, at, &open.as_bytes().repeat(levels));
}

/// Puts another word in the place of a number.
fn number(bytes: &mut Vec<u8>, words: &[String], random: &mut Rng) {
    let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
    if digits.is_empty() {
        return;
    }
    let start = digits[random.usize(..digits.len())];
    let end = (start..bytes.len()).find(|at| !bytes[*at].is_ascii_digit()).unwrap_or(bytes.len());
    let word = words[random.usize(..words.len())].as_bytes();
    drop(bytes.splice(start..end, word.iter().copied()));
}

/// Moves a line somewhere else.
fn lines(bytes: &mut Vec<u8>, random: &mut Rng) {
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    if lines.len() > 1 {
        let line = lines.remove(random.usize(..lines.len()));
        lines.insert(random.usize(..=lines.len()), line);
        *bytes = lines.concat();
    }
}
