//! Real clients play the fake camera: ffmpeg and ffprobe. What they do not show, a client of one request after the other
//! shows.
#![warn(clippy::disallowed_methods)]

mod client;
mod faults;
mod player;

use player::{Film, H264, H264_REORDERED, H265, H265_REORDERED, JPEG, Played, probed};

use super::*;
use crate::blocking::until;
use client::RawClient;

/// Pictures a second in most tests: faster than a camera, so that they take less time.
const FPS: f64 = 100.0;
/// The time between two pictures in 90 kHz.
const STEP: i64 = 900;

/// A camera that sends `film`; `None` on a machine without ffmpeg.
fn camera(film: &Film) -> Option<RtspBuilder> {
    Some(FakeRtsp::builder(film.made()?.clip.clone()).fps(FPS))
}

/// Checks that ffmpeg gets every picture of `film` over and over, in the order of showing and at its time.
fn plays(film: &Film, transport: &str) {
    let Some(builder) = camera(film) else { return };
    let server = builder.start().unwrap();
    let played = Played::from(&server, transport, 60);
    assert_eq!(played.errors, "");
    let sums = &film.made().unwrap().sums;
    assert_eq!((sums.len(), played.sums.len()), (25, 60));
    for (at, sum) in played.sums.iter().enumerate() {
        assert_eq!(sum, &sums[at % 25], "picture {at}");
    }
    // ffmpeg shows no times of the first pictures, until it knows the reordering.
    assert_eq!(played.steps()[5..], [STEP; 54]);
    until("the session ends", || server.counts().open == 0);
    let counts = server.counts();
    assert_eq!((counts.sessions, counts.teardowns), (1, 1), "{counts:?}");
    assert!(counts.pictures >= 60 && counts.packets > counts.pictures, "{counts:?}");
}

#[test]
fn h264_plays_over_tcp() {
    plays(&H264, "tcp");
}

#[test]
fn h264_plays_over_udp() {
    plays(&H264, "udp");
}

#[test]
fn reordered_h264_plays_in_order() {
    plays(&H264_REORDERED, "tcp");
}

#[test]
fn h265_plays_over_tcp() {
    plays(&H265, "tcp");
}

#[test]
fn reordered_h265_plays_in_order() {
    plays(&H265_REORDERED, "udp");
}

#[test]
fn jpeg_plays_over_tcp() {
    plays(&JPEG, "tcp");
}

#[test]
fn reordered_pictures_are_sent_in_decode_order() {
    let Some(builder) = camera(&H264_REORDERED) else { return };
    let server = builder.pace(Pace::Steps).start().unwrap();
    let mut client = RawClient::playing(&server);
    server.step(5);
    until("five pictures are sent", || server.counts().pictures == 5);
    let places: Vec<u64> = server.sent().iter().map(|sent| sent.place).collect();
    assert_eq!(places, [0, 4, 2, 1, 3]);
    let first = client.packets_with_marker(5);
    let times: Vec<u32> =
        first.iter().map(|packet| packet.timestamp.wrapping_sub(first[0].timestamp)).collect();
    assert_eq!(times, [0, 4, 2, 1, 3].map(|place| place * STEP as u32));
}

#[test]
fn a_test_that_steps_gets_one_picture_a_step() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.pace(Pace::Steps).start().unwrap();
    let _client = RawClient::playing(&server);
    assert_eq!(server.counts().pictures, 0);
    for pictures in 1..=30 {
        server.step(1);
        until("a picture is sent", || server.counts().pictures == pictures);
    }
    let sent = server.sent();
    assert_eq!(sent.iter().map(|sent| sent.number).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    assert!(sent.windows(2).all(|pair| pair[0].at <= pair[1].at), "{sent:?}");
}

#[test]
fn a_login_lets_in_its_user_alone() {
    for scheme in [LoginScheme::Basic, LoginScheme::Digest, LoginScheme::DigestSha256] {
        let Some(builder) = camera(&H264) else { return };
        let server = builder.login(scheme, "me", "s3cret").start().unwrap();
        let mut client = RawClient::connect(&server);
        let answer = client.request("DESCRIBE", "", &[]);
        assert!(answer.starts_with("RTSP/1.0 401 "), "{answer}");
        for (login, is_welcome) in [("me:s3cret", true), ("me:secret", false), ("you:s3cret", false)] {
            // ffprobe of Debian 12 knows no SHA-256.
            if scheme != LoginScheme::DigestSha256 {
                let (lines, errors) = probed(&server.url_for(login), "stream=codec_name", &[]);
                assert_eq!(lines == ["h264"], is_welcome, "{scheme:?} {login}: {lines:?}, {errors}");
                continue;
            }
            let header = client.digest(&answer, login, "DESCRIBE");
            let answer = client.request("DESCRIBE", "", &[("Authorization", &header)]);
            assert_eq!(answer.starts_with("RTSP/1.0 200 "), is_welcome, "{login}: {answer}");
        }
    }
}

#[test]
fn sound_comes_with_the_pictures() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.with_audio().start().unwrap();
    let (lines, errors) =
        probed(&server.url(), "stream=codec_name:packet=stream_index", &["-read_intervals", "%+#40"]);
    let count = |line: &str| lines.iter().filter(|other| other.split(',').next() == Some(line)).count();
    assert_eq!((count("h264"), count("pcm_mulaw")), (1, 1), "{lines:?} {errors}");
    assert!(count("0") >= 15 && count("1") >= 15, "{lines:?}");
}

#[test]
fn a_session_lasts_as_long_as_its_client_is_heard() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.session_timeout(Duration::from_secs(2)).start().unwrap();
    let played = Played::from(&server, "tcp", 350);
    let counts = server.counts();
    assert_eq!((played.sums.len(), played.errors.as_str()), (350, ""));
    assert!(counts.keep_alives >= 2 && counts.timeouts == 0, "{counts:?}");

    let mut silent = RawClient::playing(&server);
    until("the silent client's session ends", || server.counts().timeouts == 1);
    silent.read_to_end().unwrap();
    assert_eq!(server.counts().open, 0);
}

#[test]
fn cameras_of_one_server_have_sessions_and_faults_of_their_own() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.cameras(3).start().unwrap();
    let [first, second, third] = server.cameras() else { panic!("three cameras") };
    second.set_faults(&[Fault::NoVideo]);
    let (lines, _) = probed(&second.url(), "stream=codec_name", &[]);
    assert_eq!(lines, ["pcm_mulaw"]);
    assert_eq!(Played::from(third, "tcp", 3).sums.len(), 3);
    assert_eq!([first, second, third].map(|camera| camera.counts().sessions), [0, 1, 1]);
    assert!(RawClient::connect(first).request("DESCRIBE", "/../cam3", &[]).starts_with("RTSP/1.0 404 "));
}

#[test]
fn a_server_that_stops_ends_its_connections() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.start().unwrap();
    let mut client = RawClient::playing(&server);
    drop(server);
    client.read_to_end().ok();
}
