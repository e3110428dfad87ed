//! A block of events: rows that were read from the database at once. The database's thread copies rows into a block
//! until the block is full, and is then free for other work, however slowly the rows are used.

use std::ops::ControlFlow;

use framecast_hub::EventKind;

use crate::entry::{Entry, EntryRef, Key};

/// When a block is full. A block has at least one row, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockLimit {
    /// The maximum number of rows.
    pub(crate) rows: usize,
    /// The size with which the block ends.
    pub(crate) size: BlockSize,
}

/// A size in bytes, and what has that size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockSize {
    /// The memory of the block itself, for a reader that takes one row after the other.
    Rows(usize),
    /// The memory of all events of the block as entries, with their JSON. See [`EntryRef::size_bytes`].
    Entries(usize),
}

impl BlockSize {
    fn bytes(self) -> usize {
        match self {
            Self::Rows(bytes) | Self::Entries(bytes) => bytes,
        }
    }

    /// Returns the part of this size that `entry` takes.
    fn of(self, entry: &EntryRef<'_>) -> usize {
        match self {
            Self::Rows(_) => {
                let texts = [entry.camera, entry.text].into_iter().flatten();
                size_of::<BlockRow>() + texts.map(str::len).sum::<usize>()
            }
            Self::Entries(_) => entry.size_bytes(),
        }
    }
}

/// Events that were read from the database at once. The texts of all of them are in one buffer.
#[derive(Debug)]
pub(crate) struct Block {
    limit: BlockLimit,
    texts: String,
    rows: Vec<BlockRow>,
    /// The number of rows that were read, with those of kinds that this program does not know.
    read: usize,
    bytes: usize,
    last: Option<Key>,
}

/// One event of a block. Its texts are in the block's buffer: the camera's name, and then the event's text. Offsets and
/// lengths have 32 bits, so that a row takes little memory: neither database has rows of 4 GiB.
#[derive(Debug)]
struct BlockRow {
    id: i64,
    at_ms: i64,
    count: Option<i64>,
    kind: EventKind,
    /// The offset of the row's texts in the buffer, in bytes.
    start: u32,
    /// The length of the camera's name, in bytes.
    camera: Option<u32>,
    /// The length of the event's text, in bytes.
    text: Option<u32>,
}

/// The columns of a row, in the order in which they are selected.
pub(super) struct DbRow<'a> {
    pub(super) at_ms: i64,
    pub(super) id: i64,
    pub(super) kind: &'a str,
    pub(super) camera: Option<&'a str>,
    pub(super) text: Option<&'a str>,
    pub(super) count: Option<i64>,
}

impl Block {
    pub(super) fn new(limit: BlockLimit) -> Self {
        // Room for all rows, so that rows are not copied as their number grows.
        let capacity = limit.rows.min(limit.size.bytes() / size_of::<BlockRow>());
        let rows = Vec::with_capacity(capacity);
        Self { limit, texts: String::new(), rows, read: 0, bytes: 0, last: None }
    }

    /// Copies a row into the block. Leaves out a row whose kind of event this program does not know. Returns `Break`
    /// once the block is full.
    pub(super) fn push(&mut self, row: &DbRow<'_>) -> ControlFlow<()> {
        let DbRow { at_ms, id, kind, camera, text, count } = *row;
        self.read += 1;
        self.last = Some(Key { at_ms, id });
        let Some(kind) = EventKind::from_name(kind) else { return ControlFlow::Continue(()) };
        self.bytes += self.limit.size.of(&EntryRef { id, at_ms, kind, camera, text, count });
        let start = short(self.texts.len());
        for text in [camera, text].into_iter().flatten() {
            self.texts.push_str(text);
        }
        let (camera, text) = (camera.map(|text| short(text.len())), text.map(|text| short(text.len())));
        self.rows.push(BlockRow { id, at_ms, count, kind, start, camera, text });
        if self.bytes < self.limit.size.bytes() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Returns the block without the memory that it reserved for further rows.
    pub(super) fn finished(mut self) -> Self {
        self.texts.shrink_to_fit();
        self.rows.shrink_to_fit();
        self
    }

    /// Returns whether no row was read yet.
    #[cfg(feature = "postgres")]
    pub(super) fn is_untouched(&self) -> bool {
        self.read == 0
    }

    /// Returns the number of events in the block.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the size of all events together, in bytes, as the block's limit counts it. See [`BlockSize`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the event at `index`, which must be less than [`len`](Self::len).
    pub(crate) fn get(&self, index: usize) -> EntryRef<'_> {
        let BlockRow { id, at_ms, count, kind, start, camera, text } = self.rows[index];
        let texts = &self.texts[start as usize..];
        let (name, rest) = texts.split_at(camera.unwrap_or_default() as usize);
        EntryRef {
            id,
            at_ms,
            kind,
            camera: camera.map(|_| name),
            text: text.map(|length| &rest[..length as usize]),
            count,
        }
    }

