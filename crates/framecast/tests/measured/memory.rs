//! After a million frames the server must use as much memory as after the first ten thousand.
//!
//! The test publishes frames as fast as one viewer reads them. The viewers are in this process too, and their memory
//! counts with the server's.

use std::time::Duration;

use framecast_testkit::{TestViewer, soon};
use framecast_testkit_server::camera::{Act, Camera};
use framecast_testkit_server::server::{Server, settings};
use tokio::time::Instant;

use crate::Report;

/// From this frame on, memory must not grow.
const WARM_FRAMES: u64 = 10_000;

const MAX_GROWTH_KIB: u64 = 1024;

const VIEWERS: usize = 4;

/// Longer than any run, so that the stalled viewer stays.
const A_DAY: Duration = Duration::from_secs(86_400);

pub(crate) async fn measure(report: &mut Report) {
    let frames: u64 = crate::setting("FRAMECAST_FRAMES", 1_000_000);
    let camera = Camera::new("door", Act::Follow { ahead: 4, len_bytes: 4096 });
    let mut settings = settings(&[&camera]);
    settings.write_timeout = A_DAY;
    settings.cameras[0].max_fps = 10_000.0;
    settings.cameras[0].stall_timeout = Some(A_DAY);
    let server = Server::start(settings, &[&camera]).await;
    let mut stalled = TestViewer::open_with_small_buffer(server.address, "/video_feed").await.unwrap();
    soon("a first picture", stalled.next_number()).await.unwrap();
    let others: Vec<_> = (1..VIEWERS).map(|_| tokio::spawn(look_on(server.address))).collect();
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();

    println!("memory: {frames} frames of 4 KiB, {VIEWERS} viewers that read and one that does not");
    let (mut warm_kib, mut taken, mut next_line) = (None, 0, 0);
    let start = Instant::now();
    loop {
        let number = soon("the next picture", viewer.next_number()).await.unwrap();
        camera.saw(number);
        taken += 1;
        if number >= WARM_FRAMES && warm_kib.is_none() {
            warm_kib = Some(resident_kib());
        }
        if number >= next_line {
            println!("       frame {number}: {} KiB resident", resident_kib());
            next_line += (frames / 10).max(1);
        }
        if number >= frames {
            break;
        }
    }
    let (warm_kib, end_kib) = (warm_kib.unwrap(), resident_kib());
    let seconds = start.elapsed().as_secs_f64();
    let growth_kib = end_kib.saturating_sub(warm_kib);
    let text = format!(
        "{warm_kib} KiB at frame {WARM_FRAMES}, {end_kib} KiB at frame {frames}: {growth_kib} KiB more, \
         after {seconds:.0} s; one viewer took {taken} pictures"
    );
    report.check(growth_kib <= MAX_GROWTH_KIB, &text);
    let viewers = server.feed("door").main_channel().subscriber_count();
    report.check(
        viewers == VIEWERS + 1,
        &format!("{viewers} viewers at the end: the stalled one is one of them"),
    );
    for other in others {
        other.abort();
    }
    server.stop().await;
}

async fn look_on(address: std::net::SocketAddr) {
    let mut viewer = TestViewer::open(address, "/video_feed").await.unwrap();
    while viewer.next().await.is_some() {}
}

/// The resident memory of this process, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
