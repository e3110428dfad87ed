//! How a table is compressed for sending, and which compressions a client accepts.

use super::qvalue::{MAX_QVALUE, parse_qvalues};

/// How a table is compressed for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentEncoding {
    /// No compression.
    Identity,
    /// gzip (RFC 1952), which every client supports.
    Gzip,
    /// Zstandard (RFC 8878), which is faster than gzip and compresses better.
    Zstd,
}

impl ContentEncoding {
    /// Returns the content encoding for a request whose header `Accept-Encoding` (RFC 9110, section 12.5.3) is
    /// `accept_encoding`: the one with the highest qvalue, the client's preference. Among equal qvalues, zstd comes
    /// before gzip, and gzip before no compression. There is no compression if the request lacks the header, or if the
    /// client refuses all encodings.
    pub fn choose(accept_encoding: Option<&str>) -> Self {
        let Some(list) = accept_encoding else { return Self::Identity };
        let (mut best, mut highest) = (Self::Identity, Self::Identity.qvalue(list));
        for content_encoding in [Self::Gzip, Self::Zstd] {
            let qvalue = content_encoding.qvalue(list);
            if qvalue > 0 && qvalue >= highest {
                (best, highest) = (content_encoding, qvalue);
            }
        }
        best
    }

    /// Returns the value of the response's header `Content-Encoding`, or `None` if the response needs no such header.
    pub fn header_value(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Returns this content encoding's qvalue (the client's preference, in thousandths) in `list`, the value of
    /// `Accept-Encoding`. That is the qvalue of the encoding's name if the list contains the name, otherwise that of
    /// `*`. Returns 0 if the list contains neither, which means that the client refuses the encoding. For
    /// [`Self::Identity`], which is always allowed as the last choice, 0 does not mean refused.
    fn qvalue(self, list: &str) -> u16 {
        let of = |names: &[&str]| {
            let named = |name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
            parse_qvalues(list)
                .filter(|(name, _)| named(name))
                .map(|(_, qvalue)| qvalue.min(MAX_QVALUE))
                .max()
        };
        match self {
            Self::Identity => of(&["identity"]).unwrap_or(0),
            Self::Gzip => of(&["gzip", "x-gzip"]).or_else(|| of(&["*"])).unwrap_or(0),
            Self::Zstd => of(&["zstd"]).or_else(|| of(&["*"])).unwrap_or(0),
        }
    }
}
