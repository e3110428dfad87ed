//! Tests the `http:` and `https:` drivers against servers that replay what cameras do.
#![warn(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used)]

mod answers;
mod login;
mod odd;
mod redirects;
mod server;
mod snapshot_poller;
mod stream;
mod timeouts;
mod tls;

use framecast_drivers::{Drivers, Error, OpenContext, Source, SourceUrl};
use framecast_testkit::soon;

/// Two pictures that the frame builder passes unchanged.
const ONE: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");
const TWO: &[u8] = include_bytes!("../../../../testdata/imagemagick-progressive.jpg");

/// Opens `url` with the drivers that come with Framecast.
async fn open(url: &str) -> Result<Box<dyn Source>, Error> {
    open_bounded(url, 1 << 20).await
}

async fn open_bounded(url: &str, max_picture_bytes: usize) -> Result<Box<dyn Source>, Error> {
    let context = OpenContext::default().with_max_picture_bytes(max_picture_bytes);
    soon("the source opens", Drivers::builtin().open(&context, &SourceUrl::parse(url)?)).await
}

/// The error of opening `url`.
async fn refusal(url: &str) -> Error {
    open(url).await.err().unwrap()
}

/// The next picture's bytes.
async fn picture(source: &mut Box<dyn Source>) -> Vec<u8> {
    soon("a picture", source.next_frame()).await.unwrap().unwrap().data.to_vec()
}
