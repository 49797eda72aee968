//! The options of a `files` connection.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde_json::Value as Json;
use syncline_core::{
    connection::{
        Connection, ConnectorSpec,
        OptionKind::{self, Boolean, Secret, Text},
        OptionSpec,
    },
    sync::Write,
};
use url::Url;

use super::{error, find::Format};
use crate::{Error, error::Kind};

const fn option(name: &'static str, kind: OptionKind, help: &'static str) -> OptionSpec {
    OptionSpec { name, kind, required: false, choices: &[], help }
}

/// What the connector is and takes.
pub(super) const SPEC: ConnectorSpec = ConnectorSpec {
    name: "files",
    source: true,
    destination: true,
    loads: true,
    writes: &[Write::Append, Write::Replace],
    options: &[
        option("path", Text, "The directory; relative to the project file. Give this or url."),
        option(
            "url",
            Text,
            "A place in an object store: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix; or file:///directory.",
        ),
        OptionSpec {
            choices: &["csv", "jsonl", "parquet"],
            ..option("format", Text, "Format of the files; default: by the ending of their names.")
        },
        option("delimiter", Text, "CSV: the character between cells; default: a comma."),
        option("header", Boolean, "CSV: whether the first line has the names of the columns; default: true."),
        option("null", Text, "CSV: unquoted text that means null; default: nothing between two delimiters."),
        OptionSpec {
            choices: &["utf-8"],
            ..option("encoding", Text, "Encoding of texts; utf-8 is the only one.")
        },
        option("region", Text, "S3: region of the bucket."),
        option("endpoint", Text, "Address of a service that is compatible with that of the url."),
        option("access_key_id", Secret, "S3: id of the access key."),
        option("secret_access_key", Secret, "S3: the access key."),
        option("session_token", Secret, "S3: token of a temporary access key."),
        option("account", Text, "Azure: name of the storage account."),
        option("key", Secret, "Azure: key of the storage account."),
        option("service_account", Secret, "Google: the JSON key of a service account."),
    ],
    help: "CSV, JSON Lines and Parquet files of a directory or an object store.",
};

/// A connection's options, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) place: Place,
    pub(super) format: Option<Format>,
    pub(super) csv: Csv,
}

/// How CSV files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Csv {
    /// Between cells.
    pub(super) delimiter: u8,
    /// Whether the first record holds the names of the columns.
    pub(super) header: bool,
    /// Unquoted text that means null.
    pub(super) null: String,
}

/// Where the files lie.
#[derive(Debug)]
pub(super) enum Place {
    Directory(PathBuf),
    Bucket(Box<Bucket>),
}

/// An object store, and what it wants to know.
#[derive(Debug)]
#[cfg_attr(not(feature = "object-stores"), expect(dead_code, reason = "used by the object stores"))]
pub(super) struct Bucket {
    pub(super) url: Url,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<Url>,
    pub(super) access_key_id: Option<SecretString>,
    pub(super) secret_access_key: Option<SecretString>,
    pub(super) session_token: Option<SecretString>,
    pub(super) account: Option<String>,
    pub(super) key: Option<SecretString>,
    pub(super) service_account: Option<SecretString>,
}

impl Settings {
    /// Reads the options; a relative path is relative to `directory`.
    ///
    /// # Errors
    /// [`Kind::Definition`], naming the option.
    pub(super) fn of(connection: &Connection, directory: &Path) -> Result<Self, Error> {
        Self::read(&connection.options, directory).map_err(|e| error::at(e, connection))
    }

