//! A table, made from a stream of records, as a stream of pieces to send.

use std::error::Error;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep};

use super::compression::Compression;
use super::format::TableFormat;
use super::page::HtmlPage;
use super::record::Record;
use super::writer::Writer;

/// The longest time that a written row waits for more rows, to be sent together with them.
pub const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// The error of a table that ended early, because its records could not be read or written. Whoever passes the table on
/// must break it off too, so that no reader considers the table complete.
#[derive(Debug, thiserror::Error)]
#[error("the table broke off after {rows} rows")]
pub struct TruncatedTable {
    /// The number of rows that were written before the failure.
    pub rows: u64,
    /// What failed.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// A table, made from a stream of records, as a stream of pieces to send.
///
/// The first piece has everything before the first row, and is there at once. The next pieces have rows. A piece is
/// complete when it has [`CHUNK_BYTES`](super::CHUNK_BYTES) of text, or when one of its rows has waited for
/// [`FLUSH_AFTER`]. The table asks for records only when it is asked for a piece, and dropping the table drops the
/// stream of records. If that stream fails, the table returns the rows that it already has, and then fails with
/// [`TruncatedTable`]. The table yields to other tasks after each piece. It needs a Tokio runtime for its timer.
pub struct Table<S, P> {
    writer: Writer<P>,
    stage: TableStage<S>,
    /// When the rows that were written but not sent must be sent; `None` if no row has ever had to wait.
    deadline: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// Whether the next poll yields to other tasks first, because it follows a piece.
    is_others_turn: bool,
}

enum TableStage<S> {
    New(Pin<Box<S>>),
    Rows(Pin<Box<S>>),
    /// The table broke off. The error comes after the last piece.
    Broken(TruncatedTable),
    Ended,
}

impl<S, P> Table<S, P> {
    /// Creates a table with one row for each record of the stream `rows`. The stream is not polled before the
    /// table is polled.
    pub fn new(rows: S, writer: Writer<P>) -> Self {
        let stage = TableStage::New(Box::pin(rows));
        Self { writer, stage, deadline: None, is_waiting: false, is_others_turn: false }
    }

    /// Returns the format in which the table is written.
    pub fn format(&self) -> TableFormat {
        self.writer.format()
    }

    /// Returns how the table is compressed.
    pub fn compression(&self) -> Compression {
        self.writer.compression()
    }
}

impl<S, P, R, E> Table<S, P>
where
    S: Stream<Item = Result<R, E>>,
    P: HtmlPage<R>,
    R: Record,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    /// Returns the next piece, which can be empty. Returns `None` at the end of the table.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, TruncatedTable>>> {
        match mem::replace(&mut self.stage, TableStage::Ended) {
            TableStage::New(rows) => {
                self.stage = TableStage::Rows(rows);
                self.writer.begin::<R>();
                Poll::Ready(Some(Ok(self.writer.take())))
            }
            TableStage::Rows(mut rows) => {
                let polled = self.poll_rows(rows.as_mut(), context);
                if let Poll::Ready((_, false)) | Poll::Pending = polled {
                    self.stage = TableStage::Rows(rows);
                }
                polled.map(|(bytes, _)| Some(Ok(bytes)))
            }
            TableStage::Broken(broken) => Poll::Ready(Some(Err(broken))),
            TableStage::Ended => Poll::Ready(None),
        }
    }

    /// Returns the next bytes of rows, and true if the table ends with these bytes.
    fn poll_rows(&mut self, mut rows: Pin<&mut S>, context: &mut Context<'_>) -> Poll<(Bytes, bool)> {
        loop {
            if let Some(failure) = self.writer.failure() {
                let failure = failure.to_owned();
                return Poll::Ready((self.break_off(failure.into()), true));
            }
            match rows.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(record))) => self.writer.row(&record),
                Poll::Ready(Some(Err(error))) => return Poll::Ready((self.break_off(error.into()), true)),
                Poll::Ready(None) => return Poll::Ready((self.end(), true)),
                Poll::Pending => {
                    ready!(self.poll_deadline(context));
                    return Poll::Ready((self.take(), false));
                }
            }
            if self.writer.is_full() {
                return Poll::Ready((self.take(), false));
            }
        }
    }

    /// Completes when the rows that were written but not sent must be sent. Never completes if there are none.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.writer.is_empty() {
            return Poll::Pending;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(FLUSH_AFTER)));
        if !mem::replace(&mut self.is_waiting, true) {
            deadline.as_mut().reset(Instant::now() + FLUSH_AFTER);
        }
        deadline.as_mut().poll(context)
    }

    fn take(&mut self) -> Bytes {
        self.is_waiting = false;
        self.writer.take()
    }

    fn end(&mut self) -> Bytes {
        let bytes = self.writer.end::<R>();
        match self.writer.failure().map(Into::into) {
            Some(source) => self.fail(bytes, source),
            None => bytes,
        }
    }

    fn break_off(&mut self, source: Box<dyn Error + Send + Sync>) -> Bytes {
        let bytes = self.writer.break_off::<R>(&source.to_string());
        self.fail(bytes, source)
    }

    /// Makes the table fail with the error `source` after the piece `last`. Returns this piece.
    fn fail(&mut self, last: Bytes, source: Box<dyn Error + Send + Sync>) -> Bytes {
        self.stage = TableStage::Broken(TruncatedTable { rows: self.writer.rows(), source });
        last
    }
}

impl<S, P, R, E> Stream for Table<S, P>
where
    S: Stream<Item = Result<R, E>>,
    P: HtmlPage<R> + Unpin,
    R: Record,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Item = Result<Bytes, TruncatedTable>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let table = self.get_mut();
        // The pause also lets a server send its buffer before the next piece is made or the connection is closed.
        if mem::take(&mut table.is_others_turn) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match ready!(table.poll_bytes(context)) {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    table.is_others_turn = !matches!(table.stage, TableStage::Ended);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                end => return Poll::Ready(end),
            }
        }
    }
}
