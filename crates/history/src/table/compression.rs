//! How a table is compressed.

/// How a table is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// No compression.
    None,
    /// gzip (RFC 1952), which every client supports.
    Gzip,
    /// Zstandard (RFC 8878), which is faster than gzip and compresses better.
    Zstd,
}
