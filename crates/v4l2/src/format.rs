//! Picture formats: those that a device supports, and the current one.

use std::fmt;
use std::os::fd::AsFd;

use crate::ioctl::{ENUM_FMT, ENUM_FRAMESIZES, G_FMT, S_FMT, TRY_FMT, call, enumerate, text};
use crate::sys::{FmtDesc, FrmSizeEnum, MAX_PLANES, Plain, V4l2Format};
use crate::{Device, Error};

/// The maximum number of formats that are read, more than any driver has. The test driver vivid, which supports every
/// format, has about 90.
const MAX_FORMATS: u32 = 256;
const MAX_SIZES: u32 = 256;

/// The kernel's four-character code of a pixel format, such as `YUYV` or `MJPG`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourCc(pub u32);

impl FourCc {
    /// Creates the code from its four letters.
    pub const fn new(letters: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(letters))
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The highest bit marks the big-endian variant.
        let letters = (self.0 & 0x7fff_ffff).to_le_bytes();
        let shown: String =
            letters.iter().map(|&b| if b.is_ascii_graphic() { b as char } else { ' ' }).collect();
        f.write_str(shown.trim_end())?;
        if self.0 >> 31 == 1 { f.write_str("-BE") } else { Ok(()) }
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FourCc({self})")
    }
}

/// A pixel format that a device supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatInfo {
    /// The code of the pixel format.
    pub fourcc: FourCc,
    /// The name of the format, set by the driver, such as `"Motion-JPEG"`.
    pub description: String,
    /// Whether a library converts pictures to this format, because the device itself does not produce the format.
    pub is_emulated: bool,
}

/// The picture sizes that a device supports in one pixel format, in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizes {
    /// Only these sizes: width and height.
    Discrete(Vec<(u32, u32)>),
    /// All sizes from `min` to `max`, in steps of `step`.
    Stepwise {
        /// The smallest width and height.
        min: (u32, u32),
        /// The largest width and height.
        max: (u32, u32),
        /// The step from one width to the next, and from one height to the next; both are at least 1.
        step: (u32, u32),
    },
}

/// The colour properties of a picture, numbered as in the kernel's enumerations. 0 means the default for the pixel
/// format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Colour {
    /// The colour space, as in `enum v4l2_colorspace`: 1 is SMPTE 170M, 3 is Rec. 709, 7 is JPEG, 8 is sRGB.
    pub space: u32,
    /// The luma and chroma matrix, as in `enum v4l2_ycbcr_encoding`: 1 is Rec. 601, 2 is Rec. 709.
    pub encoding: u32,
    /// The value range of the samples, as in `enum v4l2_quantization`: 1 is the full range, 2 is the limited range.
    pub quantization: u32,
}

/// One memory area of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneFormat {
    /// The maximum number of bytes of a picture that are in this area.
    pub size_bytes: u32,
    /// The number of bytes from the start of a row to the start of the next row; 0 for compressed formats.
    pub row_bytes: u32,
}

/// The format that a device captures in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFormat {
    /// The code of the pixel format.
    pub fourcc: FourCc,
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// The field order, as in `enum v4l2_field`: 1 is a progressive picture; other values are interlaced pictures or
    /// single fields.
    pub field: u32,
    /// The colour properties.
    pub colour: Colour,
    /// The memory areas of a picture, one to eight.
    pub planes: Vec<PlaneFormat>,
}

/// `V4L2_FIELD_ANY`: the driver chooses the field order, preferably whole pictures instead of single fields.
const FIELD_ANY: u32 = 0;

impl Device {
    /// Returns the formats in which the device captures, in the device's order.
    ///
    /// # Errors
    /// The kernel's error. If the device does not support this call, there is no error and the list is empty.
    pub fn formats(&self) -> Result<Vec<FormatInfo>, Error> {
        let ask = |index| FmtDesc { index, buf_type: self.buffer_type(), ..FmtDesc::zeroed() };
        enumerate(self.as_fd(), ENUM_FMT, MAX_FORMATS, ask, |answer| FormatInfo {
            fourcc: FourCc(answer.pixel_format),
            description: text(&answer.description),
            is_emulated: answer.flags & 2 != 0,
        })
    }

