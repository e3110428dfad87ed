//! Makes fragmented MP4 of a camera's coded video: an init segment for each format, and a head for each frame, once for
//! all viewers.
//!
//! A fragment is its head and the frame's own bytes, which are not copied. All viewers of a camera get the same bytes:
//! the times in them are those of the camera's opening, not of the viewer's start. What is sent to whom is decided by
//! the outputs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use framecast_hub::Update;
use framecast_media::container::fmp4::{Fragment, content_type, init_segment};
use framecast_media::{Error, Format, Timestamp, lock};

/// The media time at which the times in the fragments begin. Media time begins at 0 when the camera is opened, but
/// frames that are shown in another order than they come can be decoded some frames before that.
const TIMELINE_ZERO_90K: i64 = -10 * Timestamp::TICKS_PER_SECOND;

/// How many intervals between frames the duration in a fragment has. Browsers skip to the next keyframe after a gap of
/// more than twice the last frame's duration (Media Source Extensions, "coded frame processing"), and one or two
/// disposable frames that are dropped must not cause that.
const DURATION_INTERVALS: i64 = 2;

/// The range of the duration in a fragment, in ticks. The shortest, a quarter of a second, is for cameras whose frames
/// come irregularly; see [`DURATION_INTERVALS`].
const DURATION_RANGE_90K: (i64, i64) = (Timestamp::TICKS_PER_SECOND / 4, 2 * Timestamp::TICKS_PER_SECOND);

/// The number of heads that are kept for viewers that have not read their frames yet: about ten seconds of video.
const MAX_HEADS: usize = 256;

/// The packers: one for each camera whose coded video has viewers.
#[derive(Debug, Clone, Default)]
pub(crate) struct VideoPackers(Arc<Mutex<BTreeMap<u64, Weak<VideoPacker>>>>);

impl VideoPackers {
    /// Returns the packer of the camera with this [id](framecast_hub::Feed::id).
    pub(crate) fn get_or_create(&self, camera_id: u64) -> Arc<VideoPacker> {
        let mut packers = lock(&self.0);
        if let Some(packer) = packers.get(&camera_id).and_then(Weak::upgrade) {
            return packer;
        }
        packers.retain(|_, packer| packer.strong_count() > 0);
        let packer = Arc::new(VideoPacker::default());
        packers.insert(camera_id, Arc::downgrade(&packer));
        packer
    }
}

/// Makes the fragmented MP4 of one camera's coded video.
#[derive(Debug, Default)]
pub(crate) struct VideoPacker {
    init: Mutex<Option<Arc<VideoInit>>>,
    heads: Mutex<Heads>,
}

/// What a player must have before the fragments of one format.
#[derive(Debug)]
pub(crate) struct VideoInit {
    pub(crate) format: Arc<Format>,
    /// `ftyp` and `moov`.
    pub(crate) segment: Bytes,
    /// The MIME type with the codec, such as `video/mp4; codecs="avc1.640028"`.
    #[cfg_attr(not(feature = "live"), expect(dead_code, reason = "only clients of `/api/live` are told it"))]
    pub(crate) content_type: String,
}

/// The newest heads, in the order of their frames.
#[derive(Debug, Default)]
struct Heads {
    kept: VecDeque<KeptHead>,
    /// The last known time between two frames, in ticks; 0 before the second frame.
    interval_90k: i64,
}

#[derive(Debug)]
struct KeptHead {
    sequence: u64,
    epoch: u64,
    dts: Timestamp,
    bytes: Bytes,
}

impl VideoPacker {
    /// Returns the init segment for frames of `format`. The call for the first viewer makes it.
    ///
    /// # Errors
    /// If `format` does not go into fragmented MP4.
    pub(crate) fn init(&self, format: &Arc<Format>) -> Result<Arc<VideoInit>, Error> {
        let mut newest = lock(&self.init);
        if let Some(init) = newest.as_ref().filter(|init| is_same(&init.format, format)) {
            return Ok(Arc::clone(init));
        }
        let (segment, content_type) = (init_segment(format)?, content_type(format)?);
        let init = Arc::new(VideoInit { format: Arc::clone(format), segment, content_type });
        *newest = Some(Arc::clone(&init));
        Ok(init)
    }

