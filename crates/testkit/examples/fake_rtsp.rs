//! Fake RTSP cameras as a program, for tests and measurements that run the server as a program too:
//!
//! ```sh
//! cargo run -p framecast-testkit --example fake_rtsp -- --file clip.mp4 --cameras 40 --fault 3:fin=10
//! ```
//!
//! It prints a line of JSON with its address, and then reads commands from its input, one a line. Each gets a line of
//! JSON as the answer:
//!
//! - `counts`: what each camera has counted so far.
//! - `sent CAMERA`: the pictures that a camera has sent, with the time of each in milliseconds since 1970.
//! - `faults CAMERA NAME…`: replaces the faults of a camera; without a name, it has none.

#![expect(clippy::print_stdout, reason = "others read what it prints")]

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use framecast_testkit::blocking::pause;
use framecast_testkit::rtsp::{Clip, FakeRtsp, Fault, LoginScheme, RtspCounts, SentPicture};
use serde_json::{Value, json};

/// How the cameras ask for the login.
#[derive(Clone, Copy, ValueEnum)]
enum Scheme {
    Basic,
    Digest,
    DigestSha256,
}

/// A fault of one camera, or of all: `NAME` or `CAMERA:NAME`.
#[derive(Clone)]
struct FaultOf {
    camera: Option<usize>,
    fault: Fault,
}

impl FromStr for FaultOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((camera, name)) = text.split_once(':') else {
            return Ok(Self { camera: None, fault: text.parse()? });
        };
        let camera = camera.parse().map_err(|_| format!("`{camera}` is no number of a camera"))?;
        Ok(Self { camera: Some(camera), fault: name.parse()? })
    }
}

/// Fake RTSP cameras at `/cam0`, `/cam1` and so on, which replay a file.
#[derive(Parser)]
struct Options {
    /// Where to listen. Port 0 is any free port.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The file: H.264 or H.265 with start codes, or any video that ffmpeg reads.
    #[arg(long)]
    file: PathBuf,
    /// The file that follows in turn, for the fault `size-change`.
    #[arg(long)]
    second: Option<PathBuf>,
    /// How many cameras.
    #[arg(long, default_value_t = 1)]
    cameras: usize,
    /// Pictures a second, in place of the file's rate.
    #[arg(long)]
    fps: Option<f64>,
    /// A fault of all cameras, or of one: `no-sprop`, `3:fin=10`. A wrong name lists all.
    #[arg(long)]
    fault: Vec<FaultOf>,
    /// Asks for this login: `user:password`.
    #[arg(long)]
    login: Option<String>,
    /// How it asks.
    #[arg(long, value_enum, default_value = "digest")]
    auth: Scheme,
    /// Adds a track with silent sound.
    #[arg(long)]
    audio: bool,
    /// Seconds that a session lasts without a request.
    #[arg(long, default_value_t = 60)]
    session_timeout: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let server = start(&options)?;
    let faults_of = |camera: usize| {
        let all = options.fault.iter().filter(move |of| of.camera.is_none_or(|only| only == camera));
        all.map(|of| of.fault).collect::<Vec<_>>()
    };
    for (number, camera) in server.cameras().iter().enumerate() {
        camera.set_faults(&faults_of(number));
    }
    let url = server.url();
    println!("{}", json!({ "listening": url.trim_start_matches("rtsp://").trim_end_matches("/cam0") }));
    for line in io::stdin().lock().lines() {
        println!("{}", obey(&server, &line?).unwrap_or_else(|error| json!({ "error": error })));
    }
    // The input ends at once for a program in the background, whose cameras stay.
    loop {
        pause(Duration::from_secs(3600));
    }
}

fn start(options: &Options) -> io::Result<FakeRtsp> {
    let mut builder = FakeRtsp::builder(Clip::read(&options.file))
        .listen(options.listen)
        .cameras(options.cameras)
        .session_timeout(Duration::from_secs(options.session_timeout));
    if let Some(second) = &options.second {
        builder = builder.second(Clip::read(second));
    }
    if let Some(fps) = options.fps {
        builder = builder.fps(fps);
    }
    if options.audio {
        builder = builder.with_audio();
    }
    if let Some(login) = &options.login {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let scheme = match options.auth {
            Scheme::Basic => LoginScheme::Basic,
            Scheme::Digest => LoginScheme::Digest,
            Scheme::DigestSha256 => LoginScheme::DigestSha256,
        };
        builder = builder.login(scheme, user, password);
    }
    builder.start()
}

/// The answer to a command.
fn obey(server: &FakeRtsp, line: &str) -> Result<Value, String> {
    let mut words = line.split_whitespace();
    let command = words.next().unwrap_or_default();
    if command == "counts" {
        return Ok(server.cameras().iter().map(|camera| counts(camera.counts())).collect());
    }
    let number: usize =
        words.next().and_then(|number| number.parse().ok()).ok_or("the command needs a camera")?;
    let camera = server.cameras().get(number).ok_or("there is no such camera")?;
    match command {
        "sent" => Ok(camera.sent().into_iter().map(sent).collect()),
        "faults" => {
            let faults = words.map(str::parse).collect::<Result<Vec<Fault>, _>>()?;
            camera.set_faults(&faults);
            Ok(json!({ "faults": faults.len() }))
        }
        _ => Err("commands are counts, sent and faults".to_owned()),
    }
}

fn counts(counts: RtspCounts) -> Value {
    json!({
        "open": counts.open,
        "sessions": counts.sessions,
        "requests": counts.requests,
        "teardowns": counts.teardowns,
        "keepAlives": counts.keep_alives,
        "timeouts": counts.timeouts,
        "backChannelSetups": counts.back_channel_setups,
        "packets": counts.packets,
        "pictures": counts.pictures,
    })
}

fn sent(picture: SentPicture) -> Value {
    let at = picture.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0;
    json!({ "session": picture.session, "number": picture.number, "place": picture.place, "at": at })
}
