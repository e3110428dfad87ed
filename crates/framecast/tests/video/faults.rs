//! The faults of the fake camera, all at the same time, through the whole server: each camera plays, or the server says in
//! one sentence why it does not, and shows it again by itself once the fault is gone. A camera without a fault, and its
//! viewer, do not notice.
//!
//! `FRAMECAST_FAULT_SECONDS=30` lets the faults last for so long, in place of a few seconds. With `--nocapture`, the
//! test prints what became of each fault.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use framecast::{Drivers, Settings};
use framecast_testkit::rtsp::{Clip, FakeRtsp, Fault};
use framecast_testkit::{cut_short, pause, soon, until};
use framecast_testkit_server::server::{Server, camera_settings, settings};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// H.264 of 96x64 pixels: 6 frames, a keyframe each 3.
const H264: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
/// H.264 of 100x50 pixels.
const OTHER_SIZE: &[u8] = include_bytes!("../../../../testdata/x264-cropped.h264");

/// The camera that does nothing wrong.
const STEADY: &str = "steady";

/// So short that every session needs keep-alives while the test lasts.
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);

const SOON: Duration = Duration::from_millis(500);

/// What the server makes of a fault.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// The viewer gets frames all the time.
    Plays,
    /// The viewer gets frames again and again, and between them the server says this.
    Returns(&'static str),
    /// The viewer gets no frame, and the server says this.
    Says(&'static str),
}

/// Each fault, what follows the camera's URL, and what is expected.
fn faults() -> Vec<(Fault, &'static str, Expected)> {
    use Expected::{Plays, Returns, Says};
    let plays = |fault| (fault, "", Plays);
    vec![
        plays(Fault::NoSprop),
        plays(Fault::OutOfBand),
        plays(Fault::MidGop),
        plays(Fault::PtsJump(3)),
        plays(Fault::PtsJump(-3)),
        plays(Fault::RepeatedPts),
        plays(Fault::MarkerOnSei),
        plays(Fault::WrongCseq),
        plays(Fault::KeepAliveRefused(454)),
        plays(Fault::NoRtpInfo),
        plays(Fault::SizeChange),
        plays(Fault::Giant(20)),
        plays(Fault::FewSessions(1)),
        plays(Fault::SlowAnswers(SOON / 2)),
        plays(Fault::NoTcp),
        plays(Fault::NoUdp),
        plays(Fault::BackChannel),
        (Fault::UdpReorder(10), "#transport=udp", Plays),
        (Fault::UdpLoss(20), "#transport=udp", Plays),
        (Fault::UdpFirewall, "#transport=udp", Plays),
        plays(Fault::Fin(SOON)),
        (Fault::Reset(SOON), "", Returns("the connection to the camera broke")),
        (Fault::Silence(SOON), "", Returns("no ")),
        (Fault::HttpAnswer, "", Says("answers with HTTP, not with RTSP")),
        (Fault::NoVideo, "", Says("the camera sends no video at this address")),
        (Fault::ForeignCodec, "", Says("no ")),
        (Fault::NoKeyframe, "", Says("keyframe")),
        (Fault::PlayRefused(500), "", Says("500")),
    ]
}

/// What a viewer of one camera has received.
#[derive(Debug, Default)]
struct Tally {
    frames: AtomicU64,
    /// Frames that came after a gap or at the beginning, and were no keyframe.
    broken: AtomicU64,
    /// Frames between the first and the last that are missing.
    missing: AtomicU64,
    slates: AtomicU64,
    has_ended: AtomicBool,
}

impl Tally {
    fn frames(&self) -> u64 {
        self.frames.load(Ordering::SeqCst)
    }
}

/// A camera, its fault, and its viewer.
struct Patient {
    name: String,
    camera: FakeRtsp,
    fault: Fault,
    suffix: &'static str,
    expected: Expected,
    tally: Arc<Tally>,
    told: Vec<String>,
}

impl Patient {
    fn new(number: usize, (fault, suffix, expected): (Fault, &'static str, Expected)) -> Self {
        let builder = FakeRtsp::builder(Clip::from_annex_b(H264)).second(Clip::from_annex_b(OTHER_SIZE));
        let camera = builder.with_audio().session_timeout(SESSION_TIMEOUT).start().unwrap();
        camera.set_faults(&[fault]);
        let (tally, told) = (Arc::default(), Vec::new());
        Self { name: format!("camera-{number}"), camera, fault, suffix, expected, tally, told }
    }

    /// Notes what the server says of the camera, if that is new.
    fn listen(&mut self, cameras: &Value) {
        let camera = cameras["cameras"].as_array().unwrap().iter().find(|camera| camera["name"] == self.name);
        if let Some(reason) = camera.unwrap()["reason"].as_str()
            && !self.told.iter().any(|told| told == reason)
        {
            self.told.push(reason.to_owned());
        }
    }

    fn has_said(&self, text: &str) -> bool {
        self.told.iter().any(|told| told.contains(text))
    }

    /// Whether what was expected has happened.
    fn is_as_expected(&self) -> bool {
        match self.expected {
            Expected::Plays => self.tally.frames() >= 10,
            Expected::Returns(text) => self.tally.frames() >= 10 && self.has_said(text),
            Expected::Says(text) => self.has_said(text),
        }
    }

    fn check(&self) {
        let Self { name, fault, told, tally, .. } = self;
        assert!(self.is_as_expected(), "{name} {fault:?}: {tally:?} {told:?}");
        assert_eq!(tally.broken.load(Ordering::SeqCst), 0, "{fault:?}: frames without their reference");
        assert!(!tally.has_ended.load(Ordering::SeqCst), "{fault:?}: the viewer lost its connection");
        if matches!(self.expected, Expected::Says(_)) {
            assert_eq!(tally.frames(), 0, "{fault:?}");
        }
        for reason in told {
            assert!(!reason.contains('\n'), "{fault:?}: {reason}");
        }
    }
}

fn tile(camera: &str) -> Message {
    let subscribe = json!({ "type": "subscribe", "tile": 1, "camera": camera, "video": "mp4" });
    Message::text(subscribe.to_string())
}

/// Watches a camera as a tile of `/api/live` until the connection ends.
async fn watch(address: SocketAddr, camera: String, tally: Arc<Tally>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/api/live");
    let (mut socket, _): (WebSocketStream<TcpStream>, _) = client_async(url, stream).await.unwrap();
    socket.send(tile(&camera)).await.unwrap();
    let mut last = None;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(message) = message else { continue };
        let number = |range: std::ops::Range<usize>| {
            message[range].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (flags, sequence) = (message[1], number(4..8));
        if flags & 2 != 0 {
            let (ticks, is_keyframe) = (number(88..96), flags & 8 != 0);
            // A frame of the fake camera lasts 3600 ticks.
            let missing =
                last.map(|last: u64| (ticks.saturating_sub(last) + 1800) / 3600).map(|step| step.max(1) - 1);
            tally.missing.fetch_add(missing.unwrap_or(0), Ordering::SeqCst);
            tally.broken.fetch_add((last.is_none() && !is_keyframe).into(), Ordering::SeqCst);
            tally.frames.fetch_add(1, Ordering::SeqCst);
            last = Some(ticks);
        } else {
            // After an init segment or a slate, times begin anew.
            last = None;
            tally.slates.fetch_add((flags & 1).into(), Ordering::SeqCst);
        }
        let ack = json!({ "type": "ack", "tile": 1, "sequence": sequence });
        if socket.send(Message::text(ack.to_string())).await.is_err() {
            break;
        }
    }
    tally.has_ended.store(true, Ordering::SeqCst);
}

/// The settings of a server with all cameras.
fn with_cameras(steady: &FakeRtsp, patients: &[Patient], stall_timeout: Option<Duration>) -> Settings {
    let mut settings = settings(&[]);
    settings.cameras = vec![camera_settings(STEADY, &steady.url())];
    for patient in patients {
        let url = format!("{}{}", patient.camera.url(), patient.suffix);
        let mut camera = camera_settings(&patient.name, &url);
        camera.stall_timeout = stall_timeout;
        settings.cameras.push(camera);
    }
    settings
}

async fn look(server: &Server, patients: &mut [Patient]) {
    let response = framecast_testkit::get(server.address, "/api/cameras").await.unwrap();
    let cameras: Value = serde_json::from_slice(&response.body).unwrap();
    for patient in patients {
        patient.listen(&cameras);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_camera_is_survived_or_explained_and_no_other_camera_notices() {
    let seconds = std::env::var("FRAMECAST_FAULT_SECONDS").map_or(3, |text| text.parse().unwrap());
    let steady = FakeRtsp::builder(Clip::from_annex_b(H264)).start().unwrap();
    let mut patients: Vec<Patient> =
        faults().into_iter().enumerate().map(|(number, fault)| Patient::new(number, fault)).collect();
    // Faults that last show what people read in the state of a camera with the settings that it has by default.
    let stall_timeout = (seconds < 20).then_some(SOON * 10);
    let settings = with_cameras(&steady, &patients, stall_timeout);
    let server = Server::start_with(settings, Drivers::builtin()).await;
    let steady_tally = Arc::new(Tally::default());
    let mut viewers = tokio::task::JoinSet::new();
    viewers.spawn(watch(server.address, STEADY.to_owned(), Arc::clone(&steady_tally)));
    for patient in &patients {
        viewers.spawn(watch(server.address, patient.name.clone(), Arc::clone(&patient.tally)));
    }
    for _ in 0..seconds * 5 {
        pause(SOON * 2 / 5).await;
        look(&server, &mut patients).await;
    }
    let expected = async {
        while !patients.iter().all(Patient::is_as_expected) {
            pause(SOON).await;
            look(&server, &mut patients).await;
        }
    };
    // If it does not happen, the checks say what did.
    cut_short(Duration::from_secs(30), expected).await;
    report(&patients);
    for patient in &patients {
        patient.check();
    }
    let before: Vec<u64> = patients.iter().map(|patient| patient.tally.frames()).collect();
    patients.iter().for_each(|patient| patient.camera.set_faults(&[]));
    until("each camera plays again", || {
        patients.iter().zip(&before).all(|(patient, before)| patient.tally.frames() >= before + 30)
    })
    .await;
    let Tally { frames, broken, missing, slates, has_ended } = &*steady_tally;
    let steady_saw = [broken, missing, slates].map(|count| count.load(Ordering::SeqCst));
    assert_eq!((steady_saw, has_ended.load(Ordering::SeqCst)), ([0, 0, 0], false), "the other camera");
    let least = seconds * 20;
    assert!(
        frames.load(Ordering::SeqCst) >= least,
        "{frames:?} frames of the other camera, at least {least}"
    );
    viewers.shutdown().await;
    until("all sessions end", || {
        let open = |camera: &FakeRtsp| camera.counts().open;
        open(&steady) == 0 && patients.iter().all(|patient| open(&patient.camera) == 0)
    })
    .await;
    soon("the server ends", server.stop()).await;
    report(&patients);
    for patient in &patients {
        let counts = patient.camera.counts();
        assert_eq!(counts.back_channel_setups, 0, "{:?}", patient.fault);
        assert!(counts.teardowns >= 1, "{:?}: {counts:?}", patient.fault);
        // The camera itself ended the others.
        let ended_by_camera = matches!(patient.fault, Fault::Fin(_) | Fault::Reset(_));
        assert!(ended_by_camera || counts.teardowns == counts.sessions, "{:?}: {counts:?}", patient.fault);
    }
    let counts = steady.counts();
    assert_eq!((counts.sessions, counts.teardowns), (1, 1), "the other camera");
}

#[expect(clippy::print_stdout, reason = "the table of the faults")]
fn report(patients: &[Patient]) {
    println!("| fault | frames | missing | slates | sessions | TEARDOWN | what the server says |");
    for Patient { fault, camera, tally, told, .. } in patients {
        let counts = camera.counts();
        let [frames, missing, slates] =
            [&tally.frames, &tally.missing, &tally.slates].map(|count| count.load(Ordering::SeqCst));
        println!(
            "| {fault:?} | {frames} | {missing} | {slates} | {} | {} | {} |",
            counts.sessions,
            counts.teardowns,
            told.join(" / ")
        );
    }
}
