//! Chooses which stream of its camera a tile of coded video shows: the main stream or the sub stream, a smaller version
//! of the video that the camera makes too.
//!
//! The choice follows from the size that the client asks for, from the codecs that it plays, from what the streams do,
//! and from the link. The tiles carry it out, and show the old stream until the new one has a keyframe.

use std::time::Duration;

use framecast_hub::{CameraState, Feed, SourceKind};
use framecast_media::Codec;
use tokio::time::Instant;

use super::message::{PlayedCodecs, Subscribe};
use super::thin_link::ThinLink;

/// The size of a sub stream, in pixels, before its first frame. Most cameras have about this size.
const USUAL_SUB_SIZE: (u32, u32) = (640, 360);

/// The factor by which a client may have to enlarge the sub stream's picture to fill the size that it asks for. Beyond
/// it, the tile shows the main stream.
const MAX_ENLARGEMENT: f64 = 1.5;

/// How long a tile waits for the first frame of the sub stream before it shows the main stream. A camera that begins
/// with the next keyframe can need some seconds.
pub(super) const SUB_PATIENCE: Duration = Duration::from_secs(8);

/// How long a tile shows the main stream after the sub stream failed, before it tries the sub stream again.
pub(super) const SUB_PAUSE: Duration = Duration::from_secs(60);

/// How often a tile looks which stream it should show, unless the state of a stream changes. It would cost more than
/// the sending to look at each frame.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A stream of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    Main,
    Sub,
}

impl StreamKind {
    /// Returns the name of the stream in messages to clients.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }
}

/// What a stream does, by which a tile notices that it should look which stream it should show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamState(CameraState, SourceKind);

impl StreamState {
    pub(super) fn of(feed: &Feed) -> Self {
        Self(feed.state(), feed.source_kind())
    }
}

/// What is known about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamFacts {
    state: CameraState,
    /// The codec of its newest frame, and the size in pixels; `None` before the first frame.
    newest: Option<(Codec, (u32, u32))>,
    /// Whether it delivers pictures in place of coded video.
    has_pictures: bool,
}

impl StreamFacts {
    pub(super) fn of(feed: &Feed) -> Self {
        let newest = feed.source_channel().newest().map(|frame| frame.format);
        Self {
            state: feed.state(),
            has_pictures: newest.is_some() && feed.source_kind() != SourceKind::Video,
            newest: newest.map(|format| (format.codec, (format.width_px, format.height_px))),
        }
    }

    fn size(&self) -> Option<(u32, u32)> {
        self.newest.map(|(_, size)| size)
    }

    /// Returns whether a client with these `codecs` cannot play the stream, as far as is known.
    fn is_unplayable(&self, codecs: PlayedCodecs) -> bool {
        self.newest.is_some_and(|(codec, _)| !codecs.contains(codec))
    }
}

/// The choice of one tile.
#[derive(Debug)]
pub(super) struct StreamChoice {
    /// The width and height in pixels that the client asks for.
    requested_px: [Option<u32>; 2],
    codecs: PlayedCodecs,
    /// Whether the client wants the sub stream if the link is too slow for the main stream.
    is_adaptive: bool,
    /// Since when the tile waits for the sub stream; `None` while the sub stream is live or not wanted.
    awaited_since: Option<Instant>,
    /// Until when the tile does without the sub stream, because it failed.
    avoided_until: Option<Instant>,
    link: ThinLink,
    /// When the tile last looked which stream it should show, and what the main stream and the sub stream did then.
    last_look: Option<(Instant, [StreamState; 2])>,
}

impl StreamChoice {
    pub(super) fn new(subscription: &Subscribe) -> Self {
        Self {
            requested_px: subscription.size_px,
            codecs: subscription.codecs,
            is_adaptive: subscription.adapt,
            awaited_since: None,
            avoided_until: None,
            link: ThinLink::default(),
            last_look: None,
        }
    }

