//! Reads what a camera says of its stream (SDP, RFC 8866; RTSP's use of it, RFC 2326 appendix C): which track has the
//! video, how it is coded, and where it is asked for.

use std::str;

use sdp_types::{Media, Session};

/// The number of clock ticks a second if the description does not say. RTP's video has this clock.
const USUAL_CLOCK_HZ: u32 = 90_000;

/// How a track is coded, as far as this client is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rtsp) enum Encoding {
    H264,
    H265,
    Jpeg,
    /// Anything else, by the name that the description gives, in lower case.
    Other(String),
}

/// The video of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rtsp) struct VideoTrack {
    pub(in crate::rtsp) encoding: Encoding,
    /// The payload type of the track's RTP packets.
    pub(in crate::rtsp) payload_type: u8,
    /// The ticks of the RTP timestamps a second.
    pub(in crate::rtsp) clock_hz: u32,
    /// The parameters of the encoding, as the attribute `fmtp` has them; empty if there are none.
    pub(in crate::rtsp) parameters: String,
    /// The URL for SETUP.
    pub(in crate::rtsp) control: String,
    /// The URL for PLAY.
    pub(in crate::rtsp) session_control: String,
}

/// The reason why a description names no video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rtsp) enum NoVideo {
    /// The description cannot be read.
    Unreadable,
    /// The description has no video that the camera sends.
    NoTrack,
}

impl VideoTrack {
    /// Reads `description`, the body of the response to DESCRIBE. `base` is the URL to which the control URLs in it are
    /// relative.
    pub(in crate::rtsp) fn find(description: &[u8], base: &str) -> Result<Self, NoVideo> {
        let session = Session::parse(description).map_err(|_| NoVideo::Unreadable)?;
        let videos = || session.medias.iter().filter(|media| media.media == "video");
        let media = videos().find(|media| !is_back_channel(media)).or_else(|| videos().next());
        let media = media.ok_or(NoVideo::NoTrack)?;
        let payload_type: u8 = media
            .fmt
            .split_ascii_whitespace()
            .next()
            .and_then(|text| text.parse().ok())
            .ok_or(NoVideo::Unreadable)?;
        let (encoding, clock_hz) = encoding(media, payload_type);
        let session_control = control(attribute(&session.attributes, "control"), base);
        Ok(Self {
            encoding,
            payload_type,
            clock_hz,
            parameters: of_payload(media, "fmtp", payload_type).unwrap_or_default().to_owned(),
            control: control(attribute(&media.attributes, "control"), base),
            session_control,
        })
    }
}

/// Returns whether the camera receives this track. A track that is `sendonly` in the camera's description of itself is
/// one that a client sends, such as the picture for a doorbell's screen (ONVIF's back channel). Some encoders write
/// `sendonly` for their only video, which they send.
fn is_back_channel(media: &Media) -> bool {
    media.attributes.iter().any(|attribute| attribute.attribute == "sendonly")
}

fn attribute<'a>(attributes: &'a [sdp_types::Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|attribute| attribute.attribute == name)?.value.as_deref()
}

/// Returns the rest of the attribute called `name` whose value begins with the payload type.
fn of_payload<'a>(media: &'a Media, name: &str, payload_type: u8) -> Option<&'a str> {
    let values = media.attributes.iter().filter(|attribute| attribute.attribute == name);
    values.filter_map(|attribute| attribute.value.as_deref()).find_map(|value| {
        let (number, rest) = value.trim().split_once(char::is_whitespace)?;
        (number.parse() == Ok(payload_type)).then_some(rest.trim())
    })
}

/// Returns the encoding of a track and its clock rate. Payload type 26 is JPEG even without an attribute (RFC 3551 §6).
fn encoding(media: &Media, payload_type: u8) -> (Encoding, u32) {
    let Some(mapped) = of_payload(media, "rtpmap", payload_type) else {
        let encoding =
            if payload_type == 26 { Encoding::Jpeg } else { Encoding::Other("unknown".to_owned()) };
        return (encoding, USUAL_CLOCK_HZ);
    };
    let mut parts = mapped.split('/');
    let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let clock_hz = parts.next().and_then(|text| text.trim().parse().ok()).filter(|hz| *hz > 0);
    let encoding = match name.as_str() {
        "h264" => Encoding::H264,
        "h265" | "hevc" => Encoding::H265,
        "jpeg" => Encoding::Jpeg,
        _ => Encoding::Other(name),
    };
    (encoding, clock_hz.unwrap_or(USUAL_CLOCK_HZ))
}

