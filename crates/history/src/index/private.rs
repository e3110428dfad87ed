//! Creates files and folders that only the server's account can read, whatever the umask is, because events reveal when
//! someone is at home. Files and folders that exist already keep their permissions, for example a folder that a service
//! manager has created.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Creates the folder `path` and its missing parents, so that only the server's account can read them.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens the file `path` for writing. If the file does not exist, creates it so that only the server's account can read
/// it.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}
