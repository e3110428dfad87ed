//! The table of all drivers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use tokio::time::timeout;
use tracing::warn;

use crate::blocking::panic_message;
use crate::frames::{IterDriver, StreamDriver};
use crate::{
    Device, Driver, Error, IntoPicture, OpenContext, Source, SourceUrl, emulated, masking, suggest,
    test_pattern,
};
#[cfg(feature = "program-source")]
use crate::{exec, libcamera::Libcamera, pipe, rtsp::Rtsp};

/// The time limit for a driver to list its devices. USB devices can hang, and one such device must not hide the devices
/// of other drivers.
const DEVICES_TIMEOUT: Duration = Duration::from_secs(8);

/// The time limit for the check whether a source's device, file or program exists.
const AVAILABILITY_TIMEOUT: Duration = Duration::from_secs(2);

/// The drivers that a program can use, by URL scheme. Cheap to clone.
#[derive(Clone, Default)]
pub struct Drivers(Vec<Arc<dyn Driver>>);

impl Drivers {
    /// Creates a table of the drivers that come with Framecast: `emulated:` and `test:`, and those of the Cargo
    /// features of this build.
    pub fn builtin() -> Self {
        let drivers = Self::default().with(emulated::Emulated).with(test_pattern::Test);
        #[cfg(feature = "v4l2-source")]
        let drivers = drivers.with(crate::v4l2::V4l2);
        #[cfg(feature = "file-source")]
        let drivers = drivers.with(crate::images::Images);
        #[cfg(feature = "program-source")]
        let drivers = drivers.with(exec::Exec).with(pipe::Pipe::standard_input());
        #[cfg(feature = "http-source")]
        let drivers = drivers.with(crate::http::Http("http")).with(crate::http::Http("https"));
        #[cfg(feature = "program-source")]
        let drivers = drivers
            .with(Rtsp::new("rtsp"))
            .with(Rtsp::new("rtsps"))
            .with(Libcamera::new("libcamera"))
            .with(Libcamera::new("pi"));
        drivers
    }

    /// Adds a driver to the table. It replaces the driver with the same scheme, if there is one.
    #[must_use]
    pub fn with(mut self, driver: impl Driver + 'static) -> Self {
        self.0.retain(|known| known.scheme() != driver.scheme());
        self.0.push(Arc::new(driver));
        self
    }

