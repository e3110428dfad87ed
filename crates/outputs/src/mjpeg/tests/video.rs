//! Tests of streams of fragmented MP4.
#![warn(clippy::disallowed_methods)]

use framecast_media::Dependency;
use framecast_media::container::fmp4::{FRAGMENT_HEAD_BYTES, init_segment};
use framecast_testkit::{CodedDecoder, coded_number, soon};

use super::*;
use crate::mp4;
use crate::video_camera::{VideoCamera, cropped};

const WAIT: Duration = Duration::from_secs(10);

struct VideoServer {
    routes: Router,
    feed: Arc<Feed>,
    viewers: Viewers,
    streamer: Streamer,
}

impl VideoServer {
    fn new(state: CameraState) -> Self {
        let hub = Hub::new();
        let feed = hub.add("front door", SystemTime::UNIX_EPOCH).unwrap();
        feed.set_status(CameraStatus::new(state, SystemTime::UNIX_EPOCH));
        let viewers = Viewers::default();
        let streamer = Streamer::new(Config::default(), viewers.clone(), CancellationToken::new());
        let routes = mp4::routes(hub, streamer.clone(), mp4::Config { wait: WAIT });
        Self { routes, feed, viewers, streamer }
    }

    async fn request(&self, method: &str) -> Response {
        let request = Request::builder().method(method).uri("/cameras/front%20door/stream.mp4");
        self.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn watch(&self) -> Body {
        let response = self.request("GET").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "video/mp4");
        response.into_body()
    }

