//! Puts marked secrets into each part of each kind of source, and checks that no output contains one of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use framecast_testkit::blocking::{MultipartStream, output_of, received, request_head, send, until};
use framecast_testkit_server::program::{Running, framecast, run};

/// A mark for a password of letters alone, and one for a token in a path: no message of ours contains either by chance.
const WORD: &str = "quillwort";
const TOKEN: &str = "q7uillwort";

/// The password of the server's account `me`, which no child process may get.
const PASSWORD: &str = "quillwort-of-the-server";
const LOGIN: [(&str, &str); 1] = [("Authorization", "Basic bWU6cXVpbGx3b3J0LW9mLXRoZS1zZXJ2ZXI=")];

/// Whether `text` contains any of the marks: plainly, percent-encoded or encoded for HTTP Basic.
fn is_marked(text: &str) -> bool {
    let lower = text.to_lowercase();
    // `quillwort:quillwort` in base64, and the password of the server.
    lower.contains("uillwort") || text.contains("cXVpbGx3b3J0")
}

/// A server that answers each request with `answer`, in which `{path}` is the requested path.
fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || refuse(stream, answer));
        }
    });
    address
}

/// Reads one head and answers it; the write fails if the client has gone.
fn refuse(mut stream: TcpStream, answer: &str) -> Option<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    while reader.read_line(&mut line).ok()? > 2 {}
    stream.write_all(answer.replace("{path}", &path).as_bytes()).ok()
}

/// A port without a listener: bound here, and closed again.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A receiver of webhooks: its address, and the bodies that it gets.
fn webhook() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, bodies) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            thread::spawn(move || take_events(stream, |body| sender.send(body).is_ok()));
        }
    });
    (address, bodies)
}

/// Accepts one POST after the other.
fn take_events(mut stream: TcpStream, take: impl Fn(String) -> bool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line).ok()? > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
        if !take(String::from_utf8(body).unwrap()) {
            return None;
        }
    }
}

/// Programs that print all their arguments and variables, on PATH in place of those that the drivers run.
fn fake_programs(folder: &Path) -> String {
    for name in ["ffmpeg", "ffprobe", "rpicam-vid"] {
        // A separate process writes the file. If this process did, a child that another test starts meanwhile could
        // hold it open for writing, and the system would then refuse to run it.
        let mut write = Command::new("sh");
        write
            .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh"])
            .arg("#!/bin/sh\necho \"$0 $*\" >&2\nenv >&2\ncat >&2\nexit 1\n")
            .arg(folder.join(name));
        assert!(output_of(&mut write).status.success());
    }
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// Sources that parse but yield nothing, with a mark in each part that can contain a secret.
fn sources() -> Vec<String> {
    let servers = [
        closed(),
        server(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"{path}\"\r\nContent-Length: 0\r\n\r\n",
        ),
        server(
            "HTTP/1.1 404 {path}\r\nContent-Type: text/html\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!",
        ),
        server("HTTP/1.1 302 Found\r\nLocation: rtsp://127.0.0.1{path}\r\nContent-Length: 0\r\n\r\n"),
        server("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n{path}\n"),
        server("SSH-2.0-{path}\r\n"),
    ];
    let mut sources = Vec::new();
    for (number, address) in servers.iter().enumerate() {
        sources.push(format!(
            "http://{WORD}:{WORD}@{address}/a/{TOKEN}/{WORD}{number}X?p={WORD}&{TOKEN}&x={TOKEN}"
        ));
        sources.push(format!("http://{TOKEN}@{address}/?authbasic={WORD}#timeout=2s"));
        sources.push(format!("rtsp://{WORD}:{TOKEN}%40@{address}/{TOKEN}?psw={WORD}#timeout=2s"));
    }
    sources.push(format!("https://{WORD}:{WORD}@{}/{TOKEN}", closed()));
    let echo = "sh -c 'echo \"$*\" >&2; env >&2; exit 3'";
    for arguments in [
        format!("-H 'X-Camera: {WORD}' --password={WORD} -u a:{WORD} -p{WORD} --password {WORD} {TOKEN}"),
        format!("rtsp://{WORD}:{WORD}@{}/{TOKEN}?x={WORD} user={WORD}:{TOKEN}", closed()),
    ] {
        sources.push(format!("exec:{echo} sh {arguments}"));
    }
    sources.push(format!("exec:sh -c 'echo {WORD} >&2; echo http://{WORD}:{WORD}@h/{TOKEN} >&2; exit 1'"));
    sources.push(format!("exec:/nowhere/{TOKEN}/camera --key {WORD}"));
    sources.push(format!("images:/nowhere/{TOKEN}/*.jpg?watch"));
    sources.push(format!("images:/nowhere/{TOKEN}"));
    sources.push(format!("pi:?options=--info-text {WORD}"));
    sources
}

/// Sources that exist but have no picture yet, with a mark in each part that can contain a secret.
fn awaited_sources(folder: &Path) -> Vec<String> {
    let (empty, marked) = (folder.join(format!("{TOKEN}-empty")), folder.join(TOKEN));
    fs::create_dir(&empty).unwrap();
    let below = marked.join(format!("{TOKEN}-below"));
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join(format!("{TOKEN}.jpg")), b"").unwrap();
    [&*empty, &*marked, &*marked.join(format!("{TOKEN}-*.png"))]
        .map(|path| format!("images:{}?watch", path.display()))
        .into()
}

