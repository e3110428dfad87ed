//! What a server answered: a stream, a picture, or neither.
//!
//! The body decides where it can, because the web servers in cameras are careless about `Content-Type`.

use framecast_media::Bytes;
use framecast_media::codec::jpeg::Finder;
use framecast_media::container::multipart::boundary_from_content_type;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use super::session::within;
use super::target::Target;
use crate::Error;

/// Blank lines before a boundary are common; more than this is no stream.
const MAX_BLANK_BYTES: usize = 4096;
const MAX_SHOWN_CHARS: usize = 80;

const SOI: [u8; 2] = [0xFF, 0xD8];
/// SOI and the first byte of the marker behind it.
const PICTURE_START: [u8; 3] = [0xFF, 0xD8, 0xFF];

/// An answer with pictures. `head` is what was read of the body.
pub(super) enum Kind {
    /// Parts that follow each other; the boundary as declared.
    Multipart { boundary: Option<String>, head: Bytes },
    /// Pictures that follow each other without boundaries, as `ffmpeg -f mjpeg -listen 1` serves them.
    BackToBack { head: Bytes },
    /// One picture.
    Still { head: Bytes },
}

/// Looks at the type and, unless it is multipart, at the first bytes of `response`; where neither length nor type tells
/// one picture from many, at what follows the first.
///
/// # Errors
/// [`Error::Answer`] for what has no pictures, and what can go wrong while reading.
pub(super) async fn sort(target: &Target, response: &mut Response) -> Result<Kind, Error> {
    let content_type =
        response.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let content_type = content_type.unwrap_or_default().trim().to_owned();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let boundary = boundary_from_content_type(&content_type);
    if essence.starts_with("multipart/") {
        return Ok(Kind::Multipart { boundary, head: Bytes::new() });
    }
    let head = within(target, target.timeout, "the first picture", first_bytes(response)).await?;
    let body = head.trim_ascii_start();
    if body.starts_with(b"--") {
        Ok(Kind::Multipart { boundary, head })
    } else if body.starts_with(&SOI) && response.content_length().is_some() {
        Ok(Kind::Still { head })
    } else if body.starts_with(&SOI) && is_endless(&essence) {
        Ok(Kind::BackToBack { head })
    } else if body.starts_with(&SOI) {
        let look = first_picture(response, head, target.max_picture_bytes);
        within(target, target.timeout, "the rest of the picture", look).await
    } else if body.is_empty() {
        Err(target.answered("an empty page", "the camera may be off, or the path wrong"))
    } else if matches!(essence.as_str(), "image/jpeg" | "image/jpg" | "image/pjpeg") {
        // Broken, but meant to be a picture: the door says what is wrong with it.
        Ok(Kind::Still { head })
    } else {
        Err(neither(target, &essence))
    }
}

/// Whether a body of this type that begins with a picture is likely to go on with more.
fn is_endless(essence: &str) -> bool {
    essence.starts_with("video/") || essence == "application/octet-stream"
}

/// Reads the picture that `head` begins and what follows it, until that is the end of the body or another picture.
/// What is broken or too large counts as one picture, for the door to refuse.
async fn first_picture(
    response: &mut Response,
    head: Bytes,
    max_picture_bytes: usize,
) -> Result<Kind, reqwest::Error> {
    let start = head.len() - head.trim_ascii_start().len();
    let mut body = Vec::from(head);
    let mut finder = Finder::new();
    let mut searched = 0;
    while body.len() <= max_picture_bytes {
        match finder.advance(&body[start..]) {
            Ok(Some(len)) => {
                searched = searched.max(start + len);
                if body[searched..].windows(PICTURE_START.len()).any(|bytes| bytes == PICTURE_START) {
                    return Ok(Kind::BackToBack { head: body.into() });
                }
                // A start may have come in part.
                searched = searched.max(body.len().saturating_sub(PICTURE_START.len() - 1));
            }
            Ok(None) => {}
            Err(_) => break,
        }
        match response.chunk().await? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(Kind::Still { head: body.into() })
}

fn neither(target: &Target, essence: &str) -> Error {
    let advice = match essence {
        "text/html" | "application/xhtml+xml" => {
            "this is a web page, not a stream: give the address of the picture in it; for mjpg-streamer add \
             /?action=stream, for uStreamer /stream, for Framecast /video_feed"
        }
        "application/vnd.apple.mpegurl"
        | "application/x-mpegurl"
        | "video/mp4"
        | "video/mp2t"
        | "video/x-flv" => {
            "this is video of another kind; it can be read through ffmpeg: exec:ffmpeg -i URL -f mjpeg -q:v 5 -"
        }
        essence if essence.starts_with("image/") => {
            "only JPEG pictures can be shown; look for a JPEG address"
        }
        _ => "this is neither a multipart stream nor a JPEG picture; check the path",
    };
    let shown: String = essence.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect();
    let answer = if shown.is_empty() { "something without a type".to_owned() } else { shown };
    target.answered(answer, advice)
}

/// The body up to its first two bytes that are not blank.
async fn first_bytes(response: &mut Response) -> Result<Bytes, reqwest::Error> {
    let mut head = Bytes::new();
    while head.trim_ascii_start().len() < 2 && head.len() < MAX_BLANK_BYTES {
        match response.chunk().await? {
            Some(chunk) if head.is_empty() => head = chunk,
            Some(chunk) => head = [head, chunk].concat().into(),
            None => break,
        }
    }
    Ok(head)
}
