//! The program under test, its file, and its processes.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use fastrand::Rng;
use framecast_testkit::{Response, get, pause, send_request, soon, until, until_async};
use framecast_testkit_server::process::Usage;
use framecast_testkit_server::program::{Running, binary, command, framecast, run};
use rustix::process::{Pid, Signal, getpgid, kill_process};
use tempfile::TempDir;

use crate::cameras::{BRIEF, Cameras, STEADY};

/// A variable by which the test knows the processes that the program started, also those of a process that has ended.
const MARK: &str = "CHAOS_MARK";

/// What the program uses at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) resident_kib: usize,
    pub(crate) anonymous_kib: usize,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) tasks: usize,
    /// The groups of processes that the program started: one for each camera with a program. Within a group, processes
    /// come and go.
    pub(crate) groups: usize,
}

pub(crate) struct Site {
    folder: TempDir,
    pub(crate) program: Running,
    pub(crate) address: SocketAddr,
    pub(crate) cameras: Cameras,
}

impl Site {
    /// Starts the program with the file of the equal load, in a session of its own, so that SIGHUP reloads the file.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cameras = Cameras::start(folder.path());
        let file = folder.path().join("site.toml");
        fs::write(&file, cameras.steady_file()).unwrap();
        // The program ends with the test, also if somebody kills that.
        let starter = ["setpriv", "--pdeathsig", "TERM", "env", "--default-signal=HUP"];
        let mut command: Command = command("setsid".into(), &starter);
        command.arg(binary()).args(["--config", file.to_str().unwrap()]);
        command.env("XDG_STATE_HOME", folder.path().join("state")).env(MARK, folder.path());
        let mut program = Running::start(&mut command);
        let address = program.address();
        Self { folder, program, address, cameras }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("site.toml")
    }

    /// Replaces the file as an editor does.
    pub(crate) fn replace(&self, text: &str) {
        let new = self.folder.path().join("site.toml.new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    /// Writes into the file that is there.
    pub(crate) fn overwrite(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    pub(crate) fn remove_file(&self) {
        // Another act may have removed it.
        fs::remove_file(self.file()).ok();
    }

    pub(crate) async fn post_reload(&self) -> Response {
        let request = format!(
            "POST /api/reload HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        send_request(self.address, request.as_bytes()).await.unwrap()
    }

    /// Runs `framecast reload`.
    pub(crate) async fn run_reload(&self) {
        let (file, listen) = (self.file(), self.address.to_string());
        let running = tokio::task::spawn_blocking(move || {
            run(&mut framecast(&["reload", "--config", file.to_str().unwrap(), "--listen", &listen]))
        });
        let (code, output, errors) = running.await.unwrap();
        assert!(
            code == 0 && errors.is_empty() || code != 0 && !errors.is_empty(),
            "{code} {output} {errors}"
        );
    }

    /// Has the program use the file of the equal load, with cameras that work and are idle.
    pub(crate) async fn settle(&mut self) {
        self.cameras.calm();
        for process in self.processes() {
            signal(process, Signal::CONT);
        }
        self.replace(&self.cameras.steady_file());
        until_async("the file of the equal load applies", async || self.post_reload().await.status == 200)
            .await;
        let names: Vec<String> = self.states().await.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [&STEADY[..], &[BRIEF]].concat());
        // A viewer stays at the first camera.
        until_async("nobody watches the others", async || {
            self.states().await[1..].iter().all(|(_, state)| state == "idle" || state == "lost")
        })
        .await;
    }

    /// Has the program return freed memory to the system, which it does a second after a camera became idle.
    pub(crate) async fn return_memory(&self) {
        let snapshot = get(self.address, &format!("/cameras/{BRIEF}/snapshot.jpg")).await.unwrap();
        assert_eq!(snapshot.status, 200);
        let idle = (BRIEF.to_owned(), "idle".to_owned());
        until_async("the camera is idle again", async || self.states().await.contains(&idle)).await;
        pause(Duration::from_millis(1500)).await;
    }

    /// The names of the cameras, and their states.
    async fn states(&self) -> Vec<(String, String)> {
        let answer = get(self.address, "/api/cameras").await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let text = |camera: &serde_json::Value, key: &str| camera[key].as_str().unwrap().to_owned();
        let cameras = answer["cameras"].as_array().unwrap();
        cameras.iter().map(|camera| (text(camera, "name"), text(camera, "state"))).collect()
    }

    /// Kills or stops a process that the program started. Returns whether there was one.
    pub(crate) fn strike(&self, random: &mut Rng) -> bool {
        let Some(process) = random.choice(self.processes()) else { return false };
        signal(process, *random.choice(&[Signal::KILL, Signal::TERM, Signal::STOP]).unwrap());
        true
    }

    /// Ends the program, and waits until none of its processes is left. Returns how it ended, and its lines.
    pub(crate) async fn end(self) -> (ExitStatus, Vec<String>) {
        let (id, program) = (self.program.id(), self.program);
        let ending = tokio::task::spawn_blocking(|| program.terminate());
        let ended = soon("the program ends", ending).await.unwrap();
        until("no process is left", || processes_of(self.folder.path(), id).is_empty()).await;
        ended
    }

    /// All processes that the program started, and those that these started.
    pub(crate) fn processes(&self) -> Vec<u32> {
        processes_of(self.folder.path(), self.program.id())
    }

    /// What the program uses now, without its tasks, and the descriptors and threads by their names.
    pub(crate) fn figures(&self) -> (Figures, Usage) {
        let usage = Usage::of(self.program.id());
        let memory = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.program.id())).unwrap();
        let kib = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let sum = |counts: &BTreeMap<String, usize>| counts.values().sum();
        let figures = Figures {
            resident_kib: kib("Rss:"),
            anonymous_kib: kib("Anonymous:"),
            descriptors: sum(&usage.descriptors),
            threads: sum(&usage.threads),
            tasks: 0,
            groups: self.groups(),
        };
        (figures, usage)
    }

    fn groups(&self) -> usize {
        let ids = self.processes().into_iter().filter_map(|process| Pid::from_raw(process.cast_signed()));
        // A process may be gone before this asks for its group.
        ids.filter_map(|id| getpgid(Some(id)).ok()).collect::<HashSet<_>>().len()
    }

    /// How many tasks the program has, as it says.
    pub(crate) async fn tasks(&self) -> usize {
        let metrics = get(self.address, "/metrics").await.unwrap().text();
        let tasks = metrics.lines().find_map(|line| line.strip_prefix("framecast_runtime_tasks "));
        tasks.unwrap().parse::<f64>().unwrap() as usize
    }
}

/// Sends a signal to a process that may have ended.
fn signal(process: u32, signal: Signal) {
    if let Some(id) = Pid::from_raw(process.cast_signed()) {
        kill_process(id, signal).ok();
    }
}

/// The processes with the mark of `folder`, without the program itself.
fn processes_of(folder: &Path, program: u32) -> Vec<u32> {
    let mark = format!("{MARK}={}", folder.display());
    let entries = fs::read_dir("/proc").unwrap();
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_marked = |id: &u32| {
        let variables = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    ids.filter(|id| *id != program).filter(is_marked).collect()
}
