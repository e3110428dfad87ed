//! The file `controls.json` in the state directory: the control values that requests asked to save across restarts.
//!
//! The file is a JSON object with one entry per camera. Each entry is an object with one value per control. The server
//! replaces the file as a whole, so that a crash leaves either the old file or the new file. The server keeps the
//! entries of cameras that are not in its configuration. It renames a damaged file and never overwrites it. Only the
//! user account of the server can read a new file; an existing file keeps its permissions. One state directory belongs
//! to one server: two servers would overwrite each other's last change.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use framecast_media::lock;
use tracing::error;

use super::Changes;
use super::saved::SavedControls;

const FILE_NAME: &str = "controls.json";

/// The maximum size of the file, in bytes: enough for a thousand cameras with twenty controls each.
const MAX_BYTES: u64 = 1 << 20;

/// The maximum number of damaged files that the server renames and keeps. After that, the user must remove some of
/// these files.
const MAX_QUARANTINED: usize = 100;

/// The file `controls.json` of a running server.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// Why the server never writes the file: it could neither read the existing file nor rename it. `None` if the
    /// server can write the file.
    read_only_reason: Option<String>,
    writing: Mutex<()>,
}

/// The reason why the server could not read or write `controls.json`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{} is damaged: {source}", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
    #[error("{} is damaged: it has more than {MAX_BYTES} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("cannot {doing} {}: {source}", path.display())]
    System { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{0}")]
    Refused(String),
}

impl StateFile {
    /// Reads `controls.json` in `folder`. If the file does not exist, there are no saved values. If the file is
    /// damaged, renames it, and logs the damage and the new name. Returns the file and the saved values.
    pub(crate) fn open(folder: &Path) -> (Self, SavedControls) {
        let path = folder.join(FILE_NAME);
        let (read_only_reason, saved) = match read(&path) {
            Ok(saved) => (None, saved),
            Err(problem) => (quarantine(&path, &problem).err(), SavedControls::default()),
        };
        (Self { path, read_only_reason, writing: Mutex::default() }, saved)
    }

    /// Reads the saved values of all cameras. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn saved(&self) -> Result<SavedControls, StateError> {
        read(&self.path)
    }

    /// Reads the saved values of the camera called `name`, which the server will use after its next start. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn saved_for(&self, name: &str) -> Result<Changes, StateError> {
        read(&self.path).map(|saved| saved.of_camera(name))
    }

    /// Saves `changes` for the camera called `name`. Blocks on the disk.
    ///
    /// # Errors
    /// The server cannot read or write the file. The file is then unchanged.
    pub(crate) fn save(&self, name: &str, changes: &Changes) -> Result<(), StateError> {
        self.edit(|saved| {
            saved.cameras.entry(name.to_owned()).or_default().merge(changes);
            true
        })
    }

    /// Deletes the saved values of the camera called `name`. Blocks on the disk.
    ///
    /// # Errors
    /// The server cannot read or write the file. The file is then unchanged.
    pub(crate) fn forget(&self, name: &str) -> Result<(), StateError> {
        self.edit(|saved| saved.cameras.remove(name).is_some())
    }

    /// Reads the file, lets `change` modify the content, and writes the file if `change` returns true.
    fn edit(&self, change: impl FnOnce(&mut SavedControls) -> bool) -> Result<(), StateError> {
        if let Some(refusal) = &self.read_only_reason {
            return Err(StateError::Refused(refusal.clone()));
        }
        let _writing = lock(&self.writing);
        // Read the file again, because a user might have edited it.
        let mut saved = read(&self.path)?;
        if !change(&mut saved) {
            return Ok(());
        }
        self.write(&saved).map_err(|(doing, source)| StateError::System {
            doing,
            path: self.path.clone(),
            source,
        })
    }

    fn write(&self, saved: &SavedControls) -> Result<(), (&'static str, io::Error)> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut make_folder = DirBuilder::new();
        make_folder.recursive(true).mode(0o700);
        make_folder.create(folder).map_err(|error| ("create the folder of", error))?;
        let mut text = serde_json::to_string_pretty(saved).map_err(|error| ("write", error.into()))?;
        text.push('\n');
        if text.len() as u64 > MAX_BYTES {
            return Err(("write", io::Error::other(format!("it would have more than {MAX_BYTES} bytes"))));
        }
        let temporary = folder.join(format!(".{FILE_NAME}.{}", std::process::id()));
        let replaced = write_synced(&temporary, text.as_bytes()).and_then(|()| {
            if let Ok(there) = fs::metadata(&self.path) {
                fs::set_permissions(&temporary, there.permissions())?;
            }
            fs::rename(&temporary, &self.path)?;
            // The new name is on the disk only when the folder is synced.
            File::open(folder)?.sync_all()
        });
        replaced.map_err(|error| {
            // The temporary file might not exist.
            fs::remove_file(&temporary).ok();
            ("write", error)
        })
    }
}

