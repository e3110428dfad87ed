//! The driver for pictures from Framecast's own standard input: `ffmpeg … | framecast pipe:-`.
//!
//! A thread polls for bytes, so that it can be woken when the camera closes. After the camera is closed, another thread
//! keeps reading and discards the pictures until the camera opens again. Without that thread the pipe would fill up:
//! the writing program would block in the middle of a picture, with more pictures in its buffers, and viewers would
//! later see all these old pictures as if they were new. If standard input is a file, no such thread is needed: the
//! next opening reads on from the position at which the last one stopped.

use std::io::{self, IsTerminal, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use framecast_media::container::StreamReader;
use framecast_media::{Frame, lock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::blocking::{self, BlockingSource, Sink};
use crate::frame_parser::{FrameParser, PAUSE};
use crate::{BoxFuture, Driver, Error, ErrorKind, OpenContext, Source, SourceUrl};

/// The driver for `pipe:-`. There is only one standard input, so only one camera can be open at a time.
pub(crate) struct Pipe {
    /// A function that returns the file descriptor of the input.
    input: Box<dyn Fn() -> io::Result<OwnedFd> + Send + Sync>,
    state: Arc<Mutex<InputState>>,
}

/// The state of standard input, which is kept between two openings of the camera.
#[derive(Debug)]
enum InputState {
    Start,
    /// A camera is open and owns the picture reader.
    Open,
    /// The camera was closed and returned this reader. The input is a file, so the next opening reads on from here.
    Paused(StreamReader),
    /// The camera was closed, and a thread discards pictures until the next opening.
    Draining(Drain),
}

const READ_BYTES: usize = 64 * 1024;

/// The name of the input in errors, and of the threads that read it.
const NAME: &str = "standard input";

impl Pipe {
    pub(crate) fn standard_input() -> Self {
        Self::from_input(|| io::stdin().as_fd().try_clone_to_owned())
    }

    fn from_input(input: impl Fn() -> io::Result<OwnedFd> + Send + Sync + 'static) -> Self {
        Self { input: Box::new(input), state: Arc::new(Mutex::new(InputState::Start)) }
    }

    /// Returns the file descriptor of standard input. A terminal is an error, because somebody would have to type
    /// pictures into it.
    fn input(&self) -> Result<OwnedFd, Error> {
        let input = (self.input)().map_err(cannot_read)?;
        if input.is_terminal() {
            return Err(input_error(
                "this is a terminal; pipe pictures into Framecast: `ffmpeg … -f mjpeg - | framecast pipe:-`",
            ));
        }
        Ok(input)
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
                let problem =
                    "is not standard input; write `pipe:-` for standard input, and `exec:cat PATH` for a named pipe"
                        .to_owned();
                Err(Error::BadUrl { url: url.to_string(), problem })
            }
        }
    }

    fn check_available(&self, _url: &SourceUrl) -> Result<(), Error> {
        self.input().map(drop)
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            self.check(url)?;
            let input = self.input()?;
            Ok(Box::new(PipeSource::spawn(context, input, &self.state)?) as Box<dyn Source>)
        })
    }
}

fn cannot_read(source: io::Error) -> Error {
    Error::Pipe { what: NAME.to_owned(), source }
}

const ENDED: &str = "the input has ended; start Framecast again together with the program that writes the pictures, or \
                     have Framecast run that program: `exec:PROGRAM ARGUMENTS`";

fn input_error(problem: &str) -> Error {
    Error::Unusable { what: NAME.to_owned(), problem: problem.to_owned() }
}

/// A source of the pictures on standard input. The order of drops matters: `_wake` closes first, which wakes the
/// reading thread, and then dropping `frames` joins that thread.
struct PipeSource {
    _wake: PipeWriter,
    frames: BlockingSource,
}

