//! Maps the kernel's pixel formats to Framecast's.

use framecast_media::{ColorRange, PixelFormat};
use framecast_v4l2::{Colour, FourCc};

/// A picture coding that Framecast can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// JPEG images.
    Jpeg,
    /// Raw samples.
    Raw(PixelFormat),
}

/// The kernel's four-character codes for pixel formats, each with the coding that it stands for. In codes such as
/// `NM12` and `YM12`, the M means that each plane is in a separate memory area.
const TABLE: [(&[u8; 4], Coding); 15] = [
    (b"MJPG", Coding::Jpeg),
    (b"JPEG", Coding::Jpeg),
    (b"NV12", Coding::Raw(PixelFormat::Nv12)),
    (b"NM12", Coding::Raw(PixelFormat::Nv12)),
    (b"NV21", Coding::Raw(PixelFormat::Nv21)),
    (b"NM21", Coding::Raw(PixelFormat::Nv21)),
    (b"YU12", Coding::Raw(PixelFormat::I420)),
    (b"YM12", Coding::Raw(PixelFormat::I420)),
    (b"YV12", Coding::Raw(PixelFormat::Yv12)),
    (b"YM21", Coding::Raw(PixelFormat::Yv12)),
    (b"YUYV", Coding::Raw(PixelFormat::Yuyv)),
    (b"UYVY", Coding::Raw(PixelFormat::Uyvy)),
    (b"RGB3", Coding::Raw(PixelFormat::Rgb24)),
    (b"BGR3", Coding::Raw(PixelFormat::Bgr24)),
    (b"GREY", Coding::Raw(PixelFormat::Grey)),
];

impl Coding {
    /// Returns the coding for the kernel's code `fourcc`; `None` if Framecast cannot show that format.
    pub(super) fn of(fourcc: FourCc) -> Option<Self> {
        TABLE.iter().find(|(letters, _)| FourCc::new(**letters) == fourcc).map(|(_, coding)| *coding)
    }

    /// Returns the coding that has this name in URLs; `None` for an unknown name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "mjpeg" | "mjpg" | "jpeg" => Some(Self::Jpeg),
            name => PixelFormat::from_name(name).map(Self::Raw),
        }
    }

    /// Returns the coding's name in URLs, in the log and in the API.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "mjpeg",
            Self::Raw(format) => format.name(),
        }
    }

    /// Returns the coding's rank in the order of preference; the lowest is preferred. JPEG images come first, because
    /// they need no encoding. Raw formats follow: first those with fewer bytes per picture, last the one without
    /// colour.
    pub(super) fn cost(self) -> usize {
        match self {
            Self::Jpeg => 0,
            Self::Raw(PixelFormat::Grey) => usize::MAX,
            Self::Raw(format) => format.len_bytes(16, 16),
        }
    }
}

/// Returns the value range of the samples, as the driver reports it. If the driver does not report it, the kernel's
/// rule applies (`V4L2_MAP_QUANTIZATION_DEFAULT`): formats with luma and chroma have the limited range, unless the
/// colour space is that of JPEG. Formats with luma alone are considered full range, as the kernel's test driver vivid
/// delivers them.
pub(super) fn range(format: PixelFormat, colour: Colour) -> ColorRange {
    const COLORSPACE_JPEG: u32 = 7;
    match colour.quantization {
        _ if !format.is_yuv() => ColorRange::Full,
        1 => ColorRange::Full,
        2 => ColorRange::Limited,
        _ if colour.space == COLORSPACE_JPEG || format == PixelFormat::Grey => ColorRange::Full,
        _ => ColorRange::Limited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_raw_format_that_can_be_shown_has_letters_and_a_name() {
        for format in PixelFormat::ALL {
            assert!(TABLE.iter().any(|(_, coding)| *coding == Coding::Raw(format)), "{format}");
            assert_eq!(Coding::from_name(format.name()), Some(Coding::Raw(format)));
        }
        assert_eq!(Coding::of(FourCc::new(*b"H264")), None);
    }

    #[test]
    fn the_cheapest_coding_comes_first_and_the_one_without_colour_last() {
        let mut codings: Vec<Coding> = PixelFormat::ALL.map(Coding::Raw).to_vec();
        codings.push(Coding::Jpeg);
        codings.sort_by_key(|coding| coding.cost());
        let names: Vec<&str> = codings.into_iter().map(Coding::name).collect();
        assert_eq!(
            names,
            ["mjpeg", "nv12", "nv21", "i420", "yv12", "yuyv", "uyvy", "rgb24", "bgr24", "grey"]
        );
    }

    #[test]
    fn the_range_is_what_the_driver_says_and_else_the_default_of_its_colours() {
        let of = |format, space, quantization| range(format, Colour { space, encoding: 0, quantization });
        assert_eq!(of(PixelFormat::Yuyv, 8, 0), ColorRange::Limited);
        assert_eq!(of(PixelFormat::Yuyv, 7, 0), ColorRange::Full);
        assert_eq!(of(PixelFormat::Yuyv, 8, 1), ColorRange::Full);
        assert_eq!(of(PixelFormat::Nv12, 7, 2), ColorRange::Limited);
        assert_eq!(of(PixelFormat::Rgb24, 8, 2), ColorRange::Full);
        assert_eq!(of(PixelFormat::Grey, 8, 0), ColorRange::Full);
        assert_eq!(of(PixelFormat::Grey, 8, 2), ColorRange::Limited);
    }
}
