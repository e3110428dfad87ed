//! The frames that a channel holds: the last keyframe and the frames after that. Older frames are kept only while there
//! is a subscriber that reads every frame in order, because it might not have read them yet, and only while they are new
//! enough for it.
//!
//! The ring never hands out a frame whose reference is missing. A subscriber that cannot get the frame after the one
//! that it has read gets a keyframe.
//!
//! If a group of pictures exceeds the limits, the ring keeps its keyframe as a *still*. Who starts to watch gets the
//! still at once, and then the next keyframe.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use framecast_media::{Codec, Frame, Timestamp};

use crate::epoch::Epoch;

/// How many bytes a ring holds at most. Beside its data, each frame counts about 150 bytes for what describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLimits {
    /// The number of bytes by which a subscriber that reads every frame in order can fall behind the publisher without
    /// losing frames.
    pub backlog_bytes: usize,
    /// The time by which such a subscriber can fall behind without losing frames, if there is a newer keyframe. If
    /// subscribers skip to that anyway, a longer time only costs memory.
    pub backlog_duration: Duration,
    /// The maximum total size in bytes of the last keyframe and the frames after that. The limit matters for sources
    /// whose keyframes are far apart or never come. The ring holds the newest frame even if it is larger.
    pub gop_bytes: usize,
    /// The maximum time from the last keyframe to the newest frame. Beyond this, who starts to watch gets the keyframe
    /// as a still, and then waits for the next one, because catching up would take too long.
    pub gop_duration: Duration,
}

impl RingLimits {
    /// Returns the limits for a camera's coded video: 16 MiB, and 6 s from a keyframe on. The frames before the newest
    /// keyframe stay for a second: viewers skip frames that are half a second behind.
    pub const fn of_video() -> Self {
        let max_bytes = 16 * 1024 * 1024;
        Self {
            backlog_bytes: max_bytes,
            backlog_duration: Duration::from_secs(1),
            gop_bytes: max_bytes,
            gop_duration: Duration::from_secs(6),
        }
    }
}

impl Default for RingLimits {
    /// 16 MiB of backlog; and 32 MiB, which is about half a minute of video in good quality, from a keyframe on.
    fn default() -> Self {
        let (backlog_bytes, gop_bytes) = (16 * 1024 * 1024, 32 * 1024 * 1024);
        Self { backlog_bytes, backlog_duration: Duration::MAX, gop_bytes, gop_duration: Duration::MAX }
    }
}

/// The frames that a channel holds, oldest first. The channel numbers its frames from 1 without gaps. The ring also
/// stores what the channel shows in place of the newest frame while the camera is not live.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    limits: RingLimits,
    frames: VecDeque<HeldFrame>,
    /// The newest keyframe, once frames that need it have been dropped.
    still: Option<HeldFrame>,
    /// The bytes of the frames and of the still.
    held_bytes: usize,
    /// The number of the newest frame; 0 before the first frame.
    newest_number: u64,
    /// The number of the newest keyframe, which the ring may no longer hold; 0 before the first one.
    keyframe_number: u64,
    shown: Shown,
    has_ended: bool,
    /// The number of frames and slates (drawn pictures that stand in for frames) so far.
    update_count: u64,
    /// How many times the channel was told to show nothing, because its newest frame was out of date.
    generation: u64,
    /// The number of the epoch whose publisher may publish; `None` if no publisher may.
    open_epoch: Option<u64>,
}

#[derive(Debug, Clone)]
struct HeldFrame {
    /// The sequence number: the channel numbers its frames and slates together, from 1.
    sequence: u64,
    epoch: Epoch,
    frame: Frame,
}

/// What the channel shows to a subscriber that reads only the newest frame.
#[derive(Debug, Default)]
enum Shown {
    /// The newest frame.
    #[default]
    Newest,
    /// Nothing, because the newest frame is too old to be shown as live.
    Nothing,
    /// A slate: a drawn picture that says why there is no camera picture.
    Slate(HeldFrame),
}

/// The position of a reader in the ring: the number of the last frame that the reader has read or skipped, the sequence
/// number of the last frame or slate that the reader has read, and the number of that frame's epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) frame: u64,
    pub(crate) sequence: u64,
    epoch: u64,
    /// What the reader must skip right after its last frame, if that is a keyframe at which it has started.
    leading: Option<Leading>,
    /// Whether the reader has got a still, so that its next frame must be a keyframe.
    awaits_keyframe: bool,
}

/// The leading pictures of a keyframe of H.265 at which a reader has started or gone on: those right after it in
/// decoding order that are shown before it. They may need frames before the keyframe, which the reader does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leading {
    /// The time at which the keyframe is shown.
    end: Timestamp,
    /// Whether the reader jumped to the keyframe. Then they count as skipped.
    is_after_jump: bool,
}

