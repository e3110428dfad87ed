//! Cameras in an axum program that has its own pages and its own accounts. All of Framecast is below `/cams`, and its
//! streams and snapshots alone are below `/streams`. Everybody may look. Only who logs in may change something.
//!
//! ```sh
//! cargo run -p framecast --example embed [ADDRESS:PORT]
//! curl http://127.0.0.1:5000/streams/snapshot.jpg -o bench.jpg
//! curl -u me:open-sesame -X DELETE http://127.0.0.1:5000/door      # removes a camera while the program runs
//! ```
#![expect(clippy::print_stdout, reason = "says where to look")]

use std::error::Error;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get};
use axum::serve::ListenerExt;
use framecast::{Cameras, Drivers, Settings, shutdown_signal};
use tokio::net::TcpListener;

const PAGE: &str = "<!doctype html><title>Workshop</title><h1>The workshop</h1>
<img src=/streams/cameras/bench/stream.mjpg alt='The bench'><p><a href=/cams/>All cameras</a>";

/// A stand-in for the accounts of this program: the user `me` with the password `open-sesame`, in Base64.
const LOGIN: &str = "Basic bWU6b3Blbi1zZXNhbWU=";

/// Refuses a request that changes something and does not log in. A layer like this one sees each request before
/// Framecast does. It must not keep a part of a stream until the next one comes.
async fn check_account(request: Request, next: Next) -> Response {
    let is_logged_in = request.headers().get(header::AUTHORIZATION).is_some_and(|login| login == LOGIN);
    if is_logged_in || matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"workshop\"")]).into_response()
}

/// Removes the camera at the door. Its viewers get a last picture that says what happened.
async fn remove_door(cameras: Cameras) -> String {
    match cameras.remove("door").await {
        Ok(()) => "the door's camera is removed\n".to_owned(),
        Err(error) => format!("{error}\n"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut settings =
        Settings::with_cameras([("bench", "emulated"), ("door", "test:?size=320x180&fps=10")])?;
    // At the paths of other programs, a GET can change a camera's controls.
    settings.drop_in = false;
    let cameras = Cameras::start(settings, Drivers::builtin()).await?;
    // Other code can use the frames too, through the hub. Cameras come and go, so it asks the hub each time.
    let hub = cameras.hub().clone();
    let count_viewers = async move || hub.get("bench").map_or(0, |bench| bench.viewer_count()).to_string();
    let of_door = cameras.clone();
    let router = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/viewers", get(count_viewers))
        .route("/door", delete(move || remove_door(of_door)))
        .nest_service("/cams", cameras.router())
        .nest_service("/streams", cameras.streams())
        .layer(from_fn(check_account));

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
