//! The bytes of the protocol of `/api/live`, version 1: messages from the client and to the client.
//!
//! [`parse`] makes a [`ClientMessage`] of the client's text. [`hello`], [`error`] and [`message_head`] make the bytes
//! for the client. The limits of a connection, and what happens on a message, belong to the scheduler and the session.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use framecast_hub::{QUALITY_RANGE, Rendition, SIDE_RANGE_PX};
use framecast_media::{Codec, Format, escape_hidden_json};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::rendition::FPS;
use crate::websocket::wire::HEAD_BYTES;

/// The version of the protocol, sent in the greeting and in the head of each picture.
pub const VERSION: u8 = 1;

/// The range of the priority of a tile (one camera's place on the client's page). A priority of 0 pauses the tile.
const PRIORITY: RangeInclusive<u8> = 0..=100;

/// The range of `paint_ms`, the time that a client needed to paint a picture, in milliseconds: from zero to one day.
const PAINT_MS: RangeInclusive<f64> = 0.0..=86_400_000.0;

/// The flags of a binary message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageFlags(u8);

impl MessageFlags {
    /// The message is a JPEG picture of the camera.
    pub const PICTURE: Self = Self(0);
    /// The message is a slate, a JPEG picture that was drawn to say that the camera is not live.
    pub const SLATE: Self = Self(1);
    /// The message is a fragment of MP4 with one frame of coded video that needs earlier frames.
    pub const FRAGMENT: Self = Self(2);
    /// The message is the init segment of MP4, which a decoder needs before the first fragment.
    pub const INIT: Self = Self(4);
    /// The message is a fragment of MP4 with a keyframe, at which a decoder can start.
    pub const KEYFRAME: Self = Self(2 | 8);
}

/// A message from a client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientMessage {
    /// A request to show a camera in a tile (its place on the client's page), or to change what the tile shows.
    Subscribe(Subscribe),
    /// A request to stop showing a camera in a tile.
    Unsubscribe {
        /// The number of the tile.
        tile: u16,
    },
    /// An acknowledgement: the client has painted or skipped a picture, and has done so with all earlier pictures of
    /// the tile.
    Ack(Ack),
}

/// A client's request to show a camera in a tile, a place on the client's page.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// The tile's number, which the client chooses.
    pub tile: u16,
    /// The camera's name.
    pub camera: String,
    /// The requested size and quality, rounded to the values that MJPEG streams also use.
    pub rendition: Rendition,
    /// The requested width and height in pixels, as the client wrote them.
    pub size_px: [Option<u32>; 2],
    /// The maximum number of pictures a second, 0.01 to 1000; `None` for no limit.
    pub fps: Option<f64>,
    /// The tile's weight when tiles compete for the link's speed, 1 to 100; 0 pauses the tile.
    pub priority: u8,
    /// Whether to send smaller pictures if the link is too slow for the requested size.
    pub adapt: bool,
    /// Whether the client plays fragmented MP4, so that the tile of a camera with coded video gets that video.
    pub plays_mp4: bool,
    /// The codecs of coded video that the client plays.
    pub codecs: PlayedCodecs,
}

/// The codecs of coded video that a client plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayedCodecs {
    h264: bool,
    h265: bool,
}

impl PlayedCodecs {
    /// Those of a client that says nothing about codecs.
    pub const ALL: Self = Self { h264: true, h265: true };

    /// Those with these names. Names that this version of the protocol lacks are ignored.
    pub fn of(names: &[&str]) -> Self {
        let has = |codec: Codec| names.iter().any(|name| codec.video_name() == Some(name));
        Self { h264: has(Codec::H264), h265: has(Codec::H265) }
    }

    /// Returns whether the client plays `codec`. Of a codec that has no name in the protocol, nothing is known.
    pub fn contains(self, codec: Codec) -> bool {
        match codec {
            Codec::H264 => self.h264,
            Codec::H265 => self.h265,
            _ => true,
        }
    }
}

