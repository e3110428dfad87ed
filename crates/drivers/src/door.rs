//! The door that every picture passes before it becomes a frame.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use framecast_media::codec::jpeg;
use framecast_media::{Bytes, Codec, Format, Frame, Timestamp};

use crate::{Error, SourceUrl};

/// Checks pictures and makes frames of them: whole JPEG images with Huffman tables, no larger than the bound.
#[derive(Debug)]
pub struct Door {
    max_picture_bytes: usize,
    opened_at: Instant,
    offered: u64,
    last_pts: Timestamp,
    format: Option<Arc<Format>>,
}

impl Door {
    /// A door for one opening of `url`; media time begins now.
    pub fn new(url: &SourceUrl) -> Self {
        Self {
            max_picture_bytes: url.max_picture_bytes(),
            opened_at: Instant::now(),
            offered: 0,
            last_pts: Timestamp::default(),
            format: None,
        }
    }

    /// Makes a frame of the JPEG image in `data`, captured at `captured_at` by the wall clock.
    ///
    /// Padding after the picture is cut off and missing Huffman tables are put in; otherwise the bytes are shared,
    /// not copied.
    ///
    /// # Errors
    /// [`Error::Picture`] with the byte offset when the picture is broken or too large; the next one may be whole.
    pub fn admit(&mut self, data: Bytes, captured_at: SystemTime) -> Result<Frame, Error> {
        self.offered += 1;
        let number = self.offered;
        if data.len() > self.max_picture_bytes {
            let limit_bytes = self.max_picture_bytes;
            let source = framecast_media::Error::TooLarge { offset: 0, limit_bytes };
            return Err(Error::Picture { number, source });
        }
        let (data, header) = jpeg::admit(data).map_err(|source| Error::Picture { number, source })?;
        let format = self.format_for(header.width_px, header.height_px);
        let pts = Timestamp::from_duration(self.opened_at.elapsed()).max(self.last_pts);
        self.last_pts = pts;
        Ok(Frame { data, pts, captured_at, is_keyframe: true, format })
    }

    /// Counts a picture that a parser before this door found broken.
    pub fn refuse(&mut self, source: framecast_media::Error) -> Error {
        self.offered += 1;
        Error::Picture { number: self.offered, source }
    }

    /// The shared format for this size: the same pointer as long as the size stays.
    fn format_for(&mut self, width_px: u32, height_px: u32) -> Arc<Format> {
        match &self.format {
            Some(format) if format.width_px == width_px && format.height_px == height_px => {
                Arc::clone(format)
            }
            _ => {
                let format = Arc::new(Format { codec: Codec::Jpeg, width_px, height_px });
                self.format = Some(Arc::clone(&format));
                format
            }
        }
    }
}
