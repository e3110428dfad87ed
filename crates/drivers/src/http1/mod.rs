//! HTTP/1 as cameras write it: bytes in; heads, bodies and challenges out.
//!
//! The web servers in cameras are old and careless, so the parser accepts whatever it can interpret: a status line that
//! says `ICY`, control bytes in a header, invalid lengths, chunks under HTTP/1.0. If head and body disagree, the body
//! counts. Every bound is in bytes and stands in this module.
//!
//! Sockets, time, logins and redirects do not belong here: see the `http` driver.

mod body;
mod challenge;
mod chunk;
mod head;

pub use body::Body;
pub use challenge::{Challenge, parse_challenges};
pub use head::{Head, HeadReader, MAX_HEAD_BYTES};

/// Why an answer cannot be parsed. The messages repeat nothing of it: a server may repeat parts of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The answer does not begin like HTTP.
    #[error("the answer is not HTTP")]
    NotHttp {
        /// How it begins, in printable characters.
        start: String,
    },
    /// A status line without a status.
    #[error("the status line of the answer has no status code")]
    BadStatus {
        /// The line, in printable characters.
        line: String,
    },
    /// A head that exceeds the maximum length.
    #[error("the head of the answer is longer than {limit_bytes} bytes")]
    HeadTooLong {
        /// The bound.
        limit_bytes: usize,
    },
    /// A head with too many headers.
    #[error("the head of the answer has more than {limit} headers")]
    TooManyHeaders {
        /// The bound.
        limit: usize,
    },
    /// A chunk whose size cannot be parsed.
    #[error("a chunk of the answer has no size")]
    BadChunk {
        /// The line, in printable characters.
        line: String,
    },
    /// A chunk's first line exceeds the maximum length.
    #[error("the first line of a chunk is longer than {limit_bytes} bytes")]
    ChunkLineTooLong {
        /// The bound.
        limit_bytes: usize,
    },
}

/// The start of `bytes` for display: printable ASCII characters, a dot for each other byte.
fn printable(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 40;
    let shown = bytes.iter().take(SHOWN_BYTES);
    shown.map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect()
}
