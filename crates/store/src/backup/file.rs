//! The file: JSON Lines, plain or in gzip.
//!
//! ```text
//! {"syncline_backup":1,"schema":2}
//! {"table":"sync","columns":["approved","approved_at",…]}
//! [null,null,…]                               a row: numbers, texts, {"hex":"…"} for bytes
//! {"sequence":"run","value":17}
//! {"rows":4711,"blake3":"…"}                  over every byte before this line
//! ```

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use syncline_core::value::hex;
use tokio::sync::mpsc;

use super::{Cell, Part, SCHEMA, Summary};
use crate::Error;

/// Version of the format.
const FORMAT: u32 = 1;
/// Longest line that is read. A row holds the fields of one record.
const LINE_MAX: u64 = 64 * 1024 * 1024;

/// Lines that are objects.
#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Header { syncline_backup: u32, schema: u32 },
    Table { table: String, columns: Vec<String> },
    Sequence { sequence: String, value: i64 },
    Footer { rows: u64, blake3: String },
}

/// Runs `work` on the file where it may block, and waits for it.
pub(super) async fn on_a_thread<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, String> + Send + 'static,
) -> Result<T, Error> {
    let (path, file) = (path.to_owned(), path.display().to_string());
    #[expect(clippy::disallowed_methods, reason = "awaited on the next line")]
    let handle = tokio::task::spawn_blocking(move || work(&path));
    match handle.await {
        Ok(outcome) => outcome.map_err(|message| Error::Backup { file, message }),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::Backup { file, message: error.to_string() }),
        },
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Where bytes go, counted and hashed.
struct Out<W> {
    inner: W,
    hash: blake3::Hasher,
}

impl<W: Write> Out<W> {
    fn line(&mut self, line: &impl Serialize) -> Result<(), String> {
        let mut bytes = serde_json::to_vec(line).map_err(words)?;
        bytes.push(b'\n');
        self.hash.update(&bytes);
        self.inner.write_all(&bytes).map_err(words)
    }
}

/// Writes parts as they come, beside the file, which is replaced when all are there and on the disk.
pub(super) fn write(path: &Path, parts: mpsc::Receiver<Part>) -> Result<Summary, String> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let beside = PathBuf::from(beside);
    let written = write_beside(path, &beside, parts);
    if written.is_err() {
        // What cannot be removed was perhaps never made.
        std::fs::remove_file(&beside).ok();
    }
    written
}

fn write_beside(path: &Path, beside: &Path, parts: mpsc::Receiver<Part>) -> Result<Summary, String> {
    let file = create_private(beside).map_err(words)?;
    let (file, rows) = if path.extension().is_some_and(|extension| extension == "gz") {
        let (inner, rows) = write_parts(GzEncoder::new(BufWriter::new(file), Compression::default()), parts)?;
        (inner.finish().map_err(words)?, rows)
    } else {
        write_parts(BufWriter::new(file), parts)?
    };
    let file = file.into_inner().map_err(words)?;
    file.sync_all().map_err(words)?;
    let bytes = file.metadata().map_err(words)?.len();
    std::fs::rename(beside, path).map_err(words)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(words)?;
    }
    Ok(Summary { rows, bytes })
}

/// A file that only its owner reads: it holds what the records hold.
fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_parts<W: Write>(inner: W, mut parts: mpsc::Receiver<Part>) -> Result<(W, u64), String> {
    let mut out = Out { inner, hash: blake3::Hasher::new() };
    out.line(&Line::Header { syncline_backup: FORMAT, schema: SCHEMA })?;
    let mut count = 0;
    loop {
        match parts.blocking_recv() {
            Some(Part::Table { name: table, columns }) => out.line(&Line::Table { table, columns })?,
            Some(Part::Rows(rows)) => {
                for row in &rows {
                    out.line(&row.iter().map(to_json).collect::<Vec<_>>())?;
                }
                count += rows.len() as u64;
            }
            Some(Part::Sequence { table: sequence, value }) => {
                out.line(&Line::Sequence { sequence, value })?;
            }
            Some(Part::End) => break,
            None => return Err("the store could not be read to its end".to_owned()),
        }
    }
    let blake3 = out.hash.finalize().to_hex().to_string();
    out.line(&Line::Footer { rows: count, blake3 })?;
    out.inner.flush().map_err(words)?;
    Ok((out.inner, count))
}

