//! From a JPEG image to planes or pixels, smaller ones if asked.

use std::ffi::{c_int, c_ulong};
use std::ptr::NonNull;

use crate::error::Error;
use crate::library::{Handle, LIMIT_SCANS, Library, WARNING};
use crate::plane::{PixelFormat, PlaneMut, Scale, Subsampling, Yuv, checked_plane, checked_size, plane_size};

/// What the samples of a JPEG image are. The numbers are the library's (`TJCS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorSpace {
    /// Red, green, blue, not converted.
    Rgb = 0,
    /// Luma and two colour differences: what cameras send.
    YCbCr = 1,
    /// Luma alone.
    Grey = 2,
    /// Inks.
    Cmyk = 3,
    /// Inks, converted.
    Ycck = 4,
}

/// What a JPEG image is, as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels, 1 to [`MAX_SIDE_PX`](crate::MAX_SIDE_PX).
    pub width: usize,
    /// Height in pixels, 1 to [`MAX_SIDE_PX`](crate::MAX_SIDE_PX).
    pub height: usize,
    /// How coarse the colour planes are.
    pub subsampling: Subsampling,
    /// What the samples are.
    pub color_space: ColorSpace,
}

impl Header {
    /// Columns and rows of plane `component` when decoded at `scale`.
    pub fn plane_size(&self, component: usize, scale: Scale) -> (usize, usize) {
        plane_size(self.subsampling, component, scale.apply(self.width), scale.apply(self.height))
    }

    /// Whether [`Decompressor::planes`] decodes at `scale`. Full size and one half always do; others do unless the
    /// scaled width is no multiple of the colour planes' factor and the last block ends with the picture.
    ///
    /// Where it ends so, the library (2.1) would copy a column of padding that it did not make.
    pub fn is_planar_at(&self, scale: Scale) -> bool {
        self.plane_size(0, scale).0 <= self.width.div_ceil(8) * usize::from(scale.eighths())
    }
}

/// A handle that decompresses, for one thread at a time.
#[derive(Debug)]
pub struct Decompressor {
    library: &'static Library,
    handle: NonNull<std::ffi::c_void>,
}

// SAFETY: a handle owns all its state and is bound to no thread; `&mut self` keeps its users one behind the other.
unsafe impl Send for Decompressor {}

impl Decompressor {
    /// A new handle.
    ///
    /// # Errors
    ///
    /// [`Error::NoHandle`] when memory is short.
    pub fn new(library: &'static Library) -> Result<Self, Error> {
        // SAFETY: takes nothing and gives a new handle, or null.
        let handle: Handle = unsafe { (library.functions.init_decompress)() };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { library, handle }),
            None => Err(Error::NoHandle { message: library.message(handle) }),
        }
    }

    /// Reads the header of a JPEG image. Allocates nothing by what it says: bound the size before decoding.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] for what is no image, or one whose subsampling the library has no number for.
    pub fn header(&mut self, jpeg: &[u8]) -> Result<Header, Error> {
        let (mut width, mut height, mut subsampling, mut color_space) = (0, 0, 0, 0);
        let (start, len) = input(jpeg);
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

    /// Decodes `jpeg` at `scale` into planes of [`Header::plane_size`], without a conversion of colours. What the
    /// luma plane holds beyond the picture's own columns and rows is left open.
    ///
    /// Gives the library's warning when the image is damaged and the planes hold what could be decoded.
    ///
    /// # Errors
    ///
    /// [`Error`] for planes that are too few or too small, for a scale that is not [`Header::is_planar_at`], and for
    /// what the library refuses.
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
        let (start, len) = input(jpeg);
        // SAFETY: the header was read from the same bytes, so the library decodes a picture of that size and
        // subsampling at the largest of its scales whose result fits `width` and `height`. Those are the result of
        // `scale`; so what it takes is `scale`, or a larger one with the same result, which is as planar. Each plane was checked to hold the rows and columns of that picture, and is borrowed mutably.
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

    /// Decodes `jpeg` at `scale` to packed pixels; [`PixelFormat::Grey`] leaves the colour planes undecoded.
    ///
    /// # Errors
    ///
    /// As for [`planes`](Self::planes).
    pub fn pixels(
        &mut self,
        jpeg: &[u8],
        scale: Scale,
        format: PixelFormat,
        out: PlaneMut<'_>,
    ) -> Result<Option<String>, Error> {
        let header = self.header(jpeg)?;
        let (columns, rows) = (scale.apply(header.width), scale.apply(header.height));
        let (width, height) = checked_size(columns, rows)?;
        let stride = checked_plane(0, out.data.len(), out.stride, (columns * format.bytes(), rows))?;
        let (start, len) = input(jpeg);
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

    /// Converts planes of full range to packed pixels; nothing is decompressed.
    ///
    /// # Errors
    ///
    /// [`Error`] for a plane, size or buffer that does not do.
    pub fn convert(&mut self, yuv: &Yuv<'_>, format: PixelFormat, out: PlaneMut<'_>) -> Result<(), Error> {
        let input = yuv.checked()?;
        let row_bytes = yuv.width * format.bytes();
        let stride = checked_plane(0, out.data.len(), out.stride, (row_bytes, yuv.height))?;
        // SAFETY: `input` was checked to hold every row and column of a picture of this size and subsampling, `out`
        // to hold its pixels; both are borrowed until the end.
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
        // SAFETY: the handle is live and nobody uses it after this.
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

/// Start and length of an image as the library takes them; on systems of a 32-bit `long`, what is longer is cut.
fn input(jpeg: &[u8]) -> (*const u8, c_ulong) {
    (jpeg.as_ptr(), c_ulong::try_from(jpeg.len()).unwrap_or(c_ulong::MAX))
}
