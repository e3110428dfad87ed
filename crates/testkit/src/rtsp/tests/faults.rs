//! Each fault does what it says. A test of one that clients bear shows that they bear it.

use std::collections::BTreeSet;

use super::client::header;
use super::player::{LARGE, Made};
use super::*;
use crate::rtsp::annex_b::ClipCodec;

/// A camera that sends `film` with these faults.
fn faulty(film: &Film, faults: &[Fault]) -> Option<FakeRtsp> {
    let server = camera(film)?.start().unwrap();
    server.set_faults(faults);
    Some(server)
}

fn made(film: &Film) -> &Made {
    film.made().expect("the test has seen ffmpeg")
}

/// The places in `film` of the pictures with these checksums.
fn places(film: &Film, sums: &[String]) -> Vec<usize> {
    let known = &made(film).sums;
    let place = |sum: &String| known.iter().position(|other| other == sum);
    sums.iter()
        .map(|sum| place(sum).unwrap_or_else(|| panic!("a picture that is not in the film: {sum}")))
        .collect()
}

fn sdp(server: &FakeRtsp) -> String {
    RawClient::connect(server).request("DESCRIBE", "", &[])
}

#[test]
fn every_name_is_that_of_a_fault() {
    let faults: Vec<Fault> = Fault::NAMES.iter().map(|name| name.parse().unwrap()).collect();
    let kinds: BTreeSet<String> = faults.iter().map(|fault| format!("{fault:?}")).collect();
    assert_eq!(kinds.len(), Fault::NAMES.len());
    assert_eq!("pts-jump=-2".parse(), Ok(Fault::PtsJump(-2)));
    assert_eq!("fin=0.5".parse(), Ok(Fault::Fin(Duration::from_millis(500))));
    assert_eq!("fin".parse::<Fault>().unwrap_err(), "`fin` needs a number, such as `fin=2`");
    assert!("flood".parse::<Fault>().unwrap_err().starts_with("no fault `flood`; there are no-sprop, "));
}

#[test]
fn parameter_sets_are_in_the_description_the_stream_or_both() {
    for film in [&H264, &H265] {
        for (fault, is_described, is_sent) in
            [(None, true, true), (Some(Fault::NoSprop), false, true), (Some(Fault::OutOfBand), true, false)]
        {
            let Some(server) = faulty(film, &Vec::from_iter(fault)) else { return };
            assert_eq!(sdp(&server).contains("sprop-"), is_described, "{fault:?}");
            let codec = made(film).clip.codec;
            let first = RawClient::playing(&server).rtp().payload;
            // A packet with several units of H.264, or the VPS of H.265.
            let is_set = codec.nal_type(&first) == if codec == ClipCodec::H264 { 24 } else { 32 };
            assert_eq!(is_set, is_sent, "{fault:?}");
            let played = Played::from(&server, "tcp", 20);
            assert_eq!((places(film, &played.sums), &*played.errors), ((0..20).collect(), ""), "{fault:?}");
        }
    }
}

#[test]
fn a_stream_that_begins_in_the_middle_of_a_gop_is_decoded_from_the_next_keyframe() {
    let Some(server) = faulty(&H264, &[Fault::MidGop]) else { return };
    let played = Played::from(&server, "tcp", 10);
    assert_eq!(server.sent()[0].place, 5);
    assert_eq!(places(&H264, &played.sums), (10..20).collect::<Vec<_>>());
}

#[test]
fn timestamps_jump_by_hours_when_the_file_begins_again() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.pace(Pace::Steps).start().unwrap();
    server.set_faults(&[Fault::PtsJump(3)]);
    let mut client = RawClient::playing(&server);
    server.step(26);
    let times: Vec<u32> = client.packets_with_marker(26).iter().map(|packet| packet.timestamp).collect();
    let steps: Vec<u32> = times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_eq!(steps[..24], [STEP as u32; 24]);
    assert_eq!(steps[24], STEP as u32 + 3 * 3600 * 90_000);
    let server = faulty(&H264, &[Fault::PtsJump(3)]).unwrap();
    let (lines, errors) = probed(&server.url(), "packet=pts", &["-read_intervals", "%+#40"]);
    assert!(lines.iter().any(|line| line.starts_with("97")), "{lines:?} {errors}");
}

#[test]
fn every_second_timestamp_is_that_of_the_picture_before() {
    let Some(server) = faulty(&H264, &[Fault::RepeatedPts]) else { return };
    let packets = RawClient::playing(&server).packets_with_marker(10);
    let steps = packets.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
    assert_eq!(steps.collect::<Vec<_>>(), [0, 1800, 0, 1800, 0, 1800, 0, 1800, 0]);
    assert!(Played::from(&server, "tcp", 10).sums.len() >= 5);
}

