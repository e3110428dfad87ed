//! Pictures on our own standard input: `ffmpeg … | framecast pipe:-`.
//!
//! A thread waits for bytes, so that closing the camera can wake it; the reader of pictures stays behind when the
//! camera closes and goes on at the same byte when it opens again, so that no picture is cut.

use std::io::{self, IsTerminal, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use framecast_media::Frame;
use framecast_media::container::PictureReader;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::blocking::{self, Blocking, Sink};
use crate::stream::PictureStream;
use crate::{BoxFuture, Driver, Error, Source, SourceUrl};

/// `pipe:-`. There is one standard input: one camera can be open at a time.
pub(crate) struct Pipe {
    /// Where the bytes come from.
    input: Box<dyn Fn() -> io::Result<OwnedFd> + Send + Sync>,
    place: Arc<Mutex<Place>>,
}

/// Where in the stream we are.
#[derive(Debug)]
enum Place {
    Start,
    /// A camera is open and has the reader.
    Taken,
    /// A camera was open and left this reader behind.
    Left(PictureReader),
}

const READ_BYTES: usize = 64 * 1024;

/// The same as the name of a device, for errors.
const NAME: &str = "standard input";

impl Pipe {
    pub(crate) fn standard_input() -> Self {
        Self::over(|| io::stdin().as_fd().try_clone_to_owned())
    }

    fn over(input: impl Fn() -> io::Result<OwnedFd> + Send + Sync + 'static) -> Self {
        Self { input: Box::new(input), place: Arc::new(Mutex::new(Place::Start)) }
    }
}

impl Driver for Pipe {
    fn scheme(&self) -> &'static str {
        "pipe"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        match url.rest() {
            "-" => Ok(()),
            _ => {
                let problem = "write `pipe:-` for standard input; \
                               a named pipe can be read by `exec:cat PATH`"
                    .to_owned();
                Err(Error::BadUrl { url: url.to_string(), problem })
            }
        }
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            self.check(url)?;
            let input = (self.input)().map_err(cannot_read)?;
            if input.is_terminal() {
                return Err(nothing(
                    "is a terminal; pipe pictures into it: `ffmpeg … -f mjpeg - | framecast pipe:-`",
                ));
            }
            Ok(Box::new(PipeSource::spawn(url, input, &self.place)?) as Box<dyn Source>)
        })
    }
}

fn cannot_read(source: io::Error) -> Error {
    Error::Pipe { what: NAME.to_owned(), source }
}

fn nothing(problem: &str) -> Error {
    Error::Nothing { what: NAME.to_owned(), problem: problem.to_owned() }
}

/// Dropped in this order: the end of `wake` is seen by the thread that waits for bytes, and then it is joined.
struct PipeSource {
    _wake: PipeWriter,
    frames: Blocking,
}

impl PipeSource {
    fn spawn(url: &SourceUrl, input: OwnedFd, place: &Arc<Mutex<Place>>) -> Result<Self, Error> {
        let (is_dropped, wake) = io::pipe().map_err(cannot_read)?;
        let mut taken = Taken::take(place, url)?;
        let stale_bytes = if taken.is_resumed { waiting_bytes(&input) } else { 0 };
        let frames = blocking::spawn("standard input", move |sink| {
            if let Err(error) = run(&input, &is_dropped, stale_bytes, taken.stream(), sink) {
                // A source that was dropped meanwhile does not want to know.
                sink.send(Err(error)).ok();
            }
        })?;
        Ok(Self { _wake: wake, frames })
    }
}

impl Source for PipeSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        self.frames.next_frame()
    }
}

/// The stream while one camera reads it; dropping it leaves the reader for the next.
struct Taken {
    place: Arc<Mutex<Place>>,
    /// `None` only while it is dropped.
    stream: Option<PictureStream>,
    /// Bytes were read before, by an earlier camera.
    is_resumed: bool,
}

