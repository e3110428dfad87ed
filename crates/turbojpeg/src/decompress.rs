//! Decompresses a JPEG image to planes or pixels, scaled down on request.

use std::ffi::{c_int, c_ulong};
use std::ptr::NonNull;

use crate::error::Error;
use crate::functions::{Handle, LIMIT_SCANS, WARNING};
use crate::library::Library;
use crate::plane::{
    PackedFormat, PlaneMut, Scale, Subsampling, Yuv, checked_plane, checked_size, plane_size,
};

/// What the samples of a JPEG image stand for. Each variant has its number in the library (`TJCS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorSpace {
    /// Red, green and blue, not converted to luma and colour differences.
    Rgb = 0,
    /// Luma and two colour differences, which is what cameras send.
    YCbCr = 1,
    /// Luma only.
    Grey = 2,
    /// The inks cyan, magenta, yellow and black.
    Cmyk = 3,
    /// The inks cyan, magenta, yellow and black, converted to luma, colour differences and black.
    Ycck = 4,
}

/// What the header of a JPEG image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels, 1 to [`MAX_SIDE_PX`](crate::MAX_SIDE_PX).
    pub width: usize,
    /// Height in pixels, 1 to [`MAX_SIDE_PX`](crate::MAX_SIDE_PX).
    pub height: usize,
    /// How much coarser the colour planes are than the luma plane.
    pub subsampling: Subsampling,
    /// What the samples stand for.
    pub color_space: ColorSpace,
}

impl Header {
    /// Returns the number of columns and of rows of plane `component` (0 is Y) when the image is decoded at `scale`.
    pub fn plane_size(&self, component: usize, scale: Scale) -> (usize, usize) {
        plane_size(self.subsampling, component, scale.apply(self.width), scale.apply(self.height))
    }

    /// Returns whether [`Decompressor::planes`] can decode this image at `scale`. Full size and one half always work.
    /// Another scale fails if the scaled luma plane, padded to whole colour samples, is wider than the image's scaled
    /// blocks. For example, an image of 8 columns in 4:2:0 at 5/8 needs 6 luma columns, but its block has only 5.
    ///
    /// For the missing column, version 2.1 of the library would return memory that it never wrote.
    pub fn is_planar_at(&self, scale: Scale) -> bool {
        self.plane_size(0, scale).0 <= self.width.div_ceil(8) * usize::from(scale.eighths())
    }
}

/// A handle that decompresses images, for one thread at a time.
#[derive(Debug)]
pub struct Decompressor {
    library: &'static Library,
    handle: NonNull<std::ffi::c_void>,
}

// SAFETY: a handle owns all its state and is bound to no thread; `&mut self` serializes its users.
unsafe impl Send for Decompressor {}

