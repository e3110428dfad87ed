//! One camera of a fake server: what it sends, its faults, and what it has seen and done.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use framecast_media::lock;
use tokio::sync::{Semaphore, watch};

use super::clip::Clip;
use super::fault::Fault;
use super::login::Login;

/// How many sent pictures a camera remembers: an hour and more.
const MAX_SENT: usize = 100_000;

/// When a camera sends its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At the rate of the clip.
    RealTime,
    /// When the test calls [`FakeCamera::step`].
    Steps,
}

/// What a server's cameras have in common.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) clip: Clip,
    pub(super) second: Option<Clip>,
    pub(super) pace: Pace,
    pub(super) has_audio: bool,
    pub(super) login: Option<Login>,
    pub(super) session_timeout: Duration,
}

/// What a camera has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RtspCounts {
    /// Sessions that are open now, from SETUP to TEARDOWN, the end of the connection or the timeout.
    pub open: usize,
    /// Sessions so far.
    pub sessions: u64,
    /// Requests so far.
    pub requests: u64,
    /// Sessions that the client ended by TEARDOWN.
    pub teardowns: u64,
    /// Requests that keep a session open: OPTIONS, GET_PARAMETER and SET_PARAMETER with its id.
    pub keep_alives: u64,
    /// Sessions that ended because no request came within the timeout.
    pub timeouts: u64,
    /// Requests to SETUP the back channel, which a client must not send unasked.
    pub back_channel_setups: u64,
    /// RTP packets sent, with those that were lost on purpose.
    pub packets: u64,
    /// Pictures sent.
    pub pictures: u64,
}

/// A picture that a camera has sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SentPicture {
    /// The number of the session at this camera, from 1.
    pub session: u64,
    /// The number of the picture in this session, from 0, in decode order.
    pub number: u64,
    /// The place of the picture in its file, from 0, in the order of showing.
    pub place: u64,
    /// The time just before the camera began to send the picture.
    pub at: SystemTime,
}

#[derive(Default)]
struct Record {
    counts: RtspCounts,
    sent: VecDeque<SentPicture>,
    /// The open sessions by their ids. Those whose connection has gone end at a time.
    open: BTreeMap<String, Option<Instant>>,
}

/// One camera of a fake server. All methods can be called from any thread.
pub struct FakeCamera {
    url: String,
    pub(super) setup: Setup,
    faults: watch::Sender<Vec<Fault>>,
    pub(super) steps: Semaphore,
    record: Mutex<Record>,
}

impl FakeCamera {
    pub(super) fn new(address: SocketAddr, number: usize, setup: Setup) -> Self {
        Self {
            url: format!("rtsp://{address}/cam{number}"),
            setup,
            faults: watch::Sender::new(Vec::new()),
            steps: Semaphore::new(0),
            record: Mutex::default(),
        }
    }

    /// The URL of the camera, without a login.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The URL of the camera with this user and password.
    pub fn url_for(&self, user_and_password: &str) -> String {
        self.url.replacen("://", &format!("://{user_and_password}@"), 1)
    }

    /// Replaces the faults, also those of open sessions.
    pub fn set_faults(&self, faults: &[Fault]) {
        self.faults.send_replace(faults.to_vec());
    }

    /// Lets a camera of [`Pace::Steps`] send `count` pictures more, now or once it has a session.
    pub fn step(&self, count: usize) {
        self.steps.add_permits(count);
    }

    /// What the camera has counted so far.
    pub fn counts(&self) -> RtspCounts {
        let mut record = lock(&self.record);
        let now = Instant::now();
        record.open.retain(|_, until| until.is_none_or(|until| until > now));
        RtspCounts { open: record.open.len(), ..record.counts }
    }

    /// The pictures sent so far, oldest first. A camera remembers the newest 100,000.
    pub fn sent(&self) -> Vec<SentPicture> {
        lock(&self.record).sent.iter().copied().collect()
    }

    pub(super) fn faults(&self) -> watch::Receiver<Vec<Fault>> {
        self.faults.subscribe()
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut RtspCounts)) {
        count(&mut lock(&self.record).counts);
    }

    pub(super) fn add_sent(&self, picture: SentPicture) {
        let mut record = lock(&self.record);
        record.counts.pictures += 1;
        if record.sent.len() == MAX_SENT {
            record.sent.pop_front();
        }
        record.sent.push_back(picture);
    }

    /// Opens a session, and returns its number and id.
    pub(super) fn open(&self) -> (u64, String) {
        let mut record = lock(&self.record);
        record.counts.sessions += 1;
        let number = record.counts.sessions;
        let id = format!("{:08x}", 0xca3e_0000 + number);
        record.open.insert(id.clone(), None);
        (number, id)
    }

    /// Whether the session with this id is open.
    pub(super) fn has_session(&self, id: &str) -> bool {
        lock(&self.record).open.contains_key(id)
    }

    /// Ends a session, at once or after a time. Returns whether it was open.
    pub(super) fn close(&self, id: &str, after: Option<Duration>) -> bool {
        let mut record = lock(&self.record);
        match (record.open.get_mut(id), after) {
            (Some(until), Some(after)) => {
                *until = Some(Instant::now() + after);
                true
            }
            (is_open, None) => {
                let was_open = is_open.is_some();
                record.open.remove(id);
                was_open
            }
            (None, Some(_)) => false,
        }
    }
}
