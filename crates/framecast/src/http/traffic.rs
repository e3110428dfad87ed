//! Limits the bytes on one connection, in addition to the limits of the HTTP library hyper. hyper has one common limit
//! for what it reads and for what it queues for sending. But a request's head (request line and headers) should be
//! allowed more bytes than the queue of a response. So this module limits the queue of the response itself. This module
//! also counts the bytes of each head, so that the server can refuse a long head with an error message of its own.

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

/// The maximum size of a request's head (request line and headers), in bytes. A head can be long because a browser also
/// sends the cookies of other programs on the same host.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The number of bytes in a connection's send queue at which the program reads no more of a response's body. So the
/// next picture, or the next row of a table, is chosen as late as possible.
const MAX_UNSENT_BYTES: usize = 8 * 1024;

/// The value of `Traffic::head` while the body of a request is arriving, because the bytes of a body are not limited
/// here.
const IN_BODY: usize = usize::MAX;

/// The state of a connection that the connection's socket and its response bodies share.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// The number of bytes received of the next request's head (request line and headers), or [`IN_BODY`] while a
    /// request's body arrives.
    head: AtomicUsize,
    is_head_too_long: AtomicBool,
    /// Whether the client has sent a request on this connection.
    has_request: AtomicBool,
    /// Whether the last request was HTTP/1.0.
    is_http_1_0: AtomicBool,
    /// The number of bytes in the send queue: read from response bodies, but not yet written to the socket.
    unsent: AtomicUsize,
    /// The waker of the response body that pauses until fewer bytes are in the send queue.
    waiting: AtomicWaker,
}

impl Traffic {
    /// Records that `bytes` were received from the client. Returns whether they belong to a request's head (request
    /// line and headers) that is too long and still incomplete.
    pub(super) fn record_read(&self, bytes: &[u8]) -> bool {
        let before = self.head.load(Ordering::Relaxed);
        if before == IN_BODY {
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

    /// Records that the head of `request` has arrived completely. If `request` has a body, the next bytes from the
    /// client are not added to the size of a head.
    pub(super) fn begin_request<B: HttpBody>(&self, request: &Request<B>) {
        self.has_request.store(true, Ordering::Relaxed);
        self.is_http_1_0.store(request.version() < Version::HTTP_11, Ordering::Relaxed);
        self.head.store(if request.body().is_end_stream() { 0 } else { IN_BODY }, Ordering::Relaxed);
    }

    /// Returns whether the client has sent a request on this connection.
    pub(super) fn has_request(&self) -> bool {
        self.has_request.load(Ordering::Relaxed)
    }

    /// Returns whether the last request was HTTP/1.0, where the end of the connection marks the end of a response.
    pub(super) fn is_http_1_0(&self) -> bool {
        self.is_http_1_0.load(Ordering::Relaxed)
    }

    /// Returns whether the connection failed because the head of a request (request line and headers) was too long.
    pub(super) fn is_head_too_long(&self) -> bool {
        self.is_head_too_long.load(Ordering::Relaxed)
    }

    /// Records that the first `written` bytes of `bufs` were written to the socket. `bufs` is the whole send queue
    /// before this.
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

/// A response body that pauses while too many bytes are in the connection's send queue.
#[derive(Debug)]
pub(crate) struct BackpressureBody {
    body: Body,
    traffic: Arc<Traffic>,
}

impl BackpressureBody {
    pub(super) fn new(body: Body, traffic: Arc<Traffic>) -> Self {
        Self { body, traffic }
    }
}

impl HttpBody for BackpressureBody {
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
    #![warn(clippy::disallowed_methods)]

    use std::convert::Infallible;
    use std::future::poll_fn;

    use futures_util::{FutureExt, stream};

    use super::*;

    #[test]
    fn a_head_is_too_long_once_it_has_16_kib_and_no_end() {
        let (traffic, part) = (Traffic::default(), [b'x'; 4096]);
        assert!(!traffic.record_read(&part) && !traffic.record_read(&part) && !traffic.record_read(&part));
        assert!(traffic.record_read(&part) && traffic.is_head_too_long());
        let traffic = Traffic::default();
        let ended = [&[b'x'; 4 * 4096][..], b"\r\n\r\n"].concat();
        assert!(!traffic.record_read(&ended), "its end has come too");
    }

    #[test]
    fn each_head_is_counted_by_itself_and_a_body_is_none() {
        let (traffic, part) = (Traffic::default(), [b'x'; 12 * 1024]);
        for _ in 0..3 {
            assert!(!traffic.record_read(&part));
            traffic.begin_request(&Request::new(Body::empty()));
        }
        traffic.begin_request(&Request::new(Body::from("x")));
        assert!(!traffic.record_read(&part) && !traffic.record_read(&part));
        traffic.begin_request(&Request::new(Body::empty()));
        assert!(!traffic.record_read(&part) && traffic.record_read(&part));
    }

    #[test]
    fn a_body_waits_until_what_was_taken_of_it_has_all_but_left() {
        let traffic = Arc::new(Traffic::default());
        let parts = stream::iter((0..9).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[7; 5000]))));
        let mut body = BackpressureBody::new(Body::from_stream(parts), Arc::clone(&traffic));
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
        let mut body = BackpressureBody::new(body, Arc::clone(&traffic));
        traffic.unsent.store(MAX_UNSENT_BYTES, Ordering::Relaxed);
        let waiting =
            tokio::spawn(async move { poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.is_some() });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        traffic.record_written(&[], 0);
        assert!(waiting.await.unwrap());
    }
}
