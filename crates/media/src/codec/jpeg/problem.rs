//! The sentences for what can be wrong with a JPEG image.

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
        /// The byte that is there.
        found: u8,
    },
    /// Another picture begins inside this one: the rest of this one was lost.
    #[error("another picture begins (SOI) before the EOI of this one")]
    SoiInside,
    /// A marker that has no place here.
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
    /// A segment that is shorter than what it must hold.
    #[error("{marker} length {length} is below {least}")]
    TooShort {
        /// The segment.
        marker: Marker,
        /// The length that it claims, in bytes, its own two included.
        length: usize,
        /// The least length that holds what the segment must hold, or says it holds.
        least: usize,
    },
    /// A segment that is longer than what it holds.
    #[error("{marker} length {length} is above {most}")]
    TooLong {
        /// The segment.
        marker: Marker,
        /// The length that it claims, in bytes, its own two included.
        length: usize,
        /// The length of what the segment says it holds.
        most: usize,
    },
    /// A field of a segment that lies outside its range.
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
    /// The height is zero: it would follow in a DNL segment, which browsers do not read.
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
    /// More pixels than the caller wants to decode.
    #[error("{pixels} pixels are more than {max_pixels}")]
    TooManyPixels {
        /// Width times height.
        pixels: usize,
        /// The bound.
        max_pixels: usize,
    },
    /// The markers are in order, but the coded data makes no picture.
    #[error("the coded data does not decode")]
    Undecodable,
}
