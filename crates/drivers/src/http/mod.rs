//! Drivers for pictures from an HTTP server: an MJPEG stream, or a snapshot that is polled.
//!
//! The source is `http://user:password@host/path?query#options`. Path and query go to the server unchanged. Framecast's
//! own options are in the fragment, which is never sent: `#timeout=10s` (time limit for the connection, and after that
//! for the first picture), `#silence=10s` (the longest pause of a stream, or the longest time for which polls are
//! allowed to fail), `#fps=2` (the poll rate, instead of the query's `fps=`), `#redirect=same` (refuse redirects to
//! another server) and `#insecure` (accept any TLS certificate).
//!
//! [`Session`] sends requests, with login, cookies and redirects, through a [`client`] that tolerates HTTP/1 as cameras
//! write it. [`body_kind`] classifies each response for [`stream`] and [`snapshot_poller`]. Environment variables that
//! name a proxy, such as `http_proxy`, are ignored, because cameras are on the local network, which a proxy does not
//! reach.

mod address_policy;
mod body_kind;
mod client;
mod cookie;
mod redirect;
mod session;
mod snapshot_poller;
mod stream;
mod target;

use std::sync::Arc;
use std::time::Duration;

use self::body_kind::BodyKind;
use self::client::Response;
use self::session::Session;
use self::snapshot_poller::SnapshotPoller;
use self::stream::{HttpStream, Reader};
use self::target::HttpTarget;
use crate::{BoxFuture, Driver, Error, OpenContext, Source, SourceUrl};

/// The maximum number of requests for the first picture. After an idle time, a camera may have no picture for the first
/// request, but have one a moment later.
const MAX_FIRST_REQUESTS: usize = 4;
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(300);

/// The driver for the scheme `http:` or `https:`; there is one instance for each scheme. The field contains the
/// scheme's name.
pub(crate) struct Http(pub(crate) &'static str);

impl Driver for Http {
    fn scheme(&self) -> &'static str {
        self.0
    }

    fn never_blocks(&self) -> bool {
        true
    }

    fn is_networked(&self) -> bool {
        true
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        HttpTarget::parse(url, &OpenContext::default()).map(drop)
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let mut session = Session::new(HttpTarget::parse(url, context)?);
            let (response, kind) = first_answer(&mut session).await?;
            let target = Arc::clone(session.target());
            Ok(match kind {
                BodyKind::Multipart { boundary, head } => {
                    tracing::debug!(has_boundary = boundary.is_some(), "the camera sends a multipart stream");
                    let reader = Reader::multipart(&target, boundary.as_deref(), &head);
                    Box::new(HttpStream::new(context, target, response, reader)) as Box<dyn Source>
                }
                BodyKind::Pictures { head, is_endless } => {
                    tracing::debug!(every = ?target.interval, "the camera sends one picture, or pictures without boundaries");
                    Box::new(SnapshotPoller::new(context, session, response, head, is_endless))
                }
                // A later request may get a picture.
                BodyKind::NoPicture {
                    error: Error::UnexpectedAnswer { answer, advice, .. },
                    is_temporary: true,
                } => {
                    return Err(target.ended_early_error(format!("answered {answer}; {advice}")));
                }
                BodyKind::NoPicture { error, .. } => return Err(error),
            })
        })
    }
}

/// Returns the first response. Repeats the request up to three times if the response has no picture but a later one
/// might: it is empty, is text such as "busy", or sets a new cookie.
async fn first_answer(session: &mut Session) -> Result<(Response, BodyKind), Error> {
    let mut asked = 0;
    loop {
        let mut response = session.get().await?;
        let kind = body_kind::sniff(session.target(), &mut response).await?;
        asked += 1;
        let pause = match kind {
            BodyKind::NoPicture { .. } if session.has_new_cookie() => Duration::ZERO,
            BodyKind::NoPicture { is_temporary: true, .. } => FIRST_RETRY_DELAY,
            kind => return Ok((response, kind)),
        };
        if asked == MAX_FIRST_REQUESTS {
            return Ok((response, kind));
        }
        session.recycle(response);
        tokio::time::sleep(pause).await;
    }
}
