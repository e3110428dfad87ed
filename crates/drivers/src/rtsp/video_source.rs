//! A source of the access units or JPEG pictures that a camera sends in RTP packets.

use std::time::Duration;

use framecast_media::rtp::{Reception, ReorderBuffer, ReorderLimits, RtcpPacket, RtpPacket, rtcp_packets};
use framecast_media::{Bytes, Frame};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::assembler::FrameAssembler;
use super::client::{ClientError, Packet, RtspSession, VideoTrack};
use super::diagnose::{client_error, no_data_error};
use super::target::{RtspTarget, Transport};
use crate::frame_wait::FrameWait;
use crate::{BoxFuture, Error, OpenContext, Source};

/// The time after which packets that are held back, because others are missing or may follow, are no longer held back.
const MAX_HOLD: Duration = Duration::from_millis(100);

/// The time after which a warning is logged, counted from the opening, if no picture has come over UDP. It is less than
/// the 30 s that the supervisor, which keeps the camera open, allows for the first picture by default.
const WARN_AFTER: Duration = Duration::from_secs(25);

/// The time between two reports to the camera of how its packets arrive (RFC 3550 §6.2). Some cameras end a session
/// without them.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The number by which this client names itself in its reports. Only cameras have others.
const OWN_SSRC: u32 = 0x4672_6D63;

/// An open camera.
pub(super) struct VideoSource {
    session: RtspSession,
    target: RtspTarget,
    transport: Transport,
    payload_type: u8,
    reorder: ReorderBuffer,
    assembler: FrameAssembler,
    reception: Reception,
    report_at: Instant,
    /// The number by which the camera names the stream in its packets; `None` before the first packet.
    ssrc: Option<u32>,
    /// The number of frames so far.
    frame_count: u64,
    wait: FrameWait,
    opened_at: Instant,
    has_warned: bool,
    /// When the last packet came.
    last_packet_at: Instant,
    /// Since when a packet has been missing, for which others are held back; `None` if none is missing.
    missing_since: Option<Instant>,
    /// Whether a picture may be held back, because more of it may follow.
    has_held: bool,
}

impl VideoSource {
    /// Creates a source of the packets of `session`, which has just begun to play `track`.
    pub(super) fn new(
        context: &OpenContext,
        target: RtspTarget,
        transport: Transport,
        track: &VideoTrack,
        session: RtspSession,
    ) -> Self {
        let limits = if session.is_udp() { ReorderLimits::UDP } else { ReorderLimits::TCP };
        let now = Instant::now();
        Self {
            session,
            target,
            transport,
            payload_type: track.payload_type,
            reorder: ReorderBuffer::new(limits),
            assembler: FrameAssembler::new(context, track),
            reception: Reception::new(track.clock_hz),
            report_at: now + REPORT_INTERVAL,
            ssrc: None,
            frame_count: 0,
            wait: FrameWait::default(),
            opened_at: now,
            has_warned: false,
            last_packet_at: now,
            missing_since: None,
            has_held: false,
        }
    }

