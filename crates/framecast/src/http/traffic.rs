//! What goes over one connection, beside hyper, which bounds what it reads and what it queues by one figure: a head may be
//! longer than what of an answer may wait in the program. Here the answer's queue is bounded, and heads are counted, so that
//! one that is too long is refused in our words.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::{Request, Version};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// The most that the head of a request may have: programs that share a host share their cookies, and these pile up.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// No more of a body is taken while so much of what was taken waits in the program: the next picture, or the next row, is
/// chosen as late as possible.
const MAX_UNSENT_BYTES: usize = 8 * 1024;

/// Stands for a count while a request's body comes, which is not to be taken for a head.
const UNCOUNTED: usize = usize::MAX;

/// What the two ends of a connection, the socket and the handlers, tell each other.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Bytes that came since the last request was passed on.
    head: AtomicUsize,
    is_head_too_long: AtomicBool,
    /// Whether a request came.
    has_asked: AtomicBool,
    /// Whether the last one was of HTTP/1.0.
    is_old: AtomicBool,
    /// Bytes of bodies that were taken and are not written yet.
    unsent: AtomicUsize,
    /// The body that waits until less is.
    waiting: AtomicWaker,
}

impl Traffic {
    /// `bytes` came from the client. Whether they belong to a head that is too long: without an end among them.
    pub(super) fn came(&self, bytes: &[u8]) -> bool {
        let before = self.head.load(Ordering::Relaxed);
        if before == UNCOUNTED {
            return false;
        }
        let count = before.saturating_add(bytes.len());
        self.head.store(count, Ordering::Relaxed);
        let has_end = || bytes.windows(4).any(|window| window == b"\r\n\r\n");
        let is_too_long = count >= MAX_HEAD_BYTES && !has_end();
        if is_too_long {
            self.is_head_too_long.store(true, Ordering::Relaxed);
        }
        is_too_long
    }

    /// The head of `request` has come whole, and it is passed on. Of one with a body more comes that is no head.
    pub(super) fn asks<B: HttpBody>(&self, request: &Request<B>) {
        self.has_asked.store(true, Ordering::Relaxed);
        self.is_old.store(request.version() < Version::HTTP_11, Ordering::Relaxed);
        self.head.store(if request.body().is_end_stream() { 0 } else { UNCOUNTED }, Ordering::Relaxed);
    }

    /// Whether anything was asked.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// Whether the last request was of HTTP/1.0, where the end of an answer is that of the connection.
    pub(super) fn is_old(&self) -> bool {
        self.is_old.load(Ordering::Relaxed)
    }

    /// Whether the connection ended by a head that was too long.
    pub(super) fn is_head_too_long(&self) -> bool {
        self.is_head_too_long.load(Ordering::Relaxed)
    }

    /// The first `written` bytes of `bufs`, which are all that waited, have gone to the socket.
    pub(super) fn record_written(&self, bufs: &[IoSlice<'_>], written: usize) {
        let waiting: usize = bufs.iter().map(|buf| buf.len()).sum();
        let unsent = waiting.saturating_sub(written);
        self.unsent.store(unsent, Ordering::Relaxed);
        if unsent < MAX_UNSENT_BYTES {
            self.waiting.wake();
        }
    }

    fn is_full(&self) -> bool {
        self.unsent.load(Ordering::Relaxed) >= MAX_UNSENT_BYTES
    }
}

/// A body of which no more is taken while too much of it waits.
#[derive(Debug)]
pub(crate) struct Paced {
    body: Body,
    traffic: Arc<Traffic>,
}

impl Paced {
    pub(super) fn new(body: Body, traffic: Arc<Traffic>) -> Self {
        Self { body, traffic }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.traffic.is_full() {
            self.traffic.waiting.register(cx.waker());
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let taken = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
        self.traffic.unsent.fetch_add(taken.map_or(0, Bytes::len), Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use futures_util::{FutureExt, stream};

    use super::*;

    #[test]
    fn a_head_is_too_long_once_it_has_16_kib_and_no_end() {
        let (traffic, part) = (Traffic::default(), [b'x'; 4096]);
        assert!(!traffic.came(&part) && !traffic.came(&part) && !traffic.came(&part));
        assert!(traffic.came(&part) && traffic.is_head_too_long());
        let traffic = Traffic::default();
        let ended = [&[b'x'; 4 * 4096][..], b"\r\n\r\n"].concat();
        assert!(!traffic.came(&ended), "its end has come too");
    }

    #[test]
    fn each_head_is_counted_by_itself_and_a_body_is_none() {
        let (traffic, part) = (Traffic::default(), [b'x'; 12 * 1024]);
        for _ in 0..3 {
            assert!(!traffic.came(&part));
            traffic.asks(&Request::new(Body::empty()));
        }
        traffic.asks(&Request::new(Body::from("x")));
        assert!(!traffic.came(&part) && !traffic.came(&part));
        traffic.asks(&Request::new(Body::empty()));
        assert!(!traffic.came(&part) && traffic.came(&part));
    }

    #[test]
    fn a_body_waits_until_what_was_taken_of_it_has_all_but_left() {
        let traffic = Arc::new(Traffic::default());
        let parts = stream::iter((0..9).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[7; 5000]))));
        let mut body = Paced::new(Body::from_stream(parts), Arc::clone(&traffic));
        let mut next = || poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never().is_some();
        assert!(next() && next());
        assert!(!next(), "10,000 bytes wait");
        let all = [7; 10_000];
        traffic.record_written(&[IoSlice::new(&all[..4000]), IoSlice::new(&all[4000..])], 1000);
        assert!(!next(), "9,000 bytes wait");
        traffic.record_written(&[IoSlice::new(&all[..9000])], 1000);
        assert!(next());
        assert!(!next());
    }

    #[tokio::test]
    async fn a_body_that_waits_goes_on_by_itself() {
        let traffic = Arc::new(Traffic::default());
        let body = Body::from_stream(stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"next"))]));
        let mut body = Paced::new(body, Arc::clone(&traffic));
        traffic.unsent.store(MAX_UNSENT_BYTES, Ordering::Relaxed);
        let waiting =
            tokio::spawn(async move { poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_some() });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        traffic.record_written(&[], 0);
        assert!(waiting.await.unwrap());
    }
}
