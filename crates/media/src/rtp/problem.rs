//! What can be wrong with an RTP or RTCP packet, and the error messages.

/// What is wrong with an RTP or RTCP packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The packet ends before what its header announces.
    #[error("the packet ends {missing_bytes} bytes too early for {what}")]
    Truncated {
        /// The part of the packet that is not whole.
        what: &'static str,
        /// The number of bytes that are missing.
        missing_bytes: usize,
    },
    /// Another version than 2.
    #[error("RTP version {version}; only version 2 is in use")]
    Version {
        /// The version in the packet's first byte.
        version: u8,
    },
    /// A length of the padding that is zero, or greater than the packet.
    #[error("{padding_bytes} bytes of padding in a packet of {len_bytes} bytes")]
    Padding {
        /// The length that the last byte of the packet states.
        padding_bytes: u8,
        /// The length of the packet.
        len_bytes: usize,
    },
    /// An RTCP packet of a type that is not known.
    #[error("RTCP packet type {packet_type} is not known")]
    RtcpType {
        /// The type in the second byte.
        packet_type: u8,
    },
    /// An RTCP packet that is too short for its type, or for the number of items that it states.
    #[error("an RTCP packet of type {packet_type} cannot have {len_bytes} bytes")]
    RtcpLength {
        /// The type in the second byte.
        packet_type: u8,
        /// The length that the header states.
        len_bytes: usize,
    },
    /// A NAL unit whose first bit is set: the sender or a gateway knows that the unit is broken.
    #[error("the NAL unit is marked as broken (forbidden_zero_bit)")]
    MarkedAsBroken,
    /// A payload structure that cameras must not use unless it was agreed in the SDP, which nobody does.
    #[error("the payload structure {name} is not supported; set the camera's packetization mode to 1")]
    Structure {
        /// Its name in the RFC.
        name: &'static str,
    },
    /// A fragment of a NAL unit whose first fragment did not come.
    #[error("a fragment of a NAL unit whose first fragment is missing")]
    NoFragmentStart,
    /// A NAL unit in fragments is followed by something other than its last fragment.
    #[error("the last fragment of the NAL unit before is missing")]
    NoFragmentEnd,
    /// A JPEG picture whose structure RFC 2435 does not define.
    #[error("JPEG of type {kind} is not supported; set H.264 at the camera")]
    JpegType {
        /// The type in the payload's header.
        kind: u8,
    },
    /// A JPEG picture whose quantisation tables do not follow from its quality number.
    #[error("the JPEG quality {quality} has no meaning")]
    JpegQuality {
        /// The number in the payload's header.
        quality: u8,
    },
    /// A JPEG picture with more than 2040 pixels on a side: RTP cannot tell its size.
    #[error(
        "a JPEG picture of more than 2040 pixels on a side, whose size RTP cannot tell; set a smaller size or H.264"
    )]
    JpegSize,
    /// A JPEG picture without the quantisation tables that it needs.
    #[error("the quantisation tables of the JPEG picture are missing")]
    NoQuantisationTables,
    /// A part of a JPEG picture that is not in its place.
    #[error(
        "a part of a JPEG picture that belongs {offset} bytes behind its start, where {expected} come next"
    )]
    JpegOffset {
        /// Where the part belongs, in bytes from the start of the coded picture.
        offset: usize,
        /// How many bytes have come.
        expected: usize,
    },
}
