//! Cameras that speak RTSP, read by ffmpeg: one child process for each camera that is open.
//!
//! `rtsp://user:password@host:554/path?query#options`. Path and query go to the camera as they are; options of our own
//! stand in the fragment, as for `http:`: `#fps=5`, `#size=1280x720` and `#timeout=4s` (until the camera answers).
//!
//! A camera's MJPEG is passed on as it comes, its H.264 or H.265 is decoded and encoded again. Which of them it is,
//! ffprobe finds out at the first opening; [`Rtsp`] remembers it until an opening fails. [`script`] is what both
//! programs are given, on standard input, where no list of processes shows the password. [`complaint`] makes errors of
//! what they say.

mod complaint;
mod script;
mod target;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use framecast_media::Frame;
use tokio::time::timeout;
use tracing::debug;

use self::target::Target;
use crate::program::{Launch, Program, ask};
use crate::{BoxFuture, Driver, Error, Source, SourceUrl};

/// The driver for `rtsp:` and, made a second time, for `rtsps:`.
pub(crate) struct Rtsp {
    scheme: &'static str,
    /// Where `ffmpeg` and `ffprobe` are; on PATH without one.
    folder: Option<PathBuf>,
    codecs: Codecs,
}

/// The codec of each camera that was asked, by the address that it was asked at.
type Codecs = Arc<Mutex<HashMap<String, String>>>;

impl Rtsp {
    pub(crate) fn new(scheme: &'static str) -> Self {
        Self { scheme, folder: None, codecs: Codecs::default() }
    }

    fn launch(&self, program: &str, arguments: Vec<String>) -> Launch {
        Launch::new(program, arguments).in_folder(self.folder.as_deref())
    }

    /// The name of the camera's codec: what is remembered of it, or else what ffprobe finds.
    async fn codec(&self, target: &Target) -> Result<String, Error> {
        let known = self.codecs.lock().unwrap_or_else(PoisonError::into_inner).get(&target.address).cloned();
        if let Some(codec) = known {
            return Ok(codec);
        }
        let asked_at = Instant::now();
        let launch = self
            .launch("ffprobe", script::probe_arguments())
            .with_input(script::input(target, script::Media::All))
            .quiet();
        let answer = timeout(target.timeout, ask(&launch))
            .await
            .map_err(|_| target.timed_out())?
            .map_err(|source| complaint::cannot_run(&launch, source))?;
        let codec = script::video_codec(&answer.output)
            .ok_or_else(|| complaint::of_probe(target, &answer, asked_at.elapsed()))?;
        debug!(codec, "the camera's coding");
        let mut codecs = self.codecs.lock().unwrap_or_else(PoisonError::into_inner);
        codecs.insert(target.address.clone(), codec.clone());
        Ok(codec)
    }
}

impl Driver for Rtsp {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        Target::parse(url).map(drop)
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let target = Target::parse(url)?;
            let codec = self.codec(&target).await?;
            let launch = self
                .launch("ffmpeg", script::read_arguments(&target, &codec))
                .with_input(script::input(&target, script::Media::Video));
            let opened_at = Instant::now();
            let program = Program::start(url, &launch)
                .await
                .map_err(|source| complaint::cannot_run(&launch, source))?;
            let codecs = Arc::clone(&self.codecs);
            Ok(Box::new(Stream { program, target, codecs, opened_at }) as Box<dyn Source>)
        })
    }
}

/// An ffmpeg that reads a camera.
struct Stream {
    program: Program,
    target: Target,
    codecs: Codecs,
    opened_at: Instant,
}

impl Stream {
    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        match self.program.next().await {
            Ok(None) | Err(Error::Exited { .. }) => {}
            Err(Error::Stream(error)) => {
                self.forget();
                return Err(error.into());
            }
            result => return result,
        }
        let last_lines = self.program.last_lines().await;
        if self.program.has_yielded() {
            return Err(complaint::of_end(&self.target, &last_lines));
        }
        self.forget();
        Err(complaint::of_start(&self.target, &last_lines, self.opened_at.elapsed()))
    }

    /// The camera may be another one by now, or have been set to another coding: the next opening asks again.
    fn forget(&self) {
        self.codecs.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.target.address);
    }
}

impl Source for Stream {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    fn repaired_frames(&self) -> u64 {
        self.program.count_repaired()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Closed before its first picture, by a supervisor that had waited enough.
        if !self.program.has_yielded() {
            self.forget();
        }
    }
}
