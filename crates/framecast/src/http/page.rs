//! The web pages and the files that these pages load. All are compiled into the program.

use axum::extract::{OriginalUri, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use framecast_hub::Hub;
use framecast_outputs::{HttpError, percent_encode, query_flag};
use utoipa::openapi::path::Parameter;

use super::embed_policy::EmbeddableAnywhere;
use super::openapi::{self, Describe, Operation, RouteTable, Routes, Tag, flag, path_choice};

/// The content security policy (CSP) of our pages. All files that our pages need come from this server, so a page is
/// not allowed to load files from elsewhere. Pictures and video that a page puts together itself have `blob:` URLs.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; img-src 'self' blob: data:; media-src blob:; base-uri 'none'; form-action 'none'";

macro_rules! assets {
    ($($name:literal: $kind:literal),* $(,)?) => {
        &[$(Asset {
            name: $name,
            content_type: $kind,
            content: include_bytes!(concat!("../../web/", $name)),
        }),*]
    };
}

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

pub(super) const HTML: &str = "text/html; charset=utf-8";

const INDEX: &[u8] = include_bytes!("../../web/index.html");
const ROUTES: &[u8] = include_bytes!("../../web/routes.html");
const CAMERA: &[u8] = include_bytes!("../../web/camera.html");

/// The HTML of the page that only shows pictures. `{start}` stands for the path to the start page. `{stream}` stands
/// for the path to a stream, for browsers without scripts.
const EMBED: &str = include_str!("../../web/embed.html");

const ASSETS: &[Asset] = assets! {
    "announcer.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "backoff.js": "text/javascript; charset=utf-8",
    "camera.js": "text/javascript; charset=utf-8",
    "canvas.js": "text/javascript; charset=utf-8",
    "control.js": "text/javascript; charset=utf-8",
    "controls.js": "text/javascript; charset=utf-8",
    "decoder_player.js": "text/javascript; charset=utf-8",
    "decoder_worker.js": "text/javascript; charset=utf-8",
    "embed.css": "text/css; charset=utf-8",
    "embed.js": "text/javascript; charset=utf-8",
    "events.js": "text/javascript; charset=utf-8",
    "format.js": "text/javascript; charset=utf-8",
    "fragment.js": "text/javascript; charset=utf-8",
    "history.css": "text/css; charset=utf-8",
    "icon-lost.svg": "image/svg+xml",
    "icon.svg": "image/svg+xml",
    "live.js": "text/javascript; charset=utf-8",
    "live_stage.js": "text/javascript; charset=utf-8",
    "lost_first.js": "text/javascript; charset=utf-8",
    "mark.js": "text/javascript; charset=utf-8",
    "mjpeg_image.js": "text/javascript; charset=utf-8",
    "problem.js": "text/javascript; charset=utf-8",
    "routes.css": "text/css; charset=utf-8",
    "routes.js": "text/javascript; charset=utf-8",
    "snapshots.js": "text/javascript; charset=utf-8",
    "spans.js": "text/javascript; charset=utf-8",
    "stage.js": "text/javascript; charset=utf-8",
    "states.js": "text/javascript; charset=utf-8",
    "streams.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "tile.js": "text/javascript; charset=utf-8",
    "tiles.js": "text/javascript; charset=utf-8",
    "timeline.js": "text/javascript; charset=utf-8",
    "title.js": "text/javascript; charset=utf-8",
    "video_ladder.js": "text/javascript; charset=utf-8",
    "video_player.js": "text/javascript; charset=utf-8",
};

/// Returns the routes of the pages and of the files that the pages load. `describe_index` describes `/`, and
/// `describe_api` describes `/api`.
pub(super) fn routes(hub: Hub, describe_index: Describe, describe_api: Describe) -> Routes {
    RouteTable::new()
        .get("/", index, describe_index)
        .get("/cameras/{name}", camera, || {
            page("Show the page of one camera").parameters([embed()]).of_camera()
        })
        .get("/api", api, describe_api)
        .get("/static/{file}", file, || {
            let names = ASSETS.iter().map(|file| file.name);
            let operation = Operation::new(Tag::Pages, "Return a file that the pages load")
                .parameters([path_choice("file", names, "The file's name.")])
                .error(404, "There is no such file.");
            let kinds = ASSETS.iter().map(|file| openapi::media_type(file.content_type));
            kinds.fold(operation, |operation, kind| operation.answer(200, kind, "The file."))
        })
        .get("/favicon.ico", icon, || {
            Operation::new(Tag::Pages, "Return the icon of the pages").answer(
                200,
                "image/svg+xml",
                "The icon.",
            )
        })
        .with_state(hub)
}

/// Describes `/`.
pub(super) fn describe_index() -> Operation {
    page("Show the page of all cameras")
        .parameters([embed()])
        .empty(307, "The address lacks its slash at the end, below the prefix of another program.")
}

/// Describes `/api`.
pub(super) fn describe_api() -> Operation {
    page("Show the description of all routes")
}

fn page(summary: &'static str) -> Operation {
    Operation::new(Tag::Pages, summary).answer(200, openapi::HTML, "The page.")
}

fn embed() -> Parameter {
    flag("embed", "Whether the page only shows pictures, for a frame in another page.")
}

async fn api() -> Response {
    respond(HTML, ROUTES)
}

/// Handles `/`: responds with the page that shows all cameras. URLs in the page are relative. So, if another program
/// mounts the router under a prefix and a browser requests this prefix without the final slash, redirects the browser
/// to the URL with the slash.
async fn index(OriginalUri(uri): OriginalUri) -> Result<Response, HttpError> {
    match uri.path().rsplit('/').next() {
        None | Some("") if is_embedded(uri.query())? => Ok(embedded("", "video_feed")),
        None | Some("") => Ok(respond(HTML, INDEX)),
        Some(folder) => {
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            Ok(Redirect::temporary(&format!("{folder}/{query}")).into_response())
        }
    }
}

async fn icon(uri: OriginalUri) -> Result<Response, HttpError> {
    file(uri, Path("icon.svg".to_owned())).await
}

async fn camera(
    State(hub): State<Hub>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    match hub.get(&name) {
        Some(_) if is_embedded(query.as_deref())? => {
            Ok(embedded("../", &format!("{}/stream.mjpg", percent_encode(&name))))
        }
        Some(_) => Ok(respond(HTML, CAMERA)),
        None => Err(HttpError::no_such_camera(&name, &hub)),
    }
}

async fn file(OriginalUri(uri): OriginalUri, Path(name): Path<String>) -> Result<Response, HttpError> {
    match ASSETS.iter().find(|file| file.name == name) {
        Some(file) => Ok(respond(file.content_type, file.content)),
        None => Err(super::nothing_here(uri).await),
    }
}

/// Returns whether `query` contains `embed` or `embed=1`, with which a client asks for the page that only shows
/// pictures.
fn is_embedded(query: Option<&str>) -> Result<bool, HttpError> {
    Ok(query_flag(query.unwrap_or_default(), "embed")?.unwrap_or_default())
}

fn embedded(start: &str, stream: &str) -> Response {
    let mut response = EMBED.replace("{start}", start).replace("{stream}", stream).into_response();
    set_head(response.headers_mut(), HTML);
    response.extensions_mut().insert(EmbeddableAnywhere);
    response
}

fn respond(content_type: &'static str, content: &'static [u8]) -> Response {
    let mut response = content.into_response();
    set_head(response.headers_mut(), content_type);
    response
}

/// Sets the response headers that all pages, and the files that pages load, have in common.
pub(super) fn set_head(headers: &mut HeaderMap, content_type: &'static str) {
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        // The browser revalidates each time, so that it never shows the page of an older version of the program.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_alone_are_asked_for_by_a_word() {
        for query in ["embed", "embed=1", "embed=true", "embed=", "a=b&embed", "embed=0&embed"] {
            assert!(is_embedded(Some(query)).unwrap(), "{query}");
        }
        for query in ["", "embedded", "embed=0", "embed=false", "embed&embed=0", "a=embed"] {
            assert!(!is_embedded(Some(query)).unwrap(), "{query}");
        }
        assert!(!is_embedded(None).unwrap());
        assert!(is_embedded(Some("embed=perhaps")).is_err());
    }

    #[test]
    fn every_file_of_the_page_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".html"))
            .collect();
        on_disk.sort();
        let embedded: Vec<&str> = ASSETS.iter().map(|file| file.name).collect();
        assert_eq!(on_disk, embedded);
    }
}