impl Taken {
    fn take(place: &Arc<Mutex<Place>>, url: &SourceUrl) -> Result<Self, Error> {
        let before = std::mem::replace(&mut *lock(place), Place::Taken);
        let (stream, is_resumed) = match before {
            Place::Start => (PictureStream::new(url), false),
            Place::Left(reader) => (PictureStream::resume(url, reader), true),
            Place::Taken => return Err(nothing("is read by another camera; there can be one `pipe:-`")),
        };
        Ok(Self { place: Arc::clone(place), stream: Some(stream), is_resumed })
    }

    fn stream(&mut self) -> &mut PictureStream {
        self.stream.as_mut().expect("the stream is there until it is dropped")
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            *lock(&self.place) = Place::Left(stream.into_reader());
        }
    }
}

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads until the input ends or the source is dropped. The first `stale_bytes` only lead to what comes after them.
fn run(
    input: &OwnedFd,
    is_dropped: &PipeReader,
    mut stale_bytes: usize,
    stream: &mut PictureStream,
    sink: &Sink,
) -> Result<(), Error> {
    let mut buffer = vec![0; READ_BYTES];
    while wait(input.as_fd(), is_dropped.as_fd())? {
        let is_stale = stale_bytes > 0;
        let room = if is_stale { stale_bytes.min(READ_BYTES) } else { READ_BYTES };
        let len = match rustix::io::read(input, &mut buffer[..room]) {
            Ok(len) => len,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(errno) => return Err(cannot_read(errno.into())),
        };
        if len == 0 {
            stream.finish();
        }
        stream.push(&buffer[..len]);
        stale_bytes = stale_bytes.saturating_sub(len);
        if !hand_over(stream, is_stale, sink)? {
            return Ok(());
        }
        if len == 0 {
            return if stream.has_yielded() { Ok(()) } else { Err(nothing("has ended")) };
        }
    }
    Ok(())
}

/// Sends what is whole in `stream`; drops it where it is stale. False when the source was dropped.
fn hand_over(stream: &mut PictureStream, is_stale: bool, sink: &Sink) -> Result<bool, Error> {
    loop {
        match stream.next_frame() {
            Ok(None) => return Ok(true),
            Ok(Some(_)) if is_stale => {}
            Err(error) if !error.is_picture() => return Err(error),
            next => {
                let Some(next) = next.transpose() else { return Ok(true) };
                if sink.send(next).is_err() {
                    return Ok(false);
                }
            }
        }
    }
}

