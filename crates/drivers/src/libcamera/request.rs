//! Parses what a source's URL requests, and builds the arguments of `rpicam-vid` from it.

use percent_encoding::percent_decode_str;

use crate::{Error, Mode, Options, SourceUrl};

const OPTIONS: &[&str] = &["camera", "codec", "fps", "hflip", "options", "quality", "size", "vflip"];

const DEFAULT_SIZE_PX: (u32, u32) = (1280, 720);
const DEFAULT_FPS: f64 = 30.0;
/// The default JPEG quality. The default of `rpicam-vid` itself is 50, which makes faces blocky.
const DEFAULT_QUALITY: u8 = 80;

/// The range of the picture's width and height. The upper limit is a little above the longest side of a 64-megapixel
/// sensor.
const SIDES_PX: (u32, u32) = (16, 16384);

/// The time between two keyframes of H.264: a picture that is damaged or late lasts no longer.
const KEYFRAME_INTERVAL_SECONDS: f64 = 2.0;

/// The argument that sets the time between two keyframes, under both of its names.
const INTRA: [&str; 2] = ["--intra", "-g"];

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

/// How the program codes the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CaptureCoding {
    Mjpeg,
    H264,
}

impl CaptureCoding {
    /// Returns the name, which the URL and the program share.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mjpeg => "mjpeg",
            Self::H264 => "h264",
        }
    }
}

/// The parsed options of a source's URL.
#[derive(Debug, PartialEq)]
pub(super) struct CaptureRequest {
    /// The camera's number, as `rpicam-hello --list-cameras` shows it.
    pub(super) camera: u8,
    pub(super) coding: CaptureCoding,
    pub(super) size_px: (u32, u32),
    pub(super) fps: f64,
    /// The format, size and frame rate that the URL requests. A field is `None` if the URL does not set it.
    pub(super) asked: Mode,
    /// JPEG quality, from 1 to 100; only for MJPEG.
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
        let coding = coding(&options)?;
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
            format: options.get("codec").map(str::to_owned),
            width: asked_size.map(|(width, _)| width),
            height: asked_size.map(|(_, height)| height),
            fps: options.get("fps").map(|_| fps),
        };
        Ok(Self {
            camera: number("camera", 0, 0, MAX_CAMERA)?,
            coding,
            size_px,
            fps,
            asked,
            quality: number("quality", DEFAULT_QUALITY, 1, 100)?,
            is_hflipped: options.is_set("hflip")?,
            is_vflipped: options.is_set("vflip")?,
            rest,
        })
    }

    /// Returns the arguments with which `rpicam-vid` writes JPEG images or H.264 to standard output without end and
    /// shows no preview. They also make the program flush each image at once; otherwise the end of a picture would stay
    /// in a buffer until the next one. H.264 has its parameter sets before each keyframe.
    pub(super) fn arguments(&self) -> Vec<String> {
        let (width, height) = self.size_px;
        let mut arguments: Vec<String> =
            ["-t", "0", "-n", "--flush", "--codec", self.coding.name()].map(str::to_owned).into();
        let mut set = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        set("--camera", self.camera.to_string());
        set("--width", width.to_string());
        set("--height", height.to_string());
        // Rounding hides the error of the interval, which is in whole nanoseconds.
        set("--framerate", ((self.fps * 1000.0).round() / 1000.0).to_string());
        if self.coding == CaptureCoding::Mjpeg {
            set("--quality", self.quality.to_string());
        } else if !self.rest.iter().any(|word| INTRA.iter().any(|name| is_argument(word, name))) {
            set("--intra", (self.fps * KEYFRAME_INTERVAL_SECONDS).ceil().to_string());
        }
        let is_h264 = self.coding == CaptureCoding::H264;
        for (flag, is_set) in
            [("--inline", is_h264), ("--hflip", self.is_hflipped), ("--vflip", self.is_vflipped)]
        {
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
    RESERVED.into_iter().find(|reserved| is_argument(word, reserved))
}

/// Returns whether `word` sets the argument `name`. `word` may include the value, as in `--output=x` and `-ox`.
fn is_argument(word: &str, name: &str) -> bool {
    if name.starts_with("--") {
        word.split('=').next() == Some(name)
    } else {
        !word.starts_with("--") && word.starts_with(name)
    }
}

/// Returns the coding that the option `codec` sets.
fn coding(options: &Options<'_>) -> Result<CaptureCoding, Error> {
    match options.get("codec") {
        None | Some("mjpeg") => Ok(CaptureCoding::Mjpeg),
        Some("h264") if options.get("quality").is_some() => Err(options.refuse(
            "quality",
            "is for `codec=mjpeg`; with `codec=h264` set the bit rate, as in `options=--bitrate 4000000`",
        )),
        Some("h264") => Ok(CaptureCoding::H264),
        Some(_) => Err(options.refuse("codec", "must be `mjpeg` or `h264`")),
    }
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
    fn h264_has_its_sets_and_a_keyframe_every_two_seconds() {
        assert_eq!(
            arguments("pi:?codec=h264&fps=12.5&vflip"),
            "-t 0 -n --flush --codec h264 --camera 0 --width 1280 --height 720 --framerate 12.5 --intra 25 --inline \
             --vflip -o -"
        );
        for own in ["--intra 10", "--intra=10", "-g 10", "-g10"] {
            let arguments = arguments(&format!("pi:?codec=h264&options={own}"));
            assert!(arguments.ends_with(&format!("--framerate 30 --inline {own} -o -")), "{arguments}");
        }
    }

    #[test]
    fn values_out_of_range_and_arguments_that_are_ours_are_refused() {
        for (bad, told) in [
            ("pi:?camera=x", "from 0 to 31"),
            ("pi:?quality=0", "from 1 to 100"),
            ("pi:?size=8x8", "each side from 16"),
            ("pi:?fps=0", "frames per second"),
            ("pi:?rotate=90", "known options: camera, codec, fps"),
            ("pi:?codec=h265", "must be `mjpeg` or `h264`"),
            ("pi:?codec=h264&quality=80", "options=--bitrate 4000000"),
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
