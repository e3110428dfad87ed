//! All events that a query selects, as a stream of rows for a table.
//!
//! The stream reads a block of rows from the database, hands them out one by one, and reads the next block meanwhile. It
//! reads no block beyond that one, so the reader of the rows decides when the database works. Between two blocks, the
//! stream holds neither a connection nor a transaction of the database, and its memory does not grow with the number of
//! rows.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::future::{MaybeDone, maybe_done};

use crate::entry::{EntryRef, Key};
use crate::index::{Block, BlockLimit, BlockSize, Index};
use crate::revision::{Revision, Revisions};
use crate::table::{CellWriter, Record};
use crate::timestamp::{TimestampWriter, UtcText};
use crate::{Error, Query};

/// The number of rows that a stream reads first from the database. The number is low, so that the first rows arrive
/// soon.
const FIRST_ROWS: usize = 100;

/// The maximum number of rows that a stream reads at once from the database.
const MAX_ROWS: usize = 4_000;

/// The memory at which a block ends, in bytes. A stream has at most two blocks.
const BLOCK_BYTES: usize = 100 << 10;

/// An event as a row of a table, with its time in UTC as text.
#[derive(Debug, Clone)]
pub struct Row {
    block: Arc<Block>,
    index: usize,
    at: UtcText,
}

impl Row {
    /// Returns the event.
    pub fn entry(&self) -> EntryRef<'_> {
        self.block.get(self.index)
    }

    /// Returns the event's time in RFC 3339.
    pub fn at(&self) -> &str {
        self.at.as_str()
    }
}

impl Record for Row {
    const COLUMNS: &'static [&'static str] = &["id", "at", "kind", "camera", "text", "count"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        let EntryRef { id, kind, camera, text, count, .. } = self.entry();
        cells.integer(id);
        cells.text(self.at());
        cells.text(kind.as_str());
        for text in [camera, text] {
            match text {
                Some(text) => cells.text(text),
                None => cells.null(),
            }
        }
        match count {
            Some(count) => cells.integer(count),
            None => cells.null(),
        }
    }
}

/// A block, and the revision of the order of events at which it was read. All blocks of a table must have one revision;
/// otherwise the table could miss rows.
type BlockRead = Result<(Revision, Block), Error>;

type BlockReading = Pin<Box<dyn Future<Output = BlockRead> + Send>>;

/// All events that a query selects, as a stream of rows. If not all events could be read, the stream ends with an error.
pub struct Rows {
    index: Index,
    query: Query,
    timestamp_writer: TimestampWriter,
    /// The block whose rows are being taken, and the number of its rows that were taken.
    block: Option<(Arc<Block>, usize)>,
    /// The reading of the next block; `None` if no more rows follow. It begins when it is first polled.
    reading: Option<Pin<Box<MaybeDone<BlockReading>>>>,
    /// The maximum number of rows of the next block.
    rows: usize,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("query", &self.query).finish_non_exhaustive()
    }
}

impl Rows {
    pub(crate) fn new(index: Index, revisions: Revisions, query: Query) -> Self {
        let timestamp_writer = TimestampWriter::utc();
        let mut rows = Self { index, query, timestamp_writer, block: None, reading: None, rows: FIRST_ROWS };
        // A table that begins while times are being corrected waits until the correction is complete.
        rows.read(None, async move { revisions.current().await });
        rows
    }

    /// Prepares the reading of the next block.
    fn read(
        &mut self,
        after: Option<Key>,
        revision: impl Future<Output = Revision> + Send + 'static,
    ) -> &mut Pin<Box<MaybeDone<BlockReading>>> {
        let (index, query) = (self.index.clone(), self.query.clone());
        let limit = BlockLimit { rows: self.rows, size: BlockSize::Rows(BLOCK_BYTES) };
        let reading: BlockReading = Box::pin(async move {
            let revision = revision.await;
            let block = index.read(&query, after, limit).await?;
            revision.check()?;
            Ok((revision, block))
        });
        self.reading.insert(Box::pin(maybe_done(reading)))
    }

    /// Returns the next row of the current block; `None` if all are taken.
    fn take(&mut self) -> Option<Row> {
        let (block, taken) = self.block.as_mut()?;
        if *taken == block.len() {
            self.block = None;
            return None;
        }
        let (block, index) = (Arc::clone(block), *taken);
        *taken += 1;
        let at = self.timestamp_writer.utc_text(block.get(index).at_ms);
        Some(Row { block, index, at })
    }

    /// Begins to hand out the rows of `block`, and to read the next block.
    fn begin(&mut self, block: Block, revision: Revision, context: &mut Context<'_>) {
        if let Some(after) = block.next() {
            // The rows of the next block are probably as long as those of this one. No block has more than four times as
            // many rows as the block before.
            let wanted = block.len().saturating_mul(BLOCK_BYTES) / block.bytes().max(1);
            self.rows = wanted.clamp(FIRST_ROWS, self.rows * 4).min(MAX_ROWS);
            let reading = self.read(Some(after), std::future::ready(revision));
            // The database reads the next block while the reader takes the rows of this one.
            _ = reading.as_mut().poll(context);
        }
        self.block = Some((Arc::new(block), 0));
    }
}

impl Stream for Rows {
    type Item = Result<Row, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(row) = this.take() {
                return Poll::Ready(Some(Ok(row)));
            }
            let Some(reading) = &mut this.reading else { return Poll::Ready(None) };
            ready!(reading.as_mut().poll(context));
            let read = reading.as_mut().take_output();
            this.reading = None;
            match read {
                Some(Ok((revision, block))) => this.begin(block, revision, context),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
