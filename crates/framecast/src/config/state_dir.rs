//! Parses and checks the folder that `state_dir` in the file names.
//!
//! This module converts the user's text into a path, or returns the reason why the server could not write there. It
//! creates and writes nothing: the server creates the folder when it first has something to save.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Parses `text`, the value of `state_dir`, and checks that the server can create files in the folder. A `~` at the
/// start of the text stands for `home`.
///
/// # Errors
/// The text names no folder, or the server could not create the folder or files in it.
pub(super) fn parse(text: &str, home: Option<OsString>) -> Result<PathBuf, String> {
    let folder = below_home("state_dir", text, home)?;
    check(&folder)?;
    Ok(folder)
}

/// Parses the path in `text`, the value of the configuration key `key`. A `~` at the start of the path stands for
/// `home`.
///
/// # Errors
/// The text is empty. Or it begins with `~`, but `home` is missing, or a character other than `/` follows the `~`.
pub(super) fn below_home(key: &str, text: &str, home: Option<OsString>) -> Result<PathBuf, String> {
    match text.strip_prefix('~') {
        None if text.is_empty() => {
            let what = if key == "history" { "file" } else { "folder" };
            Err(format!("{key} must name a {what}"))
        }
        None => Ok(PathBuf::from(text)),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = home.filter(|home| !home.is_empty());
            let home = home
                .ok_or_else(|| format!("{key} begins with `~`, but HOME is not set: write the whole path"))?;
            Ok(PathBuf::from(home).join(rest.trim_start_matches('/')))
        }
        Some(_) => Err(format!("{key}: `{text}` begins with `~` but not with `~/`; write the whole path")),
    }
}

/// Checks that the server can create files in `folder`, or create the folder if it does not exist.
fn check(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    // The ancestors of a relative path end with the empty path, which means the current folder.
    let places = folder.ancestors().map(|place| if place == Path::new("") { Path::new(".") } else { place });
    for place in places {
        let there = place.display();
        match std::fs::metadata(place) {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(format!("state_dir: {there} is not a folder"));
            }
            Ok(_) => {
                let what = if place == folder { "written" } else { "created" };
                return access(place, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
                    format!("state_dir: {shown} cannot be {what}: {there}: {}", io::Error::from(error))
                });
            }
            // The parent folder, which is checked next, shows the reason.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(format!("state_dir: cannot access {there}: {error}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_tilde_is_the_home_folder() {
        let home = tempfile::tempdir().unwrap();
        let read = |text: &str| parse(text, Some(home.path().into()));
        assert_eq!(read("~/state/x").unwrap(), home.path().join("state/x"));
        assert_eq!(read("~").unwrap(), home.path().join(""));
        assert_eq!(read("state").unwrap(), Path::new("state"));
        assert!(read("~me/x").unwrap_err().ends_with("write the whole path"));
        assert!(parse("~/x", None).unwrap_err().contains("HOME is not set"));
        assert_eq!(read("").unwrap_err(), "state_dir must name a folder");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for place in [file.clone(), file.join("x")] {
            let told = parse(place.to_str().unwrap(), None).unwrap_err();
            assert_eq!(told, format!("state_dir: {} is not a folder", file.display()));
        }
    }
}