    /// Returns whether the tile should look which stream it should show, while the streams do what `states` say.
    pub(super) fn is_due(&mut self, states: [StreamState; 2], now: Instant) -> bool {
        let is_known = |(at, known): (Instant, _)| known == states && now < at + LOOK_INTERVAL;
        let is_due = !self.last_look.is_some_and(is_known);
        if is_due {
            self.last_look = Some((now, states));
        }
        is_due
    }

    /// Takes over what the client asks for now.
    pub(super) fn update(&mut self, subscription: &Subscribe) {
        self.requested_px = subscription.size_px;
        self.codecs = subscription.codecs;
        self.is_adaptive = subscription.adapt;
    }

    /// Records that the tile shows `stream`, and that frames of it were dropped, `dropped` in all since it shows them.
    pub(super) fn record(&mut self, stream: StreamKind, dropped: u64, now: Instant) {
        self.link.record(stream == StreamKind::Main, dropped, now);
    }

    /// Returns which stream the tile should show at `now`, given what is known about both.
    pub(super) fn choose(&mut self, main: StreamFacts, sub: StreamFacts, now: Instant) -> StreamKind {
        let wants_sub = main.is_unplayable(self.codecs)
            || self.is_large_enough(sub)
            || (self.is_adaptive && self.link.is_thin());
        if !wants_sub || sub.has_pictures || sub.is_unplayable(self.codecs) {
            self.awaited_since = None;
            return StreamKind::Main;
        }
        if self.avoided_until.is_some_and(|until| now < until) {
            return StreamKind::Main;
        }
        match sub.state {
            CameraState::Live => self.awaited_since = None,
            CameraState::Lost => return self.avoid_sub(now),
            CameraState::Idle | CameraState::Opening => {
                let since = *self.awaited_since.get_or_insert(now);
                if now >= since + SUB_PATIENCE {
                    return self.avoid_sub(now);
                }
            }
        }
        StreamKind::Sub
    }

    /// Returns whether a tile that is to show the main stream, which is not live, may begin with the sub stream, which
    /// can be shown at once.
    pub(super) fn may_begin_with_sub(&self, main: StreamFacts, sub: StreamFacts) -> bool {
        main.state != CameraState::Live
            && sub.state == CameraState::Live
            && !sub.has_pictures
            && !sub.is_unplayable(self.codecs)
    }

    fn avoid_sub(&mut self, now: Instant) -> StreamKind {
        (self.awaited_since, self.avoided_until) = (None, Some(now + SUB_PAUSE));
        StreamKind::Main
    }

    /// Returns whether the picture of the sub stream suffices for the size that the client asks for. A client that asks
    /// for no size wants the largest picture.
    fn is_large_enough(&self, sub: StreamFacts) -> bool {
        let sides_px = <[u32; 2]>::from(sub.size().unwrap_or(USUAL_SUB_SIZE));
        let sides = self.requested_px.into_iter().zip(sides_px);
        let enlargements = sides.filter_map(|(asked, px)| Some(f64::from(asked?) / f64::from(px.max(1))));
        // The side that is enlarged less decides: the picture must fit into both.
        enlargements.reduce(f64::min).is_some_and(|enlargement| enlargement <= MAX_ENLARGEMENT)
    }
}

#[cfg(test)]
mod tests {
    use framecast_hub::Rendition;

    use super::*;

    fn asking(size_px: [Option<u32>; 2]) -> StreamChoice {
        StreamChoice::new(&Subscribe {
            tile: 1,
            camera: "door".to_owned(),
            rendition: Rendition::default(),
            size_px,
            fps: None,
            priority: 1,
            adapt: true,
            plays_mp4: true,
            codecs: PlayedCodecs::ALL,
        })
    }

    /// A stream that is live with this codec and size.
    fn live(codec: Codec, width_px: u32, height_px: u32) -> StreamFacts {
        let newest = Some((codec, (width_px, height_px)));
        StreamFacts { state: CameraState::Live, newest, has_pictures: false }
    }

    fn unseen(state: CameraState) -> StreamFacts {
        StreamFacts { state, newest: None, has_pictures: false }
    }

