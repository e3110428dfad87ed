//! Cameras in an axum program that has its own pages. All of Framecast is below `/cams`.
//!
//! ```sh
//! cargo run -p framecast --example embed [ADDRESS:PORT]
//! curl -X DELETE http://127.0.0.1:5000/door      # removes a camera while the program runs
//! ```
#![expect(clippy::print_stdout, reason = "says where to look")]

use std::error::Error;

use axum::Router;
use axum::response::Html;
use axum::routing::{delete, get};
use axum::serve::ListenerExt;
use framecast::{Cameras, Drivers, Settings, shutdown_signal};
use tokio::net::TcpListener;

const PAGE: &str = "<!doctype html><title>Workshop</title><h1>The workshop</h1>
<img src=/cams/cameras/bench/stream.mjpg alt='The bench'><p><a href=/cams/>All cameras</a>";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::with_cameras([("bench", "emulated"), ("door", "test:?size=320x180&fps=10")])?;
    let cameras = Cameras::start(settings, Drivers::builtin()).await?;
    // Other code can use the frames too, through the hub. Cameras come and go, so it asks the hub each time.
    let hub = cameras.hub().clone();
    let count_viewers = async move || hub.get("bench").map_or(0, |bench| bench.viewer_count()).to_string();
    // The door's viewers get a last picture that says what happened.
    let removing = cameras.clone();
    let remove_door = async move || match removing.remove("door").await {
        Ok(()) => "the door's camera is removed\n".to_owned(),
        Err(error) => format!("{error}\n"),
    };
    let router = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/viewers", get(count_viewers))
        .route("/door", delete(remove_door))
        // This program is responsible for accounts and the check of host names: it can add layers around this service.
        // No layer may keep a part of a stream until the next one comes.
        .nest_service("/cams", cameras.router());

    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:5000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("open http://{}/", listener.local_addr()?);
    // Without this call, the kernel would queue seconds of pictures for a viewer behind a slow link.
    let listener = listener.tap_io(|stream| framecast::tune(stream));
    let shutdown = shutdown_signal();
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            shutdown.cancelled().await;
            // Streams never end by themselves, so the server would wait for them.
            cameras.close().await;
        })
        .await?;
    Ok(())
}