/// Starts the program on `sources`, with a webhook to `hook`, logging at `level`.
fn start(folder: &Path, sources: &[String], hook: SocketAddr, level: &str) -> Running {
    let mut file = format!("[[webhook]]\nurl = \"http://{WORD}:{WORD}@{hook}/{TOKEN}?key={WORD}\"\n");
    file += &format!("[[webhook]]\nurl = \"http://{WORD}:{WORD}@{}/{TOKEN}?key={WORD}\"\n", closed());
    for (number, source) in sources.iter().enumerate() {
        // Text within `'''` is literal, and no source contains three quotes in a row.
        file += &format!("[[camera]]\nname = \"c{number}\"\nsource = '''{source}'''\n");
    }
    let path = folder.join("site.toml");
    fs::write(&path, file).unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--log", level, "--user", "me", "--config"];
    Running::start(
        framecast(&arguments)
            .arg(path)
            .env("PATH", fake_programs(folder))
            .env("FRAMECAST_PASSWORD", PASSWORD)
            .env("FRAMECAST_WEBHOOK_SECRET", WORD)
            .env("XDG_STATE_HOME", folder),
    )
}

/// The answer to a GET with the login, head and body, by HTTP/1.0, which has no chunks.
fn fetch(address: SocketAddr, path: &str) -> String {
    let mut answer = Vec::new();
    let head = request_head(address, &format!("GET {path}"), &LOGIN, "1.0");
    send(address, &head).read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until `lost` cameras are lost, and `awaited` cameras have no picture yet.
fn wait_until_all_reported(address: SocketAddr, lost: usize, awaited: usize) {
    until("all are reported", || {
        let told = fetch(address, "/api/cameras");
        let of_folders = told.matches("no JPEG in ").count() + told.matches("no file matches ").count();
        told.matches("\"state\":\"lost\"").count() == lost && of_folders >= awaited
    });
}

fn nobody_is_shown_a_mark_at(level: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (hook, bodies) = webhook();
    let mut sources = sources();
    let lost = sources.len();
    sources.extend(awaited_sources(folder.path()));
    let mut program = start(folder.path(), &sources, hook, level);
    let address = program.address();
    let watched: Vec<MultipartStream> = (0..sources.len())
        .map(|number| MultipartStream::open(address, &format!("/cameras/c{number}/stream.mjpg"), &LOGIN))
        .collect();
    wait_until_all_reported(address, lost, sources.len() - lost);
    let mut paths: Vec<String> =
        ["/", "/api/cameras", "/api/events", "/api/events?format=csv", "/api/viewers"]
            .map(str::to_owned)
            .into();
    paths.extend(["/metrics", "/history", "/healthz", "/api/openapi.json"].map(str::to_owned));
    for number in 0..sources.len() {
        paths.extend(["", "/controls"].map(|rest| format!("/api/cameras/c{number}{rest}")));
        paths.push(format!("/cameras/c{number}"));
    }
    for path in &paths {
        let told = fetch(address, path);
        assert!(!is_marked(&told), "{path}: {told}");
    }
    let events = fetch(address, "/api/events");
    assert!(events.contains("lost") && events.contains("error output is in the log"), "{events}");
    let mut heard = BTreeSet::new();
    while heard.len() < lost {
        let body = received("a webhook", &bodies).unwrap();
        assert!(!is_marked(&body), "{body}");
        if let Some((_, camera)) = body.split_once("\"camera\":\"").filter(|_| body.contains("\"lost\"")) {
            heard.insert(camera.split('"').next().unwrap_or_default().to_owned());
        }
    }
    drop(watched);
    let (status, lines) = program.terminate();
    assert!(status.success());
    // The log has the output of the programs, with the secrets masked.
    assert!(lines.iter().any(|line| line.contains("sh: ") && line.contains("***")), "{lines:#?}");
    for line in lines {
        assert!(!is_marked(&line), "{line}");
        assert!(!line.contains("FRAMECAST_"), "a program was given a variable of the server's: {line}");
    }
}

#[test]
fn nobody_is_shown_a_marked_secret() {
    nobody_is_shown_a_mark_at("info");
}

#[test]
fn nobody_is_shown_a_marked_secret_at_debug() {
    nobody_is_shown_a_mark_at("debug");
}

/// Sources that cannot be parsed, or used.
const REFUSED: [&str; 36] = [
    "nope://quillwort:quillwort@cam.example/",
    "1http://quillwort:quillwort@cam.example/",
    "quillwort:quillwort@cam.example/",
    "quillwort:quillwort@10.0.0.1:80/quillwort",
    "quillwort@cam.example/q7uillwort?x=quillwort",
    "cam.example/q7uillwort?x=quillwort",
    "http:/quillwort:quillwort@cam.example/",
    "http//quillwort:quillwort@cam.example/",
    "http://quillwort:quill/quillwort@cam.example/",
    "http://quillwort:12?quillwort@cam.example/",
    "http://quillwort:12\\\\quillwort@cam.example/",
    "http://quillwort:quillwort#quillwort@cam.example/",
    "http://quillwort:quillwort@cam example/",
    "http://quillwort:quillwort@cam.example:x/quillwort",
    "http://quillwort:quillwort@/quillwort",
    "http://cam.example:quillwort",
    "http://cam.example/q7uillwort.m3u8?x=quillwort",
    "http://cam.example/#quillwort",
    "http://cam.example/#timeout=quillwort",
    "rtsp://quillwort:quillwort@cam.example/#nope",
    "rtsp://quillwort:quillwort@cam.example/#size=quillwort",
    "rtmp://quillwort:quillwort@cam.example/quillwort",
    "onvif://quillwort:quillwort@cam.example",
    "test:?password=quillwort",
    "test:?quillwort",
    "test:quillwort=q7uillwort",
    "emulated:?token=quillwort",
    "emulated:?size=quillwort",
    "exec:sh 'quillwort",
    "exec:TOKEN=quillwort' cam",
    "v4l2:http://quillwort:quillwort@cam.example",
    "v4l2:/dev/video0?quillwort",
    "pi:?options=--output=quillwort",
    "pi:?quality=quillwort",
    "images:/q7uillwort/film.mp4",
    "pipe:/q7uillwort/cam",
];

#[test]
fn no_refusal_shows_a_marked_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    for source in REFUSED {
        fs::write(&file, format!("[[camera]]\nname = \"a\"\nsource = '{source}'\n")).unwrap();
        let with_sub = folder.path().join("sub.toml");
        let camera = "[[camera]]\nname = \"a\"\nsource = \"emulated\"\n";
        fs::write(&with_sub, format!("{camera}sub = '{source}'\n")).unwrap();
        for command in [
            &mut framecast(&["check", source]),
            framecast(&["--config"]).arg(&file),
            framecast(&["--config"]).arg(&with_sub),
        ] {
            let (code, stdout, stderr) = run(command);
            assert_eq!((code, stdout.as_str()), (2, ""), "{source}: {stderr}");
            assert!(!is_marked(&stderr), "{source}: {stderr}");
        }
        let (_, _, stderr) = run(framecast(&["check"]).env("CAMERA", source));
        assert!(!is_marked(&stderr), "{source}: {stderr}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_of_file_and_command_line_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    const URL: &str = "http://quillwort:quillwort@cam.example/q7uillwort";
    for line in [
        "webhook = \"URL\"",
        "camera = \"URL\"",
        "max_fps = \"URL\"",
        "writers = \"URL\"",
        "write_timeout = \"URL\"",
        "listen = \"URL\"",
        "allowed_hosts = [\"quillwort:quillwort@cam.example\"]",
        "cors_origins = [\"http://quillwort:quillwort@cam.example/\"]",
        "user = \"me:quillwort\"",
        "history = \"postgres://quillwort:quillwort@db/x\"",
        "history = \"postgres:/quillwort:quillwort@db/x\"",
        "history = \"mysql://quillwort:quillwort@db/x\"",
        "[[webhook]]\nurl = \"quillwort:quillwort@hook.example\"",
        "[[webhook]]\nurl = \"ftp://quillwort:quillwort@hook.example/q7uillwort\"",
        "[[webhook]]\nurl = \"https://quillwort:quillwort@hook example/q7uillwort\"",
        "[[camera]]\nname = \"URL\"\nsource = \"emulated\"",
        "[[camera]]\nname = \"a\"\nsource = URL",
        "[[camera]]\nname = \"a\"\nsource = \"emulated\"\nquality = \"URL\"",
        "[[camera]]\nname = \"a\"\nsource = \"emulated\"\nstall_timeout = \"URL\"",
        "[[camera]]\nname = \"a\"\nsource = \"emulated\"\n\"URL\" = 1",
        "[[camera]]\nname = \"a\"\nsource = [\"URL\"]",
    ] {
        fs::write(&file, line.replace("URL", URL)).unwrap();
        let (code, stdout, stderr) = run(framecast(&["check", "--config"]).arg(&file));
        assert_eq!((code, stdout.as_str()), (2, ""), "{line}: {stderr}");
        assert!(!is_marked(&stderr), "{line}: {stderr}");
    }
    for arguments in [
        &["--password=quillwort"][..],
        &["--password", "quillwort", "test"],
        &["--pass", "quillwort"],
        &["--user", "me:quillwort", "test"],
        &["--listen", URL],
        &["--config", URL],
        &["--key=quillwort", "test"],
    ] {
        let (code, _, stderr) = run(&mut framecast(arguments));
        assert_eq!(code, 2, "{stderr}");
        assert!(!is_marked(&stderr), "{arguments:?}: {stderr}");
    }
}
