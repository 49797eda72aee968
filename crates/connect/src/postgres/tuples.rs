//! The binary COPY format: a signature, tuples, an end mark. Both ways, without decoding what need not be decoded.
//!
//! <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.55.9.4>

use bytes::{BufMut, Bytes, BytesMut};
use futures::TryStreamExt;
use tokio_postgres::CopyOutStream;

use super::error;
use crate::{Error, error::Kind};

/// Signature, flags, length of the extension: what a COPY begins with.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with: a tuple of -1 fields.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];

/// Bytes handed on at once: large enough that the way costs little, small enough that a few of them are nothing.
pub(super) const CHUNK_BYTES: usize = 128 << 10;

/// Longest tuple; PostgreSQL's own limit of a row's parts is below it.
const TUPLE_BYTES_MAX: usize = 1 << 30;

fn broken(what: &str) -> Error {
    Error::new(Kind::Protocol, format!("the server's COPY data is broken: {what}"))
}

/// Tuples as they come from a `COPY … TO STDOUT (FORMAT binary)`.
pub(super) struct Tuples {
    stream: std::pin::Pin<Box<CopyOutStream>>,
    /// Bytes of a tuple that is not whole yet.
    carry: BytesMut,
    started: bool,
    ended: bool,
}

impl Tuples {
    pub(super) fn new(stream: CopyOutStream) -> Self {
        Self { stream: Box::pin(stream), carry: BytesMut::new(), started: false, ended: false }
    }

    /// The next piece: whole tuples, at least one, and how many; `None` at the end mark.
    ///
    /// The server sends a message per row, but does not promise it: what is not whole is kept for the next message.
    pub(super) async fn next(&mut self) -> Result<Option<(Bytes, u64)>, Error> {
        loop {
            let Some(message) = self.stream.try_next().await.map_err(|e| error::of(&e))? else {
                // the end is said, never inferred
                return if self.ended { Ok(None) } else { Err(broken("it ended before its end mark")) };
            };
            let mut data = if self.carry.is_empty() {
                message
            } else {
                self.carry.extend_from_slice(&message);
                std::mem::take(&mut self.carry).freeze()
            };
            if !self.started {
                match header_length(&data)? {
                    Some(length) => drop(data.split_to(length)),
                    None => {
                        self.carry.extend_from_slice(&data);
                        continue;
                    }
                }
                self.started = true;
            }
            let (whole, count) = self.whole(&data)?;
            let rest = data.split_off(whole);
            if rest.len() > TUPLE_BYTES_MAX {
                return Err(broken("a tuple without an end"));
            }
            if !self.ended {
                self.carry.extend_from_slice(&rest);
            }
            if !data.is_empty() {
                return Ok(Some((data, count)));
            }
        }
    }

    /// How many bytes from the beginning are whole tuples, and how many those are.
    fn whole(&mut self, data: &[u8]) -> Result<(usize, u64), Error> {
        let (mut at, mut count) = (0, 0);
        loop {
            let rest = &data[at..];
            if rest.starts_with(TRAILER) {
                self.ended = true;
                return Ok((at, count));
            }
            match tuple_length(rest)? {
                Some(length) => {
                    at += length;
                    count += 1;
                }
                None => return Ok((at, count)),
            }
        }
    }
}

fn header_length(data: &[u8]) -> Result<Option<usize>, Error> {
    let Some((head, rest)) = data.split_at_checked(15) else { return Ok(None) };
    if !head.starts_with(b"PGCOPY\n\xff\r\n\0") {
        return Err(broken("another format"));
    }
    let Some((extension, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let extension =
        usize::try_from(i32::from_be_bytes(*extension)).map_err(|_| broken("a length below zero"))?;
    Ok((rest.len() >= extension).then_some(19 + extension))
}

/// The length of the tuple that `data` begins with; `None`: it is not whole.
pub(super) fn tuple_length(data: &[u8]) -> Result<Option<usize>, Error> {
    let Some((count, _)) = data.split_first_chunk::<2>() else { return Ok(None) };
    let count = i16::from_be_bytes(*count);
    let mut at = 2;
    for _ in 0..count {
        let Some(size) = data.get(at..at + 4).and_then(|b| b.first_chunk::<4>()) else { return Ok(None) };
        at += 4;
        // -1: null
        if let Ok(size) = usize::try_from(i32::from_be_bytes(*size)) {
            at += size;
        }
        if at > data.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}

/// The fields of a whole tuple, each without its length; `None`: null.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    left: i16,
}

impl<'a> Fields<'a> {
    /// Of the tuple that `data` begins with.
    pub(super) fn of(data: &'a [u8]) -> Self {
        let (count, rest) =
            data.split_first_chunk::<2>().map_or((0, data), |(c, r)| (i16::from_be_bytes(*c), r));
        Self { rest, left: count }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let (size, rest) = self.rest.split_first_chunk::<4>()?;
        let Ok(size) = usize::try_from(i32::from_be_bytes(*size)) else {
            self.rest = rest;
            return Some(None);
        };
        let (field, rest) = rest.split_at_checked(size)?;
        self.rest = rest;
        Some(Some(field))
    }
}

/// Appends one field: its length and what `write` appends.
///
/// # Errors
/// Those of `write`; the field is then cut off again.
pub(super) fn put_field<E>(
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
) -> Result<(), E> {
    let at = out.len();
    out.put_i32(0);
    if let Err(error) = write(out) {
        out.truncate(at);
        return Err(error);
    }
    let size = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
    out[at..at + 4].copy_from_slice(&size.to_be_bytes());
    Ok(())
}

/// Appends a null.
pub(super) fn put_null(out: &mut BytesMut) {
    out.put_i32(-1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(fields: &[Option<&[u8]>]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_i16(i16::try_from(fields.len()).unwrap());
        for field in fields {
            match field {
                Some(bytes) => put_field(&mut out, |o| {
                    o.extend_from_slice(bytes);
                    Ok::<_, ()>(())
                })
                .unwrap(),
                None => put_null(&mut out),
            }
        }
        out
    }

    #[test]
    fn tuples_are_measured_and_read_back() {
        let fields: [Option<&[u8]>; 3] = [Some(b"ab"), None, Some(b"")];
        let data = tuple(&fields);
        assert_eq!(tuple_length(&data).unwrap(), Some(16));
        assert_eq!(Fields::of(&data).collect::<Vec<_>>(), fields);
        for cut in 0..data.len() {
            assert_eq!(tuple_length(&data[..cut]).unwrap(), None, "cut at {cut}");
        }
    }

    #[test]
    fn headers_are_measured() {
        assert_eq!(header_length(HEADER).unwrap(), Some(19));
        assert_eq!(header_length(&HEADER[..18]).unwrap(), None);
        assert!(header_length(b"1\t2\t3 and more of it").is_err());
    }
}
