//! Motion's picture paths: `/1/mjpg/stream` and its siblings, `/1/static/stream` for one picture.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use framecast_hub::{Feed, Rendition};
use framecast_outputs::mjpeg::{Boundary, Framing, Style};
use framecast_outputs::{Refusal, snapshot};

use super::{DropIn, picture_answer};

/// Which of a camera's pictures are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    /// At half the size.
    Substream,
    Main,
    Source,
    /// What its detection of motion sees.
    Motion,
    Secondary,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Stream, Self::Substream, Self::Main, Self::Source, Self::Motion, Self::Secondary];

    /// The rendition of `feed`.
    ///
    /// # Errors
    /// Pictures of detection, which is not done here.
    fn rendition(self, feed: &Feed) -> Result<Rendition, Refusal> {
        match self {
            Self::Stream | Self::Main | Self::Source => Ok(Rendition::default()),
            Self::Substream => {
                let width = feed.source().newest().map(|frame| frame.format.width_px / 2);
                Ok(width.map_or_else(Rendition::default, |width| Rendition::default().with_width(width)))
            }
            Self::Motion | Self::Secondary => {
                let message = format!("this server detects no motion: there is no picture `{self}`");
                Err(Refusal { status: StatusCode::NOT_FOUND, message })
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

/// The camera that Motion numbers `n`.
fn feed(drop_in: &DropIn, n: usize) -> Result<Arc<Feed>, Refusal> {
    Ok(Arc::clone(&drop_in.nth_camera(n.saturating_sub(1))?.feed))
}

pub(super) async fn stream(
    State(drop_in): State<DropIn>,
    n: usize,
    kind: Kind,
    request: Request,
) -> Result<Response, Refusal> {
    let feed = feed(&drop_in, n)?;
    let framing = Framing::by_client(request.headers());
    let style = Style { boundary: Boundary::Frame, framing };
    drop_in.stream(&feed, kind.rendition(&feed)?, style, &request)
}

pub(super) async fn picture(
    State(drop_in): State<DropIn>,
    n: usize,
    kind: Kind,
    request: Request,
) -> Result<Response, Refusal> {
    let feed = feed(&drop_in, n)?;
    let wish = snapshot::Wish { max_age: None, rendition: kind.rendition(&feed)? };
    let picture = drop_in.picture(&feed, wish, request.method()).await?;
    let mut response = picture_answer(picture.as_ref(), &[]);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
