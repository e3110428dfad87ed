//! Sends the pictures of one session, each at its time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::annex_b::{ClipCodec, NalKind};
use super::camera::{FakeCamera, Pace, SentPicture};
use super::clip::{Clip, ClipPicture};
use super::fault::Fault;
use super::link::Link;
use super::packet::payloads;
use crate::wait::pause;

/// Ticks a second of a picture's timestamps.
const CLOCK: f64 = 90_000.0;

/// The first timestamp. It wraps after three seconds, so that every client meets that.
const FIRST_TIMESTAMP: u32 = u32::MAX - 3 * 90_000;

/// The rate of the sound, and its payload: silence.
const AUDIO_CLOCK: f64 = 8_000.0;
const SILENCE: u8 = 0xff;

/// Seconds between two sender reports.
const REPORT_EVERY: f64 = 5.0;

/// Which picture of a session gets the size of [`Fault::Giant`].
const GIANT: u64 = 10;

/// What H.264 allows to follow any slice, without meaning: RFC 6184 passes it on.
const PADDING: [u8; 3] = [0, 0, 3];

/// The state of one session that plays.
pub(super) struct Player {
    camera: Arc<FakeCamera>,
    session: u64,
    video: Option<Link>,
    audio: Option<Link>,
    started: Instant,
    /// Pictures since the start of the session, with those that a fault left out.
    number: u64,
    is_second: bool,
    /// The place of the next picture in its file.
    at: usize,
    /// How many pictures of the clip came before the file began the last time.
    before: u64,
    jumped_hours: i64,
    last_timestamp: u32,
}

impl Player {
    pub(super) fn new(
        camera: Arc<FakeCamera>,
        session: u64,
        video: Option<Link>,
        audio: Option<Link>,
        faults: &[Fault],
    ) -> Self {
        let pictures = &camera.setup.clip.pictures;
        let gop = pictures
            .iter()
            .skip(1)
            .position(|picture| picture.is_keyframe)
            .map_or(pictures.len(), |at| at + 1);
        let at = if faults.contains(&Fault::MidGop) { gop / 2 } else { 0 };
        Self {
            session,
            video,
            audio,
            started: Instant::now(),
            number: 0,
            is_second: false,
            at,
            before: 0,
            jumped_hours: 0,
            last_timestamp: FIRST_TIMESTAMP,
            camera,
        }
    }

    /// How long the session has been playing.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The value of `RTP-Info` for the camera at `url`.
    pub(super) fn rtp_info(&self, url: &str) -> String {
        let info = |link: &Option<Link>, track: usize, timestamp: u32| {
            let sequence = link.as_ref()?.sequence;
            Some(format!("url={url}/track{track};seq={sequence};rtptime={timestamp}"))
        };
        let tracks =
            [info(&self.video, super::sdp::VIDEO, self.timestamp()), info(&self.audio, super::sdp::AUDIO, 0)];
        tracks.into_iter().flatten().collect::<Vec<_>>().join(",")
    }

    /// Waits until the next picture is due. If it returns, call [`Player::send`]; it is cancel safe.
    pub(super) async fn due(&self) {
        match self.camera.setup.pace {
            Pace::RealTime => {
                let due =
                    self.started + Duration::from_secs_f64(self.number as f64 / self.camera.setup.clip.fps);
                pause(due.saturating_duration_since(Instant::now())).await;
            }
            Pace::Steps => {
                let permit = self.camera.steps.acquire().await;
                permit.expect("nobody closes it").forget();
            }
        }
    }

    /// Sends the next picture. Returns the bytes for the connection.
    pub(super) async fn send(&mut self, faults: &[Fault]) -> Vec<u8> {
        let mut wire = Vec::new();
        let camera = Arc::clone(&self.camera);
        let picture = &self.clip(&camera).pictures[self.at];
        let is_silent =
            faults.iter().any(|fault| matches!(fault, Fault::Silence(from) if self.age() >= *from));
        let is_left_out = picture.is_keyframe && faults.contains(&Fault::NoKeyframe);
        if !is_silent {
            self.send_reports(&mut wire).await;
            self.send_sound(faults, &mut wire).await;
        }
        if !is_silent && !is_left_out {
            let place = picture.place;
            camera.add_sent(SentPicture {
                session: self.session,
                number: self.number,
                place,
                at: SystemTime::now(),
            });
            self.send_picture(picture, faults, &mut wire).await;
        }
        self.advance(faults);
        wire
    }

