//! A stream of records as the body of an HTTP answer.

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

use super::departure::Departure;
use super::page::Page;
use super::record::Record;
use super::writer::Writer;

/// So long a row waits at most for others to leave with it.
pub const FLUSH_AFTER: Duration = Duration::from_millis(100);

/// A table that broke off: its records could not be read to the end. The server closes the connection without the
/// body's end, so that nobody takes for whole what is not.
#[derive(Debug, thiserror::Error)]
#[error("the table broke off after {rows} rows")]
pub struct Broken {
    /// Rows that were sent before.
    pub rows: u64,
    /// Why.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// A stream of records as the body of an HTTP answer.
///
/// The header leaves at once, then rows in chunks, each when it is full or when a row of it has waited for
/// [`FLUSH_AFTER`]. Records are asked for only when the client has room for them, and dropping the body drops the stream.
/// An error of the stream breaks the table off: what is ready leaves, then comes [`Broken`]. Between two chunks others
/// get their turn. Runs on tokio, for its clock.
pub struct Table<S, P> {
    writer: Writer<P>,
    stage: Stage<S>,
    /// When what waits must leave; `None` until the stream has made the first row wait.
    deadline: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    /// Whether a chunk has just left.
    is_others_turn: bool,
}

enum Stage<S> {
    New(Pin<Box<S>>),
    Rows(Pin<Box<S>>),
    /// What is told once the last bytes have left.
    Broken(Broken, Departure),
    Ended,
}

impl<S, P> Table<S, P> {
    /// A table of `rows`, which are not asked for before the body is.
    pub fn new(rows: S, writer: Writer<P>) -> Self {
        let stage = Stage::New(Box::pin(rows));
        Self { writer, stage, deadline: None, is_waiting: false, is_others_turn: false }
    }

    /// The answer with this body and the headers that go with it.
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
    P: Page<R>,
    R: Record,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    /// The next bytes, empty ones too; `None` at the end.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match mem::replace(&mut self.stage, Stage::Ended) {
            Stage::New(rows) => {
                self.stage = Stage::Rows(rows);
                self.writer.begin::<R>();
                Poll::Ready(Some(Ok(self.writer.take())))
            }
            Stage::Rows(mut rows) => {
                let polled = self.poll_rows(rows.as_mut(), context);
                if let Poll::Ready((_, false)) | Poll::Pending = polled {
                    self.stage = Stage::Rows(rows);
                }
                polled.map(|(bytes, _)| Some(Ok(bytes)))
            }
            Stage::Broken(broken, mut departure) => match departure.poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(broken))),
                Poll::Pending => {
                    self.stage = Stage::Broken(broken, departure);
                    Poll::Pending
                }
            },
            Stage::Ended => Poll::Ready(None),
        }
    }

    /// The next bytes of rows, and whether these are the last.
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

    /// Ready when what waits has waited for long enough.
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

    /// `last`, after which the table ends for the reason `source`.
    fn fail(&mut self, last: Bytes, source: Box<dyn Error + Send + Sync>) -> Bytes {
        let (last, departure) = Departure::of(last);
        self.stage = Stage::Broken(Broken { rows: self.writer.rows(), source }, departure);
        last
    }
}

impl<S, P, R, E> Body for Table<S, P>
where
    S: Stream<Item = Result<R, E>>,
    P: Page<R> + Unpin,
    R: Record,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let table = self.get_mut();
        // Also has the server send what it was given, before the next chunk is made or the connection is given up.
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
        matches!(self.stage, Stage::Ended)
    }
}
