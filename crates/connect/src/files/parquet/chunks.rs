//! Ranges of a Parquet file for the library that decodes it, with the blocks of small reads kept.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use super::super::store::{Entry, Store};
use crate::Error;

/// Bytes of a block …
const BLOCK: u64 = 256 << 10;
/// … and how many are kept: every column is read at a place of its own.
const KEPT: usize = 64;

/// A file, and what was read of it lately. Clones share both.
#[derive(Clone)]
pub(super) struct Chunks(Arc<Inner>);

struct Inner {
    store: Store,
    entry: Entry,
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
    failure: Mutex<Option<Error>>,
}

impl Chunks {
    pub(super) fn new(store: Store, entry: Entry) -> Self {
        let (blocks, failure) = (Mutex::new(VecDeque::new()), Mutex::new(None));
        Self(Arc::new(Inner { store, entry, blocks, failure }))
    }

    /// What went wrong while reading, which the library only passes on as text.
    pub(super) fn failure(&self) -> Option<Error> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn range(&self, start: u64, end: u64) -> io::Result<Bytes> {
        self.0.store.range(&self.0.entry, start..end).map_err(|error| {
            *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            io::Error::other("the file cannot be read")
        })
    }

    /// The block in which a byte lies.
    fn block(&self, at: u64) -> io::Result<(u64, Bytes)> {
        let start = at - at % BLOCK;
        {
            let mut blocks = self.0.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = blocks.iter().position(|(s, _)| *s == start)
                && let Some(block) = blocks.remove(found)
            {
                blocks.push_back(block.clone());
                return Ok(block);
            }
        }
        let bytes = self.range(start, start + BLOCK)?;
        let mut blocks = self.0.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.len() == KEPT {
            blocks.pop_front();
        }
        blocks.push_back((start, bytes.clone()));
        Ok((start, bytes))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.entry.size()
    }
}

impl ChunkReader for Chunks {
    type T = From;

    fn get_read(&self, start: u64) -> Result<From, ParquetError> {
        Ok(From { chunks: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(length as u64);
        if end > self.len() {
            return Err(ParquetError::EOF("a range behind the end of the file".into()));
        }
        let (first, block) = self.block(start)?;
        let inside = usize::try_from(start - first).unwrap_or(usize::MAX);
        match inside.checked_add(length).filter(|end| *end <= block.len()) {
            Some(end) => Ok(block.slice(inside..end)),
            None => Ok(self.range(start, end)?),
        }
    }
}

/// A file from a place on.
pub(super) struct From {
    chunks: Chunks,
    at: u64,
}

impl io::Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.chunks.len() || into.is_empty() {
            return Ok(0);
        }
        let (start, block) = self.chunks.block(self.at)?;
        let rest =
            usize::try_from(self.at - start).ok().and_then(|from| block.get(from..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count as u64;
        Ok(count)
    }
}
