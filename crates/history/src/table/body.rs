//! Sends a table, made from a stream of records, as the body of an HTTP response.

use std::error::Error;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http::Response;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::drain_wait::DrainWait;
use super::page::HtmlPage;
use super::record::Record;
use super::writer::Writer;

/// The longest time that a written row waits for more rows, to be sent together with them.
pub const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// The error of a table that ended early, because its records could not be read or written. The server then closes the
/// connection without the end of the body, so that no client considers the table complete.
#[derive(Debug, thiserror::Error)]
#[error("the table broke off after {rows} rows")]
pub struct TruncatedTable {
    /// The number of rows that were written before the failure.
    pub rows: u64,
    /// What failed.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// A table, made from a stream of records, as the body of an HTTP response.
///
/// The body sends everything before the first row at once, then rows in chunks. It sends a chunk when the chunk is
/// full, or when one of the chunk's rows has waited for [`FLUSH_AFTER`]. The body asks the stream for records only when
/// the connection to the client can take more bytes, and dropping the body drops the stream. If the stream fails, the
/// body sends the rows that it already has, and then fails with [`TruncatedTable`]. The body yields to other tasks
/// after each chunk. It needs a Tokio runtime for its timer.
pub struct Table<S, P> {
    writer: Writer<P>,
    stage: TableStage<S>,
    /// When the rows that were written but not sent must be sent; `None` if no row has ever had to wait.
    deadline: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// Whether the next poll yields to other tasks first, because a chunk was just sent.
    is_others_turn: bool,
}

enum TableStage<S> {
    New(Pin<Box<S>>),
    Rows(Pin<Box<S>>),
    /// The table broke off. The error is returned once the client has taken the last bytes.
    Broken(TruncatedTable, DrainWait),
    Ended,
}

impl<S, P> Table<S, P> {
    /// Creates a table with one row for each record of the stream `rows`. The stream is not polled before the body is
    /// polled.
    pub fn new(rows: S, writer: Writer<P>) -> Self {
        let stage = TableStage::New(Box::pin(rows));
        Self { writer, stage, deadline: None, is_waiting: false, is_others_turn: false }
    }

    /// Returns an HTTP response with this table as its body, and with the headers for the table's format and encoding.
    pub fn respond(self) -> Response<Self> {
        let head = self.writer.head();
        let mut response = Response::new(self);
        *response.headers_mut() = head;
        response
    }
}

impl<S, P, R, E> Table<S, P>
where
    S: Stream<Item = Result<R, E>>,
    P: HtmlPage<R>,
    R: Record,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    /// Returns the next bytes of the body, which can be empty. Returns `None` at the end of the body.
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
            TableStage::Broken(broken, mut drain_wait) => match drain_wait.poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(broken))),
                Poll::Pending => {
                    self.stage = TableStage::Broken(broken, drain_wait);
                    Poll::Pending
                }
            },
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

    /// Makes the body fail with the error `source` once the client has taken the bytes `last`. Returns these bytes.
    fn fail(&mut self, last: Bytes, source: Box<dyn Error + Send + Sync>) -> Bytes {
        let (last, drain_wait) = DrainWait::track(last);
        self.stage = TableStage::Broken(TruncatedTable { rows: self.writer.rows(), source }, drain_wait);
        last
    }
}

impl<S, P, R, E> Body for Table<S, P>
where
    S: Stream<Item = Result<R, E>>,
    P: HtmlPage<R> + Unpin,
    R: Record,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = TruncatedTable;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TruncatedTable>>> {
        let table = self.get_mut();
        // The pause also lets the server send its buffer before the next chunk is made or the connection is closed.
        if mem::take(&mut table.is_others_turn) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match ready!(table.poll_bytes(context)) {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    table.is_others_turn = !table.is_end_stream();
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, TableStage::Ended)
    }
}
