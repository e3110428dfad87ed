//! The driver for RTSP cameras.
//!
//! The source is `rtsp://user:password@host:554/path?query#options`. Path and query go to the camera unchanged.
//! Framecast's own options are in the fragment, as for `http:`: `#fps=5`, `#size=1280x720`, `#transport=tcp` and
//! `#timeout=4s`. The timeout limits the time until the camera responds, and the time between two pictures.
//!
//! H.264, H.265 and JPEG are taken as the camera sends them, by a [`client`] of our own. What the client cannot read,
//! such as other codecs and encrypted connections, goes through [`ffmpeg`], and so does what the URL wants in another
//! rate or size.

mod assembler;
mod client;
mod diagnose;
mod ffmpeg;
mod target;
#[cfg(test)]
mod tests;
mod video_source;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use framecast_media::lock;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::{debug, info};

use self::client::{ClientError, Described};
use self::ffmpeg::Ffmpeg;
use self::target::{RtspTarget, SLOW_ANSWER_TIMEOUT, Transport};
use self::video_source::VideoSource;
use crate::{BoxFuture, Driver, Error, OpenContext, Source, SourceUrl};

/// The driver for the scheme `rtsp:` or `rtsps:`. The driver table has one instance for each of the two schemes.
pub(crate) struct Rtsp {
    scheme: &'static str,
    ffmpeg: Ffmpeg,
    /// When a camera refused TCP and played over UDP, by the URLs without logins. It is not asked for TCP again for
    /// [`REMEMBERED_FOR`].
    udp_only: Mutex<HashMap<String, Instant>>,
}

/// How a camera is to be read.
enum Opening {
    Native(Box<VideoSource>),
    /// By ffmpeg, because the client cannot, for this reason.
    ByFfmpeg(String),
}

/// The maximum number of cameras of which the driver remembers that they send only over UDP.
const MAX_REMEMBERED: usize = 256;

/// How long the driver remembers that a camera sends only over UDP. Its settings, or a firewall's, may change.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

impl Rtsp {
    pub(crate) fn new(scheme: &'static str) -> Self {
        Self { scheme, ffmpeg: Ffmpeg::default(), udp_only: Mutex::default() }
    }

    /// Opens the camera with the client, over the first transport that the camera accepts.
    async fn open_natively(&self, context: &OpenContext, target: &RtspTarget) -> Result<Opening, Error> {
        let mut refusal = None;
        for &transport in target.transports {
            if transport == Transport::Tcp && target.transports.len() > 1 && self.is_udp_only(target) {
                continue;
            }
            match self.open_over(context, target, transport).await {
                Err(OpenError::TransportRefused(error)) => refusal = Some(error),
                Err(OpenError::Moved) => {
                    return Ok(Opening::ByFfmpeg("the camera refers to another address".to_owned()));
                }
                Err(OpenError::Failed(error)) => {
                    self.forget_udp_only(target);
                    return Err(error);
                }
                Ok(opening) => {
                    if refusal.is_some() {
                        info!("the camera refuses TCP; reading it over UDP");
                        self.remember_udp_only(target);
                    }
                    return Ok(opening);
                }
            }
        }
        self.forget_udp_only(target);
        Err(refusal.expect("a target has a transport"))
    }

    async fn open_over(
        &self,
        context: &OpenContext,
        target: &RtspTarget,
        transport: Transport,
    ) -> Result<Opening, OpenError> {
        let described = self.describe(target, transport).await?;
        let track = match &described.video {
            Ok(track) => track.clone(),
            Err(client::NoVideo::NoTrack) => return Err(OpenError::Failed(diagnose::no_video_error(target))),
            Err(client::NoVideo::Unreadable) => {
                let reason = "the camera's description of its stream cannot be read".to_owned();
                return Ok(Opening::ByFfmpeg(reason));
            }
        };
        if let client::Encoding::Other(name) = &track.encoding {
            return Ok(Opening::ByFfmpeg(format!("the camera calls its video `{name:.32}`")));
        }
        let session = described
            .play(&track, transport)
            .await
            .map_err(|error| OpenError::of(target, transport, error))?;
        debug!(transport = transport.name(), codec = ?track.encoding, "the camera plays");
        Ok(Opening::Native(Box::new(VideoSource::new(context, target.clone(), transport, &track, session))))
    }

