//! A Framecast that shows another Framecast's camera.

use framecast::{Drivers, Settings};
use framecast_testkit::blocking::MultipartStream;

use crate::Server;

#[test]
fn a_camera_that_its_origin_has_lost_is_lost_at_the_relay_with_that_reason() {
    let drivers = Drivers::builtin().with_frames("broken", |_| [Err::<Vec<u8>, _>("no such device")]);
    let origin = Server::start(Settings::with_cameras([("front", "broken:")]).unwrap(), drivers);
    let url = format!("http://{}/video_feed", origin.address);
    let relay = Server::start(Settings::with_cameras([("front", &*url)]).unwrap(), Drivers::builtin());
    let mut stream = MultipartStream::open(relay.address, "/video_feed", &[]);
    relay.wait_for("front", "state", "lost");
    let camera = relay.json("/api/cameras/front");
    let reason = camera["reason"].as_str().unwrap();
    assert!(
        reason.ends_with("the source is another Framecast server, which has no picture of the camera"),
        "{camera}"
    );
    assert_eq!(camera["frames"], 0, "{camera}");
    // Viewers see the relay's own slate, marked for a further relay.
    assert_eq!(stream.next().unwrap().header("x-framecast-notice"), Some("1"));
}
