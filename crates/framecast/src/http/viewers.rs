//! The route `/api/viewers`, which lists the current viewers with their rates and delays.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::response::Response;
use framecast_outputs::{HttpError, ViewerStats};
use serde::Serialize;
use utoipa::ToSchema;

use super::api::{json, rfc3339};
use super::find_camera;
use super::openapi::{Operation, RouteTable, Routes, Tag, time, word};
use super::this_machine::is_from_this_machine;
use crate::camera_table::CameraTable;

/// What this route needs.
#[derive(Debug, Clone)]
struct ViewersState {
    cameras: CameraTable,
    has_account: bool,
}

/// Returns the route `/api/viewers`. `has_account` says whether the clients of the server log in.
pub(super) fn routes(cameras: CameraTable, has_account: bool) -> Routes {
    RouteTable::new()
        .get("/api/viewers", list, || {
            Operation::new(Tag::Viewers, "List the viewers, the oldest first")
                .details("Without an account, only clients on the server's machine see the addresses.")
                .parameters([word("camera", "The name of a camera; by default all cameras.")])
                .json::<ViewerList>(200, "The viewers.")
                .error(404, "There is no such camera.")
        })
        .with_state(ViewersState { cameras, has_account })
}

#[derive(Serialize, ToSchema)]
struct ViewerList {
    #[schema(schema_with = time)]
    now: String,
    limits: LimitsView,
    refused: RefusedViewers,
    viewers: Vec<ViewerView>,
}

/// The maximum numbers of viewers of the whole server and of each client address; `None` for no limit. The limits of
/// cameras are not listed here.
#[derive(Serialize, ToSchema)]
struct LimitsView {
    server: Option<usize>,
    address: Option<usize>,
}

/// The number of viewers that the server has refused since its start, by the limit that was reached.
#[derive(Serialize, ToSchema)]
struct RefusedViewers {
    server: u64,
    camera: u64,
    address: u64,
}

#[derive(Serialize, ToSchema)]
struct ViewerView {
    id: u64,
    camera: String,
    /// The viewer's address. `None` for a viewer on a UNIX socket. Also `None` if the client that
    /// requests the list is not allowed to see addresses.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    via: &'static str,
    /// What the viewer gets: `JPEG`, or the name of the camera's coded video, such as `H.264`. `None` before its first
    /// picture.
    codec: Option<&'static str>,
    /// The size, quality and rate that the viewer requested, as parameters of a URL, such as `width=640`; empty for the
    /// camera's own pictures.
    rendition: String,
    #[schema(schema_with = time)]
    since: String,
    /// The number of the writer thread that sends to the viewer; `None` if the viewer has a task of its own.
    shard: Option<u32>,
    frames: u64,
    bytes: u64,
    skipped: u64,
    /// Milliseconds from the request to the first picture.
    first_picture_ms: Option<f64>,
    age_ms: Option<f64>,
    painted_age_ms: Option<f64>,
    queue_bytes: Option<u64>,
    bytes_per_second: Option<u64>,
}

async fn list(State(state): State<ViewersState>, request: Request) -> Result<Response, HttpError> {
    let shows_addresses = state.has_account || is_from_this_machine(&request);
    let query = request.uri().query().unwrap_or_default();
    let wanted = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "camera");
    let camera = wanted.map(|(_, name)| find_camera(&state.cameras, &name)).transpose()?;
    let is_wanted = |stats: &&Arc<ViewerStats>| {
        camera.as_ref().is_none_or(|camera| Arc::ptr_eq(&camera.feed, stats.feed()))
    };
    let registry = &state.cameras.services().viewers;
    let limits = registry.limits();
    let [(_, server), (_, camera), (_, address)] = registry.refused();
    let viewers = registry.list();
    let viewers = viewers.iter().filter(is_wanted);
    Ok(json(ViewerList {
        now: rfc3339(SystemTime::now()),
        limits: LimitsView { server: limits.server, address: limits.address },
        refused: RefusedViewers { server, camera, address },
        viewers: viewers.map(|stats| describe(stats, shows_addresses)).collect(),
    }))
}

fn describe(stats: &ViewerStats, shows_addresses: bool) -> ViewerView {
    ViewerView {
        id: stats.id(),
        camera: stats.feed().name().to_owned(),
        address: stats.peer().filter(|_| shows_addresses),
        via: stats.transport().as_str(),
        codec: stats.codec().map(|codec| codec.video_name().unwrap_or("JPEG")),
        rendition: stats.rendition().to_string(),
        since: rfc3339(stats.since()),
        shard: stats.writer_number(),
        frames: stats.frames(),
        bytes: stats.bytes(),
        skipped: stats.skipped_frames(),
        first_picture_ms: stats.first_picture().map(millis),
        age_ms: stats.age().map(millis),
        painted_age_ms: stats.painted_age().map(millis),
        queue_bytes: stats.queue_bytes(),
        bytes_per_second: stats.bytes_per_second(),
    }
}

/// Returns `time` in milliseconds, cut off after three decimals.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
