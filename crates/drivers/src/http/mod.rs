//! Pictures from another server: an MJPEG stream, or a still picture that is polled.
//!
//! `http://user:password@host/path?query#options`. Path and query go to the server as they are. Options of our own
//! stand in the fragment, which is never sent: `#timeout=10s` (connection, and after that the first picture),
//! `#silence=10s` (longest pause of a stream, or of polls that fail), `#fps=2` (rate of polling, in place of the query's `fps=`) and
//! `#insecure` (any TLS certificate will do).
//!
//! [`Session`] asks, with authentication and redirects; what is answered is sorted by [`answer`] into [`stream`] and
//! [`still`]. Proxies from the environment are not used: cameras are neighbours, and a proxy cannot see them.

mod answer;
mod auth;
mod challenge;
mod redirect;
mod session;
mod still;
mod stream;
mod target;
mod tls;

pub use tls::tls_of_system;

use std::sync::Arc;

use self::answer::Kind;
use self::session::Session;
use self::still::Still;
use self::stream::{Reader, Stream};
use self::target::Target;
use crate::{BoxFuture, Driver, Error, Source, SourceUrl};

/// The driver for `http:` and, made a second time, for `https:`.
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
            let mut session = Session::new(Target::parse(url)?)?;
            let mut response = session.get().await?;
            let target = Arc::clone(session.target());
            Ok(match answer::sort(&target, &mut response).await? {
                Kind::Multipart { boundary, head } => {
                    tracing::debug!(boundary, "a multipart stream");
                    let reader = Reader::multipart(&target, boundary.as_deref(), &head);
                    Box::new(Stream::new(url, target, response, reader))
                }
                Kind::BackToBack { head } => {
                    tracing::debug!("pictures back to back");
                    let reader = Reader::back_to_back(&target, &head);
                    Box::new(Stream::new(url, target, response, reader))
                }
                Kind::Still { head } => {
                    tracing::debug!(every = ?target.interval, "a still picture");
                    Box::new(Still::new(url, session, response, head)) as Box<dyn Source>
                }
            })
        })
    }
}
