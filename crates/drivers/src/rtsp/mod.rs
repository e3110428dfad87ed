//! Cameras that speak RTSP, read by ffmpeg: one child process for each open camera.
//!
//! `rtsp://user:password@host:554/path?query#options`. Path and query go to the camera unchanged; Framecast's own
//! options stand in the fragment, as for `http:`: `#fps=5`, `#size=1280x720`, `#transport=tcp` and `#timeout=4s` (until
//! the camera answers, and between its pictures).
//!
//! ffmpeg copies a camera's MJPEG unchanged, and decodes and re-encodes its H.264 or H.265. At the first opening,
//! ffprobe finds out the codec, and whether the camera sends over TCP or only over UDP; [`Memory`] keeps that until an
//! opening fails. [`script`] makes the input of both programs, on standard input, where no process list shows the
//! password. [`complaint`] turns their messages into errors, [`stream`] turns ffmpeg's output into frames.

mod complaint;
mod memory;
mod script;
mod stream;
mod target;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info};

use self::complaint::Run;
use self::memory::{Known, Memory};
use self::script::Media;
use self::stream::Stream;
use self::target::{SLOW_ANSWER_TIMEOUT, Target, Transport};
use crate::program::{Launch, Program, ask};
use crate::{BoxFuture, Driver, Error, Source, SourceUrl};

/// The driver for `rtsp:`; a second instance serves `rtsps:`.
pub(crate) struct Rtsp {
    scheme: &'static str,
    /// The folder of `ffmpeg` and `ffprobe`; without one, PATH applies.
    folder: Option<PathBuf>,
    memory: Memory,
}

/// The result of a probe over one transport.
enum Probe {
    /// The name of the camera's codec.
    Codec(String),
    /// The camera answered, but refused this transport.
    Refused(Error),
}

impl Rtsp {
    pub(crate) fn new(scheme: &'static str) -> Self {
        Self { scheme, folder: None, memory: Memory::default() }
    }

    fn launch(&self, program: &str, arguments: Vec<String>) -> Launch {
        Launch::new(program, arguments).in_folder(self.folder.as_deref())
    }

    /// Finds out how to read the camera: probes the transports in their order until the camera accepts one.
    async fn find_out(&self, target: &Target) -> Result<Known, Error> {
        let mut refusal = None;
        for &transport in target.transports {
            match self.probe_patiently(target, transport).await? {
                Probe::Codec(codec) => {
                    debug!(codec, transport = transport.name(), "the camera's coding");
                    if refusal.is_some() {
                        info!("the camera will not send over TCP; it is read over UDP");
                    }
                    let known = Known { codec, transport };
                    self.memory.keep(target, known.clone());
                    return Ok(known);
                }
                Probe::Refused(error) => refusal = Some(error),
            }
        }
        Err(refusal.expect("a target has a transport"))
    }

    /// Probes the camera's codec over `transport`. If the URL sets no timeout, a camera that is there but slow gets a
    /// second probe with a longer one; a longer timeout from the start would delay cameras that answer soon and then
    /// send nothing.
    async fn probe_patiently(&self, target: &Target, transport: Transport) -> Result<Probe, Error> {
        let answer = self.probe(target, transport, target.answer_timeout()).await;
        let is_late = matches!(answer, Err(Error::TimedOut { .. })) && target.timeout.is_none();
        if is_late && takes_connections(target).await {
            info!("the camera is slow to answer; it is asked again and given {SLOW_ANSWER_TIMEOUT:?}");
            return self.probe(target, transport, SLOW_ANSWER_TIMEOUT).await;
        }
        answer
    }

    /// Lets ffprobe find the camera's codec over `transport`; each answer may take `patience`.
    async fn probe(&self, target: &Target, transport: Transport, patience: Duration) -> Result<Probe, Error> {
        let silence = Some(patience);
        let launch = self
            .launch("ffprobe", script::probe_arguments())
            .with_input(script::input(target, transport, Media::All, silence))
            .quiet();
        let asked_at = Instant::now();
        // ffprobe waits `patience` for an answer, and then as long for a packet, which need not come.
        let answer = timeout(patience * 5 / 2, ask(&launch))
            .await
            .map_err(|_| target.timed_out(patience))?
            .map_err(|source| complaint::cannot_run(&launch, source))?;
        if let Some(codec) = script::video_codec(&answer.output) {
            return Ok(Probe::Codec(codec));
        }
        let (lines, elapsed) = (&answer.last_lines, asked_at.elapsed());
        let run = Run { target, transport, lines, elapsed, silence };
        let error = run.probe_error(&answer.output);
        if run.is_transport_refused() { Ok(Probe::Refused(error)) } else { Err(error) }
    }
}

/// Whether the camera's port accepts connections.
async fn takes_connections(target: &Target) -> bool {
    let (host, port) = &target.place;
    let connecting = TcpStream::connect((host.as_str(), *port));
    matches!(timeout(target.answer_timeout(), connecting).await, Ok(Ok(_)))
}

impl Driver for Rtsp {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        Target::parse(url).map(drop)
    }

    fn look(&self, _url: &SourceUrl) -> Result<(), Error> {
        ["ffmpeg", "ffprobe"].into_iter().try_for_each(|program| {
            let launch = self.launch(program, Vec::new());
            launch.look().map_err(|source| complaint::cannot_run(&launch, source))
        })
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let target = Target::parse(url)?;
            let remembered = self.memory.of(&target);
            let was_remembered = remembered.is_some();
            let known = match remembered {
                Some(known) => known,
                None => self.find_out(&target).await?,
            };
            let launch = self
                .launch("ffmpeg", script::read_arguments(&target, &known.codec))
                .with_input(script::input(&target, known.transport, Media::Video, target.timeout));
            let program = Program::start(url, &launch)
                .await
                .map_err(|source| complaint::cannot_run(&launch, source))?;
            let memory = self.memory.clone();
            Ok(Box::new(Stream::new(program, target, known.transport, memory, was_remembered))
                as Box<dyn Source>)
        })
    }
}