/// Waits for bytes or the end of the input; false when the source was dropped.
fn wait(input: BorrowedFd<'_>, is_dropped: BorrowedFd<'_>) -> Result<bool, Error> {
    let mut waited_for =
        [PollFd::from_borrowed_fd(input, PollFlags::IN), PollFd::from_borrowed_fd(is_dropped, PollFlags::IN)];
    loop {
        match poll(&mut waited_for, None) {
            Ok(_) => return Ok(waited_for[1].revents().is_empty()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(cannot_read(errno.into())),
        }
    }
}

/// What was written while no camera was open, and is old by now. A file has no age.
fn waiting_bytes(input: &OwnedFd) -> usize {
    let is_live = rustix::fs::fstat(input)
        .is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket));
    if !is_live {
        return 0;
    }
    rustix::io::ioctl_fionread(input).map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const PICTURE: &[u8] = include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg");
    const OTHER: &[u8] = include_bytes!("../../../testdata/ffmpeg-exif-thumbnail.jpg");

    /// A driver over a pipe, both ends of it.
    struct Line {
        driver: Pipe,
        input: Arc<PipeReader>,
        writer: PipeWriter,
    }

    impl Line {
        fn new() -> Self {
            let (input, writer) = io::pipe().unwrap();
            let input = Arc::new(input);
            let shared = Arc::clone(&input);
            let driver = Pipe::over(move || shared.as_fd().try_clone_to_owned());
            Self { driver, input, writer }
        }

        async fn open(&self) -> Result<Box<dyn Source>, Error> {
            open(&self.driver).await
        }

        /// Writes and waits until all of it was read, which is soon: a thread waits for it.
        fn write_and_wait(&mut self, bytes: &[u8]) {
            self.writer.write_all(bytes).unwrap();
            while rustix::io::ioctl_fionread(&*self.input).unwrap() > 0 {
                std::thread::yield_now();
            }
        }
    }

    async fn open(driver: &Pipe) -> Result<Box<dyn Source>, Error> {
        let url = SourceUrl::parse("pipe:-").unwrap();
        driver.open(&url).await
    }

    async fn next(source: &mut Box<dyn Source>) -> Frame {
        source.next_frame().await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn pictures_come_as_they_are_written_until_the_input_ends() {
        let mut line = Line::new();
        let mut source = line.open().await.unwrap();
        line.writer.write_all(PICTURE).unwrap();
        assert_eq!(next(&mut source).await.data, PICTURE);
        line.writer.write_all(OTHER).unwrap();
        assert_eq!(next(&mut source).await.data, OTHER);
        drop(line.writer);
        assert!(source.next_frame().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_input_that_ended_before_a_picture_is_an_error_each_time() {
        let line = Line::new();
        drop(line.writer);
        for _ in 0..2 {
            let error = open(&line.driver).await.unwrap().next_frame().await.unwrap_err();
            assert_eq!(error.to_string(), "standard input: has ended");
        }
    }

    #[tokio::test]
    async fn a_second_camera_is_told_that_there_is_one_standard_input() {
        let line = Line::new();
        let first = line.open().await.unwrap();
        let error = line.open().await.err().unwrap();
        assert!(error.to_string().contains("read by another camera"), "{error}");
        drop(first);
        assert!(line.open().await.is_ok());
    }

    #[tokio::test]
    async fn closing_ends_the_thread_that_waits_for_bytes() {
        let line = Line::new();
        let source = line.open().await.unwrap();
        drop(source);
        assert!(matches!(*lock(&line.driver.place), Place::Left(_)), "the thread gave its place back");
    }

    #[tokio::test]
    async fn a_camera_that_opens_again_goes_on_in_the_middle_of_a_picture() {
        let mut line = Line::new();
        let mut source = line.open().await.unwrap();
        let (half, rest) = PICTURE.split_at(PICTURE.len() / 2);
        line.write_and_wait(&[OTHER, half].concat());
        assert_eq!(next(&mut source).await.data, OTHER);
        drop(source);
        let mut source = line.open().await.unwrap();
        line.writer.write_all(rest).unwrap();
        assert_eq!(next(&mut source).await.data, PICTURE);
    }

    #[tokio::test]
    async fn what_was_written_while_nobody_watched_is_not_shown_late() {
        let mut line = Line::new();
        let mut source = line.open().await.unwrap();
        line.write_and_wait(PICTURE);
        next(&mut source).await;
        drop(source);
        line.writer.write_all(PICTURE).unwrap();
        let mut source = line.open().await.unwrap();
        line.writer.write_all(OTHER).unwrap();
        assert_eq!(next(&mut source).await.data, OTHER);
    }

    #[tokio::test]
    async fn a_file_is_read_as_well_as_a_pipe() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ffmpeg-mjpeg.jpg");
        let driver = Pipe::over(move || Ok(std::fs::File::open(path)?.into()));
        let mut source = open(&driver).await.unwrap();
        assert_eq!(next(&mut source).await.data, PICTURE);
        assert!(source.next_frame().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn input_that_is_no_picture_is_named() {
        let mut line = Line::new();
        let mut source = line.open().await.unwrap();
        line.writer.write_all(&b"nothing to see here\n".repeat(500)).unwrap();
        assert!(matches!(source.next_frame().await, Err(Error::Stream(_))));
    }

    #[tokio::test]
    async fn a_terminal_is_refused_with_what_to_do() {
        // The other end of a terminal is one too; some sandboxes have none.
        let Ok(terminal) = std::fs::File::open("/dev/ptmx") else { return };
        let driver = Pipe::over(move || terminal.as_fd().try_clone_to_owned());
        let error = open(&driver).await.err().unwrap();
        assert!(error.to_string().contains("| framecast pipe:-"), "{error}");
    }

    #[test]
    fn any_other_path_is_refused_with_what_to_use() {
        let url = SourceUrl::parse("pipe:/run/camera").unwrap();
        let error = Pipe::standard_input().check(&url).unwrap_err();
        assert!(error.to_string().contains("exec:cat"), "{error}");
    }
}
