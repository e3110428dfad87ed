//! Video over RTP: packets in, access units out.
//!
//! A [`ReorderBuffer`] takes packets as they arrive and gives them out in order. A [`Depacketizer`] makes access units
//! of them, or a [`JpegDepacketizer`] pictures, and an [`RtpClock`] gives access units their media time. [`Reception`]
//! counts what arrives and reports it to the sender. Sockets, sessions and the time of day do not belong here.

mod clock;
mod depacketizer;
mod fmtp;
mod jpeg;
mod nal;
mod packet;
mod payload;
mod problem;
mod reception;
mod reorder;
mod rtcp;
mod start_code;
mod unit;

pub use clock::{ClockReading, RtpClock};
pub use depacketizer::{Depacketizer, ReceivedUnit, UnitCounts};
pub use fmtp::{h264_parameter_sets, h265_parameter_sets};
pub use jpeg::JpegDepacketizer;
pub use packet::{RtpHeader, RtpPacket};
pub use problem::Problem;
pub use reception::Reception;
pub use reorder::{OrderedPacket, ReorderBuffer, ReorderLimits};
pub use rtcp::{RtcpPacket, RtcpPackets, SenderReport, rtcp_packets};
