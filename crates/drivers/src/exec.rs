//! The driver for any program that writes pictures to its standard output: `ffmpeg`, `rpicam-vid`, a shell script. They
//! are JPEG images, either concatenated or as multipart, or coded video (H.264 or H.265), either as a byte stream or as
//! fragmented MP4.
//!
//! No shell is involved. The driver splits the command into words as a shell would; to run a pipeline, use
//! `exec:sh -c '…'`. [`program`](crate::program) runs the program and reads its output.

use crate::program::{Launch, Program};
use crate::{BoxFuture, Driver, Error, OpenContext, Source, SourceUrl};

/// The driver for `exec:PROGRAM ARGUMENTS…`. A `?` is part of the arguments and does not begin options, unlike in other
/// source URLs.
pub(crate) struct Exec;

impl Driver for Exec {
    fn scheme(&self) -> &'static str {
        "exec"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        split_command(url).map(drop)
    }

    fn check_available(&self, url: &SourceUrl) -> Result<(), Error> {
        let (program, arguments) = split_command(url)?;
        let launch = Launch::new(program, arguments);
        launch.check_executable().map_err(|source| launch.spawn_error(source))
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let (program, arguments) = split_command(url)?;
            let launch = Launch::new(program, arguments);
            let program =
                Program::start(context, url, &launch).await.map_err(|source| launch.spawn_error(source))?;
            Ok(Box::new(program) as Box<dyn Source>)
        })
    }
}

/// Splits the command in `url` into the program and its arguments.
fn split_command(url: &SourceUrl) -> Result<(String, Vec<String>), Error> {
    let bad = |problem: String| Error::BadUrl { url: url.to_string(), problem };
    let mut words = shell_words::split(url.rest())
        .map_err(|error| bad(format!("cannot be split into words: {error}")))?
        .into_iter();
    match words.next() {
        Some(program) if !program.is_empty() => Ok((program, words.collect())),
        _ => {
            Err(bad("names no program; write for example `exec:ffmpeg -v error -re -i a.mp4 -f mjpeg -`"
                .to_owned()))
        }
    }
}

impl Source for Program {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<framecast_media::Frame>, Error>> {
        Box::pin(self.next())
    }

    fn repaired_frames(&self) -> u64 {
        self.repaired_pictures()
    }

    fn dropped_frames(&self) -> u64 {
        self.skipped_frames()
    }
}
