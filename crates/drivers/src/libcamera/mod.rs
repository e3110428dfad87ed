//! The driver for cameras on the ribbon cable of a Raspberry Pi. It reads them through the program `rpicam-vid`, which
//! was called `libcamera-vid` before Raspberry Pi OS Bookworm.
//!
//! The source is `libcamera:?camera=1&codec=mjpeg&size=1280x720&fps=30&hflip&vflip&quality=80&options=…`, or `pi:` for
//! short. `codec=h264` passes on coded video.
//! [`request`] turns the URL into the program's arguments, [`diagnose`] turns the program's messages into errors, and
//! [`list`] turns the program's list of cameras into devices. The driver does not link libcamera itself, because the
//! library's interface changes with each update of the system, while that of the program hardly does.

mod diagnose;
mod list;
mod request;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use framecast_media::Frame;
use tokio::time::timeout;

use self::request::CaptureRequest;
use crate::program::{Launch, Program, run_to_end};
use crate::{BoxFuture, Capture, Device, Driver, Error, Mode, OpenContext, Source, SourceUrl};

/// The names of the program that reads the camera, newest name first.
const PROGRAMS: [&str; 2] = ["rpicam-vid", "libcamera-vid"];

/// The time limit for listing the cameras. It is long because the program configures each camera in each of its modes.
const LIST_TIMEOUT: Duration = Duration::from_secs(6);

/// The driver for the scheme `libcamera:` or its short form `pi:`. The driver table has one instance for each of the
/// two schemes.
pub(crate) struct Libcamera {
    scheme: &'static str,
    /// The folder of the program; `None` means that it is searched on PATH.
    folder: Option<PathBuf>,
}

impl Libcamera {
    pub(crate) fn new(scheme: &'static str) -> Self {
        Self { scheme, folder: None }
    }

    fn launch(&self, program: &str, arguments: Vec<String>) -> Launch {
        Launch::new(program, arguments).in_folder(self.folder.as_deref())
    }

    /// Starts the program under the newest of its names that is installed.
    async fn start(
        &self,
        context: &OpenContext,
        url: &SourceUrl,
        request: &CaptureRequest,
    ) -> Result<Program, Error> {
        for program in PROGRAMS {
            let launch = self.launch(program, request.arguments());
            match Program::start(context, url, &launch).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                started => return started.map_err(|source| launch.spawn_error(source)),
            }
        }
        Err(diagnose::not_installed_error(&self.launch(PROGRAMS[0], Vec::new())))
    }

    async fn list(&self) -> Vec<Device> {
        for program in PROGRAMS {
            let launch = self.launch(program, vec!["--list-cameras".to_owned()]).with_debug_log();
            match timeout(LIST_TIMEOUT, run_to_end(&launch)).await {
                Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(Ok(answer)) => return list::parse_devices(&answer.output),
                Ok(Err(error)) => tracing::debug!(%error, "{program} cannot list the cameras"),
                Err(_) => {
                    tracing::warn!("{program} did not list the cameras within {LIST_TIMEOUT:?}");
                    return Vec::new();
                }
            }
        }
        Vec::new()
    }
}

impl Driver for Libcamera {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        CaptureRequest::parse(url).map(drop)
    }

    fn check_available(&self, _url: &SourceUrl) -> Result<(), Error> {
        let is_there = |program| self.launch(program, Vec::new()).check_executable().is_ok();
        if PROGRAMS.into_iter().any(is_there) {
            return Ok(());
        }
        Err(diagnose::not_installed_error(&self.launch(PROGRAMS[0], Vec::new())))
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let request = CaptureRequest::parse(url)?;
            let program = self.start(context, url, &request).await?;
            Ok(Box::new(LibcameraSource { program, request, given: None }) as Box<dyn Source>)
        })
    }

    /// Lists the cameras. The `pi:` instance of the driver lists none, so that no camera appears twice.
    fn devices(&self) -> BoxFuture<'_, Vec<Device>> {
        Box::pin(async move { if self.scheme == "libcamera" { self.list().await } else { Vec::new() } })
    }
}

/// A running program that reads a camera.
struct LibcameraSource {
    program: Program,
    request: CaptureRequest,
    /// The width and height of the newest frame, in pixels; `None` before the first frame.
    given: Option<(u32, u32)>,
}

impl LibcameraSource {
    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        match self.program.next().await {
            Ok(Some(frame)) => {
                self.given = Some((frame.format.width_px, frame.format.height_px));
                Ok(Some(frame))
            }
            Err(Error::Exited { program, status, has_stderr, hint }) => {
                let lines = self.program.last_lines().await;
                Err(diagnose::exit_error(&self.request, &program, &lines).unwrap_or(Error::Exited {
                    program,
                    status,
                    has_stderr,
                    hint,
                }))
            }
            result => result,
        }
    }
}

impl Source for LibcameraSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    fn repaired_frames(&self) -> u64 {
        self.program.repaired_pictures()
    }

    fn dropped_frames(&self) -> u64 {
        self.program.skipped_frames()
    }

    fn capture(&self) -> Option<Capture> {
        let (width, height) = self.given?;
        let given = Mode {
            format: Some(self.request.coding.name().to_owned()),
            width: Some(width),
            height: Some(height),
            // The program does not report the frame rate.
            fps: None,
        };
        let (device, asked) = (format!("camera {}", self.request.camera), self.request.asked.clone());
        Some(Capture { device, given, asked })
    }
}
