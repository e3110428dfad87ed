//! Viewers of JPEG watch cameras with H.264 and H.265.

use std::fs;
use std::time::Duration;

use framecast::{CameraState, Drivers};
use framecast_testkit::rtsp::{Clip, FakeRtsp, Fault, RtspBuilder};
use framecast_testkit::{TestViewer, has_ffmpeg, soon, until};
use framecast_testkit_server::server::{SOON_STALLED, Server, camera_settings, settings};
use tokio::sync::Mutex;

/// H.264 of 96x64 pixels: 6 frames, a keyframe each 3.
const H264: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
/// H.265 of 96x64 pixels with B-frames: 12 frames.
const H265: &[u8] = include_bytes!("../../../../testdata/x265-bframes.h265");

/// Held by each test with an ffmpeg, because a test counts those of the process.
static ALONE: Mutex<()> = Mutex::const_new(());

fn camera(file: &'static [u8]) -> RtspBuilder {
    FakeRtsp::builder(Clip::from_annex_b(file))
}

/// A server with this camera, which is called `front`.
async fn server(camera: &FakeRtsp) -> Server {
    let mut settings = settings(&[]);
    let mut front = camera_settings("front", &camera.url());
    front.stall_timeout = Some(SOON_STALLED * 4);
    settings.cameras = vec![front];
    Server::start_with(settings, Drivers::builtin()).await
}

/// The ffmpegs that are children of this process.
fn decoders() -> usize {
    let own = std::process::id().to_string();
    let is_decoder = |folder: &fs::DirEntry| {
        let status = fs::read_to_string(folder.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
                .unwrap_or_default()
                .to_owned()
        };
        field("PPid:") == own && field("Name:") == "ffmpeg" && !field("State:").starts_with('Z')
    };
    fs::read_dir("/proc").unwrap().flatten().filter(is_decoder).count()
}

/// Waits for a picture of the camera, and checks its size.
async fn next_picture(viewer: &mut TestViewer, (width, height): (u32, u32)) {
    let picture = viewer.next_where(|picture| !picture.is_slate()).await.expect("the stream goes on");
    let header = framecast_media::codec::jpeg::parse_markers(picture.data()).unwrap();
    assert_eq!((header.width_px, header.height_px), (width, height));
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_and_h265_are_watched_as_jpeg_by_one_ffmpeg_which_ends_after_the_last_viewer() {
    if !has_ffmpeg() {
        return;
    }
    let _alone = ALONE.lock().await;
    for file in [H264, H265] {
        let camera = camera(file).start().unwrap();
        let server = server(&camera).await;
        let snapshot = framecast_testkit::get(server.address, "/snapshot.jpg").await.unwrap();
        assert_eq!((snapshot.status, snapshot.header("content-type")), (200, Some("image/jpeg")));
        let mut viewers = Vec::new();
        for target in ["/video_feed", "/cameras/front/stream.mjpg", "/cameras/front/stream.mjpg?quality=30"] {
            viewers.push(TestViewer::open(server.address, target).await.unwrap());
        }
        for _ in 0..10 {
            next_picture(&mut viewers[0], (96, 64)).await;
            next_picture(&mut viewers[1], (96, 64)).await;
            next_picture(&mut viewers[2], (96, 64)).await;
        }
        assert_eq!((decoders(), camera.counts().open), (1, 1), "one ffmpeg and one session for all");
        drop(viewers);
        until("ffmpeg ends", || decoders() == 0).await;
        until("the session ends", || camera.counts().teardowns == 1).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_that_falls_silent_is_lost_and_shown_again_without_a_new_request() {
    if !has_ffmpeg() {
        return;
    }
    let _alone = ALONE.lock().await;
    let camera = camera(H264).start().unwrap();
    let server = server(&camera).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    next_picture(&mut viewer, (96, 64)).await;
    camera.set_faults(&[Fault::Silence(Duration::ZERO)]);
    server.wait_state("front", CameraState::Lost).await;
    let slate = viewer.next_where(|picture| picture.is_slate()).await.unwrap();
    assert!(!slate.data().is_empty());
    camera.set_faults(&[]);
    next_picture(&mut viewer, (96, 64)).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_watches_costs_no_session() {
    let camera = camera(H264).start().unwrap();
    let server = server(&camera).await;
    soon("the list", framecast_testkit::get(server.address, "/api/cameras")).await.unwrap();
    server.stop().await;
    assert_eq!(camera.counts().sessions, 0);
}
