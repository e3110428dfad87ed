//! The shutdown of the program.

use std::time::{Duration, Instant};

use framecast_testkit::{TestViewer, get, jpeg, soon, until};
use framecast_testkit_server::camera::{Act, Camera, PLAY};
use framecast_testkit_server::server::{Server, settings};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::Program;

/// Ends the program by `signal` while it has viewers; returns how long that took.
async fn ends_its_streams(signal: Signal) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(&["emulated:?fps=20&size=64x64"], folder.path()).await;
    let mut viewers = Vec::new();
    for framing in ["", "?advance_headers=1", "?width=32", "?fps=1"] {
        let mut viewer = TestViewer::open(program.address, &format!("/video_feed{framing}")).await.unwrap();
        viewer.next_where(|seen| !seen.is_slate()).await.unwrap();
        viewers.push((viewer, framing));
    }
    // A viewer that does not read must not delay the shutdown.
    let _stalled = TestViewer::open_with_small_buffer(program.address, "/video_feed").await.unwrap();
    let told_at = Instant::now();
    program.tell(signal);
    for (viewer, framing) in &mut viewers {
        let last = viewer.last().await;
        assert!(viewer.has_ended_cleanly(), "with its last boundary");
        // A browser keeps the last picture, which must not look like one of a camera that is live.
        match *framing {
            // It may have had its last picture of this second already.
            "?fps=1" => {}
            // Its headers are sent before the picture exists, so they cannot say what it is. A slate is larger.
            "?advance_headers=1" => assert!(width_px(last.unwrap().data()) > 64),
            _ => assert!(last.unwrap().is_slate(), "{framing}"),
        }
    }
    assert_eq!(program.end().await, Some(0));
    told_at.elapsed()
}

fn width_px(jpeg: &[u8]) -> u32 {
    framecast_media::codec::jpeg::parse_markers(jpeg).unwrap().width_px
}

#[tokio::test]
async fn sigterm_ends_the_streams_and_the_program_with_code_zero() {
    println!("it took {:?}", ends_its_streams(Signal::TERM).await);
}

#[tokio::test]
async fn sigint_ends_the_streams_and_the_program_with_code_zero() {
    println!("it took {:?}", ends_its_streams(Signal::INT).await);
}

#[tokio::test]
async fn sigquit_ends_the_streams_and_the_program_with_code_zero() {
    println!("it took {:?}", ends_its_streams(Signal::QUIT).await);
}

#[tokio::test]
async fn sigterm_ends_the_programs_that_cameras_run_and_their_children() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("picture.jpg"), jpeg(64, 48, 7)).unwrap();
    let script = "echo $$ > program; sleep 1000 & echo $! > child; \
                  while cat picture.jpg; do sleep 0.05; done";
    let script_path = folder.path().join("camera.sh");
    std::fs::write(&script_path, script).unwrap();
    let program = Program::start(&["exec:sh camera.sh"], folder.path()).await;
    let mut viewer = TestViewer::open(program.address, "/video_feed").await.unwrap();
    assert_eq!(soon("a picture", viewer.next_number()).await, Some(7));
    let pids = ["program", "child"].map(|name| {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        text.trim().parse::<u32>().unwrap()
    });
    assert!(pids.iter().all(|pid| is_running(*pid)));

    program.tell(Signal::TERM);
    let end = async { while viewer.next().await.is_some() {} };
    soon("the stream ends", end).await;
    assert!(viewer.has_ended_cleanly());
    assert_eq!(program.end().await, Some(0));
    until("nothing of the camera runs on", || !pids.iter().any(|pid| is_running(*pid))).await;
}

/// Whether a process is running, and is no zombie.
fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
    !matches!(state.as_deref(), Some("Z" | "X") | None)
}

#[tokio::test]
async fn a_camera_that_blocks_does_not_hold_up_the_end() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    camera.act(Act::Block);
    server.stop().await;
    let end = async { while viewer.next().await.is_some() {} };
    soon("the stream ends", end).await;
    assert!(viewer.has_ended_cleanly());
    // So that the camera's thread ends before the test.
    camera.act(PLAY);
    camera.wait_closed(1).await;
}

#[tokio::test]
async fn a_log_that_nobody_takes_neither_stops_the_cameras_nor_holds_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let Program { mut child, log, address } = Program::start(&["emulated:"], folder.path()).await;
    // As in `framecast 2>&1 | head -3`: from here on the program cannot write its log.
    drop(log);
    let answer = soon("a picture", get(address, "/snapshot.jpg")).await.unwrap();
    assert_eq!(answer.status, 200);
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = soon("the program ends", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}