    /// Adds a driver for a custom camera in a few lines of code: `scheme` becomes a source whose pictures are JPEG
    /// images from an iterator.
    ///
    /// Each time the camera opens, the source calls `open` with the camera's URL on a new thread. `open` returns the
    /// iterator, which the source reads on the same thread, so both are allowed to block. What follows the scheme in
    /// the URL is for `open` alone: [`SourceUrl::options`] parses options. The iterator sets the pace, and is dropped
    /// when the camera closes.
    /// An item is anything that implements [`IntoPicture`]: `Vec<u8>`, [`Bytes`](framecast_media::Bytes), one of these
    /// with its [`CaptureTime`](crate::CaptureTime), or a `Result` of these.
    #[must_use]
    pub fn with_frames<F, I>(self, scheme: &'static str, open: F) -> Self
    where
        F: Fn(SourceUrl) -> I + Send + Sync + 'static,
        I: IntoIterator + 'static,
        I::Item: IntoPicture,
    {
        self.with(IterDriver::new(scheme, open))
    }

    /// Does what [`with_frames`](Self::with_frames) does, for an asynchronous stream instead of an iterator.
    #[must_use]
    pub fn with_frame_stream<F, S>(self, scheme: &'static str, open: F) -> Self
    where
        F: Fn(SourceUrl) -> S + Send + Sync + 'static,
        S: Stream + Send + 'static,
        S::Item: IntoPicture,
    {
        self.with(StreamDriver::new(scheme, open))
    }

    /// Returns the schemes in the table, in the order of the table.
    pub fn schemes(&self) -> Vec<&'static str> {
        self.0.iter().map(|driver| driver.scheme()).collect()
    }

    /// Returns the driver for `url`, after that driver has checked `url` without touching the device.
    ///
    /// # Errors
    /// [`Error::UnknownScheme`] names the schemes in the table. Other errors say what the driver finds wrong with the
    /// URL.
    pub fn find(&self, url: &SourceUrl) -> Result<Arc<dyn Driver>, Error> {
        let driver = self.0.iter().find(|driver| driver.scheme() == url.scheme());
        let driver = driver.ok_or_else(|| unknown(url, self.schemes()))?;
        driver.check(url)?;
        Ok(Arc::clone(driver))
    }

    /// Checks whether the device, file or program of `url` exists, without opening it. Callers should only warn about
    /// an error, because a missing device may appear later.
    ///
    /// # Errors
    /// What is missing and what to do, or, after two seconds, that the system does not respond.
    pub async fn check_available(&self, url: &SourceUrl) -> Result<(), Error> {
        let (driver, looked_at) = (self.find(url)?, url.clone());
        if driver.never_blocks() {
            return driver.check_available(url);
        }
        let looking = tokio::task::spawn_blocking(move || driver.check_available(&looked_at));
        match timeout(AVAILABILITY_TIMEOUT, looking).await {
            Ok(Ok(result)) => result,
            Ok(Err(failed)) => match failed.try_into_panic() {
                Ok(panic) => Err(Error::Panicked { message: panic_message(panic.as_ref()) }),
                // The program is shutting down.
                Err(_) => Ok(()),
            },
            Err(_) => {
                let problem = "the operating system has not answered whether this exists; perhaps a disk or network \
                               share hangs";
                Err(Error::Unusable { what: url.to_string(), problem: problem.to_owned() })
            }
        }
    }

    /// Lists the devices of all drivers, if plugged in now. If a driver does not respond within eight seconds, its
    /// devices are missing from the list and a warning is logged.
    pub async fn devices(&self) -> Vec<Device> {
        let ask = async |driver: &Arc<dyn Driver>| {
            timeout(DEVICES_TIMEOUT, driver.devices()).await.unwrap_or_else(|_| {
                warn!(
                    "{}: a device does not answer, so this driver's devices are not listed",
                    driver.scheme()
                );
                Vec::new()
            })
        };
        let found = futures_util::future::join_all(self.0.iter().map(ask)).await;
        found.into_iter().flatten().collect()
    }

    /// Opens `url` with the driver for its scheme.
    ///
    /// # Errors
    /// Those of [`find`](Self::find), and those of the driver when it cannot open the source.
    pub async fn open(&self, context: &OpenContext, url: &SourceUrl) -> Result<Box<dyn Source>, Error> {
        self.find(url)?.open(context, url).await
    }
}

/// Creates the error for a scheme that is not in the table.
fn unknown(url: &SourceUrl, known: Vec<&'static str>) -> Error {
    let shown = url.to_string();
    if shown.starts_with(masking::MASK) {
        // Probably a user name in the scheme's position.
        let problem = "does not begin with the name of a driver; a camera on the network is `http://ADDRESS`, with a \
                       login `http://USER:PASSWORD@HOST/…`";
        return Error::BadUrl { url: shown, problem: problem.to_owned() };
    }
    let hint = hint(url, &known);
    Error::UnknownScheme { scheme: url.scheme().to_owned(), known, hint }
}

/// Returns the Cargo feature with which the driver of `scheme` comes; `None` if no feature brings such a driver.
fn feature_of(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" | "https" => Some("http-source"),
        "exec" | "pipe" | "rtsp" | "rtsps" | "libcamera" | "pi" => Some("program-source"),
        "images" => Some("file-source"),
        "v4l2" => Some("v4l2-source"),
        _ => None,
    }
}