    /// Returns the bytes before the frame of `update`, with which the frame is a fragment. The call for the first viewer
    /// makes them.
    ///
    /// # Errors
    /// If the frame is too large for a fragment.
    pub(crate) fn head(&self, update: &Update) -> Result<Bytes, Error> {
        let mut heads = lock(&self.heads);
        let at = match heads.kept.binary_search_by_key(&update.sequence, |head| head.sequence) {
            Ok(at) if heads.kept[at].dts == update.frame.dts => return Ok(heads.kept[at].bytes.clone()),
            // The frame is a still, whose times are those of the moment at which its viewer starts.
            Ok(at) => {
                heads.kept.remove(at);
                at
            }
            Err(at) => at,
        };
        let before = at.checked_sub(1).and_then(|before| heads.kept.get(before));
        let before = before.filter(|head| head.epoch == update.epoch.number);
        if let Some(before) = before {
            heads.interval_90k = update.frame.dts.ticks().saturating_sub(before.dts.ticks());
        }
        let (number, duration) = (update.sequence as u32, duration_90k(heads.interval_90k));
        let bytes = Fragment::of(&update.frame, number, TIMELINE_ZERO_90K, duration).head()?;
        let bytes = Bytes::copy_from_slice(&bytes);
        let (sequence, epoch, dts) = (update.sequence, update.epoch.number, update.frame.dts);
        heads.kept.insert(at, KeptHead { sequence, epoch, dts, bytes: bytes.clone() });
        if heads.kept.len() > MAX_HEADS {
            heads.kept.pop_front();
        }
        Ok(bytes)
    }
}

/// Returns the duration in a fragment of a stream with `interval_90k` ticks between two frames.
pub(crate) fn duration_90k(interval_90k: i64) -> u32 {
    let (shortest, longest) = DURATION_RANGE_90K;
    interval_90k.saturating_mul(DURATION_INTERVALS).clamp(shortest, longest) as u32
}

