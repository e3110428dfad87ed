//! Recognises what a stream contains if it contains no pictures, so that an error message can say what to change.

use std::fmt;

/// What the start of a stream looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// An AVI file, even if its video is Motion JPEG.
    Avi,
    /// An FLV file.
    Flv,
    /// A GIF image.
    Gif,
    /// An H.264 or H.265 stream with start codes.
    H26x,
    /// A web page.
    Html,
    /// A JPEG image.
    Jpeg,
    /// A Matroska or WebM file.
    Matroska,
    /// An MP4 or QuickTime file.
    Mp4,
    /// An MPEG transport stream.
    MpegTs,
    /// A PNG image.
    Png,
    /// Uncompressed video with a YUV4MPEG2 header.
    Yuv4Mpeg,
    /// A WebP image.
    WebP,
    /// Readable text. The value is the first line, cut to [`Content::MAX_LINE_CHARS`].
    Text(String),
    /// Unknown content. The value is its first bytes.
    Unknown(Vec<u8>),
}

impl Content {
    /// The maximum length of the line in [`Content::Text`], in characters.
    pub const MAX_LINE_CHARS: usize = 80;

    /// Recognises the content of a stream from `bytes`, the start of the stream. 256 bytes are enough.
    pub fn detect(bytes: &[u8]) -> Self {
        let trimmed = bytes.trim_ascii_start();
        let at =
            |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
        match bytes {
            _ if at(0, &[0xFF, 0xD8, 0xFF]) => Self::Jpeg,
            _ if at(0, b"\x89PNG\r\n") => Self::Png,
            _ if at(0, b"GIF8") => Self::Gif,
            _ if at(0, b"RIFF") && at(8, b"WEBP") => Self::WebP,
            _ if at(0, b"RIFF") && at(8, b"AVI ") => Self::Avi,
            _ if at(0, b"FLV\x01") => Self::Flv,
            _ if at(0, b"YUV4MPEG2") => Self::Yuv4Mpeg,
            _ if at(0, &[0x1A, 0x45, 0xDF, 0xA3]) => Self::Matroska,
            _ if at(4, b"ftyp") || at(4, b"moov") || at(4, b"styp") => Self::Mp4,
            _ if at(0, &[0, 0, 0, 1]) || at(0, &[0, 0, 1]) => Self::H26x,
            // Packets of 188 bytes that begin with the sync byte (ISO/IEC 13818-1 §2.4.3.2).
            _ if at(0, b"G") && at(188, b"G") => Self::MpegTs,
            _ if starts_like_html(trimmed) => Self::Html,
            _ => Self::text(trimmed).unwrap_or_else(|| Self::Unknown(bytes[..bytes.len().min(8)].to_vec())),
        }
    }

    fn text(bytes: &[u8]) -> Option<Self> {
        let start = &bytes[..bytes.len().min(256)];
        let valid = match std::str::from_utf8(start) {
            Ok(text) => text,
            // The end of `start` can split a character.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
            }
            Err(_) => return None,
        };
        let is_readable = |c: char| !c.is_control() || matches!(c, '\t' | '\r' | '\n' | '\x1B');
        if valid.is_empty() || !valid.chars().all(is_readable) {
            return None;
        }
        let line = valid.lines().next().unwrap_or_default();
        Some(Self::Text(line.chars().filter(|c| !c.is_control()).take(Self::MAX_LINE_CHARS).collect()))
    }
}

fn starts_like_html(bytes: &[u8]) -> bool {
    let starts =
        |tag: &str| bytes.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    starts("<!doctype") || starts("<html") || starts("<head") || starts("<?xml")
}

impl fmt::Display for Content {
    /// Writes the name of the content with its article and, if a remedy is known, what the user should change.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ADVICE: &str = "make the program write JPEG (ffmpeg: add `-c:v mjpeg -f mjpeg` before the output; \
                              rpicam-vid: `--codec mjpeg`)";
        match self {
            Self::Jpeg => f.write_str("a JPEG image"),
            Self::Html => f.write_str("an HTML page; write the address of the stream itself"),
            Self::Text(line) => write!(f, "text ({line:?})"),
            Self::Unknown(bytes) => write!(f, "something unknown (first bytes {bytes:02X?}); {ADVICE}"),
            Self::Avi => write!(f, "an AVI file; {ADVICE}"),
            Self::Flv => write!(f, "an FLV file; {ADVICE}"),
            Self::Gif => write!(f, "a GIF image; {ADVICE}"),
            Self::H26x => write!(f, "H.264 or H.265; {ADVICE}"),
            Self::Matroska => write!(f, "a Matroska or WebM file; {ADVICE}"),
            Self::Mp4 => write!(f, "an MP4 file; {ADVICE}"),
            Self::MpegTs => write!(f, "an MPEG transport stream; {ADVICE}"),
            Self::Png => write!(f, "a PNG image; {ADVICE}"),
            Self::Yuv4Mpeg => write!(f, "uncompressed video; {ADVICE}"),
            Self::WebP => write!(f, "a WebP image; {ADVICE}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_instead_of_pictures_is_recognised() {
        let transport = [&b"G"[..], &[0; 187], b"G"].concat();
        for (bytes, expected) in [
            (&b"\x89PNG\r\n\x1A\n"[..], Content::Png),
            (b"RIFF\x24\0\0\0AVI LIST", Content::Avi),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Content::WebP),
            (b"\0\0\0\x20ftypisom", Content::Mp4),
            (b"\0\0\0\x01\x67\x42", Content::H26x),
            (b"\0\0\x01\xB3", Content::H26x),
            (b"\x1A\x45\xDF\xA3", Content::Matroska),
            (b"YUV4MPEG2 W640", Content::Yuv4Mpeg),
            (b"\r\n<!doctype HTML>", Content::Html),
            (b"GIF89a", Content::Gif),
            (b"FLV\x01\x05", Content::Flv),
            (&transport, Content::MpegTs),
            (b"\nusage: cam [-x]\nmore", Content::Text("usage: cam [-x]".into())),
            (b"\x1B[31mno camera\x1B[0m", Content::Text("[31mno camera[0m".into())),
            (b"\x80\x80\x10\x10", Content::Unknown(vec![0x80, 0x80, 0x10, 0x10])),
            (b"", Content::Unknown(vec![])),
        ] {
            assert_eq!(Content::detect(bytes), expected);
        }
    }

    #[test]
    fn a_character_that_is_cut_at_the_end_is_still_text() {
        let text = "ü".repeat(300);
        assert_eq!(Content::detect(&text.as_bytes()[..255]), Content::Text("ü".repeat(80)));
    }

    #[test]
    fn the_sentence_says_what_to_do() {
        assert!(Content::Mp4.to_string().contains("-f mjpeg"));
        assert!(Content::Text("Permission denied".into()).to_string().contains("Permission denied"));
    }
}
