//! Tests the driver with fake cameras over real sockets.
#![warn(clippy::disallowed_methods)]

use std::time::Duration;

use framecast_media::codec::{dependency, jpeg, nal};
use framecast_media::{Codec, Dependency, Frame};
use framecast_testkit::rtsp::{Clip, FakeRtsp, Fault, LoginScheme, Pace, RtspBuilder};
use framecast_testkit::{soon, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

/// H.264 of 96x64 pixels: 6 frames, a keyframe each 3.
const H264: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
/// H.264 of 96x64 pixels with B-frames: 12 frames.
const WITH_B_FRAMES: &[u8] = include_bytes!("../../../../testdata/x264-main-bframes.h264");
/// H.264 of 100x50 pixels.
const OTHER_SIZE: &[u8] = include_bytes!("../../../../testdata/x264-cropped.h264");
/// H.265 of 96x64 pixels with B-frames: 12 frames.
const H265: &[u8] = include_bytes!("../../../../testdata/x265-bframes.h265");

/// JPEG of 96x64 pixels: 5 pictures.
const JPEG: &[u8] = include_bytes!("../../../../testdata/ffmpeg-jpeg-rtp.mjpg");

fn camera(file: &'static [u8]) -> RtspBuilder {
    FakeRtsp::builder(Clip::from_annex_b(file))
}

fn with_faults(server: FakeRtsp, faults: &[Fault]) -> FakeRtsp {
    server.set_faults(faults);
    server
}

async fn open(url: &str) -> Result<Box<dyn Source>, Error> {
    let (context, url) = (OpenContext::default(), SourceUrl::parse(url).unwrap());
    let driver = Rtsp::new("rtsp");
    soon("the opening", driver.open(&context, &url)).await
}

/// Returns the next `count` frames, and leaves out broken ones.
async fn frames(source: &mut Box<dyn Source>, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.len() < count {
        match soon("the next frame", source.next_frame()).await {
            Ok(frame) => frames.push(frame.expect("the stream goes on")),
            Err(error) => assert_eq!(error.kind(), crate::ErrorKind::Frame, "{error}"),
        }
    }
    frames
}

/// Checks what must be true of the frames of any camera.
fn check(frames: &[Frame]) {
    assert!(frames[0].is_keyframe);
    for pair in frames.windows(2) {
        assert!(pair[0].dts < pair[1].dts, "{:?} {:?}", pair[0].dts, pair[1].dts);
        assert!(pair[1].captured_at >= pair[0].captured_at);
    }
    for frame in frames {
        assert!(frame.dts <= frame.pts && frame.dts.ticks() >= 0);
        assert!(nal::units(&frame.data).all(|unit| unit.is_ok()));
        let is_key = dependency(&frame.format, &frame.data).unwrap() == Dependency::Keyframe;
        assert_eq!(frame.is_keyframe, is_key);
        assert!(!frame.format.parameter_sets.is_empty());
    }
}

async fn failure(url: &str) -> String {
    let error = match open(url).await {
        Ok(mut source) => loop {
            match soon("an error", source.next_frame()).await {
                Ok(frame) => assert!(frame.is_some(), "the stream ended without an error"),
                Err(error) if error.kind() == crate::ErrorKind::Frame => {}
                Err(error) => break error,
            }
        },
        Err(error) => error,
    };
    error.to_string()
}

#[tokio::test]
async fn h264_and_h265_arrive_as_the_camera_sends_them_over_tcp_and_udp() {
    for (file, codec) in [(H264, Codec::H264), (WITH_B_FRAMES, Codec::H264), (H265, Codec::H265)] {
        for transport in ["tcp", "udp"] {
            let server = camera(file).start().unwrap();
            let mut source = open(&format!("{}#transport={transport}", server.url())).await.unwrap();
            let frames = frames(&mut source, 30).await;
            check(&frames);
            assert_eq!(frames[0].format.codec, codec);
            assert_eq!((frames[0].format.width_px, frames[0].format.height_px), (96, 64));
            assert_eq!(frames.iter().any(|frame| frame.pts != frame.dts), file != H264, "{transport}");
            soon("the source is closed", source.close()).await;
            let counts = server.counts();
            assert_eq!((counts.open, counts.sessions, counts.teardowns), (0, 1, 1), "{transport}");
        }
    }
}

#[tokio::test]
async fn jpeg_arrives_without_another_program_over_tcp_and_udp_and_what_is_lost_costs_one_picture() {
    for (transport, faults) in [("tcp", &[][..]), ("udp", &[]), ("udp", &[Fault::UdpLoss(7)])] {
        let server = with_faults(FakeRtsp::builder(Clip::from_jpegs(JPEG)).start().unwrap(), faults);
        let mut source = open(&format!("{}#transport={transport}", server.url())).await.unwrap();
        for frame in frames(&mut source, 20).await {
            let image = jpeg::decode(&frame.data, 1 << 20).unwrap();
            assert_eq!((image.width_px(), image.height_px(), frame.format.codec), (96, 64, Codec::Jpeg));
        }
        assert_eq!(source.dropped_frames() > 0, !faults.is_empty(), "{transport}");
        soon("the source is closed", source.close()).await;
        assert_eq!(server.counts().teardowns, 1);
    }
}

#[tokio::test]
async fn a_login_is_sent_when_the_camera_asks_for_it() {
    for scheme in [LoginScheme::Basic, LoginScheme::Digest] {
        let server = camera(H264).login(scheme, "me", "s3cr@t").start().unwrap();
        let mut source = open(&server.url_for("me:s3cr%40t")).await.unwrap();
        check(&frames(&mut source, 3).await);
        let wrong = failure(&server.url_for("me:no")).await;
        assert!(wrong.contains("answered 401 Unauthorized; user or password is wrong"), "{wrong}");
        let none = failure(&server.url()).await;
        assert!(none.contains("the camera asks for a user and a password"), "{none}");
    }
}

#[tokio::test]
async fn cameras_with_oddities_play() {
    let oddities = [
        Fault::NoSprop,
        Fault::OutOfBand,
        Fault::MidGop,
        Fault::RepeatedPts,
        Fault::MarkerOnSei,
        Fault::NoRtpInfo,
        Fault::BackChannel,
        Fault::PtsJump(3),
        Fault::PtsJump(-3),
    ];
    for fault in oddities {
        let server = with_faults(camera(H264).fps(100.0).with_audio().start().unwrap(), &[fault]);
        let mut source = open(&server.url()).await.unwrap();
        check(&frames(&mut source, 40).await);
        assert_eq!(server.counts().back_channel_setups, 0, "{fault:?}");
    }
}

#[tokio::test]
async fn whatever_the_camera_answers_to_keep_alives_the_session_goes_on() {
    for fault in [Fault::WrongCseq, Fault::KeepAliveRefused(454)] {
        let server = camera(H264).session_timeout(Duration::from_secs(2)).start().unwrap();
        let server = with_faults(server, &[fault]);
        let mut source = open(&server.url()).await.unwrap();
        while server.counts().keep_alives < 2 {
            frames(&mut source, 1).await;
        }
        frames(&mut source, 10).await;
        assert_eq!(server.counts().sessions, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_keep_alive_that_the_camera_challenges_is_sent_again_at_once() {
    let server = camera(H264).login(LoginScheme::Digest, "me", "pass").start().unwrap();
    let mut source = open(&server.url_for("me:pass")).await.unwrap();
    frames(&mut source, 1).await;
    server.set_faults(&[Fault::KeepAliveRefused(401)]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::time::resume();
    // Four seconds; the next turn is after thirty.
    frames(&mut source, 100).await;
    assert_eq!(server.counts().keep_alives, 2, "again, and only once");
}

#[tokio::test]
async fn a_session_ends_at_the_camera_whatever_fails_after_its_setup() {
    let server =
        with_faults(camera(H264).start().unwrap(), &[Fault::FewSessions(1), Fault::PlayRefused(500)]);
    for _ in 0..2 {
        let told = failure(&server.url()).await;
        assert!(
            told.contains("500 Internal Server Error; the camera answers but has no pictures now"),
            "{told}"
        );
    }
    server.set_faults(&[Fault::FewSessions(1)]);
    // Dropped without being closed, as by a task that is cancelled.
    drop(open(&server.url()).await.unwrap());
    until("the camera has ended the session", || server.counts().open == 0).await;
    assert_eq!((server.counts().sessions, server.counts().teardowns), (3, 3));
}

#[tokio::test]
async fn the_time_limit_is_that_of_each_answer() {
    let server = camera(H264).start().unwrap();
    let server = with_faults(server, &[Fault::SlowAnswers(Duration::from_millis(600))]);
    let mut source = open(&format!("{}#timeout=1s", server.url())).await.unwrap();
    check(&frames(&mut source, 3).await);
}

#[tokio::test]
async fn packets_without_data_in_place_of_an_answer_are_limited() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/", listener.local_addr().unwrap());
    let flood = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let packets = b"$\0\0\0".repeat(16_384);
        while tcp.write_all(&packets).await.is_ok() {}
    });
    let told = failure(&format!("{url}#timeout=60s")).await;
    assert!(told.contains("the camera sends pictures in place of its answer"), "{told}");
    soon("the camera sees the end", flood).await.unwrap();
}

#[tokio::test]
async fn a_camera_that_has_moved_is_followed_by_ffmpeg() {
    let server = camera(H264).cameras(2).start().unwrap();
    server.set_faults(&[Fault::Moved]);
    server.cameras()[1].set_faults(&[]);
    let mut source = open(&server.url()).await.unwrap();
    frames(&mut source, 1).await;
    assert_eq!(server.cameras()[1].counts().open, 1);
    soon("the source is closed", source.close()).await;
}

#[tokio::test]
async fn a_firewall_lets_packets_through_after_the_first_one_to_the_camera() {
    let server = with_faults(camera(H264).start().unwrap(), &[Fault::UdpFirewall]);
    let mut source = open(&format!("{}#transport=udp", server.url())).await.unwrap();
    check(&frames(&mut source, 3).await);
}

#[tokio::test]
async fn a_wrong_password_is_sent_as_rarely_as_possible() {
    let server = camera(H264).login(LoginScheme::Digest, "me", "pass").start().unwrap();
    let server = with_faults(server, &[Fault::LoginForOptions]);
    let told = failure(&server.url_for("me:no")).await;
    assert!(told.contains("user or password is wrong"), "{told}");
    assert_eq!(server.counts().requests, 2, "one without the login, and one with it");
}

#[tokio::test]
async fn a_camera_that_sends_only_over_one_transport_is_read_over_that() {
    let server = with_faults(camera(H264).start().unwrap(), &[Fault::NoTcp]);
    let (context, driver) = (OpenContext::default(), Rtsp::new("rtsp"));
    let url = SourceUrl::parse(&server.url()).unwrap();
    let mut requests = Vec::new();
    for _ in 0..2 {
        let before = server.counts().requests;
        let mut source = soon("the opening", driver.open(&context, &url)).await.unwrap();
        check(&frames(&mut source, 3).await);
        requests.push(server.counts().requests - before);
    }
    assert!(requests[1] < requests[0], "TCP is not tried again: {requests:?}");
    let refused = failure(&format!("{}#transport=tcp", server.url())).await;
    assert!(refused.contains("refuses TCP; leave `#transport=tcp` out"), "{refused}");
    server.set_faults(&[Fault::NoTcp, Fault::NoUdp]);
    let refused = failure(&server.url()).await;
    assert!(refused.contains("refuses both TCP and UDP"), "{refused}");
}

#[tokio::test]
async fn packets_in_another_order_do_no_harm_and_lost_ones_cost_pictures_up_to_a_keyframe() {
    let server = with_faults(camera(H264).fps(100.0).start().unwrap(), &[Fault::UdpReorder(5)]);
    let mut source = open(&format!("{}#transport=udp", server.url())).await.unwrap();
    check(&frames(&mut source, 40).await);
    assert_eq!(source.dropped_frames(), 0);
    server.set_faults(&[Fault::UdpLoss(10)]);
    let mut source = open(&format!("{}#transport=udp", server.url())).await.unwrap();
    let frames = frames(&mut source, 60).await;
    check(&frames);
    assert!(source.dropped_frames() > 0);
    // At 100 frames a second, this is the number of a picture.
    let number = |frame: &Frame| frame.pts.ticks() / 900;
    let behind_gaps: Vec<_> = frames
        .windows(2)
        .filter(|pair| number(&pair[1]) != number(&pair[0]) + 1)
        .map(|pair| &pair[1])
        .collect();
    assert!(!behind_gaps.is_empty() && behind_gaps.iter().all(|frame| frame.is_keyframe), "{behind_gaps:?}");
}

#[tokio::test]
async fn a_lost_packet_holds_back_the_next_pictures_for_a_moment_only() {
    // With a packet a picture, the buffer for packets in another order holds many pictures.
    let server = camera(H264).pace(Pace::Steps).start().unwrap();
    let mut source = open(&format!("{}#transport=udp", server.url())).await.unwrap();
    server.step(3);
    frames(&mut source, 3).await;
    server.set_faults(&[Fault::UdpLoss(1)]);
    server.step(1);
    until("a picture is lost", || server.counts().pictures == 4).await;
    server.set_faults(&[]);
    let mut held = 0;
    // Pictures come more often than the time for which one may be held back.
    while source.dropped_frames() == 0 {
        server.step(1);
        held += 1;
        framecast_testkit::cut_short(Duration::from_millis(40), source.next_frame()).await;
    }
    assert!(held < 12, "{held} pictures were held back");
}

#[tokio::test]
async fn another_size_is_another_format() {
    let second = Clip::from_annex_b(OTHER_SIZE);
    let server = with_faults(camera(H264).second(second).start().unwrap(), &[Fault::SizeChange]);
    let mut source = open(&server.url()).await.unwrap();
    let frames = frames(&mut source, 20).await;
    check(&frames);
    let sizes: std::collections::BTreeSet<u32> = frames.iter().map(|frame| frame.format.width_px).collect();
    assert_eq!(sizes, [96, 100].into());
}

#[tokio::test]
async fn what_is_wrong_is_said_in_one_sentence() {
    for (fault, expected) in [
        (Fault::HttpAnswer, "answers with HTTP, not with RTSP"),
        (Fault::NoVideo, "the camera sends no video at this address"),
        (Fault::Reset(Duration::from_millis(200)), "the connection to the camera broke"),
    ] {
        let server = with_faults(camera(H264).start().unwrap(), &[fault]);
        let told = failure(&server.url()).await;
        assert!(told.contains(expected) && !told.contains('\n'), "{told}");
    }
    let server = with_faults(camera(H264).start().unwrap(), &[Fault::Silence(Duration::from_millis(100))]);
    let told = failure(&format!("{}#timeout=300ms", server.url())).await;
    assert!(told.contains("no data for 300ms while waiting for the next picture"), "{told}");
    let server = with_faults(camera(H264).start().unwrap(), &[Fault::SlowAnswers(Duration::from_secs(2))]);
    let told = failure(&format!("{}#timeout=300ms", server.url())).await;
    assert!(told.contains("no data for 300ms while waiting for the camera's answer"), "{told}");
}

#[tokio::test]
async fn a_connection_that_the_camera_ends_is_the_normal_end() {
    let server = with_faults(camera(H264).start().unwrap(), &[Fault::Fin(Duration::from_millis(300))]);
    let mut source = open(&server.url()).await.unwrap();
    loop {
        if soon("the next frame", source.next_frame()).await.unwrap().is_none() {
            break;
        }
    }
}

#[tokio::test]
async fn a_giant_access_unit_is_dropped_and_the_stream_goes_on_at_the_next_keyframe() {
    let server = with_faults(camera(H264).fps(50.0).start().unwrap(), &[Fault::Giant(20)]);
    let mut source = open(&server.url()).await.unwrap();
    let mut told = None;
    let mut after = 0;
    while after < 6 {
        match soon("the next frame", source.next_frame()).await {
            Ok(frame) => {
                let frame = frame.expect("the stream goes on");
                if told.is_some() {
                    assert!(after > 0 || frame.is_keyframe);
                    after += 1;
                }
            }
            Err(error) => told = Some(told.unwrap_or_else(|| error.to_string())),
        }
    }
    assert!(told.unwrap().contains("16777216"), "the limit is named");
}

#[tokio::test]
async fn frames_are_dropped_until_the_first_keyframe() {
    let server = camera(H264).pace(Pace::Steps).start().unwrap();
    let server = with_faults(server, &[Fault::NoKeyframe]);
    let mut source = open(&server.url()).await.unwrap();
    server.step(12);
    // The file has a keyframe each three pictures.
    until("all but the keyframes are sent", || server.sent().len() == 8).await;
    let waited = framecast_testkit::cut_short(Duration::from_millis(500), source.next_frame()).await;
    assert!(waited.is_none(), "{waited:?}");
    server.set_faults(&[]);
    server.step(3);
    let first = frames(&mut source, 1).await;
    check(&first);
    assert_eq!(server.sent()[8].number, 12);
}

#[tokio::test]
async fn a_keyframe_that_never_comes_is_told_with_what_to_set_at_the_camera() {
    let lossy = [Fault::NoKeyframe, Fault::UdpLoss(2)];
    for (first, faults) in [(&[Fault::NoKeyframe][..], &[Fault::NoKeyframe][..]), (&[], &lossy)] {
        let server = camera(H264).pace(Pace::Steps).start().unwrap();
        let server = with_faults(server, first);
        let mut source = open(&format!("{}#transport=udp", server.url())).await.unwrap();
        server.step(2);
        let before = frames(&mut source, if first.is_empty() { 2 } else { 0 }).await;
        server.set_faults(faults);
        server.step(10);
        // Before the first loss, frames may come.
        let quiet = Duration::from_millis(300);
        let mut count = before.len();
        while let Some(frame) = framecast_testkit::cut_short(quiet, source.next_frame()).await {
            frame.unwrap().unwrap();
            count += 1;
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(4)).await;
        tokio::time::resume();
        server.step(2);
        let error = soon("the error", source.next_frame()).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Frame);
        let told = error.to_string();
        assert!(told.starts_with(&format!("picture {}: the video has no keyframe: ", count + 1)), "{told}");
        assert!(told.contains("set a shorter keyframe interval at the camera"), "{told}");
    }
}
