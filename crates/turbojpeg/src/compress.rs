//! Compresses planes or pixels to a JPEG image.

use std::ffi::{c_int, c_ulong};
use std::ptr::NonNull;

use crate::error::Error;
use crate::functions::{Handle, NO_REALLOC};
use crate::library::Library;
use crate::plane::{PackedFormat, Plane, Subsampling, Yuv, checked_plane, checked_size};

/// A handle that compresses pictures, for one thread at a time. The handle keeps its working memory for the next
/// picture.
#[derive(Debug)]
pub struct Compressor {
    library: &'static Library,
    handle: NonNull<std::ffi::c_void>,
}

// SAFETY: a handle owns all its state and is bound to no thread; `&mut self` serializes its users.
unsafe impl Send for Compressor {}

impl Compressor {
    /// Creates a handle.
    ///
    /// # Errors
    ///
    /// [`Error::NoHandle`] when memory is short.
    pub fn new(library: &'static Library) -> Result<Self, Error> {
        // SAFETY: takes no argument and returns a new handle, or null.
        let handle: Handle = unsafe { (library.functions.init_compress)() };
        match NonNull::new(handle) {
            Some(handle) => Ok(Self { library, handle }),
            None => Err(Error::NoHandle { message: library.message(handle) }),
        }
    }

    /// Compresses planes of full range (samples from 0 to 255) at `quality` 1 to 100, and writes the JPEG image to the
    /// start of `out`. Returns the length of the image in bytes.
    ///
    /// `out` must have at least [`Library::max_jpeg_bytes`] bytes.
    ///
    /// # Errors
    ///
    /// [`Error`] for an invalid plane, size, quality or buffer, and for input that the library rejects.
    pub fn planes(&mut self, yuv: &Yuv<'_>, quality: u8, out: &mut [u8]) -> Result<usize, Error> {
        let input = yuv.checked()?;
        let quality = checked_quality(quality)?;
        let mut output = self.checked_buffer(yuv.width, yuv.height, yuv.subsampling, out)?;
        // SAFETY: `input` was checked to hold every row and column that the library reads of a picture of this size and
        // subsampling, and borrows from `yuv`, which is alive until the end; `out` holds the worst case, and with this
        // flag the library writes nowhere else.
        let status = unsafe {
            (self.library.functions.compress_planes)(
                self.handle.as_ptr(),
                input.pointers.as_ptr(),
                input.size.0,
                input.strides.as_ptr(),
                input.size.1,
                yuv.subsampling as c_int,
                &raw mut output.start,
                &raw mut output.len,
                quality,
                NO_REALLOC,
            )
        };
        self.finish(status, &output, out.len())
    }

    /// Compresses packed pixels of `width` by `height`, in the same way as [`planes`](Self::planes).
    ///
    /// # Errors
    ///
    /// The same as for [`planes`](Self::planes).
    pub fn pixels(
        &mut self,
        pixels: Plane<'_>,
        (width, height, format): (usize, usize, PackedFormat),
        subsampling: Subsampling,
        quality: u8,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let size = checked_size(width, height)?;
        let stride = checked_plane(0, pixels.data.len(), pixels.stride, (width * format.bytes(), height))?;
        let quality = checked_quality(quality)?;
        let mut output = self.checked_buffer(width, height, subsampling, out)?;
        // SAFETY: `pixels` was checked to hold `height` rows of `width` pixels at this stride; `out` holds the worst
        // case, and with this flag the library writes nowhere else.
        let status = unsafe {
            (self.library.functions.compress_pixels)(
                self.handle.as_ptr(),
                pixels.data.as_ptr(),
                size.0,
                stride,
                size.1,
                format as c_int,
                &raw mut output.start,
                &raw mut output.len,
                subsampling as c_int,
                quality,
                NO_REALLOC,
            )
        };
        self.finish(status, &output, out.len())
    }

    /// Returns `out` as an output buffer, or an error if `out` is smaller than a JPEG image of this size can become.
    /// The library itself does not check the length of the buffer.
    fn checked_buffer(
        &self,
        width: usize,
        height: usize,
        subsampling: Subsampling,
        out: &mut [u8],
    ) -> Result<OutputBuffer, Error> {
        let want = self.library.max_jpeg_bytes(width, height, subsampling)?;
        if out.len() < want {
            return Err(Error::Output { got: out.len(), want });
        }
        let len = c_ulong::try_from(want).map_err(|_| Error::Size { width_px: width, height_px: height })?;
        Ok(OutputBuffer { start: out.as_mut_ptr(), len })
    }

    fn finish(&self, status: c_int, output: &OutputBuffer, room: usize) -> Result<usize, Error> {
        if status != 0 {
            return Err(Error::Codec { message: self.library.message(self.handle.as_ptr()) });
        }
        usize::try_from(output.len)
            .ok()
            .filter(|len| *len <= room)
            .ok_or(Error::Codec { message: String::from("the image is longer than its buffer") })
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        // SAFETY: the handle is live and is not used after this.
        unsafe { (self.library.functions.destroy)(self.handle.as_ptr()) };
    }
}

/// The output buffer and its length in bytes. After compression, the library replaces the length by that of the image.
struct OutputBuffer {
    start: *mut u8,
    len: c_ulong,
}

fn checked_quality(quality: u8) -> Result<c_int, Error> {
    if (1..=100).contains(&quality) { Ok(c_int::from(quality)) } else { Err(Error::Quality { quality }) }
}
