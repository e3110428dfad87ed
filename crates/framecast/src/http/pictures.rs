//! The descriptions of the routes of pictures. The crate `framecast_outputs` makes these routes, because programs that
//! embed Framecast also use them without the rest of the server.

use axum::Router;
use framecast_hub::QUALITY_RANGE;
use utoipa::openapi::path::Parameter;

use super::openapi::{IMAGE, MP4, MULTIPART, Operation, Routes, Tag, flag, number, side, whole};

/// Describes `router`, which has the routes of streams and snapshots.
pub(super) fn describe(router: Router) -> Routes {
    Routes::described(
        router,
        [
            ("/video_feed", || of_default(stream("Stream the default camera"))),
            ("/cameras/{name}/stream.mjpg", || stream("Stream a camera").of_camera()),
            ("/cameras/{name}/stream.mp4", || video("Stream the coded video of a camera").of_camera()),
            ("/snapshot.jpg", || of_default(snapshot("Take a picture of the default camera"))),
            ("/cameras/{name}/snapshot.jpg", || snapshot("Take a picture of a camera").of_camera()),
        ],
    )
}

/// Describes `router`, which has the route of many cameras over one WebSocket.
#[cfg(feature = "live")]
pub(super) fn describe_live(router: Router) -> Routes {
    Routes::described(
        router,
        [("/api/live", || {
            Operation::new(Tag::Pictures, "Open a WebSocket that carries the pictures of many cameras")
                .details("docs/live.md describes the messages.")
                .endless()
                .empty(101, "The WebSocket is open.")
                .error(400, "The request is not the beginning of a WebSocket.")
                .error(403, super::openapi::CROSS_SITE)
                .error(426, "The request opens no WebSocket of version 13.")
        })],
    )
}

fn of_default(operation: Operation) -> Operation {
    operation.error(404, "The server has no camera.")
}

fn stream(summary: &'static str) -> Operation {
    Operation::new(Tag::Pictures, summary)
        .details("Each part is one JPEG. A slow viewer gets the newest picture when its link has room again.")
        .endless()
        .parameters(rendition())
        .parameters([
            number(
                "fps",
                0.01..=1000.0,
                "The most pictures per second; by default as many as the camera gives.",
            ),
            flag("adapt", "Whether to send smaller pictures if the link is too slow."),
            flag("advance_headers", "Whether the head of a part follows the part before at once."),
        ])
        .answer(200, MULTIPART, "Pictures without end.")
        .error(400, "A parameter is wrong; the error names the allowed range.")
        .answer(503, IMAGE, "A limit on viewers or renditions is reached; an `<img>` gets this as a picture.")
        .error(503, "")
}

fn video(summary: &'static str) -> Operation {
    Operation::new(Tag::Pictures, summary)
        .details("Fragmented MP4 with the video as the camera codes it, from the newest keyframe on.")
        .endless()
        .answer(200, MP4, "Video that ends when the camera is lost or its format changes.")
        .error(409, "The camera delivers no coded video; the error names the stream of its pictures.")
        .error(503, "The camera shows no video in time, or a limit on viewers is reached.")
}

fn snapshot(summary: &'static str) -> Operation {
    Operation::new(Tag::Pictures, summary)
        .details("Opens the camera if no picture is new enough.")
        .parameters(rendition())
        .parameters([number(
            "max_age",
            0.0..=86_400.0,
            "Accept a picture from memory up to this age in seconds. 0 asks for a picture captured after the request.",
        )])
        .answer(200, IMAGE, "The picture.")
        .error(400, "A parameter is wrong; the error names the allowed range.")
        .answer(503, IMAGE, "The camera gives no picture; a drawn picture says why.")
        .error(503, "No picture came in time, or a limit on renditions is reached.")
}

/// Returns the parameters for another size or quality of the pictures.
fn rendition() -> [Parameter; 3] {
    let quality = u32::from(*QUALITY_RANGE.start())..=u32::from(*QUALITY_RANGE.end());
    [
        side("width", "The width in pixels, rounded up to the next size of a list."),
        side("height", "The height in pixels, rounded up to the next size of a list."),
        whole("quality", quality, "The JPEG quality, rounded to the next value of a list."),
    ]
}
