//! The messages of the WebSocket of go2rtc's players: JSON texts with `type` and `value`.

use framecast_media::{Codec, escape_hidden_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::live::message::{BadMessage, bad};

/// The maximum length of a message from a client, in bytes. Players send the offer of a WebRTC connection, which has
/// some kilobytes, beside the messages that this server understands.
pub const MAX_PLAYER_MESSAGE_BYTES: usize = 64 * 1024;

/// The maximum number of characters of an unknown type that the answer repeats.
const MAX_SHOWN_CHARS: usize = 30;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlayerMessage {
    /// Coded video in fragmented MP4, if it is in one of these codecs.
    Mse(PlayableCodecs),
    /// JPEG pictures.
    Mjpeg,
    /// Something that this server does not have. The field is the type of the message, of which at most the first 30
    /// characters are kept.
    Other(String),
}

/// The codecs of video that a client plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayableCodecs {
    h264: bool,
    h265: bool,
}

impl PlayableCodecs {
    /// Reads a list as in `avc1.640029,hvc1.1.6.L153.B0,mp4a.40.2`. The profiles and levels in it are only examples of
    /// what the client plays. An empty list stands for all codecs.
    fn of(list: &str) -> Self {
        let has = |names: [&str; 2]| {
            list.is_empty()
                || list.split(',').any(|codec| names.iter().any(|name| codec.trim().starts_with(name)))
        };
        Self { h264: has(["avc1", "avc3"]), h265: has(["hvc1", "hev1"]) }
    }

    /// Returns whether the client plays `codec`.
    pub fn contains(self, codec: Codec) -> bool {
        match codec {
            Codec::H264 => self.h264,
            Codec::H265 => self.h265,
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: Value,
}

/// Parses a client's message.
///
/// # Errors
/// If the text is not a JSON object with a `type`.
pub fn parse(text: &str) -> Result<PlayerMessage, BadMessage> {
    let fields: Fields = serde_json::from_str(text)
        .map_err(|error| bad(format!("the message is not a JSON object with a `type`: {error}")))?;
    Ok(match fields.kind.as_str() {
        "mse" => PlayerMessage::Mse(PlayableCodecs::of(fields.value.as_str().unwrap_or_default())),
        "mjpeg" => PlayerMessage::Mjpeg,
        other => PlayerMessage::Other(other.chars().take(MAX_SHOWN_CHARS).collect()),
    })
}

/// Returns why a client does not get what a message of this type asks for.
pub(super) fn why_not(kind: &str) -> &'static str {
    match kind {
        "webrtc" | "webrtc/offer" | "webrtc/candidate" => "this server has no WebRTC; ask for mse or mjpeg",
        "hls" => "this server has no HLS; ask for mse or mjpeg, or read /api/stream.mp4",
        "mp4" => "this server sends no single frames as MP4; ask for mse or mjpeg",
        _ => "unknown type; known types: mse, mjpeg",
    }
}

#[derive(Serialize)]
struct Text<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

/// Creates the message that a request of the type `kind` failed, and why. Players look at the type.
pub(super) fn failed(kind: &str, why: &str) -> String {
    json("error", Some(&format!("{kind}: {why}")))
}

/// Creates the message that fragmented MP4 of the MIME type `content_type` follows.
pub(super) fn mse(content_type: &str) -> String {
    json("mse", Some(content_type))
}

/// Creates the message that JPEG pictures follow.
pub(super) fn mjpeg() -> String {
    json("mjpeg", None)
}

fn json(kind: &'static str, value: Option<&str>) -> String {
    let json = serde_json::to_string(&Text { kind, value }).expect("text is JSON");
    escape_hidden_json(&json).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn playable(list: &str) -> [bool; 3] {
        let message = parse(&format!(r#"{{"type":"mse","value":"{list}"}}"#)).unwrap();
        let PlayerMessage::Mse(codecs) = message else { panic!("{message:?}") };
        [Codec::H264, Codec::H265, Codec::Jpeg].map(|codec| codecs.contains(codec))
    }

    #[test]
    fn a_list_of_codecs_says_what_a_client_plays() {
        assert_eq!(playable("avc1.640029,avc1.64002A,hvc1.1.6.L153.B0,mp4a.40.2"), [true, true, false]);
        assert_eq!(playable("avc1.42E01E"), [true, false, false]);
        assert_eq!(playable("flac, hev1.1.6.L93.B0"), [false, true, false]);
        assert_eq!(playable("mp4a.40.2,opus"), [false; 3]);
        assert_eq!(playable(""), [true, true, false]);
        assert_eq!(parse(r#"{"type":"mse"}"#), parse(r#"{"type":"mse","value":""}"#));
        assert_eq!(parse(r#"{"type":"mse","value":{"sdp":7}}"#), parse(r#"{"type":"mse","value":""}"#));
    }

    #[test]
    fn a_message_is_known_by_its_type() {
        assert_eq!(parse(r#"{"type":"mjpeg"}"#), Ok(PlayerMessage::Mjpeg));
        let offer = r#"{"type":"webrtc","value":{"type":"offer","sdp":"v=0"}}"#;
        assert_eq!(parse(offer), Ok(PlayerMessage::Other("webrtc".to_owned())));
        let long = format!(r#"{{"type":"{}"}}"#, "ü".repeat(1000));
        assert_eq!(parse(&long), Ok(PlayerMessage::Other("ü".repeat(MAX_SHOWN_CHARS))));
        for text in ["", "[]", "7", "{}", r#"{"value":"mse"}"#, r#"{"type":7}"#, &"[".repeat(60_000)] {
            let told = parse(text).unwrap_err().to_string();
            assert!(told.starts_with("the message is not a JSON object with a `type`: "), "{told}");
        }
    }

    #[test]
    fn what_a_client_is_told_has_a_type_and_a_value() {
        let told = failed("webrtc/offer", why_not("webrtc/offer"));
        let why = "this server has no WebRTC; ask for mse or mjpeg";
        assert_eq!(told, format!(r#"{{"type":"error","value":"webrtc/offer: {why}"}}"#));
        assert_eq!(mse("video/mp4"), r#"{"type":"mse","value":"video/mp4"}"#);
        assert_eq!(mjpeg(), r#"{"type":"mjpeg"}"#);
    }
}
