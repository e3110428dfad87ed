//! The picture paths of the camera server Motion: `/1/mjpg/stream` and similar paths for streams, and
//! `/1/static/stream` and similar paths for single pictures.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use framecast_hub::{Feed, Rendition};
use framecast_outputs::mjpeg::{Boundary, Framing, PartFormat};
use framecast_outputs::{HttpError, Peer, snapshot};

use super::{Compat, camera_streamer, picture_answer};
use crate::http::nothing_at;

/// The width, in pixels, that the server assumes for a camera's half-size pictures if there is no current picture that
/// shows the full size.
const ASSUMED_HALF_WIDTH_PX: u32 = 640;

/// The kinds of pictures that the camera server Motion offers. The last segment of a request's path names the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    /// The camera's pictures, at half the width and half the height.
    Substream,
    Main,
    Source,
    /// The pictures that Motion analyses to detect motion. Framecast does not have such pictures.
    Motion,
    Secondary,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Stream, Self::Substream, Self::Main, Self::Source, Self::Motion, Self::Secondary];

    /// Returns the name of this kind in a path.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Substream => "substream",
            Self::Main => "main",
            Self::Source => "source",
            Self::Motion => "motion",
            Self::Secondary => "secondary",
        }
    }

    /// Returns the rendition of `feed` (the size of its pictures) for this kind of picture. Half the size is
    /// computed from a current picture, for which the camera is opened if necessary.
    ///
    /// # Errors
    /// `self` is a kind of picture that exists only because Motion detects motion. Framecast does not have such
    /// pictures.
    async fn rendition(
        self,
        compat: &Compat,
        feed: &Arc<Feed>,
        method: &Method,
    ) -> Result<Rendition, HttpError> {
        match self {
            Self::Stream | Self::Main | Self::Source => Ok(Rendition::default()),
            Self::Substream => {
                // If there is no picture, the stream itself says why.
                let picture =
                    compat.picture(feed, snapshot::SnapshotRequest::default(), method).await.ok().flatten();
                let full = picture.filter(|update| !update.is_slate);
                let width = full.map_or(ASSUMED_HALF_WIDTH_PX, |update| update.frame.format.width_px / 2);
                Ok(Rendition::default().with_width(width))
            }
            Self::Motion | Self::Secondary => {
                let message = format!(
                    "the picture `{}` is not supported: this server detects no motion",
                    self.as_str()
                );
                Err(HttpError { status: StatusCode::NOT_FOUND, message })
            }
        }
    }
}

/// The parameters of a path: the number of a camera, and the name of a kind of picture.
type PathParameters = Path<(String, String)>;

/// Returns the camera and the kind of picture that a path asks for. Motion counts cameras from 1. In Motion, the number
/// 0 means all cameras; here it means the default camera.
///
/// # Errors
/// There is no such camera, or no such kind.
fn find(compat: &Compat, path: &PathParameters, uri: &Uri) -> Result<(Arc<Feed>, Kind), HttpError> {
    let Path((number, kind)) = path;
    let number = compat.number(number, 1, uri)?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == *kind);
    let kind = kind.ok_or_else(|| nothing_at(uri))?;
    Ok((Arc::clone(&compat.nth_camera(number.saturating_sub(1))?.feed), kind))
}

/// Handles `/N/mpegts/stream`, a path for video, which this server does not send.
pub(super) async fn no_video(
    State(compat): State<Compat>,
    Path(number): Path<String>,
    uri: Uri,
) -> Result<Response, HttpError> {
    compat.number(&number, 1, &uri)?;
    Err(camera_streamer::no_video().await)
}

pub(super) async fn stream(
    State(compat): State<Compat>,
    path: PathParameters,
    request: Request,
) -> Result<Response, HttpError> {
    let (feed, kind) = find(&compat, &path, request.uri())?;
    let framing = Framing::by_client(request.headers());
    let part_format = PartFormat { boundary: Boundary::Frame, framing };
    let rendition = kind.rendition(&compat, &feed, request.method()).await?;
    compat.stream(&feed, rendition, part_format, &request)
}

pub(super) async fn picture(
    State(compat): State<Compat>,
    path: PathParameters,
    request: Request,
) -> Result<Response, HttpError> {
    let (feed, kind) = find(&compat, &path, request.uri())?;
    let rendition = kind.rendition(&compat, &feed, request.method()).await?;
    let snapshot_request = snapshot::SnapshotRequest {
        max_age: None,
        rendition,
        peer: Peer::from_extensions(request.extensions()),
    };
    let picture = compat.picture(&feed, snapshot_request, request.method()).await?;
    let mut response = picture_answer(picture.as_ref(), &[]);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
