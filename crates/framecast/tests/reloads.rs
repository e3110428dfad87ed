//! A file is changed and reloaded again and again, one camera each time, while a hundred viewers watch other cameras:
//! these lose no frame. Files with errors, half-written and empty ones between the reloads change nothing.
//!
//! Ten reloads by default; `FRAMECAST_RELOADS=100 cargo test --test reloads -- --nocapture` for the full test.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

use std::fs;
use std::time::Instant;

use framecast::{App, CancellationToken, Drivers, ReloadCause, ReloadError, Settings};
use framecast_testkit::{TestViewer, soon};
use framecast_testkit_server::camera::{Act, Camera};
use framecast_testkit_server::watchers::{FOLLOWS, PLAYS, Watchers};

const VIEWERS: usize = 100;

/// The file with the cameras that stay, and one whose settings are those of this `round`.
fn file(round: u64) -> String {
    let camera =
        |name: &str, more: &str| format!("[[camera]]\nname = \"{name}\"\nsource = \"{name}:\"\n{more}");
    let more = format!("quality = {}\n", round % 100 + 1);
    [camera("yard", ""), camera("guest", &more), camera("door", "")].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_cost_viewers_of_cameras_that_stay_the_same_no_frame() {
    let asked: Option<u64> = std::env::var("FRAMECAST_RELOADS").ok().map(|text| text.parse().unwrap());
    let rounds = asked.unwrap_or(10);
    let staying = [Camera::new("yard", FOLLOWS), Camera::new("door", PLAYS)];
    let guest = Camera::new("guest", Act::Play { fps: 100, len_bytes: 2048 });
    let drivers = [&staying[0], &staying[1], &guest]
        .into_iter()
        .fold(Drivers::builtin(), |drivers, camera| drivers.with(camera.clone()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.toml");
    let read = {
        let (path, drivers) = (path.clone(), drivers.clone());
        move |_: ReloadCause| {
            let text =
                fs::read_to_string(&path).map_err(|error| ReloadError::Invalid(vec![error.to_string()]))?;
            let mut settings = Settings::check_toml(&text, &drivers, None)
                .map_err(|errors| ReloadError::Invalid(errors.iter().map(ToString::to_string).collect()))?;
            settings.listen.set_port(0);
            Ok(settings)
        }
    };
    fs::write(&path, file(0)).unwrap();
    let app = App::start(read(ReloadCause::Request).unwrap(), drivers).await.unwrap();
    let (reloader, address) = (app.reload_with(read), app.local_addr().unwrap());
    let stop = CancellationToken::new();
    let running = tokio::spawn(app.run(stop.clone()));
    let viewers = Watchers::start(address, &staying, VIEWERS).await;
    let started = Instant::now();
    for round in 1..=rounds {
        let mut viewer = TestViewer::open(address, "/cameras/guest/stream.mjpg").await.unwrap();
        viewer.next_number().await.unwrap();
        for bad in ["[[camera]]\nname = \"yard\"\nsource = \"yard:\"\nquality = 0\n", &file(round)[..40]] {
            fs::write(&path, bad).unwrap();
            reloader.reload(ReloadCause::FileChange).await.unwrap_err();
        }
        fs::write(&path, file(round)).unwrap();
        let report = reloader.reload(ReloadCause::FileChange).await.unwrap();
        assert_eq!((report.cameras.replaced, report.needs_restart), (vec!["guest".to_owned()], vec![]));
        assert!(report.cameras.added.is_empty() && report.cameras.removed.is_empty());
        let mut was_slate = false;
        while let Some(seen) = viewer.next().await {
            was_slate = seen.is_slate();
        }
        assert!(was_slate, "its viewer is told");
    }
    let took = started.elapsed();
    let [followed, played] = viewers.finish().await;
    println!(
        "{rounds} reloads in {took:.1?}: {VIEWERS} viewers of others got {} pictures of the camera that waits and lost \
         {}, and {} of the other and lost {}",
        followed.pictures, followed.lost, played.pictures, played.lost,
    );
    // A busy machine can cost a viewer of the camera that waits for nobody a picture, so that counts only in the full
    // test.
    assert_eq!((followed.lost, if asked.is_some() { played.lost } else { 0 }), (0, 0));
    for camera in &staying {
        assert_eq!((camera.opened(), camera.closed()), (1, 0));
    }
    stop.cancel();
    soon("the server ends", running).await.unwrap();
}