/// A client's acknowledgement of a picture that it has painted or skipped.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Ack {
    /// The picture's tile.
    #[serde(deserialize_with = "tile")]
    pub tile: u16,
    /// The picture's sequence number in its tile.
    #[serde(deserialize_with = "sequence")]
    pub sequence: u32,
    /// How long the client needed to paint the picture after it had received the picture; `None` if the client did not
    /// say.
    #[serde(default, rename = "paint_ms", deserialize_with = "paint")]
    pub paint: Option<Duration>,
}

/// The field by which the kinds of messages differ.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", deserialize_with = "text")]
    name: String,
}

/// The fields of a request to show a camera in a tile.
#[derive(Deserialize)]
struct SubscribeFields {
    #[serde(deserialize_with = "tile")]
    tile: u16,
    #[serde(deserialize_with = "text")]
    camera: String,
    #[serde(default, deserialize_with = "side")]
    width: Option<u32>,
    #[serde(default, deserialize_with = "side")]
    height: Option<u32>,
    #[serde(default, deserialize_with = "quality")]
    quality: Option<u8>,
    #[serde(default, deserialize_with = "fps")]
    fps: Option<f64>,
    #[serde(default, deserialize_with = "priority")]
    priority: Option<u8>,
    #[serde(default, deserialize_with = "flag")]
    adapt: Option<bool>,
    #[serde(default, rename = "video", deserialize_with = "video_container")]
    container: Option<()>,
    #[serde(default, deserialize_with = "codecs")]
    codecs: Option<PlayedCodecs>,
}

/// The fields of a request to stop showing a camera in a tile.
#[derive(Deserialize)]
struct UnsubscribeFields {
    #[serde(deserialize_with = "tile")]
    tile: u16,
}

/// The error for a message that the protocol does not allow. The text says what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMessage(String);

/// The greeting, the first message to a client.
#[derive(Serialize)]
#[serde(tag = "type", rename = "hello")]
struct Hello {
    version: u8,
    max_tiles: usize,
    window: usize,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "error")]
struct ErrorMessage<'a> {
    tile: u16,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "video")]
struct VideoFormat<'a> {
    tile: u16,
    content_type: &'a str,
    codec: &'static str,
    width: u32,
    height: u32,
    stream: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "dropped")]
struct DroppedFrames {
    tile: u16,
    frames: u64,
}

/// Creates the first message to a client. It contains the protocol's version, the maximum number of tiles, and how many
/// unacknowledged pictures (`window`) the server sends for each tile.
pub fn hello(max_tiles: usize, window: usize) -> String {
    json(&Hello { version: VERSION, max_tiles, window })
}

/// Creates the message which says that the client's request to show a camera in `tile` failed, or that the camera is
/// gone, and why.
pub fn error(tile: u16, message: &str) -> String {
    json(&ErrorMessage { tile, message })
}

/// Creates the message which says that `tile` gets coded video of `format` from now on. `content_type` is the MIME type
/// with the codec, as in `video/mp4; codecs="avc1.640028"`. `stream` says which stream of the camera it is, `main` or
/// `sub`.
pub fn video(tile: u16, content_type: &str, format: &Format, stream: &'static str) -> String {
    let codec = format.codec.video_name().unwrap_or("other");
    let (width, height) = (format.width_px, format.height_px);
    json(&VideoFormat { tile, content_type, codec, width, height, stream })
}

/// Creates the message which says that `tile` does not get `frames` frames, because the client or its link is too slow.
pub fn dropped(tile: u16, frames: u64) -> String {
    json(&DroppedFrames { tile, frames })
}

fn json(message: &impl Serialize) -> String {
    let json = serde_json::to_string(message).expect("numbers and text are JSON");
    escape_hidden_json(&json).into_owned()
}

/// Creates the bytes before a picture or a part of the video. All numbers are big endian: version (1 byte), flags (1), tile (2),
/// sequence (4), capture time in µs of unix time (8).
pub fn message_head(
    tile: u16,
    sequence: u32,
    captured_at: SystemTime,
    flags: MessageFlags,
) -> [u8; HEAD_BYTES] {
    let since_epoch = captured_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
    let mut head = [0; HEAD_BYTES];
    head[0] = VERSION;
    head[1] = flags.0;
    head[2..4].copy_from_slice(&tile.to_be_bytes());
    head[4..8].copy_from_slice(&sequence.to_be_bytes());
    head[8..].copy_from_slice(&micros.to_be_bytes());
    head
}

