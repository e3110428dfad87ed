//! Finds the end of a JPEG image. The multipart parser, the splitter of JPEG streams and the marker check all use this
//! one walk over the markers.
//!
//! The walk remembers its position, so each byte of a growing buffer is read once. Segments are skipped by their
//! length: the EOI of a thumbnail inside an APPn segment does not end the picture. The walk copies and allocates
//! nothing.

use memchr::memchr;

use super::header::{Header, Process};
use super::marker::Marker;
use super::problem::Problem;
use super::segment::{FrameHeader, Segment};
use crate::Error;

/// The maximum number of stray bytes before one segment. libjpeg, and with it every browser, skips any number of stray
/// bytes; cameras that pad their segments to a multiple of some size leave a few.
const MAX_STRAY_BYTES: usize = 64;

/// What the walk expects to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The marker SOI that begins every picture.
    Soi,
    /// A marker, perhaps after fill bytes (FF).
    Marker,
    /// Entropy-coded data that begins at the offset `start`.
    Data { start: usize },
    /// Nothing: the picture has ended.
    Nothing,
}

/// Finds the end of the JPEG image at the start of a growing buffer.
///
/// To split a stream of pictures: call [`EndFinder::advance`] each time bytes arrive, cut at the returned length, and
/// begin the next picture with a new finder.
///
/// ```
/// use framecast_media::codec::jpeg::{self, EndFinder};
///
/// let picture = jpeg::encode(&framecast_media::draw::numbered_card(1, 64, 64), 80)?;
/// let stream = [&picture[..], &picture[..]].concat();
/// let mut finder = EndFinder::new();
/// assert_eq!(finder.advance(&stream[..100])?, None);
/// assert_eq!(finder.advance(&stream)?, Some(picture.len()));
/// # Ok::<(), framecast_media::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EndFinder {
    /// The offset before which all bytes were read and need not be read again.
    offset: usize,
    expect: Expect,
    /// The number of stray bytes since the last segment.
    stray_bytes: usize,
    /// The offset of the first byte after the last whole APPn segment; 0 if there is none yet.
    application_end: usize,
    frame: Option<FrameHeader>,
    first_scan: Option<usize>,
    quantization_tables: usize,
    huffman_tables: usize,
    huffman_tables_at_first_scan: usize,
}

impl Default for EndFinder {
    fn default() -> Self {
        Self::new()
    }
}

impl EndFinder {
    /// Creates a finder at the start of a picture.
    pub const fn new() -> Self {
        Self {
            offset: 0,
            expect: Expect::Soi,
            stray_bytes: 0,
            application_end: 0,
            frame: None,
            first_scan: None,
            quantization_tables: 0,
            huffman_tables: 0,
            huffman_tables_at_first_scan: 0,
        }
    }

    /// Continues the walk in `buffer`, which begins at the picture's SOI and includes all bytes of earlier calls.
    /// Returns the length of the picture in bytes once the buffer contains its EOI, and `None` until then.
    ///
    /// All calls together read each byte once, except for the few bytes of a segment's head.
    ///
    /// # Errors
    ///
    /// [`Error::Jpeg`] with the offset of the fault if the picture is broken; further calls return the same error. For
    /// [`Problem::SoiInside`], the offset is the start of the next picture.
    pub fn advance(&mut self, buffer: &[u8]) -> Result<Option<usize>, Error> {
        loop {
            let progressed = match self.expect {
                Expect::Soi => self.read_soi(buffer)?,
                Expect::Marker => self.read_marker(buffer)?,
                Expect::Data { start } => self.skip_data(buffer, start)?,
                Expect::Nothing => return Ok(Some(self.offset)),
            };
            if !progressed {
                return Ok(None);
            }
        }
    }

    /// Returns what the picture's markers say, once the picture's end is found; `None` before.
    pub(crate) fn header(&self) -> Option<Header> {
        let (Expect::Nothing, Some(frame), Some(first_scan)) = (self.expect, self.frame, self.first_scan)
        else {
            return None;
        };
        Some(Header {
            width_px: frame.width_px,
            height_px: frame.height_px,
            components: frame.components,
            process: frame.process,
            has_huffman_tables: self.huffman_tables_at_first_scan > 0,
            first_scan_offset: first_scan,
            len_bytes: self.offset,
        })
    }

