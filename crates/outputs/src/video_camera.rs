//! For tests: a camera that delivers coded video.

use std::sync::Arc;
use std::time::SystemTime;

use framecast_hub::{Feed, Publisher};
use framecast_media::container::AnnexBReader;
use framecast_media::{Anchor, Codec, Dependency, Format, Frame};
use framecast_testkit::CodedStream;

/// Returns the format of the video in a file of `testdata`.
fn format_of(file: &[u8]) -> Arc<Format> {
    let mut reader = AnnexBReader::new(Some(Codec::H264), 1 << 20);
    reader.push(file);
    reader.end();
    reader.next_access_unit().unwrap().expect("the file has a picture").format
}

/// Returns the format of video with 96x64 pixels.
pub(crate) fn baseline() -> Arc<Format> {
    format_of(include_bytes!("../../../testdata/x264-baseline.h264"))
}

/// Returns the format of video with another size.
pub(crate) fn cropped() -> Arc<Format> {
    format_of(include_bytes!("../../../testdata/x264-cropped.h264"))
}

/// A camera that delivers the frames of a [`CodedStream`], 30 a second, in the format of real video.
pub(crate) struct VideoCamera {
    publisher: Publisher,
    stream: CodedStream,
    pub(crate) format: Arc<Format>,
    pub(crate) frame_bytes: usize,
}

impl VideoCamera {
    pub(crate) fn open(feed: &Feed) -> Self {
        let anchor = Anchor::new(SystemTime::UNIX_EPOCH);
        let (publisher, stream) = (feed.begin_epoch(anchor), CodedStream::default());
        Self { publisher, stream, format: baseline(), frame_bytes: 1000 }
    }

    pub(crate) fn publish(&mut self, dependency: Dependency) -> Frame {
        let mut frame = self.stream.next(dependency, self.frame_bytes);
        frame.format = Arc::clone(&self.format);
        assert!(self.publisher.publish(frame.clone()));
        frame
    }

    /// Publishes a keyframe and `others` frames that need the frame before them.
    pub(crate) fn publish_gop(&mut self, others: usize) {
        self.publish(Dependency::Keyframe);
        (0..others).for_each(|_| drop(self.publish(Dependency::Reference)));
    }
}
