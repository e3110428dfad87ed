//! Pictures from another server: an MJPEG stream, or a snapshot that is polled.
//!
//! `http://user:password@host/path?query#options`. Path and query go to the server unchanged. Framecast's own options
//! stand in the fragment, which is never sent: `#timeout=10s` (connection, and after that the first picture),
//! `#silence=10s` (longest pause of a stream, or of failing polls), `#fps=2` (poll rate, instead of the query's
//! `fps=`), `#redirect=same` (no redirect to another server) and `#insecure` (accept any TLS certificate).
//!
//! [`Session`] sends requests, with login, cookies and redirects, through a [`client`] that reads HTTP/1 as cameras
//! write it; [`answer`] classifies each answer for [`stream`] and [`still`]. Proxies from the environment are not used:
//! cameras are on the local network, which a proxy does not reach.

mod answer;
mod auth;
mod client;
mod cookie;
mod place;
mod redirect;
mod session;
mod still;
mod stream;
mod target;
mod tls;

pub use tls::tls_of_system;

use std::sync::Arc;
use std::time::Duration;

use self::answer::Kind;
use self::client::Response;
use self::session::Session;
use self::still::Still;
use self::stream::{Reader, Stream};
use self::target::Target;
use crate::{BoxFuture, Driver, Error, Source, SourceUrl};

/// After a pause, a camera may have no picture for the first request, and one a moment later.
const FIRST_ASKED: usize = 4;
const FIRST_ASKED_AGAIN_AFTER: Duration = Duration::from_millis(300);

/// The driver for `http:`; a second instance serves `https:`.
pub(crate) struct Http(pub(crate) &'static str);

impl Driver for Http {
    fn scheme(&self) -> &'static str {
        self.0
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        Target::parse(url).map(drop)
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let mut session = Session::new(Target::parse(url)?);
            let (response, kind) = first_answer(&mut session).await?;
            let target = Arc::clone(session.target());
            Ok(match kind {
                Kind::Multipart { boundary, head } => {
                    tracing::debug!(has_boundary = boundary.is_some(), "a multipart stream");
                    let reader = Reader::multipart(&target, boundary.as_deref(), &head);
                    Box::new(Stream::new(url, target, response, reader)) as Box<dyn Source>
                }
                Kind::Pictures { head, is_endless } => {
                    tracing::debug!(every = ?target.interval, "a still picture, or pictures without boundaries");
                    Box::new(Still::new(url, session, response, head, is_endless))
                }
                // A later request may get a picture.
                Kind::Nothing { error: Error::Answer { answer, advice, .. }, is_hiccup: true } => {
                    return Err(target.ended_early(format!("answered {answer}; {advice}")));
                }
                Kind::Nothing { error, .. } => return Err(error),
            })
        })
    }
}

/// The first answer. Repeats the request a few times if the answer is empty in place of a picture, or is a page that
/// set a cookie.
async fn first_answer(session: &mut Session) -> Result<(Response, Kind), Error> {
    let mut asked = 0;
    loop {
        let mut response = session.get().await?;
        let kind = answer::sort(session.target(), &mut response).await?;
        asked += 1;
        let pause = match kind {
            Kind::Nothing { .. } if session.has_new_cookie() => Duration::ZERO,
            Kind::Nothing { is_hiccup: true, .. } => FIRST_ASKED_AGAIN_AFTER,
            kind => return Ok((response, kind)),
        };
        if asked == FIRST_ASKED {
            return Ok((response, kind));
        }
        session.give_back(response);
        tokio::time::sleep(pause).await;
    }
}
