//! Reads the configuration file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use rustix::fs::OFlags;

/// The maximum size of a configuration file, in bytes: enough for tens of thousands of cameras.
const MAX_FILE_BYTES: usize = 16 << 20;

/// The permission bit that lets other users write a file.
const WRITTEN_BY_OTHERS: u32 = 0o002;

/// A configuration file as it was when the program read it.
#[derive(Debug, Clone)]
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// The file's text, or why it could not be read.
    pub(super) text: Result<String, String>,
}

impl ConfigFile {
    /// Reads the file at `path`, which may be a pipe. Can block.
    pub(super) fn read(path: &Path) -> Self {
        Self::opened(path, || File::open(path))
    }

    /// Reads the file at `path` once more. A pipe, which could block for ever, is an error.
    pub(super) fn read_again(path: &Path) -> Self {
        Self::opened(path, || {
            let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
            let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
            match file.metadata()?.is_file() {
                true => Ok(file),
                false => Err(io::Error::other("it is no longer a file")),
            }
        })
    }

    /// Returns whether the file contains nothing, perhaps because a program is about to write it.
    pub(super) fn is_blank(&self) -> bool {
        self.text.as_ref().is_ok_and(|text| text.trim().is_empty())
    }

    fn opened(path: &Path, open: impl FnOnce() -> io::Result<File>) -> Self {
        Self { path: path.to_owned(), text: read_text(path, open).map_err(|error| format!("{error:#}")) }
    }
}

fn read_text(path: &Path, open: impl FnOnce() -> io::Result<File>) -> anyhow::Result<String> {
    let shown = path.display().to_string();
    if shown.contains("://") {
        bail!(
            "--config must be the path of a file; write a source without an option: framecast http://ADDRESS"
        );
    }
    let read = || {
        let file = open()?;
        let mut bytes = Vec::new();
        (&file).take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        io::Result::Ok((bytes, file.metadata()?))
    };
    let (bytes, metadata) = read().with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() > MAX_FILE_BYTES {
        bail!("{shown} is larger than {} MiB: is it a configuration file?", MAX_FILE_BYTES >> 20);
    }
    // Pipes and devices, such as `/dev/null`, do not count.
    if metadata.is_file() && metadata.mode() & WRITTEN_BY_OTHERS != 0 {
        let word = shell_words::quote(&shown);
        bail!(
            "other users of this machine can write {shown}, so they could make the server run their programs; to stop \
             that, run: chmod o-w {word}"
        );
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow!("{shown}:{line}: this is not UTF-8 text (byte {valid})")
    })
}
