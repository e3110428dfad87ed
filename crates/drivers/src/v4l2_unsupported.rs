//! Replaces the V4L2 driver on systems other than Linux. Every use returns an error that says that V4L2 needs Linux.

use std::future::ready;

use crate::{BoxFuture, Driver, Error, OpenContext, Source, SourceUrl};

/// The driver for `v4l2:` on systems other than Linux, which only returns errors.
pub(crate) struct V4l2;

impl Driver for V4l2 {
    fn scheme(&self) -> &'static str {
        "v4l2"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        Err(refusal(url))
    }

    fn open<'a>(
        &'a self,
        _: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(ready(Err(refusal(url))))
    }
}

fn refusal(url: &SourceUrl) -> Error {
    let problem = "needs Linux, because V4L2 is Linux's camera interface; on this system read the camera with a \
                   program: exec:ffmpeg … -f mjpeg -";
    Error::BadUrl { url: url.to_string(), problem: problem.to_owned() }
}