    /// Sends a request that is refused. Returns the status and the reason.
    async fn refused(&self) -> (u16, String) {
        let response = self.request("GET").await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let reason = text.strip_prefix(r#"{"error":""#).and_then(|text| text.strip_suffix(r#""}"#));
        (status, reason.expect("the body has a reason").to_owned())
    }
}

async fn chunk(body: &mut Body) -> Option<Bytes> {
    Some(body.frame().await?.unwrap().into_data().unwrap())
}

/// Returns the number of the frame in the next chunk, which is a fragment.
async fn number(body: &mut Body) -> u64 {
    number_in(&chunk(body).await.expect("the stream goes on"))
}

fn number_in(fragment: &[u8]) -> u64 {
    assert_eq!(fragment[4..8], *b"moof");
    u64::from_be_bytes(fragment[FRAGMENT_HEAD_BYTES..][..8].try_into().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_the_newest_keyframe_and_goes_on_with_every_frame() {
    let server = VideoServer::new(CameraState::Live);
    let mut camera = VideoCamera::open(&server.feed);
    camera.publish_gop(5);
    camera.publish_gop(1);
    let mut body = server.watch().await;
    assert_eq!(chunk(&mut body).await.unwrap(), init_segment(&camera.format).unwrap());
    assert_eq!((number(&mut body).await, number(&mut body).await), (6, 7));
    assert!(cut_short(Duration::from_secs(5), number(&mut body)).await.is_none(), "nothing is sent twice");
    camera.publish(Dependency::Reference);
    assert_eq!(number(&mut body).await, 8);
    let stats = &server.viewers.list()[0];
    assert_eq!((stats.frames(), stats.transport().as_str(), stats.skipped_frames()), (3, "mp4", 0));
    assert_eq!((server.feed.viewer_count(), server.feed.main_channel().subscriber_count()), (1, 0));
    drop(body);
    assert_eq!(server.feed.viewer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_camera_without_coded_video_is_refused_with_the_address_of_its_pictures() {
    let server = VideoServer::new(CameraState::Live);
    server.feed.publish(frame(1));
    let (status, reason) = server.refused().await;
    let pictures = "front door: the camera delivers pictures, not H.264 or H.265 video; \
                    use /cameras/front%20door/stream.mjpg";
    assert_eq!((status, &reason[..]), (409, pictures));
    assert_eq!(server.feed.viewer_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_is_not_open_is_opened_and_waited_for() {
    let server = VideoServer::new(CameraState::Idle);
    assert_eq!(server.request("HEAD").await.status(), 200);
    assert_eq!(server.feed.viewer_count(), 0, "a HEAD request opens no camera");
    let opening = async {
        pause(Duration::from_secs(9)).await;
        assert_eq!(server.feed.viewer_count(), 1);
        let mut camera = VideoCamera::open(&server.feed);
        camera.publish_gop(0);
        camera
    };
    let (mut body, camera) = tokio::join!(server.watch(), opening);
    assert_eq!(chunk(&mut body).await.unwrap(), init_segment(&camera.format).unwrap());
    assert_eq!(number(&mut body).await, 0);
    // A slate that says that the camera is being opened is no answer.
    let server = VideoServer::new(CameraState::Opening);
    server.feed.publish_slate(frame(1));
    let (status, reason) = server.refused().await;
    assert_eq!((status, &reason[..]), (503, "front door: the camera delivered no video within 10s"));
    let mut lost = CameraStatus::new(CameraState::Lost, SystemTime::UNIX_EPOCH);
    lost.reason = Some("no route to host".to_owned());
    server.feed.set_status(lost);
    assert_eq!(server.refused().await, (503, "front door: no route to host".to_owned()));
    server.feed.end();
    assert_eq!(server.refused().await, (503, "front door: the camera was removed".to_owned()));
}

/// What happens to a camera.
type Incident = fn(&VideoServer, VideoCamera);

#[tokio::test(start_paused = true)]
async fn a_stream_ends_where_a_player_could_not_go_on() {
    let incidents: [(&str, Incident); 5] = [
        ("the camera is lost", |server, _| server.feed.publish_slate(frame(1))),
        ("it is opened again", |server, _| VideoCamera::open(&server.feed).publish_gop(1)),
        ("it has another format", |_, mut camera| {
            camera.format = cropped();
            camera.publish_gop(1);
        }),
        ("it delivers pictures", |server, _| server.feed.publish(frame(1))),
        ("it is removed", |server, _| server.feed.end()),
    ];
    for (what, happens) in incidents {
        let server = VideoServer::new(CameraState::Live);
        let mut camera = VideoCamera::open(&server.feed);
        camera.publish_gop(0);
        let mut body = server.watch().await;
        chunk(&mut body).await.unwrap();
        assert_eq!(number(&mut body).await, 0);
        happens(&server, camera);
        let rest = soon(what, body.collect()).await.unwrap().to_bytes();
        assert!(rest.is_empty(), "{what}: {} bytes", rest.len());
        let totals = server.viewers.camera_totals();
        let ended = totals[0].1.endings().find(|(_, count)| *count > 0);
        assert_eq!(ended, Some((EndReason::CameraEnded, 1)), "{what}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_writer_sends_all_at_once_and_a_client_that_stalls_goes_on_at_the_newest_keyframe() {
    use tokio::io::AsyncReadExt;

    use crate::HijackedConnection;

    let server = VideoServer::new(CameraState::Live);
    let mut camera = VideoCamera::open(&server.feed);
    camera.frame_bytes = 20_000;
    let mut frames = Vec::new();
    let mut publish = |camera: &mut VideoCamera, n: u64| {
        frames.push(camera.publish(if n.is_multiple_of(30) {
            Dependency::Keyframe
        } else {
            Dependency::Reference
        }));
    };
    (0..5).for_each(|n| publish(&mut camera, n));
    let (ours, mut client) = tokio::net::UnixStream::pair().unwrap();
    let hijack = Hijack::default();
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    request.extensions_mut().insert(hijack.clone());
    let response = server.streamer.respond_with_video(&server.feed, request, WAIT).await.unwrap();
    assert_eq!(response.status(), 200);
    hijack.take_handler().expect("a writer takes the socket")(HijackedConnection {
        socket: ours.into(),
        read_buf: Bytes::new(),
        permit: Box::new(()),
    });
    let init = init_segment(&camera.format).unwrap();
    let mut head = vec![0; init.len()];
    soon("the init segment", client.read_exact(&mut head)).await.unwrap();
    assert_eq!(head, init);
    let mut fragment = vec![0; FRAGMENT_HEAD_BYTES + 20_000];
    for number in 0..5 {
        soon("a frame", client.read_exact(&mut fragment)).await.unwrap();
        assert_eq!(number_in(&fragment), number);
    }
    // Ten seconds of video, far more than the socket holds.
    (5..300).for_each(|n| publish(&mut camera, n));
    let (mut decoder, mut numbers) = (CodedDecoder::default(), Vec::new());
    (0..5).for_each(|n| decoder.decode(&frames[n]).unwrap());
    while numbers.last() != Some(&299) {
        soon("a frame", client.read_exact(&mut fragment)).await.unwrap();
        let number = number_in(&fragment);
        decoder.decode(&frames[number as usize]).unwrap();
        numbers.push(number);
    }
    let stats = &server.viewers.list()[0];
    assert!(numbers.contains(&270) && stats.skipped_frames() > 100, "{numbers:?}");
    assert_eq!(stats.skipped_frames() + numbers.len() as u64, 295);
    assert_eq!(coded_number(&frames[299]), 299);
    server.feed.publish_slate(frame(1));
    let left = soon("the end", client.read_to_end(&mut Vec::new())).await.unwrap();
    assert_eq!(left, 0);
}
