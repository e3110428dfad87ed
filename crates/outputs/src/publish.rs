//! For tests: a camera or channel that publishes one frame or slate at a time.

use framecast_hub::{Channel, Epoch, Feed};
use framecast_media::{Anchor, Frame};

pub(crate) trait Publish {
    /// Publishes `frame` as the only frame of an opening.
    fn publish(&self, frame: Frame);

    /// Shows `slate` until the next frame.
    fn publish_slate(&self, slate: Frame);
}

impl Publish for Feed {
    fn publish(&self, frame: Frame) {
        assert!(self.begin_epoch(Anchor::of(&frame)).publish(frame));
    }

    fn publish_slate(&self, slate: Frame) {
        self.slate_publisher().publish(slate);
    }
}

impl Publish for Channel {
    fn publish(&self, frame: Frame) {
        let epoch = Epoch { number: 1, anchor: Anchor::of(&frame) };
        assert!(self.publisher().publish(frame, epoch));
    }

    fn publish_slate(&self, slate: Frame) {
        assert!(self.publisher().publish_slate(slate));
    }
}
