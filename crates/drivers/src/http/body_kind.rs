//! Classifies a server's response: a multipart stream, pictures without boundaries, or neither.
//!
//! The first bytes of the body decide where possible, because the web servers in cameras set the `Content-Type` header
//! carelessly. Only if the bytes do not tell does that header decide.

use std::time::Duration;

use framecast_media::Bytes;
use framecast_media::container::multipart::boundary_from_content_type;

use super::client::{RequestError, Response};
use super::session::with_timeout;
use super::target::HttpTarget;
use crate::Error;

/// The maximum number of blank bytes at the start of a body. Some blank lines before the first boundary of a stream are
/// common; a body with more blank bytes than this is not a stream.
const MAX_BLANK_BYTES: usize = 4096;
/// The maximum length of a content type that error messages show, in characters. No content type that a camera sends is
/// longer.
const MAX_TYPE_CHARS: usize = 40;

const SOI: [u8; 2] = [0xFF, 0xD8];

/// The maximum number of bytes of a web page that are searched for a password field; [`PAGE_TIMEOUT`] limits the time.
const MAX_PAGE_BYTES: usize = 64 * 1024;
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// The contents of a response. In each variant, `head` is the part of the body that was already read.
pub(super) enum BodyKind {
    /// The consecutive parts of a multipart stream. `boundary` is the boundary that the content type declares, if any.
    Multipart { boundary: Option<String>, head: Bytes },
    /// One picture, or concatenated pictures without boundaries, such as the output of `ffmpeg -f mjpeg -listen 1`.
    /// `is_endless` means that the content type, such as `video/…`, promises more pictures after the first.
    Pictures { head: Bytes, is_endless: bool },
    /// No picture, for the reason `error`. `is_temporary` means that the response was empty or was text such as "busy",
    /// so a later request might get a picture.
    NoPicture { error: Error, is_temporary: bool },
}

/// Classifies `response` by its content type and its first bytes.
///
/// # Errors
/// The errors of reading the response.
pub(super) async fn sniff(target: &HttpTarget, response: &mut Response) -> Result<BodyKind, Error> {
    let content_type = response.head().get("Content-Type").unwrap_or_default().to_owned();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let head =
        with_timeout(target, target.picture_timeout(), "the first picture", first_bytes(response)).await?;
    let body = head.trim_ascii_start();
    let is_multipart = essence.starts_with("multipart/");
    Ok(if body.starts_with(&SOI) {
        // Some cameras send one picture with the content type of a stream.
        let is_endless =
            is_multipart || essence.starts_with("video/") || essence == "application/octet-stream";
        BodyKind::Pictures { head, is_endless: is_endless && !response.has_length() }
    } else if body.is_empty() {
        let error = target.unexpected_answer(
            "with an empty page",
            "the camera may be busy or still starting, or the path is wrong",
        );
        BodyKind::NoPicture { error, is_temporary: true }
    } else if is_multipart || body.starts_with(b"--") {
        BodyKind::Multipart { boundary: boundary_from_content_type(&content_type), head }
    } else if is_jpeg_type(&essence) && is_text(body) {
        let advice = "the camera may be busy; if this persists, check its settings";
        BodyKind::NoPicture {
            error: target.unexpected_answer("with text instead of a picture", advice),
            is_temporary: true,
        }
    } else if is_jpeg_type(&essence) {
        // Broken, but meant to be a picture: the frame builder says what is wrong with it.
        BodyKind::Pictures { head, is_endless: false }
    } else if is_page(&essence) && has_password_field(response, &head).await {
        let advice = "the camera wants a login in a browser, and Framecast cannot fill in its form. Look in the \
                      camera's manual for the address of a snapshot or stream that accepts a user name and \
                      password, or switch on Basic or Digest authentication in the camera's settings";
        BodyKind::NoPicture {
            error: target.unexpected_answer("with a login page", advice),
            is_temporary: false,
        }
    } else {
        BodyKind::NoPicture {
            error: no_picture_error(target, &essence),
            is_temporary: essence == "text/plain",
        }
    })
}

fn is_jpeg_type(essence: &str) -> bool {
    matches!(essence, "image/jpeg" | "image/jpg" | "image/pjpeg")
}

fn is_text(body: &[u8]) -> bool {
    body.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

fn is_page(essence: &str) -> bool {
    matches!(essence, "text/html" | "application/xhtml+xml")
}

/// Returns whether the web page that begins with `head` asks for a password.
async fn has_password_field(response: &mut Response, head: &Bytes) -> bool {
    let mut page = Vec::from(head.as_ref());
    let rest = async {
        while page.len() < MAX_PAGE_BYTES
            && let Ok(Some(chunk)) = response.chunk().await
        {
            page.extend_from_slice(&chunk);
        }
    };
    // After the timeout, the bytes that have arrived by then are searched.
    tokio::time::timeout(PAGE_TIMEOUT, rest).await.ok();
    let mut text = String::from_utf8_lossy(&page).to_ascii_lowercase();
    text.retain(|c| !matches!(c, ' ' | '"' | '\'' | '\t' | '\r' | '\n'));
    text.contains("type=password")
}

fn no_picture_error(target: &HttpTarget, essence: &str) -> Error {
    let advice = match essence {
        essence if is_page(essence) => {
            "this is a web page, not a stream: write the address of the picture in it; for mjpg-streamer add \
             /?action=stream, for uStreamer /stream, for Framecast /video_feed"
        }
        "application/vnd.apple.mpegurl"
        | "application/x-mpegurl"
        | "video/mp4"
        | "video/mp2t"
        | "video/x-flv" => {
            "this is another kind of video; read it through ffmpeg: `exec:ffmpeg -i ADDRESS -f mjpeg -q:v 5 -`"
        }
        essence if essence.starts_with("image/") => {
            "Framecast shows only JPEG pictures; look for a JPEG address"
        }
        _ => "this is neither a multipart stream nor a JPEG picture; check the path",
    };
    let answer = match essence {
        "" => "without a content type",
        essence if is_known_type(essence) => essence,
        _ => "with an unknown content type",
    };
    target.unexpected_answer(answer, advice)
}

/// Returns whether `essence`, a content type without parameters, looks like a well-known type and not like text that
/// the server copied from the request.
fn is_known_type(essence: &str) -> bool {
    let has_digits = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    essence.split_once('/').is_some_and(|(kind, subtype)| {
        essence.len() <= MAX_TYPE_CHARS
            && matches!(kind, "text" | "image" | "video" | "audio" | "application" | "multipart")
            && subtype.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte))
            && (subtype.len() < 8 || !has_digits(subtype))
    })
}

/// Reads the body until two bytes have arrived after its leading blanks, and returns all bytes read so far.
async fn first_bytes(response: &mut Response) -> Result<Bytes, RequestError> {
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
