//! All events that a query selects, as pieces of a table. The export reads a page (some rows) from the
//! database, writes the page into pieces, and reads the next page while the client takes the last piece.
//!
//! Between two pages, the export holds neither a connection nor a transaction of the database. It sizes pages for about
//! 128 KiB of text, so that the memory of a download does not grow with its number of rows.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use crate::entry::{EntryRef, Key};
use crate::index::{EntrySink, Index, PageEnd};
use crate::revision::{Revision, Revisions};
use crate::table::{CellWriter, HtmlPage, Record, Writer};
use crate::timestamp::TimestampWriter;
use crate::{Error, Query};

/// The number of rows that an export reads first from the database. The number is low, so that the first rows arrive
/// soon.
const FIRST_ROWS: usize = 100;

/// The maximum number of rows that an export reads at once from the database (a page).
const MAX_ROWS: usize = 4_000;

/// The intended size of the text that the rows of one page become, in bytes.
const PAGE_BYTES: usize = 128 << 10;

/// An event as a row of a table, with its time in UTC as text.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The event.
    pub entry: EntryRef<'a>,
    /// The event's time in RFC 3339.
    pub at: &'a str,
}

impl Record for Row<'_> {
    const COLUMNS: &'static [&'static str] = &["id", "at", "kind", "camera", "text", "count"];

    fn write_cells<C: CellWriter>(&self, cells: &mut C) {
        let EntryRef { id, kind, camera, text, count, .. } = self.entry;
        cells.integer(id);
        cells.text(self.at);
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

/// Writes the rows of a page into pieces of the table as they are read from the database.
struct PieceSink<P> {
    writer: Writer<P>,
    timestamp_writer: TimestampWriter,
    pieces: VecDeque<Bytes>,
}

impl<P> EntrySink for PieceSink<P>
where
    P: for<'a> HtmlPage<Row<'a>> + Send + 'static,
{
    fn take(&mut self, entry: &EntryRef<'_>) -> ControlFlow<()> {
        self.writer.row(&Row { entry: *entry, at: self.timestamp_writer.text(entry.at_ms) });
        if self.writer.failure().is_some() {
            return ControlFlow::Break(());
        }
        if self.writer.is_full() {
            self.pieces.push_back(self.writer.take());
            // A page ends early if its rows are much longer than those of earlier pages.
            let bytes: usize = self.pieces.iter().map(Bytes::len).sum();
            if bytes > 2 * PAGE_BYTES {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

/// The result of reading one page of rows: the revision of the order of events at which the page was read, the sink
/// that wrote the rows (`None` if its thread was lost), and the end of the page. All pages of a table must have one
/// revision; otherwise the table could miss rows.
type PageRead<P> = (Revision, Option<PieceSink<P>>, Result<PageEnd, Error>);

type PageReading<P> = Pin<Box<dyn Future<Output = PageRead<P>> + Send>>;

/// All events that a query selects, as a stream of pieces of a table. If not all events could be written, the
/// stream ends with an error.
pub struct Export<P> {
    index: Index,
    query: Query,
    ready: VecDeque<Bytes>,
    reading: Option<PageReading<P>>,
    /// The error to return after the last piece; `None` if nothing has failed.
    failed: Option<Error>,
    rows: usize,
}

impl<P> fmt::Debug for Export<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("query", &self.query).finish_non_exhaustive()
    }
}

impl<P> Export<P>
where
    P: for<'a> HtmlPage<Row<'a>> + Send + 'static,
{
    pub(crate) fn new(index: Index, revisions: Revisions, query: Query, mut writer: Writer<P>) -> Self {
        writer.begin::<Row<'_>>();
        let head = writer.take();
        let mut export = Self {
            index,
            query,
            ready: VecDeque::from([head]),
            reading: None,
            failed: None,
            rows: FIRST_ROWS,
        };
        let pieces = PieceSink { writer, timestamp_writer: TimestampWriter::utc(), pieces: VecDeque::new() };
        // An export that begins while times are being corrected waits until the correction is complete.
        export.read(pieces, None, async move { revisions.current().await });
        export
    }

    fn read(
        &mut self,
        pieces: PieceSink<P>,
        after: Option<Key>,
        revision: impl Future<Output = Revision> + Send + 'static,
    ) {
        let (index, query, rows) = (self.index.clone(), self.query.clone(), self.rows);
        self.reading = Some(Box::pin(async move {
            let revision = revision.await;
            let (pieces, page_end) = index.fill(&query, after, rows, pieces).await;
            (revision, pieces, page_end)
        }));
    }

    /// Queues the pieces of a page that was read. Then starts to read the next page, or ends the table.
    fn take(&mut self, read: PageRead<P>) {
        let (revision, pieces, page_end) = read;
        let Some(mut pieces) = pieces else {
            self.fail(Bytes::new(), page_end.err().unwrap_or(Error::Closed));
            return;
        };
        match page_end.and_then(|page_end| revision.check().map(|()| page_end)) {
            Ok(PageEnd { last: Some(last), is_end: false }) if pieces.writer.failure().is_none() => {
                if !pieces.writer.is_empty() {
                    pieces.pieces.push_back(pieces.writer.take());
                }
                self.ready.append(&mut pieces.pieces);
                self.resize_page();
                self.read(pieces, Some(last), std::future::ready(revision));
            }
            Ok(_) => {
                self.ready.append(&mut pieces.pieces);
                let end = pieces.writer.end::<Row<'_>>();
                match pieces.writer.failure() {
                    Some(reason) => self.fail(end, Error::Table { reason: reason.to_owned() }),
                    None => self.ready.push_back(end),
                }
            }
            Err(error) => {
                self.ready.append(&mut pieces.pieces);
                self.fail(pieces.writer.break_off::<Row<'_>>(&error.to_string()), error);
            }
        }
    }

    /// Ends the stream: the client gets the piece `last`, then the stream fails with `error`.
    fn fail(&mut self, last: Bytes, error: Error) {
        self.ready.push_back(last);
        self.failed = Some(error);
    }

    /// Sets the number of rows to read as the next page, from the size in bytes of the previous page.
    fn resize_page(&mut self) {
        let bytes: usize = self.ready.iter().map(Bytes::len).sum();
        let wanted = self.rows.saturating_mul(PAGE_BYTES) / bytes.max(1);
        // The compressed size can be misleading, so no page has more than four times as many rows as the page before.
        self.rows = wanted.clamp(FIRST_ROWS, self.rows * 4).min(MAX_ROWS);
    }
}

impl<P> Stream for Export<P>
where
    P: for<'a> HtmlPage<Row<'a>> + Send + 'static,
{
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(piece) = this.ready.pop_front() {
                // Read the next page while the client takes this piece.
                if this.ready.is_empty() {
                    this.poll_reading(cx);
                }
                if piece.is_empty() {
                    continue;
                }
                return Poll::Ready(Some(Ok(piece)));
            }
            match &mut this.reading {
                Some(reading) => {
                    let read = ready!(reading.as_mut().poll(cx));
                    this.reading = None;
                    this.take(read);
                }
                None => return Poll::Ready(this.failed.take().map(Err)),
            }
        }
    }
}

impl<P> Export<P>
where
    P: for<'a> HtmlPage<Row<'a>> + Send + 'static,
{
    /// Polls the future that reads the next page, and handles the page if it has been read.
    fn poll_reading(&mut self, cx: &mut Context<'_>) {
        let Some(reading) = &mut self.reading else { return };
        if let Poll::Ready(read) = reading.as_mut().poll(cx) {
            self.reading = None;
            self.take(read);
        }
    }
}
