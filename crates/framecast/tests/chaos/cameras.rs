//! The cameras: those of the equal load, guests that come and go, and the web cameras whose answers the chaos changes.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use framecast_media::lock;
use framecast_testkit::{blocking, jpeg};
use framecast_testkit_server::camera_server::{
    AfterAnswer, CameraServer, INTERVAL, Request, STREAM_HEAD, Wire, answer, challenge, part,
};

/// The cameras of the equal load, in the order of the file.
pub(crate) const STEADY: [&str; 7] = ["yard", "clock", "raw", "shell", "film", "stream", "still"];

/// A camera of the equal load that nobody watches for long.
pub(crate) const BRIEF: &str = "brief";

/// How a web camera answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// Ends the connection within a picture.
    Cut,
    /// Breaks the connection within a picture.
    Reset,
    /// Sends nothing more, and keeps the connection.
    Hang,
    /// Sends bytes that are no picture.
    Garbage,
    /// Answers 500.
    Refuse,
    /// Answers 401.
    Login,
}

const MOODS: [Mood; 7] =
    [Mood::Good, Mood::Cut, Mood::Reset, Mood::Hang, Mood::Garbage, Mood::Refuse, Mood::Login];

/// The web cameras, and what the sources of the others need.
pub(crate) struct Cameras {
    pub(crate) moods: [Arc<Mutex<Mood>>; 2],
    stream: CameraServer,
    still: CameraServer,
    /// Where nothing listens.
    nowhere: String,
    folder: String,
}

impl Cameras {
    /// Starts the web cameras, and writes the scripts of the `exec:` cameras into `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        let folder = folder.to_str().unwrap().to_owned();
        fs::write(format!("{folder}/picture.jpg"), jpeg(64, 48, 7)).unwrap();
        let write = |name: &str, text: &str| fs::write(format!("{folder}/{name}"), text).unwrap();
        write("shell.sh", &format!("while cat '{folder}/picture.jpg'; do sleep 0.1; done\n"));
        write("garbage.sh", "head -c 100000 /dev/urandom; sleep 1; exit 3\n");
        write("deaf.sh", "trap '' TERM; while :; do sleep 1; done\n");
        let moods = [Mood::Good, Mood::Good].map(|mood| Arc::new(Mutex::new(mood)));
        let [of_stream, of_still] = moods.clone();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self {
            moods,
            stream: CameraServer::start(move |_, wire| answer_stream(&of_stream, wire)),
            still: CameraServer::start(move |request, wire| answer_still(&of_still, request, wire)),
            nowhere: format!("http://{free}/video"),
            folder,
        }
    }

    /// Changes how one web camera answers.
    pub(crate) fn upset(&self, random: &mut Rng) {
        *lock(&self.moods[random.usize(..2)]) = MOODS[random.usize(..MOODS.len())];
    }

    /// All web cameras answer as they should.
    pub(crate) fn calm(&self) {
        for mood in &self.moods {
            *lock(mood) = Mood::Good;
        }
    }

    fn source(&self, name: &str) -> String {
        match name {
            "yard" | BRIEF => "test:?size=320x240&fps=10".to_owned(),
            "clock" => "emulated:?fps=5".to_owned(),
            "raw" => "test:?size=320x240&fps=10&format=yuyv".to_owned(),
            "shell" => format!("exec:sh {}/shell.sh", self.folder),
            "film" => {
                "exec:ffmpeg -nostdin -loglevel error -re -f lavfi -i testsrc=size=320x240:rate=10 -f mjpeg -"
                    .to_owned()
            }
            "stream" => self.stream.url("/video"),
            _ => self.still.url("/still.jpg#fps=5"),
        }
    }

    fn table(&self, name: &str, more: &str) -> String {
        let source = self.source(name);
        format!(
            "[[camera]]\nname = \"{name}\"\nsource = \"{source}\"\nidle_timeout = \"2s\"\nstall_timeout = \"5s\"\n{more}"
        )
    }

    /// The file of the equal load.
    pub(crate) fn steady_file(&self) -> String {
        let tables: String = STEADY.iter().chain([&BRIEF]).map(|name| self.table(name, "")).collect();
        head() + &tables
    }

    /// A file in which cameras are missing, renamed, changed, in another order, or new.
    pub(crate) fn any_file(&self, random: &mut Rng) -> String {
        let mut tables = Vec::new();
        for name in STEADY {
            match random.u8(..10) {
                0 => {}
                1 => tables.push(self.table(name, "quality = 50\n")),
                2 => tables.push(self.table(name, "max_fps = 4\nprobe = \"10s\"\n")),
                3 => tables.push(self.table(name, "").replacen(name, &format!("{name}-2"), 1)),
                _ => tables.push(self.table(name, "")),
            }
        }
        for _ in 0..random.usize(..4) {
            let guest = self.guest(random);
            if !tables.iter().any(|table: &String| table.lines().nth(1) == guest.lines().nth(1)) {
                tables.push(guest);
            }
        }
        if random.u8(..4) == 0 {
            random.shuffle(&mut tables);
        }
        head() + &tables.concat()
    }

    /// A camera that comes and goes. Most do not work.
    fn guest(&self, random: &mut Rng) -> String {
        let folder = &self.folder;
        let source = match random.u8(..9) {
            0 => "test:?size=160x120&fps=20".to_owned(),
            1 => self.nowhere.clone(),
            2 => "exec:framecast-no-such-program".to_owned(),
            3 => "exec:false".to_owned(),
            4 => format!("exec:sh {folder}/garbage.sh"),
            5 => format!("exec:sh {folder}/deaf.sh"),
            6 => format!("images:{folder}/no-such-folder"),
            7 => format!("images:{folder}/picture.jpg"),
            _ => self.stream.url("/video"),
        };
        let number = random.u8(..6);
        let idle = if random.bool() { "idle_timeout = \"never\"\n" } else { "probe = \"10s\"\n" };
        format!(
            "[[camera]]\nname = \"guest-{number}\"\nsource = \"{source}\"\nstall_timeout = \"3s\"\n{idle}"
        )
    }

    /// A text that is not the file that somebody wants: empty, half, or wrong.
    pub(crate) fn bad_file(&self, random: &mut Rng) -> String {
        let good = self.any_file(random);
        match random.u8(..7) {
            0 => String::new(),
            1 => "\n \n".to_owned(),
            2 => head(),
            3 => good[..random.usize(..good.len())].to_owned(),
            4 => good + "quality = 0\nmax_fps = \"many\"\n",
            5 => good + "[[camera]]\nname = \"yard\"\nsource = \"no-such-scheme:\"\n",
            _ => good.replace("source", "sauce"),
        }
    }
}

