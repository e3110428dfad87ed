//! What can be wrong with a JPEG image, and the error messages.

use super::marker::Marker;

/// What is wrong with a JPEG image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The picture does not begin with the marker SOI.
    #[error("no SOI marker (FF D8)")]
    NoSoi,
    /// The bytes end before the marker EOI.
    #[error("the picture ends before EOI")]
    Truncated,
    /// A byte other than FF stands where a marker should be.
    #[error("found {found:#04X} where a marker (FF) should be")]
    NoMarker {
        /// The byte that stands where the marker's FF should be.
        found: u8,
    },
    /// The SOI of another picture comes before the EOI of this picture. So the rest of this picture was lost.
    #[error("another picture begins (SOI) before the EOI of this one")]
    SoiInside,
    /// A marker that is not allowed in this position.
    #[error("unexpected marker {marker}")]
    UnexpectedMarker {
        /// The marker that is not allowed in this position.
        marker: Marker,
    },
    /// A coding process that browsers cannot display: lossless, arithmetic or hierarchical.
    #[error("{marker}: lossless, arithmetic and hierarchical JPEG are not supported")]
    UnsupportedProcess {
        /// The SOF marker of the coding process, or a marker that only such a process uses.
        marker: Marker,
    },
    /// A segment whose declared length is too small for its content.
    #[error("{marker} length {length} is below {least}")]
    TooShort {
        /// The marker of the segment.
        marker: Marker,
        /// The segment's declared length in bytes, including the two bytes of the length field.
        length: usize,
        /// The minimum of the declared length in bytes, so that the content fits in.
        least: usize,
    },
    /// A segment whose declared length is too large for its content.
    #[error("{marker} length {length} is above {most}")]
    TooLong {
        /// The marker of the segment.
        marker: Marker,
        /// The segment's declared length in bytes, including the two bytes of the length field.
        length: usize,
        /// The maximum of the declared length in bytes: that of the length field and the content, with nothing after
        /// them.
        most: usize,
    },
    /// A field of a segment is out of range.
    #[error("{marker}: {field} {value} is not supported")]
    BadField {
        /// The marker of the segment.
        marker: Marker,
        /// What T.81 calls the field that is out of range.
        field: &'static str,
        /// The value of the field that is out of range.
        value: usize,
    },
    /// The width is zero.
    #[error("the width is zero")]
    ZeroWidth,
    /// The height is zero. A zero says that the height follows in a DNL segment, which browsers do not support.
    #[error("the height is zero (left to a DNL segment, which is not supported)")]
    ZeroHeight,
    /// A scan begins before the frame header.
    #[error("SOS before the frame header (SOF)")]
    ScanBeforeFrame,
    /// A scan begins before any quantization table.
    #[error("SOS before any quantization table (DQT)")]
    NoQuantizationTables,
    /// A progressive picture has no Huffman tables. There are no standard tables for progressive pictures.
    #[error("progressive picture without Huffman tables (DHT)")]
    NoHuffmanTables,
    /// A scan without any coded data.
    #[error("a scan has no data")]
    EmptyScan,
    /// The picture ends without a scan.
    #[error("EOI before any scan (SOS)")]
    NoScan,
    /// The picture has more pixels than the caller allows.
    #[error("the picture has {pixels} pixels, more than the limit of {max_pixels}")]
    TooManyPixels {
        /// The number of pixels of the picture: width times height.
        pixels: usize,
        /// The maximum number of pixels that the caller allows.
        max_pixels: usize,
    },
    /// The markers are in order, but the coded data cannot be decoded.
    #[error("the coded data cannot be decoded")]
    Undecodable,
}