/// Returns a suggestion for a source whose scheme is not in the table: what the user should write instead.
fn hint(url: &SourceUrl, known: &[&str]) -> Option<String> {
    match url.scheme() {
        scheme if feature_of(scheme).is_some() => feature_of(scheme)
            .map(|feature| format!("The driver of `{scheme}:` comes with the Cargo feature `{feature}`")),
        "file" => Some(format!(
            "Write a file or folder by its path; for a video file: {}",
            suggest::VIDEO_FILE_COMMAND
        )),
        scheme if url.rest().is_empty() && suggest::for_device(scheme).is_some() => {
            suggest::for_device(scheme)
        }
        scheme => suggest::for_stream(scheme).or_else(|| {
            let server = suggest::looks_like_server(&url.expose()).then(|| "http://ADDRESS".to_owned());
            server
                .or_else(|| suggest::nearest(scheme, known).map(|name| format!("{name}:")))
                .map(|meant| format!("Did you mean `{meant}`?"))
        }),
    }
}

impl fmt::Debug for Drivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drivers").field(&self.schemes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Result<Arc<dyn Driver>, Error> {
        Drivers::builtin().find(&SourceUrl::parse(text).unwrap())
    }

    fn refusal(text: &str) -> String {
        find(text).err().unwrap().to_string()
    }

    #[test]
    fn an_unknown_scheme_is_answered_with_the_known_ones() {
        let refusal = refusal("tset:?fps=3");
        assert!(refusal.starts_with("no driver for `tset:`; known drivers: emulated:, test:, "), "{refusal}");
        for scheme in Drivers::builtin().schemes() {
            assert!(refusal.contains(&format!("{scheme}:")), "{refusal}");
        }
    }

    #[test]
    fn a_slip_and_a_server_without_http_are_answered_with_what_was_meant() {
        for (text, meant) in [
            ("emulted:?fps=1", "emulated:"),
            ("image:./x", "images:"),
            ("htp://cam/", "http:"),
            ("localhost:8080", "http://ADDRESS"),
            ("cam.local:81/video", "http://ADDRESS"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.ends_with(&format!(". Did you mean `{meant}`?")), "{refusal}");
        }
        for scheme in ["rtmp", "hls", "udp"] {
            let refusal = refusal(&format!("{scheme}://me:s3cret@cam/x"));
            assert!(refusal.contains("`exec:ffmpeg -i ADDRESS -f mjpeg -q:v 5 -`"), "{refusal}");
            assert!(!refusal.contains("s3cret"), "{refusal}");
        }
        assert!(refusal("onvif://cam").contains("does not speak ONVIF yet"));
        assert!(!refusal("nope").contains("Did you mean"));
        assert!(refusal("webcam").contains("`framecast devices`"));
        assert!(refusal("video2").contains("write `/dev/video2`; "));
    }

    #[test]
    fn a_url_is_checked_before_anything_is_opened() {
        assert!(find("test:?fps=30").is_ok());
        assert!(matches!(find("test:?fsp=30"), Err(Error::UnknownOption { .. })));
        assert!(matches!(find("test:?fps=fast"), Err(Error::BadOption { .. })));
    }

    #[test]
    fn a_driver_that_is_not_in_the_table_is_answered_with_its_feature() {
        let builtin = Drivers::builtin().schemes();
        for scheme in builtin.iter().filter(|scheme| !["emulated", "test"].contains(scheme)) {
            let url = SourceUrl::parse(&format!("{scheme}://camera/")).unwrap();
            let refusal = Drivers::default().find(&url).err().unwrap().to_string();
            assert!(refusal.contains("comes with the Cargo feature `"), "{refusal}");
        }
    }

    #[test]
    fn a_driver_of_ones_own_takes_the_place_of_one_with_its_scheme() {
        let before = Drivers::builtin().schemes();
        let table = Drivers::builtin().with_frames("test", |_| Vec::<Vec<u8>>::new());
        let after = table.schemes();
        assert_eq!(after.len(), before.len());
        // The custom driver has no list of options, and so rejects none.
        assert!(table.find(&SourceUrl::parse("test:?anything").unwrap()).is_ok());
    }
}
