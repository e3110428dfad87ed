//! Reads RTSP cameras through ffmpeg, with one child process for each open camera.
//!
//! ffmpeg passes a camera's H.264, H.265 and MJPEG on unchanged, and decodes and re-encodes its other codecs. At the first
//! opening, ffprobe finds out the codec, and whether the camera sends over TCP or only over UDP. [`ProbeCache`] keeps the result
//! of ffprobe until an opening fails. [`script`] creates the arguments of ffmpeg and ffprobe. The camera's URL is not
//! among the arguments but in a script for standard input, so that no process list shows the password. [`diagnose`]
//! turns the programs' messages into errors, and [`stream`] turns ffmpeg's output into frames.

pub(super) mod diagnose;
mod probe_cache;
mod script;
mod stream;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info};

use self::diagnose::FfmpegRun;
use self::probe_cache::{ProbeCache, ProbeResult};
use self::stream::RtspStream;
use super::target::{RtspTarget, SLOW_ANSWER_TIMEOUT, Transport};
use crate::program::{Launch, Program, run_to_end};
use crate::{Error, OpenContext, Source, SourceUrl};

/// Opens cameras by ffmpeg.
#[derive(Default)]
pub(super) struct Ffmpeg {
    /// The folder of `ffmpeg` and `ffprobe`; `None` means that they are searched on PATH.
    folder: Option<PathBuf>,
    probe_cache: ProbeCache,
}

/// The result of probing a camera over one transport.
enum ProbeOutcome {
    Found(ProbeResult),
    /// The camera responded but refused this transport.
    Refused(Error),
}

impl Ffmpeg {
    /// Checks whether the programs are installed. The error says what of the camera `target` works without them.
    pub(super) fn check_available(&self, target: &RtspTarget) -> Result<(), Error> {
        ["ffmpeg", "ffprobe"].into_iter().try_for_each(|program| {
            let launch = self.launch(program, Vec::new());
            let checked = launch.check_executable();
            checked.map_err(|source| diagnose::missing_error(&launch, source, target))
        })
    }

    /// Opens the camera `target` of `url`.
    pub(super) async fn open(
        &self,
        context: &OpenContext,
        url: &SourceUrl,
        target: RtspTarget,
    ) -> Result<Box<dyn Source>, Error> {
        let cached = self.probe_cache.get(&target);
        let was_cached = cached.is_some();
        let known = match cached {
            Some(known) => known,
            None => self.probe_transports(&target).await?,
        };
        let launch = self
            .launch("ffmpeg", script::read_arguments(&target, &known))
            .with_input(script::read_script(&target, &known));
        let program = Program::start(context, url, &launch)
            .await
            .map_err(|source| diagnose::spawn_error(&launch, source))?;
        let probe_cache = self.probe_cache.clone();
        Ok(Box::new(RtspStream::new(program, target, known.transport, probe_cache, was_cached)))
    }

    fn launch(&self, program: &str, arguments: Vec<String>) -> Launch {
        Launch::new(program, arguments).in_folder(self.folder.as_deref())
    }

    /// Finds out how to read the camera: tries the transports that `target` allows, in order, until the camera accepts
    /// one. Returns that transport and the camera's codec.
    async fn probe_transports(&self, target: &RtspTarget) -> Result<ProbeResult, Error> {
        let mut refusal = None;
        for &transport in target.transports {
            match self.probe_with_retry(target, transport).await? {
                ProbeOutcome::Found(known) => {
                    debug!(codec = known.codec, transport = transport.name(), "found the camera's codec");
                    if refusal.is_some() {
                        info!("the camera refuses TCP; reading it over UDP");
                    }
                    self.probe_cache.insert(target, known.clone());
                    return Ok(known);
                }
                ProbeOutcome::Refused(error) => refusal = Some(error),
            }
        }
        Err(refusal.expect("a target has a transport"))
    }

    /// Finds out the camera's codec over `transport`. If the camera accepts connections but does not respond in time,
    /// and the URL sets no timeout, tries again with a longer timeout. A longer timeout from the start would delay the
    /// result for cameras that respond soon and then send nothing.
    async fn probe_with_retry(
        &self,
        target: &RtspTarget,
        transport: Transport,
    ) -> Result<ProbeOutcome, Error> {
        let answer = self.probe(target, transport, target.answer_timeout()).await;
        let is_late = matches!(answer, Err(Error::TimedOut { .. })) && target.timeout.is_none();
        if is_late && accepts_connections(target).await {
            info!("the camera is slow to answer; asking again with a timeout of {SLOW_ANSWER_TIMEOUT:?}");
            return self.probe(target, transport, SLOW_ANSWER_TIMEOUT).await;
        }
        answer
    }

    /// Runs ffprobe to find the camera's codec over `transport`. Each response of the camera can take up to
    /// `time_limit`.
    async fn probe(
        &self,
        target: &RtspTarget,
        transport: Transport,
        time_limit: Duration,
    ) -> Result<ProbeOutcome, Error> {
        let launch = self
            .launch("ffprobe", script::probe_arguments())
            .with_input(script::probe_script(target, transport, time_limit))
            .with_debug_log();
        let asked_at = Instant::now();
        // ffprobe waits up to `time_limit` for a response, and then as long for a packet, which might never arrive.
        let answer = timeout(time_limit * 5 / 2, run_to_end(&launch))
            .await
            .map_err(|_| target.timeout_error(time_limit))?
            .map_err(|source| diagnose::spawn_error(&launch, source))?;
        if let Some(known) = script::video_stream(&answer.output, transport) {
            return Ok(ProbeOutcome::Found(known));
        }
        let silence = Some(time_limit);
        let (lines, elapsed) = (&answer.last_lines, asked_at.elapsed());
        let run = FfmpegRun { target, transport, lines, elapsed, silence };
        let error = run.probe_error(&answer.output);
        if run.is_transport_refused() { Ok(ProbeOutcome::Refused(error)) } else { Err(error) }
    }
}

/// Returns whether the camera's port accepts connections.
async fn accepts_connections(target: &RtspTarget) -> bool {
    let (host, port) = &target.host_and_port;
    let connecting = TcpStream::connect((host.as_str(), *port));
    matches!(timeout(target.answer_timeout(), connecting).await, Ok(Ok(_)))
}
