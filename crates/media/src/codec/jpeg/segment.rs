//! The segments whose content decides whether a decoder can read the picture (T.81 B.2.2 to B.2.4).
//!
//! Each function takes a whole segment, which begins with the length field, and checks whether the segment is
//! plausible. All other segments are skipped by their length.

use super::header::Process;
use super::marker::Marker;
use super::problem::Problem;
use crate::Error;

/// One whole segment of a JPEG image: its marker, and its bytes after the marker.
pub(super) struct Segment<'a> {
    pub(super) marker: Marker,
    /// Offset of the length field, in bytes from the start of the picture.
    pub(super) offset: usize,
    /// The length field and all bytes after it that belong to the segment.
    pub(super) bytes: &'a [u8],
}

/// The content of a frame header (T.81 B.2.2).
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHeader {
    pub(super) process: Process,
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    pub(super) components: u8,
    component_ids: [u8; 4],
}

impl Segment<'_> {
    fn error(&self, at: usize, problem: Problem) -> Error {
        Error::Jpeg { offset: self.offset + at, problem }
    }

    fn bad_field(&self, at: usize, field: &'static str, value: impl Into<usize>) -> Error {
        let problem = Problem::BadField { marker: self.marker, field, value: value.into() };
        self.error(at, problem)
    }

    fn check_min_len(&self, least: usize) -> Result<(), Error> {
        let length = self.bytes.len();
        if length < least {
            return Err(self.error(0, Problem::TooShort { marker: self.marker, length, least }));
        }
        Ok(())
    }

    pub(super) fn check_len(&self, wanted: usize) -> Result<(), Error> {
        self.check_min_len(wanted)?;
        let length = self.bytes.len();
        if length > wanted {
            return Err(self.error(0, Problem::TooLong { marker: self.marker, length, most: wanted }));
        }
        Ok(())
    }

    /// Parses a frame header (T.81 B.2.2): precision, size, and the components with sampling factors and table
    /// selectors. Components should have unique identifiers, but duplicates are accepted: decoders then go by the order
    /// of the components.
    pub(super) fn frame_header(&self, process: Process) -> Result<FrameHeader, Error> {
        self.check_min_len(8)?;
        let bytes = self.bytes;
        let components = bytes[7];
        if bytes[2] != 8 {
            return Err(self.bad_field(2, "sample precision", bytes[2]));
        }
        let height_px = u32::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        let width_px = u32::from(u16::from_be_bytes([bytes[5], bytes[6]]));
        if height_px == 0 {
            return Err(self.error(3, Problem::ZeroHeight));
        }
        if width_px == 0 {
            return Err(self.error(5, Problem::ZeroWidth));
        }
        if !matches!(components, 1..=4) {
            return Err(self.bad_field(7, "number of components", components));
        }
        self.check_len(8 + 3 * usize::from(components))?;
        let mut ids = [0; 4];
        for (index, component) in bytes[8..].chunks_exact(3).enumerate() {
            let at = 8 + 3 * index;
            let (horizontal, vertical) = (component[1] >> 4, component[1] & 15);
            if !matches!(horizontal, 1..=4) || !matches!(vertical, 1..=4) {
                return Err(self.bad_field(at + 1, "sampling factors", component[1]));
            }
            if component[2] > 3 {
                return Err(self.bad_field(at + 2, "quantization table", component[2]));
            }
            ids[index] = component[0];
        }
        Ok(FrameHeader { process, width_px, height_px, components, component_ids: ids })
    }

    /// Checks a scan header (T.81 B.2.3) against the components of `frame`.
    pub(super) fn scan_header(&self, frame: &FrameHeader) -> Result<(), Error> {
        self.check_min_len(6)?;
        let count = self.bytes[2];
        if count == 0 || count > frame.components {
            return Err(self.bad_field(2, "number of components", count));
        }
        self.check_len(6 + 2 * usize::from(count))?;
        let known = &frame.component_ids[..usize::from(frame.components)];
        for (index, component) in self.bytes[3..].chunks_exact(2).take(usize::from(count)).enumerate() {
            let at = 3 + 2 * index;
            if !known.contains(&component[0]) {
                return Err(self.bad_field(at, "component", component[0]));
            }
            if component[1] >> 4 > 3 || component[1] & 15 > 3 {
                return Err(self.bad_field(at + 1, "Huffman tables", component[1]));
            }
        }
        Ok(())
    }

    /// Counts the Huffman tables of a DHT segment (T.81 B.2.4.2).
    pub(super) fn count_huffman_tables(&self) -> Result<usize, Error> {
        let (mut at, mut tables) = (2, 0);
        while at < self.bytes.len() {
            self.check_min_len(at + 17)?;
            let selector = self.bytes[at];
            if selector >> 4 > 1 || selector & 15 > 3 {
                return Err(self.bad_field(at, "table selector", selector));
            }
            let codes: usize = self.bytes[at + 1..at + 17].iter().map(|&count| usize::from(count)).sum();
            if codes > 256 {
                return Err(self.bad_field(at + 1, "number of codes", codes));
            }
            at += 17 + codes;
            tables += 1;
        }
        self.check_len(at)?;
        Ok(tables)
    }

    /// Counts the quantization tables of a DQT segment (T.81 B.2.4.1).
    pub(super) fn count_quantization_tables(&self) -> Result<usize, Error> {
        let (mut at, mut tables) = (2, 0);
        while at < self.bytes.len() {
            let selector = self.bytes[at];
            if selector >> 4 > 1 || selector & 15 > 3 {
                return Err(self.bad_field(at, "table selector", selector));
            }
            at += 1 + 64 * (1 + usize::from(selector >> 4));
            tables += 1;
        }
        self.check_len(at)?;
        Ok(tables)
    }
}
