//! How a table is compressed for sending, and which way a client accepts.

use super::weight::{WHOLE, weighted};

/// How a table is compressed for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// gzip (RFC 1952), which every client knows.
    Gzip,
    /// Zstandard (RFC 8878), which is faster and smaller.
    Zstd,
}

impl Coding {
    /// The content encoding for a request's header `Accept-Encoding` (RFC 9110, section 12.5.3): the one with the
    /// highest qvalue; of equals, zstd before gzip before none. No compression without the header, or when the client
    /// refuses all.
    pub fn choose(accept_encoding: Option<&str>) -> Self {
        let Some(list) = accept_encoding else { return Self::Identity };
        let (mut best, mut highest) = (Self::Identity, Self::Identity.weight(list));
        for coding in [Self::Gzip, Self::Zstd] {
            let weight = coding.weight(list);
            if weight > 0 && weight >= highest {
                (best, highest) = (coding, weight);
            }
        }
        best
    }

    /// The value of the header `Content-Encoding`, if there is one.
    pub fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// This content encoding's qvalue in `list`: by its name, else by `*`. A content encoding that the list does not
    /// name counts as refused. [`Self::Identity`] counts as accepted, after all others, unless the list refuses it.
    fn weight(self, list: &str) -> u16 {
        let of = |names: &[&str]| {
            let named = |name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
            weighted(list).filter(|(name, _)| named(name)).map(|(_, weight)| weight.min(WHOLE)).max()
        };
        match self {
            Self::Identity => of(&["identity"]).unwrap_or(0),
            Self::Gzip => of(&["gzip", "x-gzip"]).or_else(|| of(&["*"])).unwrap_or(0),
            Self::Zstd => of(&["zstd"]).or_else(|| of(&["*"])).unwrap_or(0),
        }
    }
}