    #[test]
    fn the_sub_stream_fills_what_is_at_most_one_and_a_half_times_as_large() {
        let (now, main) = (Instant::now(), live(Codec::H264, 1920, 1080));
        let cif = live(Codec::H264, 352, 288);
        for (size_px, expected_unseen, expected_cif) in [
            ([None, None], StreamKind::Main, StreamKind::Main),
            ([Some(320), None], StreamKind::Sub, StreamKind::Sub),
            ([Some(528), None], StreamKind::Sub, StreamKind::Sub),
            ([Some(529), None], StreamKind::Sub, StreamKind::Main),
            ([Some(960), None], StreamKind::Sub, StreamKind::Main),
            ([Some(961), None], StreamKind::Main, StreamKind::Main),
            ([None, Some(540)], StreamKind::Sub, StreamKind::Main),
            ([None, Some(541)], StreamKind::Main, StreamKind::Main),
            ([Some(1920), Some(432)], StreamKind::Sub, StreamKind::Sub),
        ] {
            let choose = |sub| asking(size_px).choose(main, sub, now);
            assert_eq!(choose(unseen(CameraState::Idle)), expected_unseen, "{size_px:?}");
            assert_eq!(choose(cif), expected_cif, "{size_px:?}");
        }
    }

    #[test]
    fn a_stream_that_the_client_cannot_play_is_replaced_by_one_that_it_can() {
        let now = Instant::now();
        let (h264, h265) = (live(Codec::H264, 640, 360), live(Codec::H265, 1920, 1080));
        let all = |size| asking([size, None]);
        let only_h264 = |size| StreamChoice { codecs: PlayedCodecs::of(&["H.264"]), ..asking([size, None]) };
        assert_eq!(all(None).choose(h265, h264, now), StreamKind::Main);
        assert_eq!(only_h264(None).choose(h265, h264, now), StreamKind::Sub);
        assert_eq!(only_h264(Some(320)).choose(h264, h265, now), StreamKind::Main);
        assert_eq!(
            only_h264(None).choose(h265, h265, now),
            StreamKind::Main,
            "the client asks for pictures then"
        );
        assert_eq!(only_h264(None).choose(h265, unseen(CameraState::Idle), now), StreamKind::Sub);
    }

    #[test]
    fn a_thin_link_gets_the_sub_stream_if_the_client_adapts() {
        let (main, sub) = (live(Codec::H264, 1920, 1080), live(Codec::H264, 640, 360));
        for is_adaptive in [true, false] {
            let mut choice = StreamChoice { is_adaptive, ..asking([None; 2]) };
            let mut now = Instant::now();
            for dropped in 1..=3 {
                assert_eq!(choice.choose(main, sub, now), StreamKind::Main);
                now += Duration::from_secs(4);
                choice.record(StreamKind::Main, dropped, now);
            }
            let expected = if is_adaptive { StreamKind::Sub } else { StreamKind::Main };
            assert_eq!(choice.choose(main, sub, now), expected);
        }
    }

    #[test]
    fn a_sub_stream_that_fails_is_avoided_for_a_while() {
        let (mut choice, mut now) = (asking([Some(320), None]), Instant::now());
        let main = live(Codec::H264, 1920, 1080);
        let opening = unseen(CameraState::Opening);
        assert_eq!(choice.choose(main, opening, now), StreamKind::Sub);
        now += SUB_PATIENCE - Duration::from_millis(1);
        assert_eq!(choice.choose(main, opening, now), StreamKind::Sub);
        now += Duration::from_millis(1);
        assert_eq!(choice.choose(main, opening, now), StreamKind::Main);
        now += SUB_PAUSE - Duration::from_millis(1);
        assert_eq!(choice.choose(main, opening, now), StreamKind::Main);
        now += Duration::from_millis(1);
        assert_eq!(choice.choose(main, opening, now), StreamKind::Sub, "it has time anew");
        assert_eq!(choice.choose(main, unseen(CameraState::Lost), now), StreamKind::Main);
        assert_eq!(choice.choose(main, opening, now), StreamKind::Main);
    }
}
