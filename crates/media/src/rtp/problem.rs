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
}
