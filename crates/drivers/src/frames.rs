//! Drivers made from an iterator or a stream of JPEG images, for a custom camera in ten lines of code.

use std::pin::Pin;
use std::sync::Arc;

use framecast_media::{Bytes, Frame};
use futures_core::Stream;
use futures_util::StreamExt;

use crate::blocking::{self, BlockingSource};
use crate::{BoxFuture, CaptureTime, Driver, Error, FrameBuilder, OpenContext, Source, SourceUrl};

/// A value that holds a JPEG image, or the reason why there is no image. A pair of an image and a [`CaptureTime`] also
/// says when the image was captured.
pub trait IntoPicture {
    /// Returns when the image was captured. The default says that it was captured now.
    fn captured(&self) -> CaptureTime {
        CaptureTime::Now
    }

    /// Returns the bytes of the image.
    ///
    /// # Errors
    /// Why there is no image. The camera is then considered lost, and the supervisor, which keeps the camera open,
    /// opens it again later. [`Error::frame`] and [`Error::fatal`] say something else: only this picture is broken, or
    /// opening the camera again cannot help.
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

impl<T: IntoPicture> IntoPicture for (T, CaptureTime) {
    fn captured(&self) -> CaptureTime {
        self.1
    }

    fn into_picture(self) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        self.0.into_picture()
    }
}

impl<T: IntoPicture, E: Into<Box<dyn std::error::Error + Send + Sync>>> IntoPicture for Result<T, E> {
    fn captured(&self) -> CaptureTime {
        self.as_ref().map_or(CaptureTime::Now, IntoPicture::captured)
    }

    fn into_picture(self) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
        self.map_err(Into::into)?.into_picture()
    }
}

