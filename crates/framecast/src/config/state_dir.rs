//! The folder that `state_dir` in the file names.
//!
//! What a person wrote goes in, a path comes out, or why nothing could be kept there. Nothing is made or written: the
//! folder itself is made when there is something to keep.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// The folder that `text` names, with a `~` at its start as `home`.
///
/// # Errors
/// That it names none, or that it could not be made or written.
pub(super) fn parse(text: &str, home: Option<OsString>) -> Result<PathBuf, String> {
    let folder = below_home("state_dir", text, home)?;
    check(&folder)?;
    Ok(folder)
}

/// The path that `text` names as the value of `key`, with a `~` at its start as `home`.
///
/// # Errors
/// That it names none, or that there is no such home.
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
        Some(_) => Err(format!("{key}: `{text}` is no folder of yours; write the whole path")),
    }
}

/// Whether `folder` can be written, or made where it is not there.
fn check(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    // A relative path ends in nothing, which is the current folder.
    let places = folder.ancestors().map(|place| if place == Path::new("") { Path::new(".") } else { place });
    for place in places {
        let there = place.display();
        match std::fs::metadata(place) {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(format!("state_dir: {there} is no folder"));
            }
            Ok(_) => {
                let what = if place == folder { "written" } else { "made" };
                return access(place, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
                    format!("state_dir: {shown} cannot be {what}: {there}: {}", io::Error::from(error))
                });
            }
            // What is above it says why.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(format!("state_dir: cannot look at {there}: {error}")),
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
            assert_eq!(told, format!("state_dir: {} is no folder", file.display()));
        }
    }
}