    /// Returns copies of all events of the block.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        (0..self.len()).map(|index| self.get(index).to_entry()).collect()
    }

    /// Returns the key (time and id) of the last row that was read; `None` if no row was read.
    pub(crate) fn last(&self) -> Option<Key> {
        self.last
    }

    /// Returns the key after which the next block begins; `None` if no more rows follow this block.
    pub(crate) fn next(&self) -> Option<Key> {
        let is_end = self.read < self.limit.rows && self.bytes < self.limit.size.bytes();
        self.last.filter(|_| !is_end)
    }
}

fn short(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a block ends after the first row beyond its limit, and rows are below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(id: i64, kind: &'a str, camera: Option<&'a str>, text: Option<&'a str>) -> DbRow<'a> {
        DbRow { at_ms: 10 * id, id, kind, camera, text, count: Some(id) }
    }

    #[test]
    fn events_come_out_as_they_went_in_without_those_of_unknown_kinds() {
        let mut block = Block::new(BlockLimit { rows: 10, size: BlockSize::Entries(1 << 20) });
        let texts = [(Some("näh"), Some("a")), (None, Some("🦀")), (Some(""), None), (None, None)];
        for (id, (camera, text)) in (1..).zip(texts) {
            assert!(block.push(&row(id, "lost", camera, text)).is_continue());
        }
        assert!(block.push(&row(5, "of a later version", Some("x"), Some("y"))).is_continue());
        assert!(block.push(&row(6, "mark", Some("x"), Some("y"))).is_continue());
        let found: Vec<_> = block.entries().into_iter().map(|entry| (entry.camera, entry.text)).collect();
        let expected = texts.into_iter().chain([(Some("x"), Some("y"))]);
        let expected: Vec<_> =
            expected.map(|(camera, text)| (camera.map(str::to_owned), text.map(str::to_owned))).collect();
        assert_eq!(found, expected);
        assert_eq!(
            (block.get(4).kind, block.get(4).at_ms, block.get(4).count),
            (EventKind::Mark, 60, Some(6))
        );
        assert_eq!((block.len(), block.last()), (5, Some(Key { at_ms: 60, id: 6 })));
    }

    #[test]
    fn more_follows_a_block_that_is_full_by_either_limit() {
        let two = BlockLimit { rows: 2, size: BlockSize::Entries(1 << 20) };
        let mut block = Block::new(two);
        assert_eq!(block.next(), None, "there is nothing");
        _ = block.push(&row(1, "lost", None, None));
        assert_eq!((block.next(), block.last()), (None, Some(Key { at_ms: 10, id: 1 })));
        _ = block.push(&row(2, "of a later version", None, None));
        assert_eq!(block.next(), Some(Key { at_ms: 20, id: 2 }), "a row that is left out counts too");
        let mut small = Block::new(BlockLimit { rows: 10, size: BlockSize::Entries(1) });
        assert!(small.push(&row(3, "lost", None, None)).is_break());
        assert_eq!((small.len(), small.next()), (1, Some(Key { at_ms: 30, id: 3 })));
    }

    #[test]
    fn a_block_for_rows_ends_when_its_memory_is_used_up() {
        let limit = 20_000;
        let mut block = Block::new(BlockLimit { rows: 10_000, size: BlockSize::Rows(limit) });
        let long = "x".repeat(100);
        let mut ids = 1..;
        while block.push(&row(ids.next().unwrap(), "lost", Some("yard"), Some(&long))).is_continue() {}
        let block = block.finished();
        let memory = block.rows.capacity() * size_of::<BlockRow>() + block.texts.capacity();
        assert_eq!(block.bytes(), memory);
        assert!((limit..limit + 200).contains(&memory), "{memory}");
        assert!(block.next().is_some());
    }
}