    fn read(options: &Json, directory: &Path) -> Result<Self, Error> {
        let place = match (text(options, "path"), text(options, "url")) {
            (Some(path), None) => Place::Directory(directory.join(path)),
            (None, Some(url)) => place(options, &url)?,
            (None, None) => return Err(wrong("path is missing").hint("give path, or url")),
            (Some(_), Some(_)) => return Err(wrong("both path and url are given").hint("give one of them")),
        };
        let format = match text(options, "format") {
            None => None,
            Some(name) => {
                Some(Format::named(&name).ok_or_else(|| wrong("format is none of csv, jsonl and parquet"))?)
            }
        };
        if text(options, "encoding").is_some_and(|e| !e.eq_ignore_ascii_case("utf-8")) {
            return Err(wrong("encoding: utf-8 is the only one"));
        }
        let csv = Csv {
            delimiter: delimiter(options)?,
            header: options.get("header").and_then(Json::as_bool).unwrap_or(true),
            null: options.get("null").and_then(Json::as_str).unwrap_or_default().to_owned(),
        };
        Ok(Self { place, format, csv })
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Kind::Definition, message)
}

fn text(options: &Json, name: &str) -> Option<String> {
    options.get(name).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn delimiter(options: &Json) -> Result<u8, Error> {
    let Some(given) = text(options, "delimiter") else { return Ok(b',') };
    match given.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(*byte),
        _ => Err(wrong("delimiter: one ASCII character that is neither a quote nor the end of a line")),
    }
}

fn place(options: &Json, url: &str) -> Result<Place, Error> {
    // its own words would quote the address
    let url = Url::parse(url).map_err(|_| wrong("url is no address"))?;
    if url.scheme() == "file" {
        let path = url.to_file_path().map_err(|()| wrong("url names no local directory"))?;
        return Ok(Place::Directory(path));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("url holds a credential").hint("give it as options of its own"));
    }
    let secret = |name: &str| text(options, name).map(SecretString::from);
    let endpoint = text(options, "endpoint").map(|endpoint| address(&endpoint)).transpose()?;
    Ok(Place::Bucket(Box::new(Bucket {
        url,
        region: text(options, "region"),
        endpoint,
        access_key_id: secret("access_key_id"),
        secret_access_key: secret("secret_access_key"),
        session_token: secret("session_token"),
        account: text(options, "account"),
        key: secret("key"),
        service_account: secret("service_account"),
    })))
}

/// Credentials go there: over TLS, except on this machine.
fn address(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|_| wrong("endpoint is no address"))?;
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        _ => Err(wrong("endpoint: only https, or http to this machine")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(options: &Json) -> Result<Settings, String> {
        Settings::read(options, Path::new("/project")).map_err(|e| e.message)
    }

    #[test]
    fn a_place_is_a_directory_or_a_bucket() {
        let directory = |options| match read(&options).map(|s| s.place) {
            Ok(Place::Directory(path)) => path.display().to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(directory(json!({ "path": "exports" })), "/project/exports");
        assert_eq!(directory(json!({ "url": "file:///data" })), "/data");
        let bucket = read(&json!({ "url": "s3://bucket/a/b", "endpoint": "http://127.0.0.1:9000" }));
        assert!(matches!(bucket.map(|s| s.place), Ok(Place::Bucket(_))));
    }

    #[test]
    fn what_is_wrong_is_named_without_its_value() {
        for (options, expected) in [
            (json!({}), "path is missing"),
            (json!({ "path": "a", "url": "s3://b" }), "both path and url are given"),
            (json!({ "path": "a", "format": "xml" }), "format is none of csv, jsonl and parquet"),
            (json!({ "path": "a", "encoding": "latin1" }), "encoding: utf-8 is the only one"),
            (json!({ "url": "hunter2" }), "url is no address"),
            (json!({ "url": "s3://me:hunter2@bucket/" }), "url holds a credential"),
            (
                json!({ "url": "s3://b", "endpoint": "http://example.com" }),
                "endpoint: only https, or http to this machine",
            ),
        ] {
            assert_eq!(read(&options).err().as_deref(), Some(expected), "{options}");
        }
        for delimiter in ["", "\"", "ab", "ü", "\n"] {
            let refused = read(&json!({ "path": "a", "delimiter": delimiter })).is_err();
            assert_eq!(refused, !delimiter.is_empty(), "{delimiter:?}");
        }
    }
}