    /// Returns the sizes that the device supports in `format`. The result is an empty [`Sizes::Discrete`] if the driver
    /// does not list sizes.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn sizes(&self, format: FourCc) -> Result<Sizes, Error> {
        let ask = |index| FrmSizeEnum { index, pixel_format: format.0, ..FrmSizeEnum::zeroed() };
        let answers = enumerate(self.as_fd(), ENUM_FRAMESIZES, MAX_SIZES, ask, |answer| *answer)?;
        Ok(match answers.first() {
            // Continuous (2) and stepwise (3) ranges have one entry: minimum, maximum and step of width and height.
            Some(FrmSizeEnum { kind: 2 | 3, size: [min_w, max_w, step_w, min_h, max_h, step_h], .. }) => {
                Sizes::Stepwise {
                    min: (*min_w, *min_h),
                    max: (*max_w, *max_h),
                    step: ((*step_w).max(1), (*step_h).max(1)),
                }
            }
            _ => Sizes::Discrete(answers.iter().map(|answer| (answer.size[0], answer.size[1])).collect()),
        })
    }

    /// Returns the current format.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn format(&self) -> Result<PictureFormat, Error> {
        let mut format = V4l2Format::zeroed();
        format.buf_type = self.buffer_type();
        self.format_call(G_FMT, format)
    }

    /// Returns the format that [`set_format`](Self::set_format) would set, without setting it.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn try_format(&self, fourcc: FourCc, width_px: u32, height_px: u32) -> Result<PictureFormat, Error> {
        self.format_call(TRY_FMT, self.asked(fourcc, width_px, height_px))
    }

    /// Sets a format. Returns the format that the driver chose, in which the pixel format and the size can both differ
    /// from the request.
    ///
    /// # Errors
    /// An error for which [`Error::is_busy`] is true, while any program captures.
    pub fn set_format(&self, fourcc: FourCc, width_px: u32, height_px: u32) -> Result<PictureFormat, Error> {
        self.format_call(S_FMT, self.asked(fourcc, width_px, height_px))
    }

    fn asked(&self, fourcc: FourCc, width_px: u32, height_px: u32) -> V4l2Format {
        let mut format = V4l2Format::zeroed();
        format.buf_type = self.buffer_type();
        if self.is_multi_planar() {
            // SAFETY: all bytes of the union are initialised, and any bits are a valid value of this member.
            let pix = unsafe { &mut format.fmt.pix_mp };
            (pix.pixel_format, pix.width, pix.height, pix.field) = (fourcc.0, width_px, height_px, FIELD_ANY);
        } else {
            // SAFETY: as above.
            let pix = unsafe { &mut format.fmt.pix };
            (pix.pixel_format, pix.width, pix.height, pix.field) = (fourcc.0, width_px, height_px, FIELD_ANY);
        }
        format
    }

    fn format_call(
        &self,
        number: crate::ioctl::Call<V4l2Format>,
        mut format: V4l2Format,
    ) -> Result<PictureFormat, Error> {
        // SAFETY: the members of the union for capture contain no pointer.
        unsafe { call(self.as_fd(), number, &mut format)? };
        let read = if self.is_multi_planar() { read_multi(&format) } else { read_single(&format) };
        if read.width_px == 0 || read.height_px == 0 || read.planes.is_empty() {
            return Err(Error::invalid(number.name(), "the driver answered with an empty picture"));
        }
        Ok(read)
    }
}

fn read_single(format: &V4l2Format) -> PictureFormat {
    // SAFETY: all bytes of the union are initialised, and any bits are a valid value of this member.
    let pix = unsafe { format.fmt.pix };
    PictureFormat {
        fourcc: FourCc(pix.pixel_format),
        width_px: pix.width,
        height_px: pix.height,
        field: pix.field,
        colour: Colour {
            space: pix.colorspace,
            encoding: pix.ycbcr_encoding,
            quantization: pix.quantization,
        },
        planes: vec![PlaneFormat { size_bytes: pix.size_image, row_bytes: pix.bytes_per_line }],
    }
}

fn read_multi(format: &V4l2Format) -> PictureFormat {
    // SAFETY: all bytes of the union are initialised, and any bits are a valid value of this member.
    let pix = unsafe { format.fmt.pix_mp };
    let planes = pix.planes;
    let plane_count = usize::from(pix.plane_count).min(MAX_PLANES);
    PictureFormat {
        fourcc: FourCc(pix.pixel_format),
        width_px: pix.width,
        height_px: pix.height,
        field: pix.field,
        colour: Colour {
            space: pix.colorspace,
            encoding: pix.ycbcr_encoding.into(),
            quantization: pix.quantization.into(),
        },
        planes: planes[..plane_count]
            .iter()
            .map(|plane| PlaneFormat { size_bytes: plane.size_image, row_bytes: plane.bytes_per_line })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_shown_as_the_kernel_writes_them() {
        assert_eq!(FourCc::new(*b"YUYV").to_string(), "YUYV");
        assert_eq!(FourCc::new(*b"Y16 ").to_string(), "Y16");
        assert_eq!(FourCc(FourCc::new(*b"Y16 ").0 | 1 << 31).to_string(), "Y16 -BE".replace(' ', ""));
        assert_eq!(FourCc(0).to_string(), "");
    }

    #[test]
    fn a_plane_count_beyond_the_structure_is_cut() {
        let mut format = V4l2Format::zeroed();
        format.fmt.pix_mp.plane_count = 255;
        assert_eq!(read_multi(&format).planes.len(), MAX_PLANES);
    }
}