    /// Asks the camera what it sends. If it accepts connections but does not respond in time, and the URL sets no
    /// timeout, asks again with more time for each response, because some cameras must wake up first.
    async fn describe(&self, target: &RtspTarget, transport: Transport) -> Result<Described, OpenError> {
        let limits = [target.answer_timeout(), SLOW_ANSWER_TIMEOUT];
        let limits = if target.timeout.is_some() { &limits[..1] } else { &limits };
        for (attempt, &limit) in limits.iter().enumerate() {
            let (host, port) = &target.host_and_port;
            match Described::ask((host, *port), &target.plain_url, target.login(), limit).await {
                Ok(described) => return Ok(described),
                Err(ClientError::TimedOut(_))
                    if attempt + 1 < limits.len() && accepts_connections(target).await =>
                {
                    info!(
                        "the camera is slow to answer; asking again with a timeout of {SLOW_ANSWER_TIMEOUT:?}"
                    );
                }
                Err(error) => return Err(OpenError::of(target, transport, error)),
            }
        }
        Err(OpenError::Failed(target.timeout_error(SLOW_ANSWER_TIMEOUT)))
    }

    fn is_udp_only(&self, target: &RtspTarget) -> bool {
        let since = lock(&self.udp_only).get(&target.plain_url).copied();
        since.is_some_and(|since| since.elapsed() < REMEMBERED_FOR)
    }

    fn remember_udp_only(&self, target: &RtspTarget) {
        let mut known = lock(&self.udp_only);
        known.retain(|_, since| since.elapsed() < REMEMBERED_FOR);
        if known.len() < MAX_REMEMBERED {
            known.insert(target.plain_url.clone(), Instant::now());
        }
    }

    fn forget_udp_only(&self, target: &RtspTarget) {
        lock(&self.udp_only).remove(&target.plain_url);
    }
}

/// Why a camera could not be opened over one transport.
enum OpenError {
    /// The camera responded but refused this transport.
    TransportRefused(Error),
    /// The camera referred to another address before it described its stream.
    Moved,
    Failed(Error),
}

impl OpenError {
    fn of(target: &RtspTarget, transport: Transport, error: ClientError) -> Self {
        let is_refused = match &error {
            ClientError::Moved { method: "DESCRIBE", .. } => return Self::Moved,
            ClientError::OtherTransport => true,
            ClientError::Refused { method, code } => diagnose::refuses_transport(method, *code),
            _ => false,
        };
        let error = diagnose::client_error(target, transport, error, false);
        if is_refused { Self::TransportRefused(error) } else { Self::Failed(error) }
    }
}

/// Returns whether the camera's port accepts connections.
async fn accepts_connections(target: &RtspTarget) -> bool {
    let (host, port) = &target.host_and_port;
    let connecting = TcpStream::connect((host.as_str(), *port));
    matches!(timeout(target.answer_timeout(), connecting).await, Ok(Ok(_)))
}

impl Driver for Rtsp {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn is_networked(&self) -> bool {
        true
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        RtspTarget::parse(url).map(drop)
    }

    fn check_available(&self, url: &SourceUrl) -> Result<(), Error> {
        self.ffmpeg.check_available(&RtspTarget::parse(url)?)
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let target = RtspTarget::parse(url)?;
            let reason = if target.is_encrypted() {
                "Framecast's own client has no TLS".to_owned()
            } else if !target.is_native() {
                "the URL wants another rate or size".to_owned()
            } else {
                match self.open_natively(context, &target).await? {
                    Opening::Native(source) => return Ok(source as Box<dyn Source>),
                    Opening::ByFfmpeg(reason) => reason,
                }
            };
            info!("ffmpeg reads the camera, because {reason}");
            self.ffmpeg.open(context, url, target).await
        })
    }
}
