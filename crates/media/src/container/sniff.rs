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
    /// An MP4 or QuickTime file, fragmented or not.
    Mp4,
    /// MPEG-1 or MPEG-2 video, or a program stream of it.
    Mpeg,
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
            _ if bytes.get(4..8).is_some_and(|kind| MP4_BOXES.contains(&kind)) => Self::Mp4,
            // The start codes of a sequence and of a pack (ISO/IEC 13818-2 §6.2.1, 13818-1 §2.5.3.3).
            _ if at(0, &[0, 0, 1, 0xB3]) || at(0, &[0, 0, 1, 0xBA]) => Self::Mpeg,
            _ if starts_like_h26x(bytes) => Self::H26x,
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

/// The boxes with which MP4 and QuickTime files begin, and the ones at which reading a live stream can begin.
const MP4_BOXES: [&[u8]; 9] =
    [b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"mdat", b"free", b"skip", b"wide"];

/// Returns whether `bytes` begins with a start code and the header of a NAL unit with which a stream of H.264 or H.265
/// can begin. Further zeros can come before the start code (annex B of both standards).
fn starts_like_h26x(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    let (2.., [1, header, next, ..]) = (zeros, &bytes[zeros..]) else { return false };
    let is_referenced = header & 0x60 != 0;
    let is_h264 = match header & 0x1F {
        1 => true,
        5 | 7 | 8 => is_referenced,
        6 | 9 => !is_referenced,
        _ => false,
    };
    // The base layer: slices, parameter sets, a delimiter and SEI.
    let is_h265 = header & 1 == 0
        && next & 0xF8 == 0
        && next & 7 != 0
        && matches!(header >> 1, 0..=9 | 16..=21 | 32..=35 | 39);
    header & 0x80 == 0 && (is_h264 || is_h265)
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
                              rpicam-vid: `--codec mjpeg`), H.264 (`-f h264`; `--codec h264 --inline`), H.265 (`-f \
                              hevc`) or fragmented MP4 (`-movflags frag_every_frame+empty_moov+default_base_moof -f \
                              mp4`)";
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
            Self::Mpeg => write!(f, "MPEG-1 or MPEG-2 video; {ADVICE}"),
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
            (b"\0\0\x01\x40\x01", Content::H26x),
            (b"\0\0\0\0\0\x01\x09\xF0", Content::H26x),
            (b"\0\0\x01\xB3", Content::Mpeg),
            (b"\0\0\0\x01\xB0\x01", Content::Unknown(vec![0, 0, 0, 1, 0xB0, 1])),
            (b"\0\0\0\x01\0\0\0\0", Content::Unknown(vec![0, 0, 0, 1, 0, 0, 0, 0])),
            (b"\0\0\x01\x18moof", Content::Mp4),
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