/// A frame or slate for a reader, and the reader's position once it has read it.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) frame: Frame,
    pub(crate) is_slate: bool,
    pub(crate) epoch: Epoch,
    pub(crate) cursor: Cursor,
    /// How many frames right before this one are skipped because they are shown before the reader's start.
    pub(crate) before_start: u64,
}

impl Cursor {
    /// Returns whether `held` belongs to what the reader has begun to read.
    fn continues_with(&self, held: &HeldFrame) -> bool {
        self.sequence > 0 && held.epoch.number == self.epoch
    }
}

impl Ring {
    pub(crate) fn new(limits: RingLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Gives the right to publish to the epoch number `number`, and takes it from all others. Does nothing if the
    /// channel has ended.
    pub(crate) fn begin_epoch(&mut self, number: u64) {
        self.open_epoch = Some(number).filter(|_| !self.has_ended);
    }

    /// Takes the right to publish from all epochs.
    pub(crate) fn end_epoch(&mut self) {
        self.open_epoch = None;
    }

    /// Returns whether the publisher of the epoch number `number` may publish.
    pub(crate) fn is_open(&self, number: u64) -> bool {
        !self.has_ended && self.open_epoch == Some(number)
    }

    /// Returns whether a publisher that was made when the generation was `generation` may publish.
    pub(crate) fn is_current(&self, generation: u64) -> bool {
        !self.has_ended && self.generation == generation
    }

    /// Adds `frame` of `epoch` as the newest frame. Then drops the oldest frames before the last keyframe: all of them,
    /// or if `has_in_order_readers`, until the ring holds no more bytes and no older frames than its limits allow.
    pub(crate) fn push(&mut self, frame: Frame, epoch: Epoch, has_in_order_readers: bool) {
        self.newest_number += 1;
        self.update_count += 1;
        if frame.is_keyframe {
            self.keyframe_number = self.newest_number;
            self.drop_still();
        }
        let held = HeldFrame { sequence: self.update_count, epoch, frame };
        self.held_bytes += held.len_bytes();
        self.frames.push_back(held);
        self.shown = Shown::Newest;
        self.trim(if has_in_order_readers { self.limits.backlog_bytes } else { 0 });
    }

    /// Shows `frame`, a slate (a drawn picture that says why there is no camera picture), until the next frame of the
    /// camera. The slate's media time is that of its capture time in the epoch of the newest frame; `epoch` is the
    /// epoch of a slate before the first frame.
    pub(crate) fn put_slate(&mut self, mut frame: Frame, epoch: Epoch) {
        let epoch = self.frames.back().map_or(epoch, |newest| newest.epoch);
        let pts = epoch.anchor.timestamp_at(frame.captured_at);
        frame.pts = self.frames.back().map_or(pts, |newest| pts.max(newest.frame.pts));
        frame.dts = frame.pts;
        self.update_count += 1;
        self.shown = Shown::Slate(HeldFrame { sequence: self.update_count, epoch, frame });
    }

    /// Shows nothing, until the next frame or slate, to subscribers that read only the newest frame. After the end, the
    /// last frame or slate stays for subscribers that have not read it yet.
    pub(crate) fn hide(&mut self) {
        if self.has_ended {
            return;
        }
        self.shown = Shown::Nothing;
        self.generation += 1;
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Drops all frames, and the slate if there is one.
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.still = None;
        self.held_bytes = 0;
        self.hide();
    }

    /// Marks the channel as ended: no more frames and slates will come.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
        self.open_epoch = None;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Shows the newest frame, in place of a slate or of nothing, to subscribers that read only the newest frame.
    pub(crate) fn resume(&mut self) {
        self.shown = Shown::Newest;
    }

    /// Returns the number of the newest frame; 0 before the first frame.
    pub(crate) fn newest_number(&self) -> u64 {
        self.newest_number
    }

    /// Returns the newest keyframe of the newest frame's epoch, whether or not the channel shows it.
    pub(crate) fn newest(&self) -> Option<Next> {
        self.newest_keyframe().map(|held| held.read(self.keyframe_number, false))
    }

    /// Returns the capture time of the newest frame, which may need other frames.
    pub(crate) fn newest_captured_at(&self) -> Option<SystemTime> {
        self.frames.back().map(|held| held.frame.captured_at)
    }

    /// Returns the newest keyframe, unless it is of an earlier opening than the newest frame: it must not pass for a
    /// picture of that opening.
    fn newest_keyframe(&self) -> Option<&HeldFrame> {
        let newest = self.frames.back()?;
        let keyframe = self.held(self.keyframe_number).or(self.still.as_ref());
        keyframe.filter(|held| held.epoch.number == newest.epoch.number)
    }

    /// Returns the epoch of the newest frame.
    pub(crate) fn newest_epoch(&self) -> Option<Epoch> {
        self.frames.back().map(|held| held.epoch)
    }

    /// Returns what a subscriber at `cursor` that reads only the newest picture gets next: the slate if the ring shows
    /// one, otherwise the newest picture that stands alone. Returns `None` if the subscriber has already got this, or
    /// if the ring shows nothing.
    pub(crate) fn latest_after(&self, cursor: Cursor) -> Option<Next> {
        match &self.shown {
            Shown::Nothing => None,
            Shown::Slate(slate) => {
                (slate.sequence > cursor.sequence).then(|| slate.read(self.newest_number, true))
            }
            Shown::Newest => {
                let held = self.newest_keyframe()?;
                (held.sequence > cursor.sequence).then(|| held.read(self.keyframe_number, false))
            }
        }
    }

    /// Returns the frame after `cursor` for a subscriber that reads every frame in order. A subscriber that has just
    /// started gets a keyframe, one that has lost frames gets the newest keyframe, and after the end of an epoch comes
    /// the first keyframe of the next. A subscriber whose next frame is older than the newest one by more than `max_lag`
    /// gets the newest keyframe, if that comes after its next frame. Returns `None` if the ring has no such frame yet.
    ///
    /// A subscriber that has got a keyframe without the frame before it does not get the keyframe's leading pictures.
    pub(crate) fn next_after(&self, cursor: Cursor, max_lag: Duration) -> Option<Next> {
        let wanted = cursor.frame + 1;
        let is_lagging = || wanted < self.keyframe_number && self.lag_of(wanted) > max_lag;
        let is_jump = cursor.awaits_keyframe || wanted < self.oldest_number() || is_lagging();
        let number = if is_jump {
            self.keyframe_number
        } else {
            let number = self.after_leading(wanted, cursor);
            if cursor.continues_with(self.held(number)?) {
                let mut next = self.held(number)?.read(number, false);
                if cursor.leading.is_some_and(|leading| !leading.is_after_jump) {
                    next.before_start = number - wanted;
                }
                return Some(next);
            }
            self.first_keyframe(number)?
        };
        if number < wanted {
            return None;
        }
        let mut next = if number == self.keyframe_number {
            self.start()?
        } else {
            self.held(number)?.read(number, false)
        };
        // Only H.265 has such pictures, and after a still comes a keyframe.
        let may_lead = next.frame.format.codec == Codec::H265 && !next.cursor.awaits_keyframe;
        let (end, is_after_jump) = (next.frame.pts, is_jump && cursor.sequence > 0);
        next.cursor.leading = may_lead.then_some(Leading { end, is_after_jump });
        Some(next)
    }

    /// Returns the number of the first frame from number `wanted` on that is no leading picture that a reader at
    /// `cursor` must skip. The ring may not hold that frame yet.
    fn after_leading(&self, wanted: u64, cursor: Cursor) -> u64 {
        let Some(Leading { end, .. }) = cursor.leading else { return wanted };
        let is_leading =
            |held: &HeldFrame| cursor.continues_with(held) && !held.frame.is_keyframe && held.frame.pts < end;
        let is_other = |number: &u64| !self.held(*number).is_some_and(is_leading);
        (wanted..).find(is_other).expect("the ring's frames end")
    }

    /// Returns the newest keyframe for a subscriber that reads every frame in order from there on. If the group of
    /// pictures is too long, returns the keyframe as a still. A still has the capture time of the keyframe, but the
    /// times in the stream of the newest frame, so that players show it at once and do not wait as long for the next
    /// keyframe as they would for the frames between.
    fn start(&self) -> Option<Next> {
        let mut still = self.newest_keyframe()?.read(self.keyframe_number, false);
        if self.held(self.keyframe_number).is_some() && !self.is_gop_too_long() {
            return Some(still);
        }
        still.cursor.awaits_keyframe = true;
        let presentation = still.frame.pts.ticks().saturating_sub(still.frame.dts.ticks());
        still.frame.dts = self.frames.back()?.frame.dts;
        still.frame.pts = Timestamp::from_ticks(still.frame.dts.ticks().saturating_add(presentation));
        Some(still)
    }

    /// Returns the cursor of a new subscriber. A subscriber that reads every frame in order starts at the newest
    /// keyframe, unless that is out of date. Any other starts at the newest frame or slate.
    pub(crate) fn start_cursor(&self, is_in_order: bool) -> Cursor {
        let frame = match (is_in_order, &self.shown) {
            (true, Shown::Newest) if self.newest_keyframe().is_some() => self.keyframe_number - 1,
            (true, _) => self.newest_number,
            (false, _) => 0,
        };
        Cursor { frame, ..Cursor::default() }
    }

    /// Returns the number of the oldest frame in the ring. If the ring is empty, returns the number that the next frame
    /// will get.
    fn oldest_number(&self) -> u64 {
        self.newest_number + 1 - self.frames.len() as u64
    }

    /// Returns the frame with this number; `None` if the ring does not hold it.
    fn held(&self, number: u64) -> Option<&HeldFrame> {
        self.frames.get(usize::try_from(number.checked_sub(self.oldest_number())?).ok()?)
    }

    /// Returns the number of the first keyframe in the ring whose number is at least `from`; `None` if there is no such
    /// keyframe.
    fn first_keyframe(&self, from: u64) -> Option<u64> {
        let numbered = (self.oldest_number()..).zip(&self.frames);
        numbered
            .skip_while(|(number, _)| *number < from)
            .find(|(_, held)| held.frame.is_keyframe)
            .map(|(n, _)| n)
    }

    /// Drops old frames until the ring holds at most `keep_bytes` bytes, and no frame that is too old for readers. The
    /// newest keyframe and the frames after it are kept even if they exceed `keep_bytes`, up to the limit. The newest
    /// frame is always kept. The newest keyframe is kept as a still if both fit.
    fn trim(&mut self, keep_bytes: usize) {
        // Without a keyframe no reader can start here: keep only `keep_bytes`.
        let has_keyframe = self.held(self.keyframe_number).is_some();
        let needed_from = if has_keyframe { self.keyframe_number } else { self.newest_number };
        let exceeds_backlog =
            |ring: &Self| ring.held_bytes > keep_bytes || (has_keyframe && ring.is_backlog_too_old());
        while self.oldest_number() < needed_from && exceeds_backlog(self) {
            self.drop_oldest();
        }
        while self.held_bytes > self.limits.gop_bytes.max(keep_bytes) && self.frames.len() > 1 {
            self.drop_oldest();
        }
        if self.is_gop_too_long() {
            while self.frames.len() > 1 && self.held_bytes > keep_bytes {
                self.drop_oldest();
            }
        }
        if self.held_bytes > self.limits.gop_bytes.max(keep_bytes) {
            self.drop_still();
        }
    }

    /// Returns the decoding time from the frame with this number to the newest one; zero if the ring does not hold it.
    fn lag_of(&self, number: u64) -> Duration {
        let (held, newest) = (self.held(number), self.frames.back());
        let lag = |held: &HeldFrame, newest: &HeldFrame| newest.frame.dts.saturating_since(held.frame.dts);
        held.zip(newest).map_or(Duration::ZERO, |(held, newest)| lag(held, newest))
    }

    /// Returns whether the oldest frame is older than a reader in order may need it. Decoding times of two openings cannot
    /// be compared: frames of an earlier one are too old once the newest GOP lasts for long enough.
    fn is_backlog_too_old(&self) -> bool {
        let epochs = self.frames.front().zip(self.frames.back());
        let is_of_one_epoch =
            epochs.is_some_and(|(oldest, newest)| oldest.epoch.number == newest.epoch.number);
        let from = if is_of_one_epoch { self.oldest_number() } else { self.keyframe_number };
        self.lag_of(from) > self.limits.backlog_duration
    }

    fn is_gop_too_long(&self) -> bool {
        let (Some(keyframe), Some(newest)) = (self.newest_keyframe(), self.frames.back()) else {
            return false;
        };
        newest.frame.dts.saturating_since(keyframe.frame.dts) > self.limits.gop_duration
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Drops the oldest frame, or keeps it as the still if it is the newest keyframe.
    fn drop_oldest(&mut self) {
        let number = self.oldest_number();
        let Some(held) = self.frames.pop_front() else { return };
        if number == self.keyframe_number {
            self.still = Some(held);
        } else {
            self.held_bytes -= held.len_bytes();
        }
    }

    fn drop_still(&mut self) {
        if let Some(still) = self.still.take() {
            self.held_bytes -= still.len_bytes();
        }
    }
}

impl HeldFrame {
    /// Returns how many bytes of memory this frame takes: those of its data, and its own.
    fn len_bytes(&self) -> usize {
        self.frame.data.len() + size_of::<Self>()
    }

    /// Returns this frame or slate for a reader, which has then read or skipped all frames up to number `number`.
    fn read(&self, number: u64, is_slate: bool) -> Next {
        let (sequence, epoch) = (self.sequence, self.epoch.number);
        let cursor = Cursor { frame: number, sequence, epoch, leading: None, awaits_keyframe: false };
        Next { frame: self.frame.clone(), is_slate, epoch: self.epoch, cursor, before_start: 0 }
    }
}

#[cfg(test)]
mod tests;