    /// Returns the next frame, or `None` at the normal end of the stream. Cancel safe: what has arrived is kept.
    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.assembler.next_frame()? {
                self.frame_count += 1;
                self.wait = FrameWait::begin(self.opened_at.elapsed(), self.assembler.skipped_frames());
                return Ok(Some(frame));
            }
            self.check_wait()?;
            let has_frames = self.frame_count > 0;
            match self.wait().await {
                SourceEvent::Packet(Ok(Packet::Rtp(bytes))) => self.push(&bytes)?,
                SourceEvent::Packet(Ok(Packet::Rtcp(bytes))) => {
                    if self.has_left(&bytes) && has_frames {
                        return Ok(None);
                    }
                }
                SourceEvent::ReportDue => self.report().await,
                // Recorders end a session after an hour, or for other reasons; this is not a failure.
                SourceEvent::Packet(Err(ClientError::Closed)) if has_frames => return Ok(None),
                SourceEvent::Packet(Err(error)) => {
                    return Err(client_error(&self.target, self.transport, error, has_frames));
                }
                SourceEvent::HeldLong => {
                    self.has_held = false;
                    self.give_up_missing();
                    self.push_packets()?;
                    self.assembler.flush();
                }
                SourceEvent::Silence(after) => {
                    if !has_frames {
                        return Err(no_data_error(&self.target, self.transport, after));
                    }
                    let (what, awaited) = (self.target.shown.clone(), "the next picture");
                    return Err(Error::TimedOut { what, awaited, after });
                }
            }
        }
    }

    /// Checks whether frames come of the packets that have come.
    ///
    /// # Errors
    /// [`Error::Picture`] if none has come for a while: there is no keyframe, or there are no parameter sets.
    fn check_wait(&mut self) -> Result<(), Error> {
        let now = self.last_packet_at.duration_since(self.opened_at);
        let lacks_sets = self.assembler.lacks_parameter_sets();
        match self.wait.check(now, self.assembler.skipped_frames(), lacks_sets) {
            Some(source) => Err(Error::Picture { number: self.frame_count + 1, source }),
            None => Ok(()),
        }
    }

    /// Waits until something has to be done.
    async fn wait(&mut self) -> SourceEvent {
        loop {
            let may_warn = self.frame_count == 0 && self.session.is_udp() && !self.has_warned;
            let silent_at = self.target.timeout.map(|limit| (self.last_packet_at + limit, limit));
            tokio::select! {
                biased;
                packet = self.session.next_packet() => {
                    self.last_packet_at = Instant::now();
                    return SourceEvent::Packet(packet);
                }
                () = sleep_until(self.report_at) => return SourceEvent::ReportDue,
                () = sleep_until(self.last_packet_at + MAX_HOLD), if self.has_held => return SourceEvent::HeldLong,
                limit = reached(silent_at) => return SourceEvent::Silence(limit),
                () = sleep_until(self.opened_at + WARN_AFTER), if may_warn => {
                    self.has_warned = true;
                    warn!("{}", no_data_error(&self.target, self.transport, WARN_AFTER));
                }
            }
        }
    }

    /// Takes a packet of media.
    fn push(&mut self, bytes: &Bytes) -> Result<(), Error> {
        self.has_held = true;
        if let Ok(packet) = RtpPacket::parse(bytes) {
            self.reception.record(&packet.header, self.opened_at.elapsed());
            self.ssrc = Some(packet.header.ssrc);
        }
        self.reorder.push(bytes).map_err(|source| self.picture_error(source))?;
        self.missing_since =
            self.reorder.is_waiting().then(|| self.missing_since.unwrap_or(self.last_packet_at));
        if self.missing_since.is_some_and(|since| since.elapsed() >= MAX_HOLD) {
            self.give_up_missing();
        }
        self.push_packets()
    }

    /// Goes on without the packets that are missing.
    fn give_up_missing(&mut self) {
        self.reorder.flush();
        self.missing_since = None;
    }

    /// Takes a packet of the sender's reports. Returns whether the sender says that it leaves.
    fn has_left(&mut self, bytes: &[u8]) -> bool {
        let Some(ssrc) = self.ssrc else { return false };
        let mut has_left = false;
        // A packet that cannot be read says nothing.
        for packet in rtcp_packets(bytes).flatten() {
            has_left |= packet.is_goodbye_of(ssrc);
            if let RtcpPacket::SenderReport(report) = packet {
                self.reception.record_sender_report(report, self.opened_at.elapsed());
            }
        }
        has_left
    }

    /// Reports to the camera how its packets arrive.
    async fn report(&mut self) {
        self.report_at = Instant::now() + REPORT_INTERVAL;
        if let Some(report) = self.reception.report(OWN_SSRC, self.opened_at.elapsed())
            && let Err(error) = self.session.send_report(&report).await
        {
            debug!(%error, "cannot send a report to the camera");
        }
    }

    /// Passes the packets that are in order to the depacketizer.
    fn push_packets(&mut self) -> Result<(), Error> {
        while let Some(packet) = self.reorder.next_packet() {
            // Cameras may send other payloads, such as comfort noise or key figures, on the same channel.
            if packet.header.payload_type == self.payload_type {
                self.assembler.push(&packet).map_err(|source| self.picture_error(source))?;
            }
        }
        Ok(())
    }

    /// Creates the error for a packet or picture that is broken. The next one may be whole.
    fn picture_error(&mut self, source: framecast_media::Error) -> Error {
        self.wait.explain();
        Error::Picture { number: self.frame_count + 1, source }
    }
}

/// What a source has to handle.
enum SourceEvent {
    Packet(Result<Packet, ClientError>),
    /// Packets were held back for too long.
    HeldLong,
    ReportDue,
    /// No packet has come for the time that the URL allows.
    Silence(Duration),
}

/// Waits until the time in `limit`, and returns what belongs to it; waits forever if there is none.
async fn reached(limit: Option<(Instant, Duration)>) -> Duration {
    match limit {
        Some((at, limit)) => {
            sleep_until(at).await;
            limit
        }
        None => std::future::pending().await,
    }
}

impl Source for VideoSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    /// Ends the session at the camera with TEARDOWN, which some cameras need before they accept the next one.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.session.tear_down())
    }

    fn dropped_frames(&self) -> u64 {
        self.assembler.dropped_frames()
    }

    fn repaired_frames(&self) -> u64 {
        self.assembler.repaired_frames()
    }
}
