//! Says in Framecast's own words why a camera cannot be read, and what to do.

use std::io;
use std::time::Duration;

use super::client::ClientError;
use super::target::{RtspTarget, Transport};
use crate::Error;

/// What to do about a host name without an address.
pub(super) const NO_SUCH_HOST: &str = "no such host; check the name, or write the camera's IP address";

/// What to do about a port at which no program listens.
pub(super) const CONNECTION_REFUSED: &str =
    "connection refused; RTSP may be switched off in the camera, or be on another port (554 is usual)";

/// What to do about an address that leads nowhere.
pub(super) const UNREACHABLE: &str =
    "the camera is unreachable; check its address, and that it is switched on";

/// Returns whether a camera that answers `method` with the status `code` may send over another transport: the status
/// for an unsupported transport (RFC 2326 §11.3.14), or one that servers send for an unknown `Transport` header.
pub(super) fn refuses_transport(method: &str, code: u16) -> bool {
    method == "SETUP" && matches!(code, 400 | 406 | 451 | 456 | 461 | 501 | 551)
}

/// Creates the error for a camera that refused a request over `transport` with the RTSP status `code` (RFC 2326 §7.1.1).
pub(super) fn refusal_error(target: &RtspTarget, transport: Transport, code: u16) -> Error {
    let advice = match code {
        401 if !target.has_login => "the camera asks for a user and a password: rtsp://user:password@host/…",
        401 => "user or password is wrong; in a password write `@` as %40, `%` as %25",
        403 => "the camera refuses this user or this machine; check the camera's settings",
        400 | 404 => "check the path; the camera's manual names it, often as `RTSP URL` or `main stream`",
        // If the camera has only sound, a request for only pictures fails with one of these.
        454 | 455 => return no_video_error(target),
        453 | 503 => "the camera accepts no more viewers; close one",
        461 => return transport_error(target, transport),
        500..600 => "the camera answers but has no pictures now",
        _ => "check the camera's settings",
    };
    target.unexpected_answer(format!("{code}{}", reason_phrase(code)), advice)
}

/// Creates the error for a camera that sends nothing over `transport`.
pub(super) fn transport_error(target: &RtspTarget, transport: Transport) -> Error {
    let told = match (target.transports, transport) {
        ([_], Transport::Tcp) if target.is_encrypted() => {
            "refuses TCP, which `rtsps:` needs; write rtsp:// in place of rtsps://"
        }
        ([_], Transport::Tcp) => "refuses TCP; leave `#transport=tcp` out",
        ([_], Transport::Udp) => "refuses UDP; leave `#transport=udp` out",
        (_, Transport::Tcp) => "refuses TCP; Framecast tries UDP next",
        (_, Transport::Udp) => "refuses both TCP and UDP; check its settings",
    };
    target.connection_error(format!("the camera answered, but {told}"))
}

/// Creates the error for a failure of the client. `has_frames` says whether the camera has sent pictures before it.
pub(super) fn client_error(
    target: &RtspTarget,
    transport: Transport,
    error: ClientError,
    has_frames: bool,
) -> Error {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    match error {
        ClientError::Refused { code, .. } | ClientError::Moved { code, .. } => {
            refusal_error(target, transport, code)
        }
        ClientError::LoginRefused { .. } => refusal_error(target, transport, 401),
        ClientError::TimedOut(after) => target.timeout_error(after),
        ClientError::OtherTransport => transport_error(target, transport),
        ClientError::Io(_) | ClientError::Closed if has_frames => {
            target.connection_error("the connection to the camera broke")
        }
        ClientError::Closed => Error::EndedEarly {
            url: target.shown.clone(),
            problem: "the camera ended the connection before its first picture".to_owned(),
        },
        ClientError::Io(error) => target.connection_error(match error.kind() {
            ConnectionRefused => CONNECTION_REFUSED.to_owned(),
            HostUnreachable | NetworkUnreachable => UNREACHABLE.to_owned(),
            // The system's resolver has no kind of its own.
            _ if error.raw_os_error().is_none() => NO_SUCH_HOST.to_owned(),
            _ => error.to_string(),
        }),
        error @ (ClientError::Message(_) | ClientError::NoAnswer) => {
            target.connection_error(error.to_string())
        }
    }
}

/// Creates the error for a camera that responded and then sent nothing for the time `after`, while the driver was
/// waiting for the first picture.
pub(super) fn no_data_error(target: &RtspTarget, transport: Transport, after: Duration) -> Error {
    if transport == Transport::Tcp {
        return Error::TimedOut { what: target.shown.clone(), awaited: "the first picture", after };
    }
    let or_tcp = if target.transports.len() == 1 { ", or leave `#transport=udp` out" } else { "" };
    target.connection_error(format!(
        "the camera answered, but no data came over UDP within {after:?}; a firewall may block it: allow UDP from the \
         camera{or_tcp}"
    ))
}

/// Returns the standard reason phrase of a status (RFC 2326 §7.1.1). The camera's own phrase is not used, because it
/// may repeat the camera's URL.
fn reason_phrase(code: u16) -> &'static str {
    match code {
        400 => " Bad Request",
        401 => " Unauthorized",
        403 => " Forbidden",
        404 => " Not Found",
        453 => " Not Enough Bandwidth",
        454 => " Session Not Found",
        455 => " Method Not Valid in This State",
        461 => " Unsupported Transport",
        500 => " Internal Server Error",
        503 => " Service Unavailable",
        _ => "",
    }
}

/// Creates the error for an address without video.
pub(super) fn no_video_error(target: &RtspTarget) -> Error {
    Error::Unusable {
        what: target.shown.clone(),
        problem: "the camera sends no video at this address, only sound or nothing; check the path"
            .to_owned(),
    }
}