/// Returns whether `one` and `other` are the same format. Frames of one format share it, as a rule.
pub(crate) fn is_same(one: &Arc<Format>, other: &Arc<Format>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use framecast_hub::{Channel, Delivery, Epoch, RingLimits, Subscriber};
    use framecast_media::container::fmp4::FRAGMENT_HEAD_BYTES;
    use framecast_media::{Anchor, Dependency, Frame};

    use super::*;
    use crate::video_camera::baseline;

    /// A channel of coded video.
    struct Video {
        channel: Channel,
        epoch: u64,
    }

    impl Video {
        fn publish(&self, dts_90k: i64, dependency: Dependency) {
            let (data, dts) = (Bytes::from(vec![7; 100]), Timestamp::from_ticks(dts_90k));
            let mut frame = Frame::coded(data, dependency, dts, SystemTime::UNIX_EPOCH, baseline());
            frame.pts = Timestamp::from_ticks(dts_90k + 4000);
            let epoch = Epoch { number: self.epoch, anchor: Anchor::of(&frame) };
            assert!(self.channel.publisher().publish(frame, epoch));
        }
    }

    fn next(subscriber: &mut Subscriber) -> Update {
        subscriber.try_next().expect("a frame was published")
    }

    fn number_at<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
        head[at..at + N].try_into().unwrap()
    }

    #[test]
    fn viewers_share_the_bytes_of_a_fragment_however_far_apart_they_are() {
        let (packers, video) = (VideoPackers::default(), Video { channel: Channel::new(), epoch: 1 });
        let [mut first, mut second] = [(); 2].map(|()| video.channel.subscribe(Delivery::InOrder));
        video.publish(0, Dependency::Keyframe);
        (1..200).for_each(|n| video.publish(n * 3600, Dependency::Reference));
        let packer = packers.get_or_create(1);
        let sent: Vec<_> =
            (0..200).map(|_| next(&mut first)).map(|u| (packer.head(&u).unwrap(), u)).collect();
        assert!(Arc::ptr_eq(&packer, &packers.get_or_create(1)));
        for (head, update) in sent {
            let other = next(&mut second);
            assert_eq!(packer.head(&other).unwrap().as_ptr(), head.as_ptr());
            assert_eq!(other.frame.data.as_ptr(), update.frame.data.as_ptr());
        }
        let init = packer.init(&baseline()).unwrap();
        assert_eq!(packer.init(&baseline()).unwrap().segment.as_ptr(), init.segment.as_ptr());
        assert!(!Arc::ptr_eq(&packer, &packers.get_or_create(2)));
    }

    #[test]
    fn a_head_says_when_its_frame_is_decoded_and_shown_where_the_documents_say_that_it_does() {
        let (packer, mut video) = (VideoPacker::default(), Video { channel: Channel::new(), epoch: 1 });
        let mut subscriber = video.channel.subscribe(Delivery::InOrder);
        let mut read = |video: &Video, dts, dependency| {
            video.publish(dts, dependency);
            let head = packer.head(&next(&mut subscriber)).unwrap();
            assert_eq!((head.len(), FRAGMENT_HEAD_BYTES), (112, 112));
            let duration = u32::from_be_bytes(number_at(&head, 48));
            let offset = i32::from_be_bytes(number_at(&head, 100));
            (u64::from_be_bytes(number_at(&head, 72)), offset, duration)
        };
        assert_eq!(read(&video, -3600, Dependency::Keyframe), (896_400, 4000, 22_500));
        assert_eq!(read(&video, 0, Dependency::Reference), (900_000, 4000, 22_500));
        assert_eq!(
            read(&video, 45_000, Dependency::Reference),
            (945_000, 4000, 90_000),
            "twice the interval"
        );
        assert_eq!(read(&video, 945_000, Dependency::Reference).2, 180_000, "but not more than two seconds");
        video.epoch = 2;
        let first = read(&video, 0, Dependency::Keyframe);
        assert_eq!(first, (900_000, 4000, 180_000), "the interval to another opening is none");
    }

    #[test]
    fn the_head_of_a_still_has_the_time_at_which_its_viewer_starts() {
        let limits = RingLimits { gop_duration: Duration::ZERO, ..RingLimits::default() };
        let channel = Channel::with_limits(limits);
        let (packer, video) = (VideoPacker::default(), Video { channel, epoch: 1 });
        video.publish(0, Dependency::Keyframe);
        for n in 1..=3 {
            video.publish(n * 3600, Dependency::Reference);
            let mut viewer = video.channel.subscribe(Delivery::InOrder);
            let still = next(&mut viewer);
            assert!(still.frame.is_keyframe && viewer.try_next().is_none());
            let head = packer.head(&still).unwrap();
            assert_eq!(number_at(&head, 72), (900_000 + n as u64 * 3600).to_be_bytes());
            assert_eq!(packer.heads.lock().unwrap().kept.len(), 1);
        }
    }

    #[test]
    fn few_heads_are_kept_and_the_frame_of_a_late_viewer_gets_one_too() {
        let (packer, video) = (VideoPacker::default(), Video { channel: Channel::new(), epoch: 1 });
        let [mut first, mut late] = [(); 2].map(|()| video.channel.subscribe(Delivery::InOrder));
        video.publish(0, Dependency::Keyframe);
        for n in 1..MAX_HEADS as i64 * 2 {
            video.publish(n * 3600, Dependency::Reference);
        }
        while let Some(update) = first.try_next() {
            packer.head(&update).unwrap();
        }
        assert_eq!(packer.heads.lock().unwrap().kept.len(), MAX_HEADS);
        let update = next(&mut late);
        assert_eq!(number_at(&packer.head(&update).unwrap(), 72), 900_000_u64.to_be_bytes());
        assert_eq!(packer.heads.lock().unwrap().kept.len(), MAX_HEADS);
    }
}