impl Decompressor {
    /// Creates a handle.
    ///
    /// # Errors
    ///
    /// [`Error::NoHandle`] when memory is short.
    pub fn new(library: &'static Library) -> Result<Self, Error> {
        // SAFETY: takes no argument and returns a new handle, or null.
        let handle: Handle = unsafe { (library.functions.init_decompress)() };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { library, handle }),
            None => Err(Error::NoHandle { message: library.message(handle) }),
        }
    }

    /// Reads the header of a JPEG image. Allocates no memory for the image, so the caller can limit the size before
    /// decoding.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] for data that is not an image, or whose subsampling or colour space is unknown.
    pub fn header(&mut self, jpeg: &[u8]) -> Result<Header, Error> {
        let (mut width, mut height, mut subsampling, mut color_space) = (0, 0, 0, 0);
        let (start, len) = as_c_input(jpeg);
        // SAFETY: `start` and `len` are those of a live slice, which the library only reads; the rest are live
        // integers of ours.
        let status = unsafe {
            (self.library.functions.header)(
                self.handle.as_ptr(),
                start,
                len,
                &raw mut width,
                &raw mut height,
                &raw mut subsampling,
                &raw mut color_space,
            )
        };
        self.finish(status)?;
        let unknown = || Error::Codec { message: String::from("an unknown subsampling or colour space") };
        let header = Header {
            width: usize::try_from(width).unwrap_or(0),
            height: usize::try_from(height).unwrap_or(0),
            subsampling: Subsampling::from_number(subsampling).ok_or_else(unknown)?,
            color_space: ColorSpace::from_number(color_space).ok_or_else(unknown)?,
        };
        checked_size(header.width, header.height)?;
        Ok(header)
    }

    /// Decodes `jpeg` at `scale` into planes of the size [`Header::plane_size`], without colour conversion. The content
    /// of the luma plane beyond the picture's own columns and rows is unspecified.
    ///
    /// If the image is damaged, returns the library's warning; the planes then contain what could be decoded.
    ///
    /// # Errors
    ///
    /// [`Error`] for planes that are too few or too small, for a scale for which [`Header::is_planar_at`] is false, and
    /// for input that the library rejects.
    pub fn planes(
        &mut self,
        jpeg: &[u8],
        scale: Scale,
        planes: &mut [PlaneMut<'_>],
    ) -> Result<Option<String>, Error> {
        let header = self.header(jpeg)?;
        let want = header.subsampling.planes();
        if planes.len() != want {
            return Err(Error::Planes { got: planes.len(), want });
        }
        if !header.is_planar_at(scale) {
            return Err(Error::Scale { width_px: header.width, eighths: scale.eighths() });
        }
        let (width, height) = checked_size(scale.apply(header.width), scale.apply(header.height))?;
        let mut pointers = [std::ptr::null_mut(); 3];
        let mut strides = [0; 3];
        for (component, plane) in planes.iter_mut().enumerate() {
            let size = header.plane_size(component, scale);
            strides[component] = checked_plane(component, plane.data.len(), plane.stride, size)?;
            pointers[component] = plane.data.as_mut_ptr();
        }
        let (start, len) = as_c_input(jpeg);
        // SAFETY: the header was read from the same bytes, so the library decodes a picture of that size and
        // subsampling at the largest of its scales whose result fits `width` and `height`. These are the result of
        // `scale`; so the library uses `scale`, or a larger scale with the same result, which is as planar. Each plane
        // was checked to hold the rows and columns of that picture, and is borrowed mutably.
        let status = unsafe {
            (self.library.functions.decompress_planes)(
                self.handle.as_ptr(),
                start,
                len,
                pointers.as_mut_ptr(),
                width,
                strides.as_mut_ptr(),
                height,
                LIMIT_SCANS,
            )
        };
        self.finish(status)
    }

    /// Decodes `jpeg` at `scale` to packed pixels. For [`PackedFormat::Grey`], only the luma plane is decoded.
    ///
    /// # Errors
    ///
    /// The same as for [`planes`](Self::planes).
    pub fn pixels(
        &mut self,
        jpeg: &[u8],
        scale: Scale,
        format: PackedFormat,
        out: PlaneMut<'_>,
    ) -> Result<Option<String>, Error> {
        let header = self.header(jpeg)?;
        let (columns, rows) = (scale.apply(header.width), scale.apply(header.height));
        let (width, height) = checked_size(columns, rows)?;
        let stride = checked_plane(0, out.data.len(), out.stride, (columns * format.bytes(), rows))?;
        let (start, len) = as_c_input(jpeg);
        // SAFETY: as in `planes`: the picture has the size that `out` was checked to hold.
        let status = unsafe {
            (self.library.functions.decompress_pixels)(
                self.handle.as_ptr(),
                start,
                len,
                out.data.as_mut_ptr(),
                width,
                stride,
                height,
                format as c_int,
                LIMIT_SCANS,
            )
        };
        self.finish(status)
    }

    /// Converts planes of full range (samples from 0 to 255) to packed pixels. Decompresses nothing.
    ///
    /// # Errors
    ///
    /// [`Error`] for an invalid plane, size or buffer.
    pub fn convert(&mut self, yuv: &Yuv<'_>, format: PackedFormat, out: PlaneMut<'_>) -> Result<(), Error> {
        let input = yuv.checked()?;
        let row_bytes = yuv.width * format.bytes();
        let stride = checked_plane(0, out.data.len(), out.stride, (row_bytes, yuv.height))?;
        // SAFETY: `input` was checked to hold every row and column of a picture of this size and subsampling, `out` to
        // hold its pixels; both are borrowed until the end.
        let status = unsafe {
            (self.library.functions.planes_to_pixels)(
                self.handle.as_ptr(),
                input.pointers.as_ptr(),
                input.strides.as_ptr(),
                yuv.subsampling as c_int,
                out.data.as_mut_ptr(),
                input.size.0,
                stride,
                input.size.1,
                format as c_int,
                0,
            )
        };
        self.finish(status).map(drop)
    }

    fn finish(&self, status: c_int) -> Result<Option<String>, Error> {
        if status == 0 {
            return Ok(None);
        }
        let message = self.library.message(self.handle.as_ptr());
        // SAFETY: the handle is live.
        let severity = unsafe { (self.library.functions.error_code)(self.handle.as_ptr()) };
        if severity == WARNING { Ok(Some(message)) } else { Err(Error::Codec { message }) }
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle is live and is not used after this.
        unsafe { (self.library.functions.destroy)(self.handle.as_ptr()) };
    }
}

impl ColorSpace {
    fn from_number(number: c_int) -> Option<Self> {
        [Self::Rgb, Self::YCbCr, Self::Grey, Self::Cmyk, Self::Ycck]
            .into_iter()
            .find(|space| *space as c_int == number)
    }
}

/// Returns the start and the length of a JPEG image in the library's types. On systems with a 32-bit `long`, a length
/// that does not fit is replaced by the largest one that does.
fn as_c_input(jpeg: &[u8]) -> (*const u8, c_ulong) {
    (jpeg.as_ptr(), c_ulong::try_from(jpeg.len()).unwrap_or(c_ulong::MAX))
}
