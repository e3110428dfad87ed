//! The expectations for each odd camera: viewers see its pictures, or its status has the right message.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use framecast_media::container::multipart::{Part, parse_unix_seconds};
use framecast_testkit::blocking::{MultipartStream, pause};
use framecast_testkit::number_of;
use framecast_testkit_server::camera_server::{AfterAnswer, CameraServer, Request, Wire};
use framecast_testkit_server::site::{Site, camera, lost};
use serde_json::Value;

/// The test watches each camera until it sees the picture with this number.
const LAST_PICTURE: u64 = 20;

/// Ten times as long as the pictures take; only a failing camera reaches it.
const PATIENCE: Duration = Duration::from_secs(25);

/// A camera whose pictures viewers must see.
pub(crate) struct Case {
    name: &'static str,
    server: CameraServer,
    source: String,
    /// The least share of the sent pictures that viewers must see.
    share: f64,
    /// Whether the pictures are visible only because Framecast added or removed bytes.
    is_repaired: bool,
}

impl Case {
    /// A camera called `name`, read at `path`, that passes each request to `answer`.
    pub(crate) fn new(
        name: &'static str,
        path: &str,
        answer: impl Fn(&Request, &mut Wire) -> io::Result<AfterAnswer> + Send + Sync + 'static,
    ) -> Self {
        let server = CameraServer::start(answer);
        let source = server.url(path);
        Self::at(name, source, server)
    }

    /// A camera with the user `admin` and the password `made-up`.
    pub(crate) fn with_login(
        name: &'static str,
        path: &str,
        answer: impl Fn(&Request, &mut Wire) -> io::Result<AfterAnswer> + Send + Sync + 'static,
    ) -> Self {
        let server = CameraServer::start(answer);
        let source = server.url_for("admin:made-up", path);
        Self::at(name, source, server)
    }

    /// A camera read at `source`, whose pictures come from `server`.
    pub(crate) fn at(name: &'static str, source: String, server: CameraServer) -> Self {
        Self { name, server, source, share: 0.9, is_repaired: false }
    }

    /// Some of the camera's polls get no picture, so viewers see only this share of the pictures.
    pub(crate) fn share(self, share: f64) -> Self {
        Self { share, ..self }
    }

    pub(crate) fn repaired(self) -> Self {
        Self { is_repaired: true, ..self }
    }

    /// The errors in what a viewer sees of this camera.
    fn findings(&self, address: SocketAddr) -> Vec<String> {
        let seen = watch(address, self.name);
        let mut findings = Vec::new();
        let camera = camera(address, self.name);
        let Some((&last, _)) = seen.last_key_value() else {
            return vec![format!("{}: no picture; {}: {}", self.name, camera["state"], camera["reason"])];
        };
        let mut sent = self.server.pictures();
        sent.retain(|number, _| *number <= last);
        if last < LAST_PICTURE || (seen.len() as f64) < self.share * sent.len() as f64 {
            findings.push(format!("saw {} of {} pictures", seen.len(), sent.len()));
        }
        findings.extend(seen.iter().filter_map(|(number, seen)| seen.finding(*number, sent[number])));
        if camera["broken"] != 0 {
            findings.push(format!("{} broken: {}", camera["broken"], camera["last_broken"]));
        }
        let is_repaired = camera["repaired"].as_u64().is_some_and(|count| count > 0);
        if is_repaired != self.is_repaired {
            findings.push(format!("repaired: {}", camera["repaired"]));
        }
        let lost = lost(address, self.name);
        if !lost.is_empty() {
            findings.push(format!("lost: {lost:?}"));
        }
        findings.iter().map(|finding| format!("{}: {finding}", self.name)).collect()
    }
}

/// A picture at the moment when a viewer first sees it.
struct Seen {
    /// The capture time in the picture's part, to the microsecond.
    captured: SystemTime,
    at: SystemTime,
}

impl Seen {
    fn of(part: &Part) -> Self {
        let captured = part.header("x-timestamp").and_then(parse_unix_seconds);
        Self { captured: captured.unwrap(), at: SystemTime::now() }
    }

    /// An error in the picture's capture time, which is its arrival at Framecast: after the camera began to send it,
    /// and before the viewer saw it. All clocks are this machine's.
    fn finding(&self, number: u64, sent: SystemTime) -> Option<String> {
        let is_right = self.captured + Duration::from_micros(1) > sent && self.captured <= self.at;
        let Self { captured, at } = self;
        (!is_right)
            .then(|| format!("picture {number}: sent at {sent:?}, captured at {captured:?}, seen at {at:?}"))
    }
}

/// The pictures that a viewer of this camera sees, by their numbers.
fn watch(address: SocketAddr, name: &str) -> BTreeMap<u64, Seen> {
    let until = Instant::now() + PATIENCE;
    let mut seen = BTreeMap::new();
    // A part comes every second: a picture, or a slate.
    for part in MultipartStream::open(address, &format!("/cameras/{name}/stream.mjpg"), &[]) {
        if let Some(number) = number_of(&part.body) {
            seen.entry(number).or_insert_with(|| Seen::of(&part));
        }
        if seen.last_key_value().is_some_and(|(last, _)| *last >= LAST_PICTURE) || Instant::now() > until {
            break;
        }
    }
    seen
}

/// Shows all of these cameras at the same time, and fails with the errors of each.
pub(crate) fn show(cases: Vec<Case>) {
    let mut site = Site::start(cases.iter().map(|case| (case.name, case.source.clone(), "")));
    let address = site.address;
    let mut findings: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(move || case.findings(address))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    site.program.read_lines();
    for line in &site.program.seen {
        if line.contains(" lost") || line.contains("panicked") {
            findings.push(format!("in the log: {line}"));
        }
    }
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// A camera that cannot be shown, and the message about it.
pub(crate) struct Refusal {
    pub(crate) name: &'static str,
    pub(crate) source: String,
    /// Texts in lower case that the message must contain.
    pub(crate) says: &'static [&'static str],
    /// Texts in lower case that the message must not contain.
    pub(crate) never: &'static [&'static str],
}

/// Watches all of these cameras until each has the right message; fails if one does not get it.
pub(crate) fn refuse(refusals: &[Refusal]) {
    let site = Site::start(refusals.iter().map(|refusal| (refusal.name, refusal.source.clone(), "")));
    let _viewers: Vec<MultipartStream> = refusals
        .iter()
        .map(|refusal| {
            MultipartStream::open(site.address, &format!("/cameras/{}/stream.mjpg", refusal.name), &[])
        })
        .collect();
    let findings: Vec<String> = refusals
        .iter()
        .filter_map(|refusal| refusal.finding(&once_lost(site.address, refusal.name)))
        .collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

impl Refusal {
    fn finding(&self, camera: &Value) -> Option<String> {
        let reason = camera["reason"].as_str().unwrap_or_default().to_lowercase();
        let is_right = self.says.iter().all(|text| reason.contains(text))
            && !self.never.iter().any(|text| reason.contains(text));
        (!is_right).then(|| format!("{}: {}: {reason}", self.name, camera["state"]))
    }
}

/// The reason of a lost camera, as soon as it is lost.
fn once_lost(address: SocketAddr, name: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let camera = camera(address, name);
        if camera["state"] == "lost" || Instant::now() > until {
            return camera;
        }
        pause(Duration::from_millis(20));
    }
}
