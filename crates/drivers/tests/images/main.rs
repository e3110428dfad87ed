//! Tests `images:` with real files and folders.
#![warn(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod loop_source;
mod watch_source;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use framecast_drivers::{Drivers, Error, ErrorKind, OpenContext, Source, SourceUrl};
use framecast_media::codec::jpeg;
use framecast_media::{Bytes, draw};
use framecast_testkit::soon;
use tempfile::TempDir;

/// A folder of distinguishable pictures.
struct Album(TempDir);

impl Album {
    fn new() -> Self {
        // Short, so that its name does not look like a token.
        Self(tempfile::Builder::new().prefix("al").rand_bytes(5).tempdir().unwrap())
    }

    fn with(names: &[(&str, u8)]) -> Self {
        let album = Self::new();
        for (name, number) in names {
            album.write(name, &picture(*number));
        }
        album
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, data: &[u8]) {
        std::fs::write(self.path(name), data).unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    /// Opens `images:` with the path of the folder and `rest`.
    async fn open(&self, rest: &str) -> Result<Box<dyn Source>, Error> {
        open(&format!("images:{}{rest}", self.0.path().display())).await
    }
}

async fn open(url: &str) -> Result<Box<dyn Source>, Error> {
    let (drivers, context) = (Drivers::builtin(), OpenContext::default());
    soon("the source opens", drivers.open(&context, &SourceUrl::parse(url).unwrap())).await
}

async fn refusal(url: &str) -> String {
    open(url).await.err().unwrap().to_string()
}

/// A small picture that is different for each number.
fn picture(number: u8) -> Bytes {
    jpeg::encode(&draw::numbered_card(number % 10, 64 + 8 * u32::from(number), 64), 50).unwrap()
}

/// The number of the next picture.
async fn next(source: &mut Box<dyn Source>) -> u8 {
    let frame = soon("a picture", source.next_frame()).await.unwrap().unwrap();
    ((frame.format.width_px - 64) / 8) as u8
}

fn set_modified(path: &Path, seconds_ago: u64) -> SystemTime {
    let file = File::options().write(true).open(path).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - seconds_ago);
    file.set_modified(time).unwrap();
    time
}
