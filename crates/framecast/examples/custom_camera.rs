//! A custom camera in about ten lines: an iterator that yields JPEG images, which appear on the live page.
//!
//! ```sh
//! cargo run -p framecast --example custom_camera [ADDRESS:PORT]
//! ```
#![expect(clippy::print_stdout, reason = "says where to look")]

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use framecast::codec::{RgbImage, jpeg};
use framecast::{App, Drivers, IntoPicture, Settings, SourceUrl, shutdown_signal};

/// Yields pictures of a moving blue gradient, 25 per second. `url` is the camera's source, which could say where the
/// pictures come from. The iterator is allowed to block: it has its own thread, which ends when no viewer is left.
fn slope(_url: SourceUrl) -> impl Iterator<Item = impl IntoPicture> {
    (0_u32..).map(|number| {
        sleep(Duration::from_millis(40));
        let mut picture = RgbImage::new(320, 240);
        for (column, pixel) in (0_u32..).zip(picture.data_mut().chunks_exact_mut(3)) {
            pixel[2] = (column % 320 + number * 4) as u8;
        }
        jpeg::encode(&picture, 80)
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let drivers = Drivers::builtin().with_frames("mine", slope);
    let mut settings = Settings::with_cameras([("slope", "mine:")])?;
    settings.set_listen(&std::env::args().nth(1).unwrap_or("127.0.0.1:5000".to_owned()))?;
    let app = App::start(settings, drivers).await?;
    println!("open http://{}/", app.listens_on());
    app.run(shutdown_signal()).await;
    Ok(())
}
