//! An RTSP client (RFC 2326) for cameras: asks for the description of a stream, sets up its video, plays it, keeps the
//! session alive and ends it.
//!
//! [`rtsp_message`](crate::rtsp_message) parses what the server sends, [`description`] finds the video, [`RtspConnection`](connection::RtspConnection)
//! sends requests, and [`RtspSession`] puts them in order. What the packets contain does not matter here.

mod connection;
mod description;
mod session;

pub(super) use connection::ClientError;
pub(super) use description::{Encoding, NoVideo, VideoTrack};
pub(super) use session::{Described, Packet, RtspSession};