fn to_json(cell: &Cell) -> serde_json::Value {
    match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Int(number) => (*number).into(),
        Cell::Text(text) => text.clone().into(),
        Cell::Bytes(bytes) => serde_json::json!({ "hex": hex(bytes) }),
    }
}

fn from_json(value: serde_json::Value) -> Option<Cell> {
    Some(match value {
        serde_json::Value::Null => Cell::Null,
        serde_json::Value::Number(number) => Cell::Int(number.as_i64()?),
        serde_json::Value::String(text) => Cell::Text(text),
        serde_json::Value::Object(object) => Cell::Bytes(unhex(object.get("hex")?.as_str()?)?),
        _ => return None,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// Reads a file to its end and gives its parts to `take`, which says whether to go on. The last one is only given when every
/// byte before it is as it was written.
pub(super) fn read(path: &Path, take: impl FnMut(Part) -> bool) -> Result<Summary, String> {
    let file = File::open(path).map_err(words)?;
    let bytes = file.metadata().map_err(words)?.len();
    let mut file = BufReader::new(file);
    let rows = if file.fill_buf().map_err(words)?.starts_with(&[0x1f, 0x8b]) {
        read_parts(BufReader::new(MultiGzDecoder::new(file)), take)?
    } else {
        read_parts(file, take)?
    };
    Ok(Summary { rows, bytes })
}

fn read_parts(mut file: impl BufRead, mut take: impl FnMut(Part) -> bool) -> Result<u64, String> {
    let mut hash = blake3::Hasher::new();
    let mut next = |hash: &mut blake3::Hasher, last: bool| -> Result<Option<Vec<u8>>, String> {
        let mut line = Vec::new();
        let read = file
            .by_ref()
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)
            .map_err(|_| damaged("it cannot be read on"))?;
        if read == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            return Err(damaged("it ends in the middle of a line"));
        }
        if last {
            return Err(damaged("something follows its end"));
        }
        hash.update(&line);
        Ok(Some(line))
    };
    let first = next(&mut hash, false)?.ok_or_else(|| "it is empty".to_owned())?;
    match serde_json::from_slice(&first) {
        Ok(Line::Header { syncline_backup: FORMAT, schema }) if schema <= SCHEMA => {}
        Ok(Line::Header { .. }) => return Err("it was written by a newer version of Syncline".to_owned()),
        _ => return Err("it is not a backup of Syncline's store".to_owned()),
    }
    let (mut count, mut page, mut width) = (0, Vec::new(), 0);
    let mut so_far = hash.finalize();
    while let Some(line) = next(&mut hash, false)? {
        if line.first() == Some(&b'[') {
            let row: Vec<serde_json::Value> =
                serde_json::from_slice(&line).map_err(|_| damaged("a row is not JSON"))?;
            let row = row.into_iter().map(from_json).collect::<Option<Vec<_>>>();
            let row = row.filter(|row| row.len() == width);
            page.push(row.ok_or_else(|| damaged("a row does not fit its table"))?);
            count += 1;
            if page.len() == super::PAGE && !take(Part::Rows(std::mem::take(&mut page))) {
                return Ok(count);
            }
        } else {
            if !page.is_empty() && !take(Part::Rows(std::mem::take(&mut page))) {
                return Ok(count);
            }
            let part = match serde_json::from_slice(&line) {
                Ok(Line::Table { table: name, columns }) => {
                    width = columns.len();
                    Part::Table { name, columns }
                }
                Ok(Line::Sequence { sequence: table, value }) => Part::Sequence { table, value },
                Ok(Line::Footer { rows, blake3 }) => {
                    if rows != count || blake3 != so_far.to_hex().as_str() {
                        return Err(damaged("its checksum is another one"));
                    }
                    next(&mut hash, true)?;
                    take(Part::End);
                    return Ok(count);
                }
                Ok(Line::Header { .. }) | Err(_) => return Err(damaged("a line is none of ours")),
            };
            if !take(part) {
                return Ok(count);
            }
        }
        so_far = hash.finalize();
    }
    Err(damaged("its end is missing"))
}

fn damaged(how: &str) -> String {
    format!("the file is damaged: {how}; nothing was restored")
}