/// Parses a client's message. Ignores unknown fields.
///
/// # Errors
/// If the text is not JSON, has an unknown type, or lacks a field, or if the value of a field is out of range. The
/// error's text names the field that is missing or out of range.
pub fn parse(text: &str) -> Result<ClientMessage, BadMessage> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| bad(format!("the message is not JSON: {error}")))?;
    if !value.is_object() {
        return Err(bad("the message is not a JSON object"));
    }
    match read::<Kind>(&value)?.name.as_str() {
        "subscribe" => Ok(ClientMessage::Subscribe(read::<SubscribeFields>(&value)?.into())),
        "unsubscribe" => {
            let UnsubscribeFields { tile } = read(&value)?;
            Ok(ClientMessage::Unsubscribe { tile })
        }
        "ack" => Ok(ClientMessage::Ack(read(&value)?)),
        other => {
            let shown: String = other.chars().take(20).collect();
            Err(bad(format!("unknown type `{shown}`; known types: subscribe, unsubscribe, ack")))
        }
    }
}

/// Creates the error with this text.
pub(crate) fn bad(message: impl Into<String>) -> BadMessage {
    BadMessage(message.into())
}

/// Reads the fields of a message. The error names the field.
fn read<'v, T: Deserialize<'v>>(message: &'v Value) -> Result<T, BadMessage> {
    serde_path_to_error::deserialize(message).map_err(|error| {
        let problem = error.inner().to_string();
        match problem.strip_prefix("missing field ") {
            Some(name) => bad(format!("{name} is missing")),
            None => bad(format!("`{}` {problem}", error.path())),
        }
    })
}

impl From<SubscribeFields> for Subscribe {
    fn from(fields: SubscribeFields) -> Self {
        let SubscribeFields { tile, camera, width, height, quality, fps, .. } = fields;
        let SubscribeFields { priority, adapt, container, codecs, .. } = fields;
        let mut rendition = Rendition::default();
        if let Some(width) = width {
            rendition = rendition.with_width(width);
        }
        if let Some(height) = height {
            rendition = rendition.with_height(height);
        }
        if let Some(quality) = quality {
            rendition = rendition.with_quality(quality);
        }
        let (priority, adapt) = (priority.unwrap_or(1), adapt.unwrap_or_default());
        let size_px = [width, height];
        let (plays_mp4, codecs) = (container.is_some(), codecs.unwrap_or(PlayedCodecs::ALL));
        Self { tile, camera, rendition, size_px, fps, priority, adapt, plays_mp4, codecs }
    }
}

fn tile<'de, D: Deserializer<'de>>(value: D) -> Result<u16, D::Error> {
    required(whole(value, 0..=u16::MAX)?)
}

fn sequence<'de, D: Deserializer<'de>>(value: D) -> Result<u32, D::Error> {
    required(whole(value, 0..=u32::MAX)?)
}

fn side<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u32>, D::Error> {
    whole(value, SIDE_RANGE_PX)
}

fn quality<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u8>, D::Error> {
    whole(value, QUALITY_RANGE)
}

fn priority<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u8>, D::Error> {
    whole(value, PRIORITY)
}

fn fps<'de, D: Deserializer<'de>>(value: D) -> Result<Option<f64>, D::Error> {
    number(value, FPS)
}

fn paint<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    Ok(number(value, PAINT_MS)?.map(|millis| Duration::from_secs_f64(millis / 1000.0)))
}

fn text<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    required(given(value, "must be text", |value| value.as_str().map(str::to_owned))?)
}

fn flag<'de, D: Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    given(value, "must be true or false", Value::as_bool)
}

/// Reads the name of the container that the client plays. Only `mp4` exists.
fn video_container<'de, D: Deserializer<'de>>(value: D) -> Result<Option<()>, D::Error> {
    given(value, "must be `mp4`", |value| (value.as_str() == Some("mp4")).then_some(()))
}

/// Reads the names of the codecs that the client plays.
fn codecs<'de, D: Deserializer<'de>>(value: D) -> Result<Option<PlayedCodecs>, D::Error> {
    given(value, "must be a list of names, such as [\"H.264\"]", |value| {
        let names = value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
        Some(PlayedCodecs::of(&names))
    })
}

