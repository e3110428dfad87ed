//! Compresses the text of a table. After each text, flushes the compressor, so that a client can decode the text at
//! once.

use std::io::{self, Write as _};
use std::mem;

use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder as ZstdEncoder;

use super::chunk::Chunk;
use super::compression::Compression;

/// gzip's compression level: the lowest that still computes Huffman codes for the text.
const GZIP_LEVEL: u32 = 2;

/// gzip's window size, as a power of two: 4 KiB, which hold fifty rows. Neighbouring rows resemble each other, so a
/// larger window is slower and, for tables, no better.
const GZIP_WINDOW_BITS: u8 = 12;

/// zstd's compression level.
const ZSTD_LEVEL: i32 = 1;

/// zstd's window size, as a power of two. `ZSTD_HASH_LOG` is the size of zstd's hash table. With these sizes a
/// compressor takes 190 KiB while a client downloads. Twice the window, with zstd's default hash table, would take 260
/// KiB and save a twelfth of the bytes.
const ZSTD_WINDOW_LOG: u32 = 15;
const ZSTD_HASH_LOG: u32 = 13;

/// The compressor of one table. Allocates its memory when it gets the first text.
pub(super) struct Encoder {
    compression: Compression,
    compressor: Compressor,
}

enum Compressor {
    None,
    Gzip(Compress),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

/// What the compressor does after it has compressed a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FlushMode {
    Flush,
    Finish,
}

impl Encoder {
    pub(super) fn new(compression: Compression) -> Self {
        Self { compression, compressor: Compressor::None }
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Compresses `text` and flushes the compressor, so that a client can decode all text so far. Returns the
    /// compressed bytes, and leaves `text` empty.
    ///
    /// # Errors
    /// If the compressor cannot allocate memory, or fails.
    pub(super) fn flush(&mut self, text: &mut Chunk) -> io::Result<Bytes> {
        self.encode(text, FlushMode::Flush)
    }

    /// Compresses `text` and ends the compressed stream. Returns the compressed bytes, and leaves `text` empty.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush).
    pub(super) fn finish(&mut self, text: &mut Chunk) -> io::Result<Bytes> {
        let bytes = self.encode(text, FlushMode::Finish);
        self.compressor = Compressor::None;
        bytes
    }

    fn encode(&mut self, text: &mut Chunk, mode: FlushMode) -> io::Result<Bytes> {
        if matches!(self.compressor, Compressor::None) {
            self.compressor = Compressor::new(self.compression)?;
        }
        let bytes = match &mut self.compressor {
            Compressor::None => return Ok(text.take()),
            Compressor::Gzip(compress) => gzip(compress, text.as_bytes(), mode)?,
            Compressor::Zstd(encoder) => zstd(encoder, text.as_bytes(), mode)?,
        };
        text.clear();
        Ok(bytes)
    }
}

impl Compressor {
    fn new(compression: Compression) -> io::Result<Self> {
        match compression {
            Compression::None => Ok(Self::None),
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Ok(Self::Gzip(Compress::new_gzip(level, GZIP_WINDOW_BITS)))
            }
            Compression::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(ZSTD_WINDOW_LOG))?;
                encoder.set_parameter(CParameter::HashLog(ZSTD_HASH_LOG))?;
                Ok(Self::Zstd(encoder))
            }
        }
    }
}

fn gzip(compress: &mut Compress, text: &[u8], mode: FlushMode) -> io::Result<Bytes> {
    let flush = match mode {
        FlushMode::Flush => FlushCompress::Sync,
        FlushMode::Finish => FlushCompress::Finish,
    };
    let mut out = Vec::new();
    let mut done = 0;
    loop {
        // The size of the output is not known; most tables shrink to less than a quarter.
        out.reserve(text.len() / 4 + 256);
        let before = compress.total_in();
        let status = compress.compress_vec(&text[done..], &mut out, flush)?;
        done += usize::try_from(compress.total_in() - before).map_err(io::Error::other)?;
        // If the output has room left, the compressor has no more to write.
        let is_through = done == text.len() && out.len() < out.capacity();
        if status == Status::StreamEnd || is_through && mode == FlushMode::Flush {
            return Ok(out.into());
        }
        if is_through && status == Status::BufError {
            return Err(io::Error::other("gzip did not finish"));
        }
    }
}

fn zstd(encoder: &mut ZstdEncoder<'static, Vec<u8>>, text: &[u8], mode: FlushMode) -> io::Result<Bytes> {
    encoder.write_all(text)?;
    match mode {
        FlushMode::Flush => encoder.flush()?,
        FlushMode::Finish => encoder.do_finish()?,
    }
    Ok(mem::take(encoder.get_mut()).into())
}
