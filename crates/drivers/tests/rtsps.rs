//! Cameras over TLS, which ffmpeg reads: their video arrives as they code it.
#![warn(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::sync::Arc;

use framecast_drivers::{Drivers, ErrorKind, OpenContext, Source, SourceUrl};
use framecast_media::codec::{dependency, nal};
use framecast_media::{Codec, Dependency, Frame};
use framecast_testkit::rtsp::{Clip, FakeRtsp, Fault};
use framecast_testkit::{not_run, soon};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// H.264 of 96x64 pixels: 6 frames, a keyframe each 3.
const H264: &[u8] = include_bytes!("../../../testdata/x264-baseline.h264");
/// H.264 of 96x64 pixels with B-frames: 12 frames.
const WITH_B_FRAMES: &[u8] = include_bytes!("../../../testdata/x264-main-bframes.h264");
/// H.265 of 96x64 pixels with B-frames: 12 frames.
const H265: &[u8] = include_bytes!("../../../testdata/x265-bframes.h265");

/// Returns whether ffmpeg is there, and reports the test as not run if it is not.
fn has_ffmpeg() -> bool {
    let url = SourceUrl::parse("rtsps://cam/1").unwrap();
    Drivers::builtin().find(&url).unwrap().check_available(&url).map_err(not_run).is_ok()
}

/// Passes the connections of `camera` on over TLS, with a certificate that signs itself. Returns the URL.
async fn encrypt(camera: &FakeRtsp) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsps://{}/cam0", listener.local_addr().unwrap());
    let to = camera.url().split('/').nth(2).unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                let mut theirs = acceptor.accept(tcp).await?;
                let mut ours = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut theirs, &mut ours).await
            });
        }
    });
    url
}

async fn open(drivers: &Drivers, url: &str) -> Box<dyn Source> {
    let (context, url) = (OpenContext::default(), SourceUrl::parse(url).unwrap());
    soon("the opening", drivers.open(&context, &url)).await.unwrap()
}

/// Returns the next `count` frames.
async fn frames(source: &mut Box<dyn Source>, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    while frames.len() < count {
        match soon("the next frame", source.next_frame()).await {
            Ok(frame) => frames.push(frame.expect("the stream goes on")),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Frame, "{error}"),
        }
    }
    frames
}

#[tokio::test]
async fn the_video_of_a_camera_over_tls_arrives_as_the_camera_codes_it() {
    if !has_ffmpeg() {
        return;
    }
    let drivers = Drivers::builtin();
    for (file, codec, faults) in [
        (H264, Codec::H264, &[][..]),
        (WITH_B_FRAMES, Codec::H264, &[]),
        (H265, Codec::H265, &[]),
        (H264, Codec::H264, &[Fault::OutOfBand]),
        (H264, Codec::H264, &[Fault::NoSprop, Fault::MidGop]),
        (H265, Codec::H265, &[Fault::NoSprop, Fault::MidGop]),
    ] {
        let clip = Clip::from_annex_b(file);
        let camera = FakeRtsp::builder(clip.clone()).start().unwrap();
        camera.set_faults(faults);
        let mut source = open(&drivers, &encrypt(&camera).await).await;
        let frames = frames(&mut source, 25).await;
        assert!(frames[0].is_keyframe && frames[0].format.codec == codec, "{faults:?}");
        assert_eq!((frames[0].format.width_px, frames[0].format.height_px), (96, 64));
        for frame in &frames {
            assert!(nal::units(&frame.data).all(|unit| unit.is_ok()));
            let is_key = dependency(&frame.format, &frame.data).unwrap() == Dependency::Keyframe;
            assert_eq!(frame.is_keyframe, is_key);
        }
        assert!(frames.windows(2).all(|pair| pair[0].dts < pair[1].dts), "{faults:?}");
        let slice = nal::units(&frames[0].data).last().unwrap().unwrap();
        let is_first = clip.pictures[0].nals.last().is_some_and(|nal| slice.starts_with(nal));
        assert!(is_first || faults.contains(&Fault::MidGop), "{faults:?} {codec:?}: a keyframe was dropped");
        soon("the source is closed", source.close()).await;
    }
}
