//! The delimiter: the boundary line between two parts. The parser learns its text once from the stream, and then
//! searches for this text byte by byte.
//!
//! The boundary that a camera declares in its header and the boundary that the camera sends often differ in the leading
//! dashes. So the parser searches for the literal text of the first boundary line.

use memchr::memmem;

/// The maximum length of a boundary line in bytes. RFC 2046 allows 70 characters, to which dashes are added.
const MAX_LINE_BYTES: usize = 200;

/// The start of the first header line of nearly every part, in lower case.
pub(super) const HEADER_START: &[u8] = b"content-";

/// The literal text of the boundary line, dashes included.
#[derive(Debug)]
pub(super) struct Delimiter {
    /// Finds the delimiter's text after a line feed. The carriage return before the line feed is optional, so it is not
    /// searched for.
    finder: memmem::Finder<'static>,
    /// Finds the delimiter's text anywhere, also where no line feed precedes it.
    text_finder: memmem::Finder<'static>,
}

/// Whether some bytes begin with the delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// The bytes begin with the delimiter. The value is its length in bytes, including any line ends before its text.
    Yes(usize),
    No,
    /// More bytes are needed to decide whether the bytes begin with the delimiter.
    Incomplete,
}

impl Delimiter {
    pub(super) fn new(text: &[u8]) -> Self {
        let needle = [b"\n", text].concat();
        Self {
            finder: memmem::Finder::new(&needle).into_owned(),
            text_finder: memmem::Finder::new(text).into_owned(),
        }
    }

    /// Returns the text of the delimiter without line ends.
    pub(super) fn text(&self) -> &[u8] {
        self.text_finder.needle()
    }

    /// Returns the length in bytes of the delimiter with the line feed before it.
    pub(super) fn needle_len(&self) -> usize {
        self.finder.needle().len()
    }

    /// Returns the offset of the first delimiter that begins at or after the offset `from`. A delimiter begins with the
    /// line feed before its text. Returns `None` if there is no delimiter.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<usize> {
        self.finder.find(&bytes[from..]).map(|at| from + at)
    }

    /// Returns the offset of the first delimiter, with or without a line end before it; `None` if there is none.
    pub(super) fn find_text(&self, bytes: &[u8]) -> Option<usize> {
        self.text_finder.find(bytes)
    }

    /// Checks whether `bytes` begin with the delimiter.
    pub(super) fn match_text(&self, bytes: &[u8]) -> Match {
        let text = self.text();
        match bytes.get(..text.len()) {
            Some(start) if start == text => Match::Yes(text.len()),
            None if text.starts_with(bytes) => Match::Incomplete,
            _ => Match::No,
        }
    }

    /// Checks whether `bytes` begin with the delimiter, after at most two line ends.
    pub(super) fn match_after_line_end(&self, bytes: &[u8]) -> Match {
        let line_ends = bytes.iter().take(4).take_while(|b| matches!(b, b'\r' | b'\n')).count();
        match self.match_text(&bytes[line_ends..]) {
            Match::Yes(len) => Match::Yes(line_ends + len),
            other => other,
        }
    }
}

/// Learns the delimiter (the boundary line) of a stream from the lines before the first part.
#[derive(Debug, Default)]
pub(super) struct BoundaryDetector {
    /// The boundary that the header of the stream declares, without leading dashes; `None` if the header declares none.
    declared: Option<Box<[u8]>>,
    /// The line before the current one, if that line could be a boundary that differs from the declared boundary.
    candidate: Option<Box<[u8]>>,
}

/// The meaning of a line before the first part.
#[derive(Debug)]
pub(super) enum PreambleLine {
    /// A line that is neither a boundary nor the header of a part.
    Other,
    /// A line that begins with the boundary. The value is the delimiter to search for from now on.
    Boundary(Delimiter),
    /// The first header of a part, which shows that the line before was the boundary. The value is the delimiter to
    /// search for from now on.
    Header(Delimiter),
}

impl BoundaryDetector {
    pub(super) fn new(declared: Option<&str>) -> Self {
        let core = declared.unwrap_or_default().trim().trim_start_matches('-');
        let declared = (!core.is_empty()).then(|| core.as_bytes().into());
        Self { declared, candidate: None }
    }

    /// Classifies the next line, which is given without its line end.
    ///
    /// A line that is not the declared boundary is accepted as the boundary in two cases. Either no boundary was
    /// declared and this is the first line that begins with two dashes, or a part header follows on the next line.
    pub(super) fn classify_line(&mut self, line: &[u8]) -> PreambleLine {
        let dashes = line.iter().take_while(|&&b| b == b'-').count();
        if let Some(declared) = &self.declared
            && let Some(text) = match_declared(line, dashes, declared)
        {
            return PreambleLine::Boundary(Delimiter::new(text));
        }
        if let Some(candidate) = self.candidate.take()
            && line.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(HEADER_START))
        {
            return PreambleLine::Header(Delimiter::new(&candidate));
        }
        let text = without_header(line).trim_ascii_end();
        if dashes < 2
            || !(3..=MAX_LINE_BYTES).contains(&text.len())
            || !text.iter().all(|b| matches!(b, b' '..=b'~'))
        {
            return PreambleLine::Other;
        }
        if self.declared.is_none() && !text.ends_with(b"--") {
            return PreambleLine::Boundary(Delimiter::new(text));
        }
        self.candidate = Some(text.into());
        PreambleLine::Other
    }
}

