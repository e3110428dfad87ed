//! The device that a URL names, and the mode that the URL requests.

use framecast_media::{ColorRange, PixelFormat};

use super::coding::Coding;
use crate::{Error, Mode, Options, SourceUrl};

const OPTIONS: &[&str] = &["size", "fps", "format", "range", "input", "strict"];

/// The maximum width or height of a picture, in pixels.
pub(super) const MAX_SIDE_PX: u32 = 16_384;

/// The device that a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeviceTarget {
    /// The first device that captures pictures, for a URL that names no device.
    First,
    /// The device node at this path.
    Path(String),
    /// A USB device, identified by its vendor and product numbers and, if the URL states it, by its serial number.
    Usb { vendor: u16, product: u16, serial: Option<String> },
    /// A device whose name is, or contains, this text.
    Name(String),
}

/// The mode that a URL requests. A field that is `None` leaves the choice to Framecast.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RequestedMode {
    pub(super) coding: Option<Coding>,
    pub(super) size: Option<(u32, u32)>,
    pub(super) fps: Option<f64>,
    /// The value range of the samples, which overrides the range that the driver reports.
    pub(super) range: Option<ColorRange>,
    /// The number of the capture card's input to use.
    pub(super) input: Option<u32>,
    /// Whether a request that the device cannot fulfil is an error. If false, the nearest format, size or rate is used
    /// instead.
    pub(super) is_strict: bool,
}

impl RequestedMode {
    /// Returns the requested mode in the form in which the API reports it.
    pub(super) fn mode(&self) -> Mode {
        Mode {
            format: self.coding.map(|coding| coding.name().to_owned()),
            width: self.size.map(|(width, _)| width),
            height: self.size.map(|(_, height)| height),
            fps: self.fps,
        }
    }
}

/// Parses a `v4l2:` URL into a device and a requested mode.
pub(super) fn parse(url: &SourceUrl) -> Result<(DeviceTarget, RequestedMode), Error> {
    let (place, options) = url.path_and_options(OPTIONS)?;
    let target = target(place).ok_or_else(|| Error::BadUrl {
        url: url.to_string(),
        problem:
            "names no device; write /dev/videoN, by-id/…, by-path/…, usb=046d:0825 (with :SERIAL if two are \
             alike) or name=HD Webcam; `framecast devices` lists what is plugged in"
                .to_owned(),
    })?;
    Ok((target, requested_mode(&options)?))
}

fn target(place: &str) -> Option<DeviceTarget> {
    let place = place.trim();
    if place.is_empty() {
        return Some(DeviceTarget::First);
    }
    if place.starts_with("/dev/") {
        return Some(DeviceTarget::Path(place.to_owned()));
    }
    if place.bytes().all(|b| b.is_ascii_digit()) && place.len() <= 3 {
        return Some(DeviceTarget::Path(format!("/dev/video{place}")));
    }
    for folder in ["by-id/", "by-path/"] {
        if let Some(link) = place.strip_prefix(folder) {
            let is_name = !link.is_empty() && link != ".." && !link.contains('/');
            return is_name.then(|| DeviceTarget::Path(format!("/dev/v4l/{place}")));
        }
    }
    if let Some(numbers) = place.strip_prefix("usb=") {
        let mut parts = numbers.splitn(3, ':');
        let mut number =
            || parts.next().filter(|n| n.len() == 4).and_then(|n| u16::from_str_radix(n, 16).ok());
        let (vendor, product) = (number()?, number()?);
        let serial = parts.next().filter(|serial| !serial.is_empty()).map(str::to_owned);
        return Some(DeviceTarget::Usb { vendor, product, serial });
    }
    let name = place.strip_prefix("name=")?.trim();
    (!name.is_empty()).then(|| DeviceTarget::Name(name.to_owned()))
}