    /// Returns whether a scan has begun, which shows that the bytes so far are a real picture and do not just look like
    /// the start of a picture.
    pub(super) fn has_scan(&self) -> bool {
        self.first_scan.is_some()
    }

    /// Returns the offset of the first byte after the last whole APPn segment, or 0 if there is none. Thumbnails lie
    /// before this offset.
    pub(super) fn application_end(&self) -> usize {
        self.application_end
    }

    /// Returns whether the bytes so far make a picture that lacks only the EOI after its coded data.
    pub(super) fn lacks_only_eoi(&self) -> bool {
        matches!(self.expect, Expect::Data { start } if start < self.offset)
    }

    fn read_soi(&mut self, buffer: &[u8]) -> Result<bool, Error> {
        let soi = [0xFF, Marker::SOI.0];
        let have = buffer.len().min(2);
        if buffer[..have] != soi[..have] {
            return Err(Error::Jpeg { offset: 0, problem: Problem::NoSoi });
        }
        if have == 2 {
            self.offset = 2;
            self.expect = Expect::Marker;
        }
        Ok(have == 2)
    }

    /// Reads a marker and, if a segment follows the marker, the whole segment (T.81 B.1.1.2, B.1.1.4). Returns false if
    /// more bytes are needed.
    fn read_marker(&mut self, buffer: &[u8]) -> Result<bool, Error> {
        match buffer.get(self.offset) {
            None => return Ok(false),
            Some(0xFF) => {}
            Some(&found) => return self.skip_stray(1, Problem::NoMarker { found }),
        }
        let marker = match buffer.get(self.offset + 1) {
            None => return Ok(false),
            Some(0xFF) => {
                self.offset += 1;
                return Ok(true);
            }
            Some(&code) => Marker(code),
        };
        match marker {
            Marker::EOI => return self.read_eoi(),
            Marker::SOI => return Err(self.error(Problem::SoiInside)),
            marker if marker.is_unsupported_process() => {
                return Err(self.error(Problem::UnsupportedProcess { marker }));
            }
            marker if marker.is_standalone() => {
                return self.skip_stray(2, Problem::UnexpectedMarker { marker });
            }
            marker if !has_segment(marker) => {
                return Err(self.error(Problem::UnexpectedMarker { marker }));
            }
            _ => {}
        }
        let start = self.offset + 2;
        let Some(&[high, low]) = buffer.get(start..start + 2) else {
            return Ok(false);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(self.error(Problem::TooShort { marker, length, least: 2 }));
        }
        let Some(bytes) = buffer.get(start..start + length) else {
            return Ok(false);
        };
        self.read_segment(&Segment { marker, offset: start, bytes })?;
        self.offset = start + length;
        self.stray_bytes = 0;
        if marker.is_application() {
            self.application_end = self.offset;
        }
        if marker == Marker::SOS {
            self.expect = Expect::Data { start: self.offset };
        }
        Ok(true)
    }

    /// Skips `len` stray bytes and returns true. Returns `problem` as an error if there are too many stray bytes. After
    /// coded data, any stray byte is an error, because it is the rest of damaged data.
    fn skip_stray(&mut self, len: usize, problem: Problem) -> Result<bool, Error> {
        if self.first_scan.is_some() || self.stray_bytes + len > MAX_STRAY_BYTES {
            return Err(self.error(problem));
        }
        self.stray_bytes += len;
        self.offset += len;
        Ok(true)
    }

    fn read_segment(&mut self, segment: &Segment<'_>) -> Result<(), Error> {
        match segment.marker {
            Marker::SOF0 => self.read_frame_header(segment, Process::Baseline),
            Marker::SOF1 => self.read_frame_header(segment, Process::Extended),
            Marker::SOF2 => self.read_frame_header(segment, Process::Progressive),
            Marker::SOS => self.read_scan_header(segment),
            Marker::DHT => segment.count_huffman_tables().map(|tables| self.huffman_tables += tables),
            Marker::DQT => {
                segment.count_quantization_tables().map(|tables| self.quantization_tables += tables)
            }
            Marker::DRI | Marker::DNL => segment.check_len(4),
            _ => Ok(()),
        }
    }

    fn read_frame_header(&mut self, segment: &Segment<'_>, process: Process) -> Result<(), Error> {
        if self.frame.is_some() {
            return Err(self.error(Problem::UnexpectedMarker { marker: segment.marker }));
        }
        self.frame = Some(segment.frame_header(process)?);
        Ok(())
    }

