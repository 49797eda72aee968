//! A text file from front to back, in blocks.

use bytes::{Buf, Bytes};

use super::{
    error,
    store::{Entry, Store},
};
use crate::Error;

/// The first block, enough for a header; each further one is four times as large …
const FIRST: u64 = 64 << 10;
/// … up to this: one request for each.
const BLOCK: u64 = 4 << 20;

/// A file that is read. Holds one block.
#[derive(Debug)]
pub(super) struct Blocks {
    store: Store,
    entry: Entry,
    next: u64,
    size: u64,
    block: Bytes,
}

impl Blocks {
    pub(super) fn open(store: Store, entry: Entry) -> Self {
        Self { store, entry, next: 0, size: FIRST, block: Bytes::new() }
    }

    /// The file's name.
    pub(super) fn name(&self) -> &str {
        &self.entry.name
    }

    /// What has not been used of the block in hand, or else the next block; empty at the end of the file. A byte order mark
    /// at the beginning is left out.
    ///
    /// # Errors
    /// Also when the file is UTF-16, or changed.
    pub(super) fn fill(&mut self) -> Result<&[u8], Error> {
        if self.block.is_empty() && self.next < self.entry.size() {
            let end = self.next + self.size;
            let mut block = self.store.range(&self.entry, self.next..end)?;
            if self.next == 0 {
                match block.as_ref() {
                    [0xef, 0xbb, 0xbf, ..] => block.advance(3),
                    [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                        let error =
                            error::malformed(&self.entry.name, "it is UTF-16, and only UTF-8 is read");
                        return Err(error.hint("save it as UTF-8"));
                    }
                    _ => {}
                }
            }
            self.next = end;
            self.size = (self.size * 4).min(BLOCK);
            self.block = block;
            // a file of a mark alone
            if self.block.is_empty() {
                return self.fill();
            }
        }
        Ok(&self.block)
    }

    /// Marks bytes of the block as used.
    pub(super) fn used(&mut self, bytes: usize) {
        self.block.advance(bytes);
    }
}
