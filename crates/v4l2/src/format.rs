//! Formats of pictures: those that a device supports, and the current one.

use std::fmt;
use std::os::fd::AsFd;

use crate::ioctl::{ENUM_FMT, ENUM_FRAMESIZES, G_FMT, S_FMT, TRY_FMT, call, enumerate, text};
use crate::sys::{FmtDesc, FrmSizeEnum, MAX_PLANES, Plain, V4l2Format};
use crate::{Device, Error};

/// More than any driver has; vivid, which has them all, has about 90 formats.
const MAX_FORMATS: u32 = 256;
const MAX_SIZES: u32 = 256;

/// The kernel's four-character code of a pixel format: `YUYV`, `MJPG`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourCc(pub u32);

impl FourCc {
    /// The format with this code.
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

/// A format that a device supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatInfo {
    /// Its code.
    pub fourcc: FourCc,
    /// Its name, set by the driver: `"Motion-JPEG"`.
    pub description: String,
    /// Whether a library converts to it instead of the device.
    pub is_emulated: bool,
}

/// The sizes of one format, in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizes {
    /// Only these sizes.
    Discrete(Vec<(u32, u32)>),
    /// From `min` to `max`, in steps of `step`.
    Stepwise {
        /// The smallest width and height.
        min: (u32, u32),
        /// The largest width and height.
        max: (u32, u32),
        /// The steps of width and height; at least 1.
        step: (u32, u32),
    },
}

/// The colour properties of a picture, as the kernel's enumerations define them; 0 is the format's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Colour {
    /// `enum v4l2_colorspace`: 1 is SMPTE 170M, 3 Rec. 709, 7 JPEG, 8 sRGB.
    pub space: u32,
    /// `enum v4l2_ycbcr_encoding`: 1 is Rec. 601, 2 Rec. 709.
    pub encoding: u32,
    /// `enum v4l2_quantization`: 1 is the full range, 2 the limited one.
    pub quantization: u32,
}

/// One memory area of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneFormat {
    /// The maximum number of bytes of a picture in it.
    pub size_bytes: u32,
    /// Bytes from the start of a row to the start of the next; 0 for compressed formats.
    pub row_bytes: u32,
}

/// The format that a device captures in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureFormat {
    /// Its code.
    pub fourcc: FourCc,
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// `enum v4l2_field`: 1 is a whole picture, other values are interlaced pictures or half pictures.
    pub field: u32,
    /// The colour properties.
    pub colour: Colour,
    /// The memory areas: one to eight.
    pub planes: Vec<PlaneFormat>,
}

/// `V4L2_FIELD_ANY`: the driver chooses, and takes the whole picture if it can.
const FIELD_ANY: u32 = 0;

impl Device {
    /// The formats in which the device captures, in its order.
    ///
    /// # Errors
    /// The kernel's error; a device without this call has an empty list.
    pub fn formats(&self) -> Result<Vec<FormatInfo>, Error> {
        let ask = |index| FmtDesc { index, buf_type: self.buffer_type(), ..FmtDesc::zeroed() };
        enumerate(self.as_fd(), ENUM_FMT, MAX_FORMATS, ask, |answer| FormatInfo {
            fourcc: FourCc(answer.pixel_format),
            description: text(&answer.description),
            is_emulated: answer.flags & 2 != 0,
        })
    }

    /// The sizes of `format`; an empty list if the driver does not list them.
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

    /// The current format.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn format(&self) -> Result<PictureFormat, Error> {
        let mut format = V4l2Format::zeroed();
        format.buf_type = self.buffer_type();
        self.format_call(G_FMT, format)
    }

    /// The format that [`set_format`](Self::set_format) would result in, without setting it.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn try_format(&self, fourcc: FourCc, width_px: u32, height_px: u32) -> Result<PictureFormat, Error> {
        self.format_call(TRY_FMT, self.asked(fourcc, width_px, height_px))
    }

    /// Sets a format. Returns the format that the driver chose, which may differ in everything.
    ///
    /// # Errors
    /// [`Error::is_busy`] while any program captures.
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
        // SAFETY: the members of the union for capturing hold no pointer.
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
