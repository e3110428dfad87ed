//! The picture paths of the camera server Motion: `/1/mjpg/stream` and similar paths for streams, and
//! `/1/static/stream` and similar paths for single pictures.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use framecast_hub::{Feed, Rendition};
use framecast_outputs::mjpeg::{Boundary, Framing, PartFormat};
use framecast_outputs::{HttpError, Peer, snapshot};

use super::{Compat, picture_answer};

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
                let message = format!("the picture `{self}` is not supported: this server detects no motion");
                Err(HttpError { status: StatusCode::NOT_FOUND, message })
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "stream",
            Self::Substream => "substream",
            Self::Main => "main",
            Self::Source => "source",
            Self::Motion => "motion",
            Self::Secondary => "secondary",
        })
    }
}

/// Returns the camera whose number in Motion's paths is `n`. Motion counts cameras from 1. The number 0 stands for the
/// default camera.
fn feed(compat: &Compat, n: usize) -> Result<Arc<Feed>, HttpError> {
    Ok(Arc::clone(&compat.nth_camera(n.saturating_sub(1))?.feed))
}

pub(super) async fn stream(
    State(compat): State<Compat>,
    n: usize,
    kind: Kind,
    request: Request,
) -> Result<Response, HttpError> {
    let feed = feed(&compat, n)?;
    let framing = Framing::by_client(request.headers());
    let part_format = PartFormat { boundary: Boundary::Frame, framing };
    let rendition = kind.rendition(&compat, &feed, request.method()).await?;
    compat.stream(&feed, rendition, part_format, &request)
}

pub(super) async fn picture(
    State(compat): State<Compat>,
    n: usize,
    kind: Kind,
    request: Request,
) -> Result<Response, HttpError> {
    let feed = feed(&compat, n)?;
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