/// A driver whose pictures come from iterators, which are allowed to block.
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
    F: Fn(SourceUrl) -> I + Send + Sync + 'static,
    I: IntoIterator + 'static,
    I::Item: IntoPicture,
{
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let (open, url, mut builder) = (Arc::clone(&self.open), url.clone(), FrameBuilder::new(context));
            let source: BlockingSource = blocking::spawn(self.scheme, move |sink| {
                for item in open(url) {
                    let captured = item.captured();
                    let frame = item
                        .into_picture()
                        .map_err(Error::from_custom)
                        .and_then(|data| builder.jpeg_frame(data, captured));
                    sink.set_repaired_frames(builder.repaired_frames());
                    if sink.send(frame).is_err() {
                        break;
                    }
                }
            })?;
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

/// A driver whose pictures come from asynchronous streams.
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
    F: Fn(SourceUrl) -> S + Send + Sync + 'static,
    S: Stream + Send + 'static,
    S::Item: IntoPicture,
{
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let pictures = Box::pin((self.open)(url.clone()));
            let source = StreamSource { pictures, builder: FrameBuilder::new(context) };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

struct StreamSource<S> {
    pictures: Pin<Box<S>>,
    builder: FrameBuilder,
}

impl<S> Source for StreamSource<S>
where
    S: Stream + Send,
    S::Item: IntoPicture,
{
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        // The future borrows only the pinned box, so items need not be `Send`.
        let Self { pictures, builder } = self;
        Box::pin(async move {
            let next = pictures.next().await.map(|item| (item.captured(), item.into_picture()));
            match next {
                Some((captured, picture)) => {
                    builder.jpeg_frame(picture.map_err(Error::from_custom)?, captured).map(Some)
                }
                None => Ok(None),
            }
        })
    }

    fn repaired_frames(&self) -> u64 {
        self.builder.repaired_frames()
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::rc::Rc;
    use std::sync::mpsc;
    use std::time::{Duration, SystemTime};

    use framecast_testkit::blocking::received;
    use framecast_testkit::soon;
    use futures_util::stream;

    use super::*;
    use crate::{Drivers, ErrorKind, Failure};

    const PICTURE: &[u8] = include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg");

    async fn open(drivers: Drivers) -> Box<dyn Source> {
        open_url(drivers, "mine").await
    }

    async fn open_url(drivers: Drivers, url: &str) -> Box<dyn Source> {
        let (context, url) = (OpenContext::default(), SourceUrl::parse(url).unwrap());
        soon("the source is open", drivers.open(&context, &url)).await.unwrap()
    }

    async fn next(source: &mut Box<dyn Source>) -> Result<Option<Frame>, Error> {
        soon("the next picture", source.next_frame()).await
    }

    /// Reads pictures to the end of the source and counts them.
    async fn count(source: &mut Box<dyn Source>) -> usize {
        let mut pictures = 0;
        while let Some(frame) = next(source).await.unwrap() {
            assert_eq!(frame.data, PICTURE);
            pictures += 1;
        }
        pictures
    }

    #[tokio::test]
    async fn each_opening_reads_an_iterator_of_its_own_to_its_end() {
        let drivers = Drivers::default().with_frames("mine", |_| vec![PICTURE.to_vec(); 3]);
        for _ in 0..2 {
            assert_eq!(count(&mut open(drivers.clone()).await).await, 3);
        }
    }

    #[tokio::test]
    async fn an_opening_gets_the_url_of_its_camera() {
        let pictures = |url: SourceUrl| {
            let options = url.options(&["count"]).unwrap();
            vec![PICTURE; options.get("count").map_or(1, |count| count.parse().unwrap())]
        };
        let drivers = Drivers::default()
            .with_frames("mine", pictures)
            .with_frame_stream("streamed", move |url| stream::iter(pictures(url)));
        for (url, wanted) in [("mine:?count=2", 2), ("streamed:?count=3", 3), ("mine:", 1)] {
            assert_eq!(count(&mut open_url(drivers.clone(), url).await).await, wanted, "{url}");
        }
    }

    #[tokio::test]
    async fn an_item_says_when_it_was_captured() {
        let captured_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let items = move |_: SourceUrl| [Ok::<_, Error>((PICTURE, CaptureTime::Original(captured_at)))];
        let drivers = Drivers::default()
            .with_frames("mine", items)
            .with_frame_stream("streamed", move |url| stream::iter(items(url)));
        for url in ["mine", "streamed"] {
            let frame = next(&mut open_url(drivers.clone(), url).await).await.unwrap().unwrap();
            assert_eq!(frame.captured_at, captured_at, "{url}");
        }
    }

    #[tokio::test]
    async fn an_iterator_may_block_and_need_not_be_send() {
        let (lens, scene) = mpsc::channel::<Vec<u8>>();
        let scene = std::sync::Mutex::new(Some(scene));
        let drivers = Drivers::default().with_frames("mine", move |_| {
            let scene = Rc::new(scene.lock().unwrap().take().unwrap());
            std::iter::from_fn(move || received("a picture", &scene).ok())
        });
        let mut source = open(drivers).await;
        lens.send(PICTURE.to_vec()).unwrap();
        assert_eq!(next(&mut source).await.unwrap().unwrap().data, PICTURE);
        drop(lens);
        assert!(next(&mut source).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_endless_iterator_is_dropped_with_its_source() {
        let device = Arc::new(());
        let held = Arc::clone(&device);
        let drivers = Drivers::default().with_frames("mine", move |_| {
            let held = Arc::clone(&held);
            std::iter::repeat_with(move || {
                let _ = &held;
                PICTURE
            })
        });
        let mut source = open(drivers.clone()).await;
        next(&mut source).await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&device), 3);
        drop(source);
        assert_eq!(Arc::strong_count(&device), 2, "the driver still has one");
    }

    #[tokio::test]
    async fn an_error_of_the_iterator_is_told_in_its_own_words() {
        let items = |_: SourceUrl| [Ok(PICTURE), Err("the lens cap is on")];
        let mut source = open(Drivers::default().with_frames("mine", items)).await;
        next(&mut source).await.unwrap().unwrap();
        let error = next(&mut source).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient(Failure::Other));
        assert_eq!(error.to_string(), "the lens cap is on");
    }

    #[tokio::test]
    async fn an_item_says_whether_one_picture_is_broken_or_the_whole_camera() {
        let items =
            |_: SourceUrl| [Err(Error::frame("a smear")), Ok(PICTURE), Err(Error::fatal("no such lens"))];
        let drivers = Drivers::default()
            .with_frames("mine", items)
            .with_frame_stream("streamed", move |url| stream::iter(items(url)));
        for url in ["mine", "streamed"] {
            let mut source = open_url(drivers.clone(), url).await;
            assert_eq!(next(&mut source).await.unwrap_err().kind(), ErrorKind::Frame, "{url}");
            assert_eq!(next(&mut source).await.unwrap().unwrap().data, PICTURE, "{url}");
            assert_eq!(next(&mut source).await.unwrap_err().kind(), ErrorKind::Fatal, "{url}");
        }
    }

    #[tokio::test]
    async fn a_broken_picture_is_an_error_of_its_own() {
        let items = |_: SourceUrl| [&PICTURE[..100], PICTURE];
        let mut source = open(Drivers::default().with_frames("mine", items)).await;
        assert_eq!(next(&mut source).await.unwrap_err().kind(), ErrorKind::Frame);
        assert_eq!(count(&mut source).await, 1);
        assert_eq!(source.repaired_frames(), 0);
    }

    #[tokio::test]
    async fn pictures_with_something_around_them_are_shown_and_counted() {
        let items =
            |_: SourceUrl| [PICTURE.to_vec(), [b"\xFF", PICTURE].concat(), [PICTURE, b"dhav"].concat()];
        let drivers = Drivers::default()
            .with_frames("mine", items)
            .with_frame_stream("streamed", move |url| stream::iter(items(url)));
        for url in ["mine", "streamed"] {
            let mut source = open_url(drivers.clone(), url).await;
            assert_eq!(count(&mut source).await, 3, "{url}");
            assert_eq!(source.repaired_frames(), 2, "{url}");
        }
    }

    #[tokio::test]
    async fn a_panic_while_opening_is_an_error_of_the_source() {
        let drivers = Drivers::default().with_frames("mine", |_| -> Vec<Vec<u8>> { panic!("no bus") });
        let error = next(&mut open(drivers).await).await.unwrap_err();
        assert_eq!(error.to_string(), "the driver panicked: no bus");
    }

    #[tokio::test]
    async fn a_stream_is_read_like_an_iterator() {
        let items =
            |_: SourceUrl| stream::iter([Ok(PICTURE), Ok(&PICTURE[..100]), Ok(PICTURE), Err("unplugged")]);
        let mut source = open(Drivers::default().with_frame_stream("mine", items)).await;
        assert_eq!(next(&mut source).await.unwrap().unwrap().data, PICTURE);
        assert_eq!(next(&mut source).await.unwrap_err().kind(), ErrorKind::Frame);
        assert_eq!(next(&mut source).await.unwrap().unwrap().data, PICTURE);
        assert_eq!(next(&mut source).await.unwrap_err().to_string(), "unplugged");
        assert!(next(&mut source).await.unwrap().is_none());
    }
}