/// The keys of the server.
fn head() -> String {
    "listen = \"127.0.0.1:0\"\nhistory_max_rows = 20000\nwrite_timeout = \"5s\"\n".to_owned()
}

/// Answers with a stream that ends as soon as the camera's mood changes.
fn answer_stream(mood: &Mutex<Mood>, wire: &mut Wire) -> io::Result<AfterAnswer> {
    let mut was_good = false;
    loop {
        let now = *lock(mood);
        if !was_good && matches!(now, Mood::Refuse | Mood::Login) {
            return refuse(now, wire);
        }
        if !was_good {
            wire.send(STREAM_HEAD)?;
            was_good = true;
        }
        let picture = part(&wire.picture());
        match now {
            Mood::Good => {
                wire.send(&picture)?;
                blocking::pause(INTERVAL);
            }
            bad => return misbehave(bad, &picture, wire),
        }
    }
}

/// Answers with one picture.
fn answer_still(mood: &Mutex<Mood>, _: &Request, wire: &mut Wire) -> io::Result<AfterAnswer> {
    let picture = wire.picture();
    let whole = answer("200 OK", "Content-Type: image/jpeg\r\n", &picture);
    match *lock(mood) {
        Mood::Good => wire.send(whole).map(|()| AfterAnswer::Keep),
        now @ (Mood::Refuse | Mood::Login) => refuse(now, wire),
        Mood::Garbage => {
            wire.send(answer("200 OK", "Content-Type: image/jpeg\r\n", &[7; 5000]))?;
            Ok(AfterAnswer::Close)
        }
        bad => misbehave(bad, &whole, wire),
    }
}

fn refuse(mood: Mood, wire: &mut Wire) -> io::Result<AfterAnswer> {
    let refusal = match mood {
        Mood::Login => challenge(&["Basic realm=\"camera\""]),
        _ => answer("500 Internal Server Error", "", b"broken"),
    };
    wire.send(refusal)?;
    Ok(AfterAnswer::Close)
}

/// Sends half of `whole`, or no picture at all, and then does what `mood` says.
fn misbehave(mood: Mood, whole: &[u8], wire: &mut Wire) -> io::Result<AfterAnswer> {
    if mood == Mood::Garbage {
        wire.send(vec![0xd8; 20_000])?;
        return Ok(AfterAnswer::Close);
    }
    wire.send(&whole[..whole.len() / 2])?;
    Ok(match mood {
        Mood::Reset => AfterAnswer::Reset,
        Mood::Hang => AfterAnswer::Linger,
        _ => AfterAnswer::Close,
    })
}