    fn read_scan_header(&mut self, segment: &Segment<'_>) -> Result<(), Error> {
        let Some(frame) = &self.frame else {
            return Err(self.error(Problem::ScanBeforeFrame));
        };
        segment.scan_header(frame)?;
        if self.first_scan.is_some() {
            return Ok(());
        }
        if self.quantization_tables == 0 {
            return Err(self.error(Problem::NoQuantizationTables));
        }
        if self.huffman_tables == 0 && frame.process == Process::Progressive {
            return Err(self.error(Problem::NoHuffmanTables));
        }
        self.first_scan = Some(self.offset);
        self.huffman_tables_at_first_scan = self.huffman_tables;
        Ok(())
    }

    /// Skips entropy-coded data up to the marker that ends the data (T.81 B.1.1.5). FF 00 stands for a data byte; RSTn
    /// and fill bytes belong to the data. Returns false if more bytes are needed.
    fn skip_data(&mut self, buffer: &[u8], start: usize) -> Result<bool, Error> {
        loop {
            let rest = buffer.get(self.offset..).unwrap_or_default();
            let Some(distance) = memchr(0xFF, rest) else {
                self.offset += rest.len();
                return Ok(false);
            };
            self.offset += distance;
            match buffer.get(self.offset + 1) {
                None => return Ok(false),
                Some(0x00) => self.offset += 2,
                Some(0xFF) => self.offset += 1,
                Some(&code) if Marker(code).is_restart() => self.offset += 2,
                Some(_) if self.offset == start => return Err(self.error(Problem::EmptyScan)),
                Some(_) => {
                    self.expect = Expect::Marker;
                    return Ok(true);
                }
            }
        }
    }

    fn read_eoi(&mut self) -> Result<bool, Error> {
        if self.first_scan.is_none() {
            return Err(self.error(Problem::NoScan));
        }
        self.offset += 2;
        self.expect = Expect::Nothing;
        Ok(true)
    }

    fn error(&self, problem: Problem) -> Error {
        Error::Jpeg { offset: self.offset, problem }
    }
}

/// Returns whether `marker` begins a segment that is allowed in a picture. A length and parameters then follow the
/// marker.
fn has_segment(marker: Marker) -> bool {
    matches!(
        marker,
        Marker::SOF0
            | Marker::SOF1
            | Marker::SOF2
            | Marker::DHT
            | Marker::SOS
            | Marker::DQT
            | Marker::DNL
            | Marker::DRI
            | Marker::COM
    ) || marker.is_application()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    /// Gives `data` to a finder in pieces of `step` bytes and returns where the picture ends.
    fn find(data: &[u8], step: usize) -> Result<Option<usize>, Error> {
        let mut finder = EndFinder::new();
        for len in (0..data.len()).step_by(step) {
            if let Some(end) = finder.advance(&data[..len])? {
                assert!(end <= len);
                return Ok(Some(end));
            }
        }
        finder.advance(data)
    }

    #[test]
    fn the_end_is_found_as_soon_as_it_is_there() {
        for picture in samples::ALL {
            let mut finder = EndFinder::new();
            for len in 0..picture.len() {
                assert_eq!(finder.advance(&picture[..len]).unwrap(), None);
            }
            assert_eq!(finder.advance(picture).unwrap(), Some(picture.len()));
            assert_eq!(finder.advance(picture).unwrap(), Some(picture.len()));
        }
    }

    #[test]
    fn the_end_is_the_same_in_pieces_of_any_size() {
        for picture in samples::ALL {
            let stream = [picture, picture].concat();
            for step in [1, 2, 3, 7, 500, 4096] {
                assert_eq!(find(&stream, step).unwrap(), Some(picture.len()));
            }
        }
    }

    #[test]
    fn an_error_is_returned_again() {
        let mut data = samples::PLAIN[..2000].to_vec();
        data.extend(samples::PLAIN);
        let mut finder = EndFinder::new();
        let error = finder.advance(&data).unwrap_err();
        assert_eq!(error, Error::Jpeg { offset: 2000, problem: Problem::SoiInside });
        assert_eq!(finder.advance(&data).unwrap_err(), error);
    }
}
