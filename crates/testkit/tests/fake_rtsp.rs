//! The example `fake_rtsp` is the fake RTSP camera as a program.
#![warn(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use framecast_testkit::blocking::{ended, output_of, until};
use framecast_testkit::not_run;
use serde_json::{Value, json};

/// The program while it runs. Each command gets one line as the answer.
struct Program {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(path: PathBuf, arguments: &[&str]) -> Self {
        let mut child =
            Command::new(path).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output).lines() }
    }

    fn line(&mut self) -> Value {
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    fn answer(&mut self, command: &str) -> Value {
        writeln!(self.input, "{command}").unwrap();
        self.line()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        ended(&mut self.child);
    }
}

/// The program, which cargo builds with all tests of this crate, and a file for it.
fn program_and_film(folder: &tempfile::TempDir) -> Option<(PathBuf, String)> {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent()?.parent()?.join("examples/fake_rtsp");
    if !program.exists() {
        not_run(format!("without {}: run `cargo build --workspace --examples`", program.display()));
        return None;
    }
    let film = folder.path().join("film.h264").to_str()?.to_owned();
    let arguments =
        ["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-t", "1", "-bf", "0"];
    let mut ffmpeg = Command::new("ffmpeg");
    if let Err(error) = ffmpeg.args(arguments).arg(&film).spawn().map(|mut child| ended(&mut child)) {
        not_run(format!("ffmpeg: {error}"));
        return None;
    }
    Some((program, film))
}

#[test]
fn the_program_prints_its_address_and_obeys() {
    let folder = tempfile::tempdir().unwrap();
    let Some((program, film)) = program_and_film(&folder) else { return };
    let options =
        ["--file", &film, "--cameras", "2", "--fault", "1:no-video", "--login", "me:s3cret", "--fps", "100"];
    let mut program = Program::start(program, &options);
    let first = program.line();
    let address = first["listening"].as_str().unwrap().to_owned();
    let streams = |camera: usize| {
        let url = format!("rtsp://me:s3cret@{address}/cam{camera}");
        let arguments = ["-v", "error", "-of", "csv=p=0", "-show_entries", "stream=codec_name", &url];
        let output = output_of(Command::new("ffprobe").args(["-rtsp_transport", "tcp"]).args(arguments));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!([0, 1].map(streams), ["h264", "pcm_mulaw"]);
    assert_eq!(program.answer("faults 1"), json!({ "faults": 0 }));
    assert_eq!(program.answer("faults 0 no-video no-rtp-info"), json!({ "faults": 2 }));
    assert_eq!([0, 1].map(streams), ["pcm_mulaw", "h264"]);
    until("all sessions end", || {
        let counts = program.answer("counts");
        [0, 1].iter().all(|camera| counts[camera]["open"] == 0 && counts[camera]["teardowns"] == 2)
    });
    let sent = program.answer("sent 0");
    let first = &sent[0];
    assert_eq!((&first["session"], &first["number"], &first["place"]), (&json!(1), &json!(0), &json!(0)));
    let times: Vec<f64> = sent.as_array().unwrap().iter().map(|sent| sent["at"].as_f64().unwrap()).collect();
    assert!(times[0] > 1.7e12 && times.is_sorted(), "{times:?}");
    assert_eq!(program.answer("faults 2"), json!({ "error": "there is no such camera" }));
    assert_eq!(program.answer("faults"), json!({ "error": "the command needs a camera" }));
}
