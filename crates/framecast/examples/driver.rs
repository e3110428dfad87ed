//! A driver without controls: the source `gray:?fps=10` shows a gray picture that gets brighter.
use framecast::codec::{RgbImage, jpeg};
use framecast::{App, BoxFuture, CaptureTime, Driver, DriverError, Drivers, Frame, FrameBuilder};
use framecast::{OpenContext, Settings, Source, SourceUrl, shutdown_signal};
use tokio::time::{Interval, interval};

struct Gray;
impl Driver for Gray {
    fn scheme(&self) -> &'static str {
        "gray"
    }
    fn open<'a>(&'a self, context: &'a OpenContext, url: &'a SourceUrl) -> Opening<'a> {
        Box::pin(async move {
            let ticks = interval(url.options(&["fps"])?.frame_interval(10.0)?);
            Ok(Box::new(OpenGray { ticks, builder: FrameBuilder::new(context) }) as Box<dyn Source>)
        })
    }
}
type Opening<'a> = BoxFuture<'a, Result<Box<dyn Source>, DriverError>>;
struct OpenGray {
    ticks: Interval,
    builder: FrameBuilder,
}
impl Source for OpenGray {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, DriverError>> {
        Box::pin(async {
            self.ticks.tick().await;
            let mut picture = RgbImage::new(320, 240);
            picture.data_mut().fill((self.builder.now().monotonic.as_millis() / 40) as u8);
            let picture = jpeg::encode(&picture, 80).map_err(DriverError::transient)?;
            self.builder.jpeg_frame(picture, CaptureTime::Now).map(Some)
        })
    }
}
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::with_cameras([("gray", "gray:?fps=25")])?;
    App::start(settings, Drivers::default().with(Gray)).await?.run(shutdown_signal()).await;
    Ok(())
}
