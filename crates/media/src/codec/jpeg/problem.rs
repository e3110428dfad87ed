//! The messages for what can be wrong with a JPEG image.

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
    /// A marker should be here, and another byte is.
    #[error("{found:#04X} where a marker (FF) should be")]
    NoMarker {
        /// The byte found instead.
        found: u8,
    },
    /// Another picture begins inside this one, whose rest was lost.
    #[error("another picture begins (SOI) before the EOI of this one")]
    SoiInside,
    /// A marker that is not allowed here.
    #[error("unexpected marker {marker}")]
    UnexpectedMarker {
        /// The marker.
        marker: Marker,
    },
    /// A coding process that browsers do not show: lossless, arithmetic or hierarchical.
    #[error("{marker}: lossless, arithmetic and hierarchical JPEG are not supported")]
    UnsupportedProcess {
        /// The marker that announces it.
        marker: Marker,
    },
    /// A segment that is shorter than its required content.
    #[error("{marker} length {length} is below {least}")]
    TooShort {
        /// The segment.
        marker: Marker,
        /// Its declared length in bytes, including the two bytes of the length field.
        length: usize,
        /// The minimum length for the content that the segment must have, or declares to have.
        least: usize,
    },
    /// A segment that is longer than its content.
    #[error("{marker} length {length} is above {most}")]
    TooLong {
        /// The segment.
        marker: Marker,
        /// Its declared length in bytes, including the two bytes of the length field.
        length: usize,
        /// The length of the content that the segment declares.
        most: usize,
    },
    /// A field of a segment is out of range.
    #[error("{marker}: {field} {value} is not supported")]
    BadField {
        /// The segment.
        marker: Marker,
        /// The field, as T.81 describes it.
        field: &'static str,
        /// Its value.
        value: usize,
    },
    /// The width is zero.
    #[error("the width is zero")]
    ZeroWidth,
    /// The height is zero: it would follow in a DNL segment, which browsers do not support.
    #[error("the height is zero (left to a DNL segment, which is not supported)")]
    ZeroHeight,
    /// A scan begins before the frame header.
    #[error("SOS before the frame header (SOF)")]
    ScanBeforeFrame,
    /// A scan begins before any quantization table.
    #[error("SOS before any quantization table (DQT)")]
    NoQuantizationTables,
    /// A progressive picture without Huffman tables: there are no standard ones for it.
    #[error("progressive picture without Huffman tables (DHT)")]
    NoHuffmanTables,
    /// A scan without any coded data.
    #[error("a scan without data")]
    EmptyScan,
    /// The picture ends without a scan.
    #[error("EOI before any scan (SOS)")]
    NoScan,
    /// The picture has more pixels than the caller's bound.
    #[error("{pixels} pixels are more than {max_pixels}")]
    TooManyPixels {
        /// Width times height.
        pixels: usize,
        /// The bound.
        max_pixels: usize,
    },
    /// The markers are in order, but the coded data cannot be decoded.
    #[error("the coded data does not decode")]
    Undecodable,
}