#[test]
fn supplemental_information_has_the_marker_too() {
    for (film, sei_type) in [(&H264, 6), (&H265, 39)] {
        let Some(server) = faulty(film, &[Fault::MarkerOnSei]) else { return };
        let codec = made(film).clip.codec;
        let types = RawClient::playing(&server).packets_with_marker(10);
        // The encoder's own information in front of the first picture may be longer than a packet.
        let types: Vec<u8> = types[2..].iter().map(|packet| codec.nal_type(&packet.payload)).collect();
        assert!(types.chunks(2).all(|pair| pair[0] == sei_type && pair[1] != sei_type), "{types:?}");
        let played = Played::from(&server, "tcp", 20);
        assert_eq!((places(film, &played.sums), &*played.errors), ((0..20).collect(), ""));
    }
}

#[test]
fn keep_alives_are_answered_wrongly_or_refused() {
    let Some(server) = faulty(&H264, &[]) else { return };
    let mut client = RawClient::playing(&server);
    let status = |answer: &str| answer.split(' ').nth(1).unwrap().to_owned();
    let number = |answer: &str| header(answer, "CSeq").unwrap().to_owned();
    let answer = client.request("GET_PARAMETER", "", &[]);
    assert_eq!((status(&answer), number(&answer)), ("200".to_owned(), "3".to_owned()));
    server.set_faults(&[Fault::WrongCseq]);
    let answer = client.request("GET_PARAMETER", "", &[]);
    assert_eq!((status(&answer), number(&answer)), ("200".to_owned(), "11".to_owned()));
    server.set_faults(&[Fault::KeepAliveRefused(454)]);
    let answer = client.request("OPTIONS", "", &[]);
    assert_eq!((status(&answer), number(&answer)), ("454".to_owned(), "5".to_owned()));
    assert_eq!(status(&client.request("TEARDOWN", "", &[])), "200");
    let counts = server.counts();
    assert_eq!((counts.keep_alives, counts.teardowns, counts.open), (3, 1, 0), "{counts:?}");
}

#[test]
fn play_is_answered_without_the_first_timestamp() {
    let Some(server) = faulty(&H264, &[]) else { return };
    let mut client = RawClient::connect(&server);
    client.set_up("/track0");
    let answer = client.request("PLAY", "", &[]);
    let info = header(&answer, "RTP-Info").unwrap();
    let expected = format!("url={}/track0;seq=65500;rtptime=", server.url());
    assert_eq!(info, format!("{expected}{}", client.rtp().timestamp));
    server.set_faults(&[Fault::NoRtpInfo]);
    let mut client = RawClient::connect(&server);
    client.set_up("/track0");
    assert_eq!(header(&client.request("PLAY", "", &[]), "RTP-Info"), None);
    assert_eq!(places(&H264, &Played::from(&server, "tcp", 20).sums), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_camera_falls_silent_and_goes_on() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.pace(Pace::Steps).start().unwrap();
    let mut client = RawClient::playing(&server);
    server.step(3);
    until("three pictures are sent", || server.counts().pictures == 3);
    server.set_faults(&[Fault::Silence(Duration::ZERO)]);
    assert!(client.request("OPTIONS", "", &[]).starts_with("RTSP/1.0 200 "));
    server.step(4);
    until("the steps are taken", || server.steps.available_permits() == 0);
    assert!(client.request("OPTIONS", "", &[]).starts_with("RTSP/1.0 200 "));
    assert_eq!((server.counts().pictures, server.counts().open), (3, 1));
    server.set_faults(&[]);
    server.step(1);
    until("a picture is sent", || server.counts().pictures == 4);
    assert_eq!(server.sent()[3].number, 7);
}

#[test]
fn the_camera_ends_the_connection_properly_or_by_a_reset() {
    let after = Duration::from_millis(300);
    let Some(server) = faulty(&H264, &[Fault::Fin(after)]) else { return };
    RawClient::playing(&server).read_to_end().unwrap();
    let played = Played::from(&server, "tcp", 10_000);
    assert!(played.is_success && played.sums.len() >= 20, "{played:?}");
    server.set_faults(&[Fault::Reset(after)]);
    let error = RawClient::playing(&server).read_to_end().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(Played::from(&server, "tcp", 10_000).sums.len() >= 20);
    assert_eq!((server.counts().open, server.counts().teardowns), (0, 0));
}

#[test]
fn the_second_file_follows_the_first() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.second(made(&LARGE).clip.clone()).start().unwrap();
    server.set_faults(&[Fault::SizeChange]);
    let played = Played::from(&server, "tcp", 60);
    let (small, large) = ([115_200; 25], [460_800; 25]);
    assert_eq!(played.lens, [&small[..], &large, &small[..10]].concat(), "{}", played.errors);
    assert_eq!(played.sums[25..50], made(&LARGE).sums);
    assert_eq!(played.steps()[5..], [STEP; 54]);
}

#[test]
fn packets_of_udp_are_reordered_or_lost() {
    let Some(server) = faulty(&H264, &[Fault::UdpReorder(10)]) else { return };
    let played = Played::from(&server, "udp", 30);
    assert_eq!((places(&H264, &played.sums[..25]), &*played.errors), ((0..25).collect(), ""));
    let expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9, 11, 12, 13, 14, 15, 16, 17, 18, 20, 19];
    assert_eq!(received_over_udp(&server, 21), expected);
    server.set_faults(&[Fault::UdpLoss(5)]);
    assert_eq!(received_over_udp(&server, 10), [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]);
    let played = Played::from(&server, "udp", 30);
    assert_ne!(played.errors, "");
    let played = Played::from(&server, "tcp", 30);
    assert_eq!((played.sums.len(), &*played.errors), (30, ""));
}

