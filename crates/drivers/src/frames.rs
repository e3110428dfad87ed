//! Drivers made from an iterator or a stream of JPEG images: a camera of one's own in ten lines.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use framecast_media::{Bytes, Frame};
use futures_core::Stream;
use futures_util::StreamExt;

use crate::blocking::{self, Blocking};
use crate::{BoxFuture, Door, Driver, Error, Source, SourceUrl};

/// Something that is a JPEG image, or the reason why there is none.
pub trait IntoPicture {
    /// The bytes of the image.
    ///
    /// # Errors
    /// Why the camera is lost; it is opened again after a while.
    fn into_picture(self) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;
}

macro_rules! is_picture {
    ($($kind:ty),*) => {$(
        impl IntoPicture for $kind {
            fn into_picture(self) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Bytes::from(self))
            }
        }
    )*};
}
is_picture!(Vec<u8>, Box<[u8]>, Bytes, &'static [u8]);

impl<T: IntoPicture, E: Into<Box<dyn std::error::Error + Send + Sync>>> IntoPicture for Result<T, E> {
    fn into_picture(self) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        self.map_err(Into::into)?.into_picture()
    }
}

/// A driver over iterators, which may block.
pub(crate) struct IterDriver<F> {
    scheme: &'static str,
    open: Arc<F>,
}

impl<F> IterDriver<F> {
    pub(crate) fn new(scheme: &'static str, open: F) -> Self {
        Self { scheme, open: Arc::new(open) }
    }
}

impl<F, I> Driver for IterDriver<F>
where
    F: Fn() -> I + Send + Sync + 'static,
    I: IntoIterator + 'static,
    I::Item: IntoPicture,
{
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let (open, mut door) = (Arc::clone(&self.open), Door::new(url));
            let source: Blocking = blocking::spawn(self.scheme, move |sink| {
                for item in open() {
                    let frame = item
                        .into_picture()
                        .map_err(Error::Custom)
                        .and_then(|data| door.admit(data, SystemTime::now()));
                    if sink.send(frame).is_err() {
                        break;
                    }
                }
            })?;
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

/// A driver over asynchronous streams.
pub(crate) struct StreamDriver<F> {
    scheme: &'static str,
    open: F,
}

impl<F> StreamDriver<F> {
    pub(crate) fn new(scheme: &'static str, open: F) -> Self {
        Self { scheme, open }
    }
}

impl<F, S> Driver for StreamDriver<F>
where
    F: Fn() -> S + Send + Sync + 'static,
    S: Stream + Send + 'static,
    S::Item: IntoPicture,
{
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let source = StreamSource { pictures: Box::pin((self.open)()), door: Door::new(url) };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

struct StreamSource<S> {
    pictures: Pin<Box<S>>,
    door: Door,
}

impl<S> Source for StreamSource<S>
where
    S: Stream + Send,
    S::Item: IntoPicture,
{
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        // The pinned box is all that the future borrows, so that items need not be `Send`.
        let Self { pictures, door } = self;
        Box::pin(async move {
            let next = pictures.next().await.map(IntoPicture::into_picture);
            match next {
                Some(picture) => door.admit(picture.map_err(Error::Custom)?, SystemTime::now()).map(Some),
                None => Ok(None),
            }
        })
    }
}