/// Returns the URL for a `control` attribute (RFC 2326 §C.1.1): absolute, or relative to `base`. Cameras mean "append to
/// the base", also where the rules for URLs would replace its last part or its query.
fn control(control: Option<&str>, base: &str) -> String {
    match control.map(str::trim) {
        None | Some("" | "*") => base.to_owned(),
        Some(absolute) if absolute.to_ascii_lowercase().starts_with("rtsp://") => absolute.to_owned(),
        Some(relative) if base.ends_with('/') || relative.starts_with('/') => {
            format!("{}/{}", base.trim_end_matches('/'), relative.trim_start_matches('/'))
        }
        Some(relative) => format!("{base}/{relative}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "rtsp://cam:8554/live?channel=1";

    fn find(medias: &str) -> Result<VideoTrack, NoVideo> {
        let text = format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\na=control:*\r\n{medias}");
        VideoTrack::find(text.as_bytes(), BASE)
    }

    #[test]
    fn the_first_video_that_the_camera_sends_is_found_beside_sound_and_a_back_channel() {
        let track = find(
            "m=audio 0 RTP/AVP 0\r\na=control:track1\r\nm=video 0 RTP/AVP 98\r\na=sendonly\r\na=control:back\r\n\
             m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0IAKeKQ,aM48gA==\r\na=control:track2\r\n",
        )
        .unwrap();
        assert_eq!(track.encoding, Encoding::H264);
        assert_eq!((track.payload_type, track.clock_hz), (96, 90_000));
        assert_eq!(track.parameters, "packetization-mode=1;sprop-parameter-sets=Z0IAKeKQ,aM48gA==");
        assert_eq!(track.control, "rtsp://cam:8554/live?channel=1/track2");
        assert_eq!(track.session_control, BASE);
    }

    #[test]
    fn encodings_are_known_by_name_or_by_number() {
        for (rtpmap, number, expected, clock_hz) in [
            ("a=rtpmap:97 HEVC/90000", 97, Encoding::H265, 90_000),
            ("a=rtpmap:97 h265/1000", 97, Encoding::H265, 1000),
            ("a=rtpmap:97 MP4V-ES/0", 97, Encoding::Other("mp4v-es".to_owned()), 90_000),
            ("a=x", 26, Encoding::Jpeg, 90_000),
            ("a=rtpmap:97 JPEG/90000", 97, Encoding::Jpeg, 90_000),
            ("a=rtpmap:97 H264/90000", 96, Encoding::Other("unknown".to_owned()), 90_000),
        ] {
            let track = find(&format!("m=video 0 RTP/AVP {number}\r\n{rtpmap}\r\n")).unwrap();
            assert_eq!((track.encoding, track.clock_hz), (expected, clock_hz), "{rtpmap}");
        }
    }

    #[test]
    fn control_urls_are_absolute_or_appended() {
        for (text, expected) in [
            (None, "rtsp://cam/a"),
            (Some("*"), "rtsp://cam/a"),
            (Some("RTSP://10.0.0.2/x"), "RTSP://10.0.0.2/x"),
            (Some("trackID=1"), "rtsp://cam/a/trackID=1"),
            (Some("/trackID=1"), "rtsp://cam/a/trackID=1"),
        ] {
            assert_eq!(control(text, "rtsp://cam/a"), expected);
            let with_slash = control(text, "rtsp://cam/a/");
            assert_eq!(with_slash.trim_end_matches('/'), expected);
        }
    }

    #[test]
    fn a_description_without_video_is_told_from_one_that_cannot_be_read() {
        assert_eq!(find("m=audio 0 RTP/AVP 0\r\n"), Err(NoVideo::NoTrack));
        assert!(find("m=video 0 RTP/AVP 96\r\na=sendonly\r\n").is_ok(), "it is the only video");
        assert_eq!(VideoTrack::find(b"<html>", BASE), Err(NoVideo::Unreadable));
        assert_eq!(find("m=video 0 RTP/AVP x\r\n"), Err(NoVideo::Unreadable));
    }
}