fn number<'de, D: Deserializer<'de>>(value: D, range: RangeInclusive<f64>) -> Result<Option<f64>, D::Error> {
    let expected = format!("must be a number from {} to {}", range.start(), range.end());
    given(value, &expected, |value| value.as_f64().filter(|number| range.contains(number)))
}

/// Reads a whole number in `range`. It can be written with a fraction of zero, as in `2.0`.
fn whole<'de, D, T>(value: D, range: RangeInclusive<T>) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64> + PartialOrd + Display,
{
    let expected = format!("must be a whole number from {} to {}", range.start(), range.end());
    given(value, &expected, |value| {
        let as_written = value.as_u64();
        let number = as_written.or_else(|| value.as_f64().filter(|n| is_small_whole(*n)).map(|n| n as u64));
        number.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number))
    })
}

/// Reads a value with `read`; `None` if the value is `null`. If `read` returns `None`, the error says what was
/// expected.
fn given<'de, D: Deserializer<'de>, T>(
    value: D,
    expected: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    match Value::deserialize(value)? {
        Value::Null => Ok(None),
        value => read(&value).map(Some).ok_or_else(|| D::Error::custom(expected)),
    }
}

fn required<T, E: Error>(value: Option<T>) -> Result<T, E> {
    value.ok_or_else(|| E::custom("is missing"))
}

