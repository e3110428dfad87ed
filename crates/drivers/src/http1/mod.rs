//! Parses HTTP/1 as cameras write it: turns bytes into heads, bodies and challenges.
//!
//! The web servers in cameras are old and careless, so the parser accepts whatever it can interpret: a status line that
//! says `ICY`, control bytes in a header, invalid lengths, chunks under HTTP/1.0. If head and body disagree, the body
//! decides. All limits are constants in this module and its submodules.
//!
//! Sockets, time, logins and redirects do not belong here; the `http` driver handles them.

mod body;
mod challenge;
mod chunk;
mod head;

pub use body::Body;
pub use challenge::{Challenge, parse_challenges};
pub use head::{Head, HeadReader, MAX_HEAD_BYTES};

/// The reason why a response cannot be parsed. The messages quote nothing from the response, because a server may
/// repeat parts of the request, which can contain secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The response does not begin like HTTP.
    #[error("the answer is not HTTP")]
    NotHttp {
        /// The beginning of the response, in printable characters. The message does not contain this text.
        start: String,
    },
    /// The status line has no status code.
    #[error("the status line of the answer has no status code")]
    BadStatus {
        /// The status line, in printable characters. The message does not contain this text.
        line: String,
    },
    /// The head exceeds the maximum length.
    #[error("the head of the answer is longer than {limit_bytes} bytes")]
    HeadTooLong {
        /// The maximum length of a head, in bytes.
        limit_bytes: usize,
    },
    /// The head has too many headers.
    #[error("the head of the answer has more than {limit} headers")]
    TooManyHeaders {
        /// The maximum number of headers.
        limit: usize,
    },
    /// The size of a chunk cannot be parsed.
    #[error("a chunk of the answer has no size")]
    BadChunk {
        /// The chunk's first line, in printable characters. The message does not contain this text.
        line: String,
    },
    /// The first line of a chunk exceeds the maximum length.
    #[error("the first line of a chunk is longer than {limit_bytes} bytes")]
    ChunkLineTooLong {
        /// The maximum length of a chunk's first line, in bytes.
        limit_bytes: usize,
    },
}

/// Returns the first 40 bytes of `bytes` for display: printable ASCII characters, and a dot for each other byte.
fn printable(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 40;
    let shown = bytes.iter().take(SHOWN_BYTES);
    shown.map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' }).collect()
}
