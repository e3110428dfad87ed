//! Walks the boxes inside a box (ISO/IEC 14496-12 §4.2) that is complete in memory.

use mp4_atom::Atom;

use super::problem::{BoxKind, Problem};
use crate::Error;

/// The header of a box: its size and its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BoxHeader {
    pub(super) kind: BoxKind,
    /// The number of bytes of the header.
    pub(super) header_bytes: usize,
    /// The size of the box with its header; `None` if the box goes to the end of the stream.
    pub(super) size_bytes: Option<u64>,
}

impl BoxHeader {
    /// Reads the header at the start of `bytes`. Returns `None` if more bytes are needed.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk()?;
        let (kind, rest) = rest.split_first_chunk()?;
        let (header_bytes, size_bytes) = match u32::from_be_bytes(*size) {
            0 => (8, None),
            1 => (16, Some(u64::from_be_bytes(*rest.first_chunk()?))),
            size => (8, Some(size.into())),
        };
        Some(Self { kind: BoxKind(*kind), header_bytes, size_bytes })
    }
}

/// A box that is complete in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct WholeBox<'a> {
    pub(super) kind: BoxKind,
    /// Where the box begins, in bytes from the start of the stream.
    pub(super) offset: u64,
    /// Where `body` begins, in bytes from the start of the stream.
    body_offset: u64,
    pub(super) body: &'a [u8],
}

impl<'a> WholeBox<'a> {
    /// Takes `bytes`, which begin at `offset` of the stream, as one box with `header`.
    pub(super) fn new(header: BoxHeader, offset: u64, bytes: &'a [u8]) -> Self {
        let body_offset = offset + header.header_bytes as u64;
        Self { kind: header.kind, offset, body_offset, body: &bytes[header.header_bytes..] }
    }

    pub(super) fn error(&self, problem: Problem) -> Error {
        Error::Mp4 { offset: self.offset, problem }
    }

    pub(super) fn invalid(&self) -> Error {
        self.error(Problem::InvalidBox { kind: self.kind })
    }

    /// Returns the boxes in this box after the first `skip_bytes` of its body.
    pub(super) fn children_after(&self, skip_bytes: usize) -> Result<Children<'a>, Error> {
        let bytes = self.body.get(skip_bytes..).ok_or_else(|| self.invalid())?;
        Ok(Children { bytes, offset: self.body_offset + skip_bytes as u64 })
    }

    pub(super) fn children(&self) -> Children<'a> {
        Children { bytes: self.body, offset: self.body_offset }
    }

    /// Returns the first child of `kind`; `None` if there is none.
    pub(super) fn find(&self, kind: &[u8; 4]) -> Result<Option<WholeBox<'a>>, Error> {
        self.children().find(|child| child.as_ref().map_or(true, |child| child.kind.0 == *kind)).transpose()
    }

    /// Returns the first child of `kind`.
    pub(super) fn child(&self, kind: &[u8; 4]) -> Result<WholeBox<'a>, Error> {
        let missing = || self.error(Problem::MissingBox { kind: BoxKind(*kind), parent: self.kind });
        self.find(kind)?.ok_or_else(missing)
    }

    /// Reads the content of a box that contains no other boxes. `T` must allocate no more than a constant times the
    /// bytes of the box.
    pub(super) fn decode<T: Atom>(&self) -> Result<T, Error> {
        T::decode_body(&mut &self.body[..]).map_err(|_| self.invalid())
    }
}

/// The boxes that follow each other in a box.
#[derive(Debug, Clone)]
pub(super) struct Children<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begin, in bytes from the start of the stream.
    offset: u64,
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<WholeBox<'a>, Error>;

    /// Returns the next box. Bytes at the end that are too few for a header are padding, which QuickTime writes.
    fn next(&mut self) -> Option<Self::Item> {
        let (bytes, offset) = (self.bytes, self.offset);
        let header = BoxHeader::parse(bytes)?;
        let size_bytes = header.size_bytes.unwrap_or(bytes.len() as u64);
        let size = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        if size < header.header_bytes || size > bytes.len() {
            self.bytes = &[];
            let problem = Problem::BoxSize { kind: header.kind, size_bytes };
            return Some(Err(Error::Mp4 { offset, problem }));
        }
        self.bytes = &bytes[size..];
        self.offset += size_bytes;
        Some(Ok(WholeBox::new(header, offset, &bytes[..size])))
    }
}
