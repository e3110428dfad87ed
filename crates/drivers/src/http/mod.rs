//! Pictures from another server: an MJPEG stream, or a still picture that is polled.
//!
//! `http://user:password@host/path?query#options`. Path and query go to the server as they are. Options of our own
//! stand in the fragment, which is never sent: `#timeout=10s` (connection, and after that the first picture),
//! `#silence=10s` (longest pause of a stream), `#fps=2` (rate of polling, in place of the query's `fps=`) and
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

use std::sync::Arc;
use std::time::{Duration, SystemTime};

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

/// A clock that is further off than this is not believed: mjpg-streamer sends the time since the machine's start.
const MAX_CLOCK_ERROR: Duration = Duration::from_secs(3600);

/// When a picture was captured that arrived `now`: what its server says, if that is plausible.
fn captured_at(told: Option<SystemTime>, now: SystemTime) -> SystemTime {
    told.filter(|time| match now.duration_since(*time) {
        Ok(age) => age <= MAX_CLOCK_ERROR,
        Err(ahead) => ahead.duration() <= MAX_CLOCK_ERROR,
    })
    .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_an_uptime_is_not_believed() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let now = at(1_800_000_000);
        assert_eq!(captured_at(Some(at(1_799_999_990)), now), at(1_799_999_990));
        assert_eq!(captured_at(Some(at(1_800_000_001)), now), at(1_800_000_001));
        for odd in [None, Some(at(86_400)), Some(at(1_800_004_000))] {
            assert_eq!(captured_at(odd, now), now, "{odd:?}");
        }
    }
}
