//! Advice for errors that come from the systemd unit in which this process runs: the unit hides folders from Framecast
//! and from the programs that it starts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The folders that `ProtectHome=yes` hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// Returns the end of an error's message if `path` lies in a folder that the unit hides. It names the unit's line.
/// Otherwise the text is empty.
pub(crate) fn hint(path: &Path) -> String {
    hint_below(Path::new("/"), path)
}

/// The same as [`hint`], for a file system below `root`.
fn hint_below(root: &Path, path: &Path) -> String {
    let home = HOMES.into_iter().find(|home| path.starts_with(home));
    home.filter(|home| is_hidden(&root.join(&home[1..]))).map_or_else(String::new, |home| {
        format!(
            "; the systemd unit of this service hides {home}: put the files elsewhere, such as /srv, or set \
             ProtectHome=read-only in the unit (systemctl edit)"
        )
    })
}

/// Returns whether `folder` is as systemd makes it when it hides a folder: nobody has any right to it.
fn is_hidden(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o777 == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_in_a_hidden_folder_is_told_with_the_units_line() {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        fs::create_dir(&home).unwrap();
        let film = &Path::new("/home").join("me/film.mp4");
        assert_eq!(hint_below(root.path(), film), "");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o000)).unwrap();
        let hint = hint_below(root.path(), film);
        assert!(hint.contains("hides /home") && hint.contains("ProtectHome="), "{hint}");
        for elsewhere in ["/srv/film.mp4", "/homes/film.mp4", "home/film.mp4", "-i"] {
            assert_eq!(hint_below(root.path(), Path::new(elsewhere)), "", "{elsewhere}");
        }
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    }
}