impl PipeSource {
    fn spawn(context: &OpenContext, input: OwnedFd, state: &Arc<Mutex<InputState>>) -> Result<Self, Error> {
        let (is_dropped, wake) = io::pipe().map_err(cannot_read)?;
        let mut taken = OpenInput::acquire(state, context, input)?;
        let frames = blocking::spawn(NAME, move |sink| {
            if let Err(error) = taken.run(&is_dropped, sink) {
                // If the source was dropped in the meantime, nobody needs this error.
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

    fn repaired_frames(&self) -> u64 {
        self.frames.repaired_frames()
    }
}

/// Standard input, while one camera reads it. Dropping this value releases standard input for the next camera.
struct OpenInput {
    state: Arc<Mutex<InputState>>,
    /// The file descriptor of standard input and the parser of its bytes; `None` only during drop.
    held: Option<(OwnedFd, FrameParser)>,
}

impl OpenInput {
    fn acquire(state: &Arc<Mutex<InputState>>, context: &OpenContext, input: OwnedFd) -> Result<Self, Error> {
        let before = std::mem::replace(&mut *lock(state), InputState::Open);
        let reader = match before {
            InputState::Start => None,
            InputState::Paused(reader) => Some(reader),
            InputState::Draining(drain) => drain.stop(),
            InputState::Open => {
                return Err(input_error(
                    "another camera already reads it; only one camera can have the source `pipe:-`",
                ));
            }
        };
        let stream = match reader {
            Some(reader) => FrameParser::resume(context, reader),
            None => FrameParser::new(context),
        };
        Ok(Self { state: Arc::clone(state), held: Some((input, stream)) })
    }

    /// Reads and sends frames until the input ends or the source is dropped.
    fn run(&mut self, is_dropped: &PipeReader, sink: &Sink) -> Result<(), Error> {
        let (input, stream) = self.held.as_mut().expect("the input is there until it is dropped");
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let pause = stream.awaits_pause().then_some(PAUSE);
            let is_at_end = match read(input, is_dropped, pause, &mut buffer)? {
                Input::Bytes(len) => {
                    stream.push(&buffer[..len]);
                    false
                }
                Input::Pause => {
                    stream.pause();
                    false
                }
                Input::End => {
                    stream.finish();
                    true
                }
                Input::Stop => return Ok(()),
            };
            if !send_frames(stream, sink)? {
                return Ok(());
            }
            if is_at_end {
                return if stream.has_yielded() { Ok(()) } else { Err(input_error(ENDED)) };
            }
        }
    }
}

impl Drop for OpenInput {
    fn drop(&mut self) {
        let Some((input, stream)) = self.held.take() else { return };
        let reader = stream.into_reader();
        *lock(&self.state) = if is_pipe_or_socket(&input) {
            // If the system cannot start a thread, parsing restarts at the next opening, which may cut a picture.
            Drain::spawn(input, reader).map_or(InputState::Start, InputState::Draining)
        } else {
            InputState::Paused(reader)
        };
    }
}

/// A thread that keeps reading standard input while no camera is open. Dropping this value stops the thread without
/// waiting for its end.
#[derive(Debug)]
struct Drain {
    wake: PipeWriter,
    thread: JoinHandle<StreamReader>,
}

impl Drain {
    fn spawn(input: OwnedFd, mut reader: StreamReader) -> io::Result<Self> {
        let (is_ended, wake) = io::pipe()?;
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            let mut buffer = vec![0; READ_BYTES];
            discard_pictures(&mut reader);
            // An error here repeats for the next camera, which then reports it.
            while let Ok(Input::Bytes(len)) = read(&input, &is_ended, None, &mut buffer) {
                reader.push(&buffer[..len]);
                discard_pictures(&mut reader);
            }
            reader
        })?;
        Ok(Self { wake, thread })
    }

    /// Stops the thread and returns its picture reader, or `None` if the thread panicked. This does not take long,
    /// because the thread blocks only while waiting for bytes, and this call wakes it.
    fn stop(self) -> Option<StreamReader> {
        drop(self.wake);
        self.thread.join().ok()
    }
}

/// Takes all pictures, whole or broken, out of `reader` and drops them.
fn discard_pictures(reader: &mut StreamReader) {
    loop {
        match reader.next_item() {
            Ok(None) => return,
            Err(error) if !reader.is_readable_after(&error) => return,
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

/// Sends all pictures that `stream` holds to `sink`. Returns false if the source was dropped.
fn send_frames(stream: &mut FrameParser, sink: &Sink) -> Result<bool, Error> {
    loop {
        match stream.next_frame() {
            Ok(None) => return Ok(true),
            Err(error) if error.kind() != ErrorKind::Frame => return Err(error),
            next => {
                let Some(next) = next.transpose() else { return Ok(true) };
                sink.set_repaired_frames(stream.repaired_frames());
                if sink.send(next).is_err() {
                    return Ok(false);
                }
            }
        }
    }
}

/// What there is to read.
enum Input {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Nothing for the time that the caller has given.
    Pause,
    End,
    /// The thread is asked to end.
    Stop,
}

/// Waits for bytes of `input` and reads them into `buffer`. If a time `pause` is given and no bytes come within it,
/// returns [`Input::Pause`]. Returns [`Input::Stop`] if the writing end of the pipe `is_ended` was closed.
fn read(
    input: &OwnedFd,
    is_ended: &PipeReader,
    pause: Option<Duration>,
    buffer: &mut [u8],
) -> Result<Input, Error> {
    loop {
        match wait_readable(input.as_fd(), is_ended.as_fd(), pause)? {
            Wakeup::Readable => {}
            Wakeup::Timeout => return Ok(Input::Pause),
            Wakeup::Dropped => return Ok(Input::Stop),
        }
        match rustix::io::read(input, &mut *buffer) {
            Ok(0) => return Ok(Input::End),
            Ok(len) => return Ok(Input::Bytes(len)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(cannot_read(errno.into())),
        }
    }
}

/// Why a wait for bytes is over.
enum Wakeup {
    /// There are bytes, or there is the end.
    Readable,
    Timeout,
    Dropped,
}

/// Waits until `input` has bytes or has ended, until the writing end of the pipe `is_dropped` was closed, which means
/// that the source was dropped, or until `timeout` has passed.
fn wait_readable(
    input: BorrowedFd<'_>,
    is_dropped: BorrowedFd<'_>,
    timeout: Option<Duration>,
) -> Result<Wakeup, Error> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut waited_for =
        [PollFd::from_borrowed_fd(input, PollFlags::IN), PollFd::from_borrowed_fd(is_dropped, PollFlags::IN)];
    loop {
        match poll(&mut waited_for, timeout.as_ref()) {
            Ok(0) => return Ok(Wakeup::Timeout),
            Ok(_) if waited_for[1].revents().is_empty() => return Ok(Wakeup::Readable),
            Ok(_) => return Ok(Wakeup::Dropped),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(cannot_read(errno.into())),
        }
    }
}

/// Returns whether `input` is a pipe or socket, to which a program keeps writing while no camera is open. A file, in
/// contrast, can be read later.
fn is_pipe_or_socket(input: &OwnedFd) -> bool {
    rustix::fs::fstat(input)
        .is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket))
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::io::Write;

    use super::*;

    const PICTURE: &[u8] = include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg");
    const OTHER: &[u8] = include_bytes!("../../../testdata/ffmpeg-exif-thumbnail.jpg");
    const VIDEO: &[u8] = include_bytes!("../../../testdata/x264-baseline.h264");

    /// A driver over a pipe, and both ends of that pipe.
    struct TestPipe {
        driver: Pipe,
        input: Arc<PipeReader>,
        writer: PipeWriter,
    }

    impl TestPipe {
        fn new() -> Self {
            let (input, writer) = io::pipe().unwrap();
            let input = Arc::new(input);
            let shared = Arc::clone(&input);
            let driver = Pipe::from_input(move || shared.as_fd().try_clone_to_owned());
            Self { driver, input, writer }
        }

        async fn open(&self) -> Result<Box<dyn Source>, Error> {
            open(&self.driver).await
        }

        /// Writes and waits until the reading thread has taken all of it.
        fn write_and_wait(&mut self, bytes: &[u8]) {
            self.writer.write_all(bytes).unwrap();
            let is_read = || rustix::io::ioctl_fionread(&*self.input).unwrap() == 0;
            framecast_testkit::blocking::until("the reading thread takes all of it", is_read);
        }
    }

    async fn open(driver: &Pipe) -> Result<Box<dyn Source>, Error> {
        let url = SourceUrl::parse("pipe:-").unwrap();
        driver.open(&OpenContext::default(), &url).await
    }

    async fn next(source: &mut Box<dyn Source>) -> Frame {
        source.next_frame().await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn pictures_come_as_they_are_written_until_the_input_ends() {
        let mut pipe = TestPipe::new();
        let mut source = pipe.open().await.unwrap();
        pipe.writer.write_all(PICTURE).unwrap();
        assert_eq!(next(&mut source).await.data, PICTURE);
        pipe.writer.write_all(OTHER).unwrap();
        assert_eq!(next(&mut source).await.data, OTHER);
        drop(pipe.writer);
        assert!(source.next_frame().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_input_that_ended_before_a_picture_is_an_error_each_time() {
        let pipe = TestPipe::new();
        drop(pipe.writer);
        for _ in 0..2 {
            let error = open(&pipe.driver).await.unwrap().next_frame().await.unwrap_err();
            assert_eq!(error.to_string(), format!("standard input: {ENDED}"));
        }
    }

    #[tokio::test]
    async fn a_second_camera_is_told_that_there_is_one_standard_input() {
        let pipe = TestPipe::new();
        let first = pipe.open().await.unwrap();
        let error = pipe.open().await.err().unwrap();
        assert!(error.to_string().contains("another camera already reads it"), "{error}");
        drop(first);
        assert!(pipe.open().await.is_ok());
    }

    #[tokio::test]
    async fn closing_ends_the_thread_that_waits_for_bytes() {
        let pipe = TestPipe::new();
        let source = pipe.open().await.unwrap();
        drop(source);
        assert!(
            matches!(*lock(&pipe.driver.state), InputState::Draining(_)),
            "the thread gave its place back"
        );
    }

    #[tokio::test]
    async fn a_camera_that_opens_again_goes_on_in_the_middle_of_a_picture() {
        let mut pipe = TestPipe::new();
        let mut source = pipe.open().await.unwrap();
        let (half, rest) = PICTURE.split_at(PICTURE.len() / 2);
        pipe.write_and_wait(&[OTHER, half].concat());
        assert_eq!(next(&mut source).await.data, OTHER);
        drop(source);
        let mut source = pipe.open().await.unwrap();
        pipe.writer.write_all(rest).unwrap();
        assert_eq!(next(&mut source).await.data, PICTURE);
    }

    #[tokio::test]
    async fn what_was_written_while_nobody_watched_is_not_shown_late() {
        let mut pipe = TestPipe::new();
        let mut source = pipe.open().await.unwrap();
        pipe.write_and_wait(PICTURE);
        next(&mut source).await;
        drop(source);
        // Far more than a pipe buffers, and half a picture.
        let (half, rest) = OTHER.split_at(OTHER.len() / 2);
        pipe.write_and_wait(&[&PICTURE.repeat(200)[..], half].concat());
        let mut source = pipe.open().await.unwrap();
        pipe.writer.write_all(rest).unwrap();
        assert_eq!(next(&mut source).await.data, OTHER);
    }

    #[tokio::test]
    async fn pictures_that_were_read_but_not_handed_over_are_not_shown_late() {
        let mut pipe = TestPipe::new();
        let mut source = pipe.open().await.unwrap();
        pipe.write_and_wait(&PICTURE.repeat(5));
        next(&mut source).await;
        drop(source);
        let mut source = pipe.open().await.unwrap();
        pipe.writer.write_all(OTHER).unwrap();
        assert_eq!(next(&mut source).await.data, OTHER);
    }

    #[tokio::test]
    async fn coded_video_begins_at_a_keyframe_after_each_opening() {
        let mut pipe = TestPipe::new();
        let mut source = pipe.open().await.unwrap();
        // Two GOPs of three frames. The last frame comes out when another begins.
        pipe.write_and_wait(VIDEO);
        for is_keyframe in [true, false, false, true, false] {
            assert_eq!(next(&mut source).await.is_keyframe, is_keyframe);
        }
        drop(source);
        let gop_bytes = VIDEO.len() / 3;
        pipe.write_and_wait(&VIDEO[..gop_bytes]);
        let mut source = pipe.open().await.unwrap();
        pipe.writer.write_all(&VIDEO[gop_bytes..]).unwrap();
        drop(pipe.writer);
        assert!(next(&mut source).await.is_keyframe);
        while let Some(frame) = source.next_frame().await.unwrap() {
            assert_eq!(frame.format.codec, framecast_media::Codec::H264);
        }
    }

    #[tokio::test]
    async fn a_file_waits_where_it_was_left() {
        let mut file = tempfile::tempfile().unwrap();
        // More than one read returns.
        file.write_all(&PICTURE.repeat(100)).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let driver = Pipe::from_input(move || file.as_fd().try_clone_to_owned());
        let mut source = open(&driver).await.unwrap();
        next(&mut source).await;
        drop(source);
        assert_eq!(next(&mut open(&driver).await.unwrap()).await.data, PICTURE);
    }

    #[tokio::test]
    async fn a_file_is_read_as_well_as_a_pipe() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/ffmpeg-mjpeg.jpg");
        let driver = Pipe::from_input(move || Ok(std::fs::File::open(path)?.into()));
        let mut source = open(&driver).await.unwrap();
        assert_eq!(next(&mut source).await.data, PICTURE);
        assert!(source.next_frame().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn input_that_is_no_picture_is_named() {
        let mut pipe = TestPipe::new();
        let mut source = pipe.open().await.unwrap();
        pipe.writer.write_all(&b"nothing to see here\n".repeat(500)).unwrap();
        assert!(matches!(source.next_frame().await, Err(Error::Stream(_))));
    }

    #[tokio::test]
    async fn a_terminal_is_refused_with_what_to_do() {
        // The master side of a terminal is a terminal too; some sandboxes have none.
        let Ok(terminal) = std::fs::File::open("/dev/ptmx") else { return };
        let driver = Pipe::from_input(move || terminal.as_fd().try_clone_to_owned());
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
