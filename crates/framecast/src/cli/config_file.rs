//! Reads the configuration file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use rustix::fs::OFlags;
use rustix::process::{getegid, geteuid};

/// The name of the file beside the configuration of a service that has the variables of its environment.
const VARIABLES_FILE: &str = "framecast.env";

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
    /// Whether it was a regular file, not a pipe, which can be read only once.
    pub(super) is_regular: bool,
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
        let (path, is_regular) = (path.to_owned(), path.is_file());
        let text = read_text(&path, open).map_err(|error| format!("{error:#}"));
        Self { path, text, is_regular }
    }
}

/// Returns the file with the variables of a service's environment whose configuration file is `config`; `None` if there
/// is none.
pub(super) fn variables_file(config: &Path) -> Option<PathBuf> {
    Some(config.with_file_name(VARIABLES_FILE)).filter(|path| path.exists())
}

/// Returns why the file `shown` could not be read, and what to do if this account may not read it.
fn reason(error: &io::Error, shown: &str) -> String {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error.to_string();
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let word = shell_words::quote(shown);
    format!(
        "the user with the id {user} may not read it; to allow that, run: chgrp {group} {word} && chmod g+r {word}; \
         its folder must also be open to that user"
    )
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
    let (bytes, metadata) =
        read().map_err(|error| anyhow!("cannot read {shown}: {}", reason(&error, &shown)))?;
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
