//! A source of frames from an ffmpeg process that reads a camera.
//!
//! The supervisor, which keeps the camera open, decides how long a camera can be silent. This driver itself reports two
//! cases before the first picture, because only the driver can distinguish them. If a camera responded at an earlier
//! opening and does not respond now, the driver returns an error. If a camera responds now but has not sent any
//! datagrams yet, the driver logs a warning.

use std::future::pending;
use std::time::Duration;

use framecast_media::Frame;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use super::diagnose::{self, FfmpegRun};
use super::probe_cache::ProbeCache;
use crate::program::Program;
use crate::rtsp::diagnose::no_data_error;
use crate::rtsp::target::{RtspTarget, Transport};
use crate::{BoxFuture, Error, Source};

/// The time after which a warning is logged, counted from the opening, if no picture has come over UDP. It is less than
/// the 30 s that the supervisor, which keeps the camera open, allows for the first picture by default.
const WARN_AFTER: Duration = Duration::from_secs(25);

/// An open camera that ffmpeg reads.
pub(super) struct RtspStream {
    program: Program,
    target: RtspTarget,
    transport: Transport,
    probe_cache: ProbeCache,
    /// Whether this opening uses a cached probe result (codec and transport) from an earlier opening. If so, it is
    /// unknown whether the camera still responds.
    was_cached: bool,
    has_warned: bool,
    opened_at: Instant,
    last_picture_at: Option<Instant>,
}

impl RtspStream {
    /// Creates a source for `program`, which has just begun to read `target` over `transport`.
    pub(super) fn new(
        program: Program,
        target: RtspTarget,
        transport: Transport,
        probe_cache: ProbeCache,
        was_cached: bool,
    ) -> Self {
        let opened_at = Instant::now();
        let (has_warned, last_picture_at) = (false, None);
        Self { program, target, transport, probe_cache, was_cached, has_warned, opened_at, last_picture_at }
    }

    /// Returns the next frame, or `None` at the normal end of the stream. Cancel safe, because this only reads from the
    /// program.
    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        let is_first = !self.program.has_yielded();
        let look_at = self.opened_at + self.target.answer_timeout();
        let warn_at = self.opened_at + WARN_AFTER;
        let result = loop {
            let may_warn = is_first && self.transport == Transport::Udp && !self.has_warned;
            tokio::select! {
                biased;
                result = self.program.next() => break result,
                error = watch_reachability(&self.target, look_at), if is_first && self.was_cached => return Err(error),
                () = sleep_until(warn_at), if may_warn => {
                    self.has_warned = true;
                    warn!("{}", no_data_error(&self.target, self.transport, WARN_AFTER));
                }
            }
        };
        match result {
            Ok(None) => {
                // Recorders end a session after an hour, or for other reasons; this is not a failure.
                let lines = self.program.last_lines().await;
                diagnose::end_error(&self.target, &lines).map_or(Ok(None), Err)
            }
            Err(Error::Exited { .. }) => Err(self.failure().await),
            Ok(Some(frame)) => {
                self.last_picture_at = Some(Instant::now());
                Ok(Some(frame))
            }
            result => result,
        }
    }

    /// Returns the error that describes why ffmpeg has failed.
    async fn failure(&mut self) -> Error {
        let lines = &self.program.last_lines().await;
        let (target, transport) = (&self.target, self.transport);
        if self.program.has_yielded() {
            return diagnose::end_error(target, lines).unwrap_or_else(|| {
                target.connection_error("ffmpeg failed; its error output is in the log at level debug")
            });
        }
        let elapsed = self.opened_at.elapsed();
        FfmpegRun { target, transport, lines, elapsed, silence: target.timeout }.start_error()
    }

    /// Returns whether the camera has sent no picture at all, or none for longer than the time limit for its responses.
    /// If so, the cached probe result (codec and transport) may be outdated.
    fn is_silent(&self) -> bool {
        self.last_picture_at.is_none_or(|at| at.elapsed() > self.target.answer_timeout())
    }
}

/// Waits until `look_at`, then checks whether the camera still accepts connections. Returns the error if it does not;
/// otherwise never returns.
async fn watch_reachability(target: &RtspTarget, look_at: Instant) -> Error {
    sleep_until(look_at).await;
    let (host, port) = &target.host_and_port;
    let connecting = TcpStream::connect((host.as_str(), *port));
    match timeout(target.answer_timeout(), connecting).await {
        Ok(Ok(_)) => pending().await,
        Ok(Err(error)) => target.connection_error(format!("the camera is no longer reachable: {error}")),
        Err(_) => target.timeout_error(target.answer_timeout()),
    }
}

impl Source for RtspStream {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    /// Lets ffmpeg end the session at the camera with TEARDOWN, which some cameras need before they accept the next
    /// one.
    fn close(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.program.close().await })
    }

    fn repaired_frames(&self) -> u64 {
        self.program.repaired_pictures()
    }

    fn dropped_frames(&self) -> u64 {
        self.program.skipped_frames()
    }
}

impl Drop for RtspStream {
    fn drop(&mut self) {
        if self.is_silent() {
            self.probe_cache.remove(&self.target);
        }
    }
}