/// Returns the part of `line` that is the boundary, if `line` begins with the boundary `declared`; otherwise `None`.
/// `dashes` is the number of dashes at the start of `line`. Dashes at the end of `declared` are optional in `line`.
fn match_declared<'a>(line: &'a [u8], dashes: usize, declared: &[u8]) -> Option<&'a [u8]> {
    let core = &line[dashes..];
    let without_dashes = &declared[..declared.iter().rposition(|&b| b != b'-').map_or(0, |last| last + 1)];
    let known = [declared, without_dashes].into_iter().find(|known| core.starts_with(known))?;
    (dashes > 0 || line.trim_ascii_end().len() == known.len()).then(|| &line[..dashes + known.len()])
}

/// Returns the line without the header that some cameras write right after the boundary.
fn without_header(line: &[u8]) -> &[u8] {
    let is_header = |window: &[u8]| window.eq_ignore_ascii_case(HEADER_START);
    &line[..line.windows(HEADER_START.len()).position(is_header).unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(declared: Option<&str>, lines: &[&str]) -> Option<String> {
        let mut detector = BoundaryDetector::new(declared);
        lines.iter().find_map(|line| match detector.classify_line(line.as_bytes()) {
            PreambleLine::Other => None,
            PreambleLine::Boundary(found) | PreambleLine::Header(found) => {
                Some(String::from_utf8_lossy(found.text()).into_owned())
            }
        })
    }

    #[test]
    fn the_dashes_that_are_sent_decide_and_not_those_that_are_declared() {
        for declared in ["foo", "--foo", "----foo", " foo "] {
            for sent in ["foo", "--foo", "----foo"] {
                assert_eq!(
                    learned(Some(declared), &["preamble", sent]).as_deref(),
                    Some(sent),
                    "{declared} {sent}"
                );
            }
        }
    }

    #[test]
    fn the_first_line_with_two_dashes_is_the_boundary_when_none_is_declared() {
        assert_eq!(learned(None, &["", "- no", "--", "--frame \t"]).as_deref(), Some("--frame"));
        assert_eq!(learned(Some("---"), &["--frame"]).as_deref(), Some("--frame"));
    }

    #[test]
    fn a_boundary_other_than_the_declared_one_needs_a_header_after_it() {
        assert_eq!(learned(Some("foo"), &["--bar", "some text", "--bar"]), None);
        assert_eq!(learned(Some("foo"), &["--bar", "content-type: image/jpeg"]).as_deref(), Some("--bar"));
        assert_eq!(learned(None, &["--bar--", "Content-Type: image/jpeg"]).as_deref(), Some("--bar--"));
    }

    #[test]
    fn dashes_at_the_end_may_be_declared_and_not_sent_and_sent_and_not_declared() {
        assert_eq!(learned(Some("foo--"), &["--foo"]).as_deref(), Some("--foo"));
        assert_eq!(learned(Some("foo--"), &["--foo--"]).as_deref(), Some("--foo--"));
        assert_eq!(learned(Some("--a b--"), &["--a b--"]).as_deref(), Some("--a b--"));
        assert_eq!(learned(Some("foo"), &["--foo--"]).as_deref(), Some("--foo"));
        assert_eq!(learned(Some("foo"), &["foo \t"]).as_deref(), Some("foo"));
    }

    #[test]
    fn a_header_on_the_line_of_the_boundary_does_not_belong_to_it() {
        for declared in [None, Some("foo"), Some("--foo")] {
            assert_eq!(learned(declared, &["--fooContent-Length: 5"]).as_deref(), Some("--foo"));
        }
        let undeclared = learned(Some("bar"), &["--foocontent-type: image/jpeg", "Content-Length: 5"]);
        assert_eq!(undeclared.as_deref(), Some("--foo"));
        assert_eq!(learned(None, &["--content-type: image/jpeg"]), None);
    }

    #[test]
    fn a_delimiter_that_has_not_come_whole_is_an_open_question() {
        let delimiter = Delimiter::new(b"--foo");
        assert_eq!(delimiter.match_after_line_end(b"\r\n--foo\r\n"), Match::Yes(7));
        assert_eq!(delimiter.match_after_line_end(b"--foo"), Match::Yes(5));
        for open in ["", "\r", "\r\n", "\r\n--fo"] {
            assert_eq!(delimiter.match_after_line_end(open.as_bytes()), Match::Incomplete, "{open:?}");
        }
        assert_eq!(delimiter.match_after_line_end(b"\r\n--fx"), Match::No);
        assert_eq!(delimiter.match_after_line_end(b"\r\n\r\n\r"), Match::No);
    }
}