/// Writes `bytes` to a file that only the server's own user account can read, and waits until the file is on the disk.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path) -> Result<SavedControls, StateError> {
    let system = |source| StateError::System { doing: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SavedControls::default()),
        Err(error) => return Err(system(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(system)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(StateError::TooLarge { path: path.to_owned() });
    }
    serde_json::from_slice(&bytes).map_err(|source| StateError::Damaged { path: path.to_owned(), source })
}

/// Renames the file at `path`, in which `problem` was found. Returns an error if the file cannot be renamed, or could
/// not even be read. The error says why the server saves no controls from now on.
fn quarantine(path: &Path, problem: &StateError) -> Result<(), String> {
    if matches!(problem, StateError::System { .. }) {
        error!("{problem}; the server does not apply the saved controls, and saves no new controls");
        return Err(problem.to_string());
    }
    let names =
        (1..=MAX_QUARANTINED).map(|number| path.with_file_name(format!("{FILE_NAME}.damaged-{number}")));
    let moved = match names.into_iter().find(|name| !name.exists()) {
        Some(aside) => fs::rename(path, &aside).map(|()| aside).map_err(|error| error.to_string()),
        None => Err(format!("the folder already has {MAX_QUARANTINED} damaged files")),
    };
    match moved {
        Ok(aside) => {
            error!(
                "{problem}; the server renamed the file to {} and does not apply the controls in it to the cameras",
                aside.display()
            );
            Ok(())
        }
        Err(reason) => {
            let refusal =
                format!("{problem}; the server cannot rename the file ({reason}), so it saves no controls");
            error!("{refusal}");
            Err(refusal)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use framecast_drivers::ControlValue;

    use super::*;

    fn changes(json: &str) -> Changes {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("not/yet/there");
        let (file, saved) = StateFile::open(&state);
        assert_eq!(saved, SavedControls::default());
        file.save("front", &changes(r#"{"zoom": 3, "auto": true}"#)).unwrap();
        file.save("front", &changes(r#"{"auto": false, "name": "é", "gain": null}"#)).unwrap();
        file.save("back", &changes(r#"{"zoom": -1}"#)).unwrap();
        let (_, saved) = StateFile::open(&state);
        let expected = changes(r#"{"zoom": 3, "auto": false, "name": "é", "gain": null}"#);
        assert_eq!(saved.of_camera("front").as_slice(), expected.as_slice());
        assert_eq!(
            saved.of_camera("back").as_slice(),
            [("zoom".to_owned(), Some(ControlValue::Integer(-1)))]
        );
        assert!(saved.of_camera("other").is_empty());
        // No temporary file remains.
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
    }

    #[test]
    fn what_is_made_is_for_this_account_alone_and_what_is_there_keeps_its_rights() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("not/yet/there");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (file, _) = StateFile::open(&state);
        file.save("front", &changes(r#"{"zoom": 3}"#)).unwrap();
        assert_eq!(mode(&state.join(FILE_NAME)), 0o600);
        for made in [&state, state.parent().unwrap(), state.parent().unwrap().parent().unwrap()] {
            assert_eq!(mode(made), 0o700);
        }
        fs::set_permissions(&state, fs::Permissions::from_mode(0o750)).unwrap();
        fs::set_permissions(state.join(FILE_NAME), fs::Permissions::from_mode(0o640)).unwrap();
        file.save("front", &changes(r#"{"zoom": 4}"#)).unwrap();
        assert_eq!((mode(&state), mode(&state.join(FILE_NAME))), (0o750, 0o640));
        fs::write(state.join(FILE_NAME), "{oops").unwrap();
        StateFile::open(&state);
        assert_eq!(mode(&state.join("controls.json.damaged-1")), 0o640);
    }

    #[test]
    fn a_camera_that_this_server_does_not_have_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), r#"{"cameras": {"elsewhere": {"b": 1, "a": "x"}}}"#)
            .unwrap();
        let (file, _) = StateFile::open(folder.path());
        file.save("front", &changes(r#"{"zoom": 3}"#)).unwrap();
        let (_, saved) = StateFile::open(folder.path());
        assert_eq!(saved.of_camera("elsewhere"), changes(r#"{"b": 1, "a": "x"}"#));
    }

    #[test]
    fn what_is_forgotten_is_that_of_one_camera() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = StateFile::open(folder.path());
        // If there is nothing to delete, the server writes no file.
        file.forget("front").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        file.save("front", &changes(r#"{"zoom": 3}"#)).unwrap();
        file.save("back", &changes(r#"{"zoom": 4}"#)).unwrap();
        file.forget("front").unwrap();
        assert!(file.saved_for("front").unwrap().is_empty());
        assert_eq!(file.saved_for("back").unwrap(), changes(r#"{"zoom": 4}"#));
    }

    #[test]
    fn a_damaged_file_is_put_aside_and_lost_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let (file, _) = StateFile::open(folder.path());
        file.save("front", &changes(r#"{"brightness": 128, "text": "ä", "auto": true, "gain": null}"#))
            .unwrap();
        let good = fs::read(&path).unwrap();
        let mut damaged = 0;
        for at in 0..good.len() {
            for byte in [None, Some(0), Some(0xFF), Some(b'"'), Some(b'}'), Some(b'9')] {
                let bytes = match byte {
                    None => good[..at].to_vec(),
                    Some(byte) => [&good[..at], &[byte], &good[at + 1..]].concat(),
                };
                fs::write(&path, &bytes).unwrap();
                let problem = read(&path).err().map(|problem| problem.to_string());
                let (file, saved) = StateFile::open(folder.path());
                let Some(problem) = problem else { continue };
                damaged += 1;
                assert!(
                    problem.contains("controls.json is damaged: ") && problem.contains(" at line "),
                    "{problem}"
                );
                assert_eq!((saved, &file.read_only_reason), (SavedControls::default(), &None));
                let aside = folder.path().join("controls.json.damaged-1");
                assert_eq!(fs::read(&aside).unwrap(), bytes);
                fs::remove_file(aside).unwrap();
            }
        }
        assert!(damaged > good.len(), "{damaged}");
    }

    #[test]
    fn a_file_that_was_damaged_since_the_start_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = StateFile::open(folder.path());
        fs::write(folder.path().join(FILE_NAME), "{oops").unwrap();
        let problem = file.save("front", &changes(r#"{"zoom": 3}"#)).unwrap_err().to_string();
        assert!(problem.contains("line 1 column 2"), "{problem}");
        assert_eq!(fs::read_to_string(folder.path().join(FILE_NAME)).unwrap(), "{oops");
    }

    #[test]
    fn a_file_that_is_far_too_large_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        fs::write(&path, vec![b' '; 2 << 20]).unwrap();
        assert!(matches!(read(&path), Err(StateError::TooLarge { .. })));
    }

    #[test]
    fn a_folder_in_the_place_of_the_file_is_refused_and_left() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FILE_NAME)).unwrap();
        let (file, _) = StateFile::open(folder.path());
        let problem = file.save("front", &changes(r#"{"zoom": 3}"#)).unwrap_err().to_string();
        assert!(problem.starts_with("cannot read "), "{problem}");
    }
}
