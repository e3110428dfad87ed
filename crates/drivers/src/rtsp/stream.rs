//! An ffmpeg that reads a camera, as a source of frames.
//!
//! The supervisor decides how long a camera may be silent. This driver reports two cases before the first picture, because
//! it alone can distinguish them. A camera that answered an earlier opening and does not answer now is an error. A camera
//! that answers, but sends no datagrams yet, is a warning.

use std::future::pending;
use std::time::Duration;

use framecast_media::Frame;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::warn;

use super::diagnose::{self, FfmpegRun};
use super::probe_cache::ProbeCache;
use super::target::{RtspTarget, Transport};
use crate::program::Program;
use crate::{BoxFuture, Error, Source};

/// When the log warns what may be wrong while no picture comes over UDP: within the 30 s that a camera gets by default.
const WARN_AFTER: Duration = Duration::from_secs(25);

/// An open camera.
pub(super) struct RtspStream {
    program: Program,
    target: RtspTarget,
    transport: Transport,
    probe_cache: ProbeCache,
    /// Whether this opening uses the result of an earlier probe; it is then unknown whether the camera answers.
    was_cached: bool,
    has_warned: bool,
    opened_at: Instant,
    last_picture_at: Option<Instant>,
}

impl RtspStream {
    /// `program` has just begun to read `target` over `transport`.
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

    /// Cancel safe: it only reads from the program.
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
                    warn!("{}", diagnose::no_data_error(&self.target, self.transport, WARN_AFTER));
                }
            }
        };
        match result {
            Ok(None) => {
                // Recorders end a session after an hour, or for other reasons: that is no failure.
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

    /// Why ffmpeg has failed.
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

    /// Whether the result of the earlier probe may be outdated: the camera was silent until the end.
    fn is_silent(&self) -> bool {
        self.last_picture_at.is_none_or(|at| at.elapsed() > self.target.answer_timeout())
    }
}

/// Checks at `look_at` whether the camera still accepts connections; resolves only if it does not.
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

    fn repaired_frames(&self) -> u64 {
        self.program.repaired_pictures()
    }
}

impl Drop for RtspStream {
    fn drop(&mut self) {
        if self.is_silent() {
            self.probe_cache.remove(&self.target);
        }
    }
}
