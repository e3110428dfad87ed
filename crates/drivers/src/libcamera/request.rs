//! Parses what a source's URL requests, and builds the arguments of `rpicam-vid` from it.

use percent_encoding::percent_decode_str;

use crate::{Error, Mode, SourceUrl};

const OPTIONS: &[&str] = &["camera", "fps", "hflip", "options", "quality", "size", "vflip"];

const DEFAULT_SIZE_PX: (u32, u32) = (1280, 720);
const DEFAULT_FPS: f64 = 30.0;
/// The default JPEG quality. The default of `rpicam-vid` itself is 50, which makes faces blocky.
const DEFAULT_QUALITY: u8 = 80;

/// The range of the picture's width and height. The upper limit is a little above the longest side of a 64-megapixel
/// sensor.
const SIDES_PX: (u32, u32) = (16, 16384);

/// The highest camera number. It is above that of a Raspberry Pi 5 with a camera multiplexer board.
const MAX_CAMERA: u8 = 31;

/// The arguments of `rpicam-vid` that a URL must not set: they decide what the program outputs and where, or make the
/// program end at once.
const RESERVED: [&str; 14] = [
    "-o",
    "--output",
    "-t",
    "--timeout",
    "--codec",
    "--frames",
    "--segment",
    "--circular",
    "-l",
    "--listen",
    "-h",
    "--help",
    "--version",
    "--list-cameras",
];

/// The parsed options of a source's URL.
#[derive(Debug, PartialEq)]
pub(super) struct CaptureRequest {
    /// The camera's number, as `rpicam-hello --list-cameras` shows it.
    pub(super) camera: u8,
    pub(super) size_px: (u32, u32),
    pub(super) fps: f64,
    /// The size and frame rate that the URL requests. A field is `None` if the URL does not set it.
    pub(super) asked: Mode,
    /// JPEG quality, from 1 to 100.
    quality: u8,
    is_hflipped: bool,
    is_vflipped: bool,
    /// The arguments in the URL's option `options`, which are passed to the program unchanged.
    rest: Vec<String>,
}

impl CaptureRequest {
    /// Parses the options of `url`.
    ///
    /// # Errors
    /// An unknown option, or a value that cannot be used.
    pub(super) fn parse(url: &SourceUrl) -> Result<Self, Error> {
        let options = url.options(OPTIONS)?;
        let number = |name: &'static str, default: u8, min: u8, max: u8| match options.get(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().ok().filter(|number| (min..=max).contains(number)).ok_or_else(|| {
                    options.refuse(name, &format!("must be a whole number from {min} to {max}"))
                })
            }
        };
        let rest = shell_words::split(
            &percent_decode_str(options.get("options").unwrap_or_default()).decode_utf8_lossy(),
        )
        .map_err(|error| options.refuse("options", &format!("cannot be split into words: {error}")))?;
        if let Some(name) = rest.iter().find_map(|word| reserved(word)) {
            return Err(options.refuse("options", &format!("`{name}` cannot be set here: Framecast sets it")));
        }
        let size_px = options.size(DEFAULT_SIZE_PX, SIDES_PX.0, SIDES_PX.1)?;
        let fps = 1.0 / options.frame_interval(DEFAULT_FPS)?.as_secs_f64();
        let asked_size = options.get("size").map(|_| size_px);
        let asked = Mode {
            format: None,
            width: asked_size.map(|(width, _)| width),
            height: asked_size.map(|(_, height)| height),
            fps: options.get("fps").map(|_| fps),
        };
        Ok(Self {
            camera: number("camera", 0, 0, MAX_CAMERA)?,
            size_px,
            fps,
            asked,
            quality: number("quality", DEFAULT_QUALITY, 1, 100)?,
            is_hflipped: options.is_set("hflip")?,
            is_vflipped: options.is_set("vflip")?,
            rest,
        })
    }

    /// Returns the arguments with which `rpicam-vid` writes JPEG images to standard output without end and shows no
    /// preview. They also make the program flush each image at once; otherwise the end of a picture would stay in a
    /// buffer until the next one.
    pub(super) fn arguments(&self) -> Vec<String> {
        let (width, height) = self.size_px;
        let mut arguments: Vec<String> =
            ["-t", "0", "-n", "--flush", "--codec", "mjpeg"].map(str::to_owned).into();
        let mut set = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        set("--camera", self.camera.to_string());
        set("--width", width.to_string());
        set("--height", height.to_string());
        // Rounding hides the error of the interval, which is in whole nanoseconds.
        set("--framerate", ((self.fps * 1000.0).round() / 1000.0).to_string());
        set("--quality", self.quality.to_string());
        for (flag, is_set) in [("--hflip", self.is_hflipped), ("--vflip", self.is_vflipped)] {
            arguments.extend(is_set.then(|| flag.to_owned()));
        }
        arguments.extend(self.rest.iter().cloned());
        arguments.extend(["-o", "-"].map(str::to_owned));
        arguments
    }
}

/// Returns the argument in [`RESERVED`] that `word` sets, or `None` if it sets none of them. `word` may include the
/// argument's value (`--output=x`, `-ox`).
fn reserved(word: &str) -> Option<&'static str> {
    let name = word.split('=').next().unwrap_or_default();
    RESERVED.into_iter().find(|reserved| {
        if reserved.starts_with("--") {
            name == *reserved
        } else {
            !word.starts_with("--") && word.starts_with(reserved)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parse(text: &str) -> Result<CaptureRequest, Error> {
        CaptureRequest::parse(&SourceUrl::parse(text).unwrap())
    }

    fn arguments(text: &str) -> String {
        parse(text).unwrap().arguments().join(" ")
    }

    #[test]
    fn a_camera_without_options_shows_720p_at_30() {
        assert_eq!(
            arguments("pi"),
            "-t 0 -n --flush --codec mjpeg --camera 0 --width 1280 --height 720 --framerate 30 --quality 80 -o -"
        );
    }

    #[test]
    fn options_become_arguments() {
        let all = "libcamera:?camera=1&size=640x480&fps=14.5&hflip&vflip=1&quality=60&options=--rotation 0 --awb 'day light'";
        assert_eq!(
            arguments(all),
            "-t 0 -n --flush --codec mjpeg --camera 1 --width 640 --height 480 --framerate 14.5 --quality 60 --hflip \
             --vflip --rotation 0 --awb day light -o -"
        );
        let words = parse("pi:?options=--tuning-file%20a%26b.json%20--ev%20+1%").unwrap().rest;
        assert_eq!(words, ["--tuning-file", "a&b.json", "--ev", "+1%"]);
    }

    #[test]
    fn values_out_of_range_and_arguments_that_are_ours_are_refused() {
        for (bad, told) in [
            ("pi:?camera=x", "from 0 to 31"),
            ("pi:?quality=0", "from 1 to 100"),
            ("pi:?size=8x8", "each side from 16"),
            ("pi:?fps=0", "frames per second"),
            ("pi:?rotate=90", "known options: camera, fps"),
            ("pi:0", "accepts only options, after a `?`"),
            ("pi:?options='", "cannot be split"),
            ("pi:?options=--output=x", "`--output` cannot be set here"),
            ("pi:?options=-ox", "`-o` cannot be set here"),
            ("pi:?options=--codec%20h264", "`--codec` cannot be set here"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.kind() == ErrorKind::Fatal && error.to_string().contains(told), "{error}");
        }
        assert!(parse("pi:?options=--tuning-file x --low-latency --hdr").is_ok());
    }
}