    fn clip<'c>(&self, camera: &'c FakeCamera) -> &'c Clip {
        let second = camera.setup.second.as_ref().filter(|_| self.is_second);
        second.unwrap_or(&camera.setup.clip)
    }

    /// The timestamp of the next picture.
    fn timestamp(&self) -> u32 {
        let place = self.before + self.clip(&self.camera).pictures[self.at].place;
        let ticks = (place as f64 * CLOCK / self.camera.setup.clip.fps).round() as i64;
        let jumped = self.jumped_hours * 3600 * CLOCK as i64;
        FIRST_TIMESTAMP.wrapping_add((ticks + jumped) as u32)
    }

    async fn send_picture(&mut self, picture: &ClipPicture, faults: &[Fault], wire: &mut Vec<u8>) {
        let is_repeated = faults.contains(&Fault::RepeatedPts) && self.number % 2 == 1;
        let timestamp = if is_repeated { self.last_timestamp } else { self.timestamp() };
        self.last_timestamp = timestamp;
        let codec = self.camera.setup.clip.codec;
        let nals = self.nals(picture, faults);
        let Some(video) = &mut self.video else { return };
        let payloads = payloads(codec, &nals);
        self.camera.count(|counts| counts.packets += payloads.len() as u64);
        for payload in payloads {
            let has_marker = payload.has_marker || payload.ends_sei && faults.contains(&Fault::MarkerOnSei);
            video.send(&payload.bytes, has_marker, timestamp, faults, wire).await;
        }
    }

    /// The NAL units of `picture` with what the faults add and take away.
    fn nals(&self, picture: &ClipPicture, faults: &[Fault]) -> Vec<Bytes> {
        let codec = self.camera.setup.clip.codec;
        let mut nals = picture.nals.clone();
        if faults.contains(&Fault::OutOfBand) {
            nals.retain(|nal| codec.kind(nal) != NalKind::ParameterSet);
        }
        let is_slice = |nal: &Bytes| matches!(codec.kind(nal), NalKind::KeySlice | NalKind::Slice);
        if faults.contains(&Fault::MarkerOnSei)
            && codec != ClipCodec::Jpeg
            && !nals.iter().any(|nal| codec.kind(nal) == NalKind::Sei)
        {
            let slice = nals.iter().position(is_slice).unwrap_or_default();
            nals.insert(slice, sei(codec));
        }
        for fault in faults {
            if let (Fault::Giant(mib), true, Some(slice)) = (fault, self.number == GIANT, nals.last_mut()) {
                let padding = PADDING.repeat((mib * 1024 * 1024).div_ceil(PADDING.len()));
                *slice = [&slice[..], &padding].concat().into();
            }
        }
        nals
    }

    /// Sends as much silence as a picture lasts.
    async fn send_sound(&mut self, faults: &[Fault], wire: &mut Vec<u8>) {
        let samples = |number: u64| (number as f64 * AUDIO_CLOCK / self.camera.setup.clip.fps) as u32;
        let (from, to) = (samples(self.number), samples(self.number + 1));
        let Some(audio) = &mut self.audio else { return };
        audio.send(&vec![SILENCE; (to - from) as usize], self.number == 0, from, faults, wire).await;
    }

    async fn send_reports(&mut self, wire: &mut Vec<u8>) {
        let fps = self.camera.setup.clip.fps;
        if !self.number.is_multiple_of((REPORT_EVERY * fps) as u64) {
            return;
        }
        let timestamp = self.timestamp();
        if let Some(video) = &mut self.video {
            video.report(timestamp, wire).await;
        }
        if let Some(audio) = &mut self.audio {
            audio.report((self.number as f64 * AUDIO_CLOCK / fps) as u32, wire).await;
        }
    }

    fn advance(&mut self, faults: &[Fault]) {
        self.number += 1;
        self.at += 1;
        let len = self.clip(&self.camera).pictures.len();
        if self.at < len {
            return;
        }
        self.at = 0;
        self.before += len as u64;
        self.is_second = !self.is_second && faults.contains(&Fault::SizeChange);
        for fault in faults {
            if let Fault::PtsJump(hours) = fault {
                self.jumped_hours += hours;
            }
        }
    }
}

/// Supplemental information that says nothing: user data with an identifier alone.
fn sei(codec: ClipCodec) -> Bytes {
    let header: &[u8] = if codec == ClipCodec::H264 { &[0x06] } else { &[0x4e, 0x01] };
    [header, &[5, 16], &[0x5a; 16], &[0x80]].concat().into()
}