fn is_small_whole(number: f64) -> bool {
    number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::MAX_MESSAGE_BYTES;

    #[test]
    fn a_subscription_has_what_it_says_and_defaults_for_the_rest() {
        let all = r#"{"type":"subscribe","tile":3,"camera":"front","width":300,"height":180,"quality":62,"fps":9.5,
            "priority":7,"adapt":true,"video":"mp4","codecs":["H.264","AV1"],"colour":"ignored"}"#;
        let rendition = Rendition::default().with_width(320).with_height(180).with_quality(60);
        let camera = "front".to_owned();
        let (fps, priority, adapt, plays_mp4) = (Some(9.5), 7, true, true);
        let codecs = PlayedCodecs { h264: true, h265: false };
        let size_px = [Some(300), Some(180)];
        let expected =
            Subscribe { tile: 3, camera, rendition, size_px, fps, priority, adapt, plays_mp4, codecs };
        assert_eq!(parse(all).unwrap(), ClientMessage::Subscribe(expected));
        let least = parse(r#"{"type":"subscribe","tile":65535.0,"camera":"","fps":null}"#).unwrap();
        let rendition = Rendition::default();
        let (camera, fps, priority, adapt, plays_mp4) = (String::new(), None, 1, false, false);
        let codecs = PlayedCodecs::ALL;
        let (tile, size_px) = (65535, [None; 2]);
        let expected =
            Subscribe { tile, camera, rendition, size_px, fps, priority, adapt, plays_mp4, codecs };
        assert_eq!(least, ClientMessage::Subscribe(expected));
    }

    #[test]
    fn acknowledgements_and_ends_name_their_tile() {
        let ack = parse(r#"{"type":"ack","tile":3,"sequence":17,"paint_ms":12.5}"#).unwrap();
        let paint = Some(Duration::from_micros(12_500));
        assert_eq!(ack, ClientMessage::Ack(Ack { tile: 3, sequence: 17, paint }));
        let end = parse(r#"{"type":"unsubscribe","tile":0}"#).unwrap();
        assert_eq!(end, ClientMessage::Unsubscribe { tile: 0 });
    }

    #[test]
    fn what_is_wrong_with_a_message_is_named() {
        for (text, told) in [
            ("", "the message is not JSON: EOF while parsing a value at line 1 column 0"),
            ("[]", "the message is not a JSON object"),
            ("{}", "`type` is missing"),
            (r#"{"type":7}"#, "`type` must be text"),
            (r#"{"type":"pause"}"#, "unknown type `pause`; known types: subscribe, unsubscribe, ack"),
            (r#"{"type":"unsubscribe"}"#, "`tile` is missing"),
            (r#"{"type":"unsubscribe","tile":65536}"#, "`tile` must be a whole number from 0 to 65535"),
            (r#"{"type":"unsubscribe","tile":-1}"#, "`tile` must be a whole number from 0 to 65535"),
            (r#"{"type":"unsubscribe","tile":1.5}"#, "`tile` must be a whole number from 0 to 65535"),
            (r#"{"type":"subscribe","tile":1}"#, "`camera` is missing"),
            (r#"{"type":"subscribe","tile":1,"camera":[]}"#, "`camera` must be text"),
            (
                r#"{"type":"subscribe","tile":1,"camera":"x","width":15}"#,
                "`width` must be a whole number from 16 to 8192",
            ),
            (
                r#"{"type":"subscribe","tile":1,"camera":"x","quality":0}"#,
                "`quality` must be a whole number from 1 to 100",
            ),
            (
                r#"{"type":"subscribe","tile":1,"camera":"x","fps":0}"#,
                "`fps` must be a number from 0.01 to 1000",
            ),
            (
                r#"{"type":"subscribe","tile":1,"camera":"x","fps":"9"}"#,
                "`fps` must be a number from 0.01 to 1000",
            ),
            (
                r#"{"type":"subscribe","tile":1,"camera":"x","priority":101}"#,
                "`priority` must be a whole number from 0 to 100",
            ),
            (r#"{"type":"subscribe","tile":1,"camera":"x","adapt":1}"#, "`adapt` must be true or false"),
            (r#"{"type":"subscribe","tile":1,"camera":"x","video":"webm"}"#, "`video` must be `mp4`"),
            (r#"{"type":"subscribe","tile":1,"camera":"x","video":true}"#, "`video` must be `mp4`"),
            (
                r#"{"type":"subscribe","tile":1,"camera":"x","codecs":"H.264"}"#,
                "`codecs` must be a list of names, such as [\"H.264\"]",
            ),
            (r#"{"type":"ack","tile":1}"#, "`sequence` is missing"),
            (
                r#"{"type":"ack","tile":1,"sequence":1,"paint_ms":-1}"#,
                "`paint_ms` must be a number from 0 to 86400000",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), told, "{text}");
        }
    }

    #[test]
    fn nested_brackets_are_refused_without_harm() {
        assert!(parse(&"[".repeat(MAX_MESSAGE_BYTES)).is_err());
        assert!(parse(&r#"{"a":"#.repeat(MAX_MESSAGE_BYTES / 5)).is_err());
    }

    #[test]
    fn a_head_is_sixteen_bytes_in_network_order() {
        let captured_at = SystemTime::UNIX_EPOCH + Duration::from_micros(0x0102_0304_0506);
        let head = message_head(0x0A0B, 0x0C0D_0E0F, captured_at, MessageFlags::SLATE);
        assert_eq!(head, [1, 1, 10, 11, 12, 13, 14, 15, 0, 0, 1, 2, 3, 4, 5, 6]);
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(9);
        assert_eq!(message_head(1, 1, early, MessageFlags::PICTURE)[8..], [0; 8]);
        for (flags, byte) in
            [(MessageFlags::FRAGMENT, 2), (MessageFlags::INIT, 4), (MessageFlags::KEYFRAME, 10)]
        {
            assert_eq!(message_head(1, 1, captured_at, flags)[1], byte);
        }
    }

    #[test]
    fn what_a_client_is_told_is_one_object() {
        let format = Format::new(Codec::H264, 1280, 720);
        let told = video(3, "video/mp4; codecs=\"avc1.64001F\"", &format, "main");
        let expected =
            r#"{"type":"video","tile":3,"content_type":"video/mp4; codecs=\"avc1.64001F\"","codec":"H.264","#;
        assert_eq!(told, format!(r#"{expected}"width":1280,"height":720,"stream":"main"}}"#));
        assert_eq!(dropped(3, 17), r#"{"type":"dropped","tile":3,"frames":17}"#);
        assert_eq!(hello(256, 2), r#"{"type":"hello","version":1,"max_tiles":256,"window":2}"#);
        assert_eq!(error(3, "no \"x\""), r#"{"type":"error","tile":3,"message":"no \"x\""}"#);
    }
}
