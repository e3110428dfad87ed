//! The readers whose driver did not close its device in time. Each may keep a thread for as long as its driver hangs,
//! so the server limits their number, whatever becomes of the cameras that they were for.

use std::sync::{Arc, Mutex};

use framecast_media::lock;

use super::reader::ReaderEnd;

/// The maximum number of threads that hang in the driver of cameras with one name. While there are this many, the
/// supervisor starts no further thread for such a camera.
const MAX_OF_CAMERA: usize = 4;

/// The maximum number of threads of the whole server that hang in a driver. It limits what cameras cost that come and
/// go under ever new names.
const MAX_OF_SERVER: usize = 256;

/// The stuck readers of all cameras of a server. Clones share the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct StuckReaders(Arc<Mutex<Vec<StuckReader>>>);

#[derive(Debug)]
struct StuckReader {
    camera: String,
    end: ReaderEnd,
}

impl StuckReaders {
    /// Adds a reader of the camera called `camera`. It is on the list until its `end`.
    pub(super) fn add(&self, camera: &str, end: ReaderEnd) {
        lock(&self.0).push(StuckReader { camera: camera.to_owned(), end });
    }

    /// Returns why no reader may be started for the camera called `camera`; `None` if one may be started.
    pub(super) fn refusal(&self, camera: &str) -> Option<String> {
        let mut readers = lock(&self.0);
        readers.retain_mut(|reader| !reader.end.has_come());
        let of_camera = readers.iter().filter(|reader| reader.camera == camera).count();
        let (hang, of) = match (of_camera, readers.len()) {
            (MAX_OF_CAMERA.., _) => (of_camera, "driver threads"),
            (_, all @ MAX_OF_SERVER..) => (all, "driver threads of this server's cameras"),
            _ => return None,
        };
        Some(format!("{hang} {of} hang; the source stays closed until one of them returns"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_camera_is_refused_for_its_own_stuck_readers_and_any_camera_for_very_many() {
        let stuck = StuckReaders::default();
        let mut running = Vec::new();
        let mut add = |camera: &str| {
            let (end, ended) = oneshot::channel();
            running.push(end);
            stuck.add(camera, ReaderEnd::new(ended));
        };
        (1..MAX_OF_CAMERA).for_each(|_| add("door"));
        assert_eq!(stuck.refusal("door"), None);
        add("door");
        assert!(stuck.refusal("door").is_some_and(|reason| reason.starts_with("4 driver threads hang")));
        assert_eq!(stuck.refusal("yard"), None);
        (MAX_OF_CAMERA..MAX_OF_SERVER).for_each(|number| add(&number.to_string()));
        assert!(stuck.refusal("yard").is_some_and(|reason| reason.starts_with(&format!("{MAX_OF_SERVER} "))));
        running.swap_remove(0).send(()).unwrap();
        assert_eq!((stuck.refusal("yard"), stuck.refusal("door")), (None, None));
    }
}