fn requested_mode(options: &Options<'_>) -> Result<RequestedMode, Error> {
    let size = options.get("size").is_some().then(|| options.size((0, 0), 1, MAX_SIDE_PX)).transpose()?;
    options.frame_interval(30.0)?;
    let fps = options.get("fps").and_then(|fps| fps.parse().ok());
    let range = match options.get("range") {
        None | Some("auto") => None,
        Some("full") => Some(ColorRange::Full),
        Some("limited") => Some(ColorRange::Limited),
        Some(_) => return Err(options.refuse("range", "must be full, limited or auto")),
    };
    let input = options
        .get("input")
        .map(|input| input.parse().map_err(|_| options.refuse("input", "must be an input's number, from 0")))
        .transpose()?;
    let is_strict = options.is_set("strict")?;
    Ok(RequestedMode { coding: coding(options)?, size, fps, range, input, is_strict })
}

fn coding(options: &Options<'_>) -> Result<Option<Coding>, Error> {
    match options.get("format") {
        None | Some("auto") => Ok(None),
        Some(name) => Coding::from_name(name).map(Some).ok_or_else(|| {
            let raw: Vec<&str> = PixelFormat::ALL.iter().map(|format| format.name()).collect();
            options.refuse("format", &format!("must be auto, mjpeg or one of {}", raw.join(", ")))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn read(text: &str) -> Result<(DeviceTarget, RequestedMode), Error> {
        parse(&SourceUrl::parse(text).unwrap())
    }

    #[test]
    fn devices_are_named_in_any_way_that_people_have_for_them() {
        let usb = |serial: Option<&str>| DeviceTarget::Usb {
            vendor: 0x046d,
            product: 0x0825,
            serial: serial.map(str::to_owned),
        };
        for (text, target) in [
            ("v4l2", DeviceTarget::First),
            ("v4l2:?fps=5", DeviceTarget::First),
            ("/dev/video2", DeviceTarget::Path("/dev/video2".into())),
            ("/dev/v4l/by-id/usb-x", DeviceTarget::Path("/dev/v4l/by-id/usb-x".into())),
            ("v4l2:/dev/video0?size=640x480", DeviceTarget::Path("/dev/video0".into())),
            ("v4l2:1", DeviceTarget::Path("/dev/video1".into())),
            ("v4l2:by-id/usb-x-index0", DeviceTarget::Path("/dev/v4l/by-id/usb-x-index0".into())),
            ("v4l2:usb=046d:0825", usb(None)),
            ("v4l2:usb=046D:0825:AB:12?strict", usb(Some("AB:12"))),
            ("v4l2:name=HD Webcam?fps=5", DeviceTarget::Name("HD Webcam".into())),
        ] {
            assert_eq!(read(text).unwrap().0, target, "{text}");
        }
    }

    #[test]
    fn what_names_no_device_is_answered_with_what_does() {
        for text in [
            "v4l2:webcam",
            "v4l2:usb=46d:825",
            "v4l2:usb=046d",
            "v4l2:name=",
            "v4l2:by-id/../x",
            "v4l2:12345",
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains("names no device; write /dev/videoN, by-id/…"), "{error}");
            assert_eq!(error.kind(), ErrorKind::Fatal);
        }
    }

    #[test]
    fn options_are_read_and_what_they_must_be_is_told() {
        let (_, requested) =
            read("v4l2:?size=1280x720&fps=25&format=NV12&range=full&input=1&strict").unwrap();
        assert_eq!(requested.size, Some((1280, 720)));
        assert_eq!(requested.fps, Some(25.0));
        assert_eq!(requested.coding, Some(Coding::Raw(PixelFormat::Nv12)));
        assert_eq!(
            (requested.range, requested.input, requested.is_strict),
            (Some(ColorRange::Full), Some(1), true)
        );
        for (text, told) in [
            ("v4l2:?fsp=5", "known options: size, fps, format, range, input, strict"),
            ("v4l2:?size=0x5", "each side from 1 to 16384"),
            ("v4l2:?size=100000x5", "each side from 1 to 16384"),
            ("v4l2:?fps=abc", "from 0.001 to 1000"),
            ("v4l2:?format=h264", "must be auto, mjpeg or one of yuyv, uyvy, nv12"),
            ("v4l2:?range=tv", "must be full, limited or auto"),
            ("v4l2:?input=hdmi", "must be an input's number"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
