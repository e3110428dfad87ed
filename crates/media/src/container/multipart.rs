//! `multipart/x-mixed-replace` (RFC 2046 §5.1).

/// What is wrong with a multipart body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A header line that is longer than any real one.
    #[error("a part header is longer than {limit_bytes} bytes")]
    HeaderTooLong {
        /// The bound, in bytes.
        limit_bytes: usize,
    },
}
