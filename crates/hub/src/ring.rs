//! The frames that a channel holds: the last keyframe and what follows it, and more only for those who read in order.

use std::collections::VecDeque;

use framecast_media::Frame;

/// Frames numbered from 1, oldest first, without gaps; and what stands in their place while the camera is not live.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    frames: VecDeque<Held>,
    held_bytes: usize,
    /// Number of the newest frame; 0 before the first.
    newest: u64,
    standing: Standing,
    /// Frames and notices so far.
    updates: u64,
}

#[derive(Debug, Clone)]
struct Held {
    /// Number of this update among all frames and notices of the channel.
    sequence: u64,
    frame: Frame,
}

/// What a reader of the newest is shown.
#[derive(Debug, Default)]
enum Standing {
    /// The newest frame.
    #[default]
    Newest,
    /// Nothing: the newest frame is old and must not pass for live.
    Nothing,
    /// A notice that says why there is no picture.
    Notice(Held),
}

/// Where a reader is: the number of the last frame, and of the last update, that it has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) frame: u64,
    pub(crate) sequence: u64,
}

impl Ring {
    /// Adds a frame; with `keep_bytes` above zero, older pictures stay for in-order readers within that bound.
    pub(crate) fn push(&mut self, frame: Frame, keep_bytes: usize) {
        self.newest += 1;
        self.updates += 1;
        self.held_bytes += frame.data.len();
        self.frames.push_back(Held { sequence: self.updates, frame });
        self.standing = Standing::Newest;
        self.trim(keep_bytes);
    }

    /// Puts up a notice, which stands until the next frame.
    pub(crate) fn put_notice(&mut self, frame: Frame) {
        self.updates += 1;
        self.standing = Standing::Notice(Held { sequence: self.updates, frame });
    }

    /// Shows nothing to new readers of the newest until the next frame or notice.
    pub(crate) fn suspend(&mut self) {
        self.standing = Standing::Nothing;
    }

    /// Shows the newest frame again.
    pub(crate) fn resume(&mut self) {
        self.standing = Standing::Newest;
    }

    pub(crate) fn newest_frame(&self) -> Option<&Frame> {
        self.frames.back().map(|held| &held.frame)
    }

    /// What a reader of the newest sees next and where it then is: the standing notice, else the newest frame.
    pub(crate) fn latest_after(&self, cursor: Cursor) -> Option<(Frame, bool, Cursor)> {
        let (held, is_notice) = match &self.standing {
            Standing::Newest => (self.frames.back()?, false),
            Standing::Nothing => return None,
            Standing::Notice(notice) => (notice, true),
        };
        let at = Cursor { frame: self.newest, sequence: held.sequence };
        (held.sequence > cursor.sequence).then(|| (held.frame.clone(), is_notice, at))
    }

    /// The frame after `cursor` for a reader in order; after an overrun the oldest keyframe that is held.
    pub(crate) fn next_after(&self, cursor: Cursor) -> Option<(Frame, bool, Cursor)> {
        let oldest = self.newest - self.frames.len() as u64 + 1;
        let wanted = cursor.frame + 1;
        let number = if wanted >= oldest { wanted } else { self.first_keyframe(oldest)? };
        let held = self.frames.get(usize::try_from(number.checked_sub(oldest)?).ok()?)?;
        Some((held.frame.clone(), false, Cursor { frame: number, sequence: held.sequence }))
    }

    /// The cursor from which a new reader sees what is held.
    pub(crate) fn start(&self, is_in_order: bool) -> Cursor {
        let newest_before = if is_in_order {
            // From the newest keyframe on.
            let back = self.frames.iter().rev().position(|held| held.frame.is_keyframe);
            self.newest.saturating_sub(back.map_or(0, |back| back as u64 + 1))
        } else {
            0
        };
        Cursor { frame: newest_before, sequence: 0 }
    }

    fn first_keyframe(&self, oldest: u64) -> Option<u64> {
        self.frames.iter().position(|held| held.frame.is_keyframe).map(|i| oldest + i as u64)
    }

    /// Drops what nobody may ask for again. The newest keyframe and what follows always stay.
    fn trim(&mut self, keep_bytes: usize) {
        let Some(last_keyframe) = self.frames.iter().rposition(|held| held.frame.is_keyframe) else {
            // Without any keyframe nobody can start: hold no more than the bound.
            while self.held_bytes > keep_bytes && self.frames.len() > 1 {
                self.drop_oldest();
            }
            return;
        };
        for _ in 0..last_keyframe {
            if self.held_bytes <= keep_bytes {
                break;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(held) = self.frames.pop_front() {
            self.held_bytes -= held.frame.data.len();
        }
    }
}