/// The first packets that arrive over UDP, numbered from 0 in the order of sending.
fn received_over_udp(server: &FakeRtsp, count: usize) -> Vec<u16> {
    let mut client = RawClient::connect(server);
    let (socket, rtcp) = client.set_up_udp();
    client.request("PLAY", "", &[]);
    let mut packet = [0; 2000];
    let numbers = std::iter::repeat_with(|| {
        let len = socket.recv(&mut packet).unwrap();
        assert!(len > 12, "a packet of {len} bytes");
        u16::from_be_bytes([packet[2], packet[3]]).wrapping_sub(65_500)
    });
    let numbers = numbers.take(count).collect();
    assert_eq!(rtcp.recv(&mut packet).unwrap(), 28 + 16);
    assert_eq!(packet[1], 200);
    numbers
}

#[test]
fn what_is_no_answer_or_no_video_is_understood_as_such() {
    let expected = [
        (Fault::HttpAnswer, &[][..], "Invalid data found"),
        (Fault::NoVideo, &["audio,pcm_mulaw"], ""),
        (Fault::ForeignCodec, &["video,mpeg4"], ""),
    ];
    for (fault, streams, error) in expected {
        // ffprobe looks for pictures of the codec that the camera names until the connection ends.
        let Some(server) = faulty(&H264, &[fault, Fault::Fin(Duration::from_secs(1))]) else { return };
        let (lines, errors) = probed(&server.url(), "stream=codec_type,codec_name", &[]);
        let lines: Vec<String> =
            lines.iter().map(|line| line.split(',').rev().collect::<Vec<_>>().join(",")).collect();
        assert_eq!(lines, streams, "{fault:?}: {errors}");
        assert!(errors.contains(error), "{fault:?}: {errors}");
    }
}

#[test]
fn one_picture_is_giant() {
    let Some(server) = faulty(&H264, &[Fault::Giant(40)]) else { return };
    let (lines, errors) = probed(&server.url(), "packet=size", &["-read_intervals", "%+#15"]);
    let sizes: Vec<usize> = lines.iter().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    assert!(sizes[10] > 40 * 1024 * 1024, "{sizes:?} {errors}");
    assert!(sizes.iter().enumerate().all(|(at, size)| at == 10 || *size < 100_000), "{sizes:?}");
}

#[test]
fn a_keyframe_never_comes() {
    let Some(server) = faulty(&H264, &[Fault::NoKeyframe]) else { return };
    let (lines, errors) = probed(&server.url(), "packet=flags", &["-read_intervals", "%+#30"]);
    assert!(lines.len() == 30 && lines.iter().all(|line| line.starts_with("__")), "{lines:?} {errors}");
}

#[test]
fn a_session_without_teardown_keeps_others_out() {
    let Some(builder) = camera(&H264) else { return };
    let server = builder.session_timeout(Duration::from_secs(3)).start().unwrap();
    server.set_faults(&[Fault::FewSessions(1)]);
    let mut first = RawClient::playing(&server);
    let refused =
        |server: &FakeRtsp| RawClient::connect(server).set_up("/track0").starts_with("RTSP/1.0 453 ");
    assert!(refused(&server));
    let (lines, errors) = probed(&server.url(), "stream=codec_name", &[]);
    assert!(lines.is_empty() && errors.contains("453"), "{lines:?} {errors}");
    first.request("TEARDOWN", "", &[]);
    // Its connection ends without TEARDOWN, and its session by the timeout.
    drop(RawClient::playing(&server));
    assert!(refused(&server));
    until("the session ends", || server.counts().open == 0);
    assert_eq!(Played::from(&server, "tcp", 5).sums.len(), 5);
}

#[test]
fn answers_take_their_time() {
    let Some(server) = faulty(&H264, &[Fault::SlowAnswers(Duration::from_millis(200))]) else { return };
    let since = std::time::Instant::now();
    sdp(&server);
    assert!(since.elapsed() >= Duration::from_millis(200));
    assert_eq!(Played::from(&server, "tcp", 5).sums.len(), 5);
}

#[test]
fn a_camera_has_one_transport_alone() {
    for (fault, refused, other) in [(Fault::NoTcp, "tcp", "udp"), (Fault::NoUdp, "udp", "tcp")] {
        let Some(server) = faulty(&H264, &[fault]) else { return };
        let played = Played::from(&server, refused, 5);
        assert!(!played.is_success && played.errors.contains("461"), "{}", played.errors);
        assert_eq!(Played::from(&server, other, 5).sums.len(), 5);
    }
}

#[test]
fn the_set_up_of_the_back_channel_is_counted() {
    let Some(server) = faulty(&H264, &[Fault::BackChannel]) else { return };
    assert!(sdp(&server).contains("a=sendonly"));
    let mut client = RawClient::playing(&server);
    assert_eq!(server.counts().back_channel_setups, 0);
    client.set_up("/track2");
    assert_eq!(server.counts().back_channel_setups, 1);
}
