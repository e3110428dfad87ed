//! Creates the errors for devices that fail. The errors say what went wrong and what to do.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use framecast_v4l2 as v4l2;

use super::node::{self, SystemPaths};
use crate::Error;

const ENOSPC: i32 = 28;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const ENXIO: i32 = 6;
const EIO: i32 = 5;

/// Creates the error for a device node at `path` that cannot be opened.
pub(super) fn open_error(path: &Path, source: io::Error) -> Error {
    let device = path.display().to_string();
    let problem = |problem: String| Error::Device { device: device.clone(), problem };
    match (source.kind(), source.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => Error::NoDevice {
            device: device_name(path),
            problem: node::not_plugged_in(&SystemPaths::system().nodes()),
        },
        (io::ErrorKind::PermissionDenied, _) => problem(permission_advice(path)),
        (io::ErrorKind::Unsupported, _) => problem("this is not a video device".to_owned()),
        (_, Some(EBUSY)) => in_use_error(path),
        (_, Some(ENODEV | ENXIO)) => Error::Unplugged { device: device_name(path) },
        _ => Error::File { doing: "open", path: path.to_owned(), source },
    }
}

/// Creates the error for a failed call to the device at `path`.
pub(super) fn call_error(path: &Path, error: v4l2::Error) -> Error {
    let device = path.display().to_string();
    if error.is_gone() {
        return Error::Unplugged { device: device_name(path) };
    }
    if error.is_busy() {
        return in_use_error(path);
    }
    let problem = match error.io().raw_os_error() {
        Some(ENOSPC) => {
            "the USB bus does not have enough bandwidth left for this camera; request format=mjpeg or a \
             smaller size, or plug the camera into another port"
                .to_owned()
        }
        _ => format!("the kernel's driver refused a call: {error}"),
    };
    Error::Device { device, problem }
}

/// Creates the error for the device at `path` if the kernel returned an error instead of a filled buffer.
pub(super) fn dequeue_error(path: &Path, error: v4l2::Error) -> Error {
    match error.io().raw_os_error() {
        // A queue returns EIO after an error of the driver, which is permanent in most cases, although V4L2 documents
        // it for temporary errors too.
        Some(EIO) => stopped_error(path),
        _ => call_error(path, error),
    }
}

/// Creates the error for the device at `path` if its kernel driver has ended the stream.
pub(super) fn stopped_error(path: &Path) -> Error {
    let problem = "the kernel's driver stopped the camera after an internal error".to_owned();
    Error::Device { device: path.display().to_string(), problem }
}

/// Returns the name of the device at `path` for messages. If `path` is udev's link by id, this is the maker, model
/// and serial number in the link's name; otherwise it is the path.
fn device_name(path: &Path) -> String {
    let link = path.to_str().and_then(|path| path.strip_prefix("/dev/v4l/by-id/"));
    let name = link.map(|link| link.strip_prefix("usb-").unwrap_or(link));
    let name = name.map(|name| name.rsplit_once("-video-index").map_or(name, |(name, _)| name));
    match name {
        Some(name) if !name.is_empty() => name.replace('_', " "),
        _ => path.display().to_string(),
    }
}

fn in_use_error(path: &Path) -> Error {
    // Framecast's own open file descriptor of the device does not count as a user.
    let by = users(Path::new("/proc"), path, 1);
    Error::InUse { device: path.display().to_string(), by: (!by.is_empty()).then(|| by.join(", ")) }
}

/// Returns the programs that have the device node at `path` open, as far as this account is allowed to see them:
/// "ffmpeg (process 1234)". Framecast itself is included if it has the node open more than `own_opens` times.
pub(super) fn users(proc: &Path, path: &Path, own_opens: usize) -> Vec<String> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let files = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let open = files.filter(|file| fs::read_link(file.path()).is_ok_and(|link| link == path)).count();
        if open > if pid == own { own_opens } else { 0 } {
            // A program can give itself any name, even one that is not text.
            let name = fs::read(entry.path().join("comm")).unwrap_or_default();
            let name = String::from_utf8_lossy(&name).replace(char::is_control, " ");
            found.push(match name.trim() {
                _ if pid == own => "another camera on this server".to_owned(),
                "" => format!("process {pid}"),
                name => format!("{name} (process {pid})"),
            });
        }
    }
    found.sort();
    found
}

/// Returns advice on which group to join, for a device node that this account is not allowed to open.
pub(super) fn permission_advice(path: &Path) -> String {
    let Ok(node) = fs::metadata(path) else {
        return "this account is not allowed to open it".to_owned();
    };
    // A group helps only if it has permission to read and write.
    if node.mode() & 0o060 != 0o060 {
        return "only its owner is allowed to open it; device nodes that udev creates belong to the group \
                `video`"
            .to_owned();
    }
    let group = name_of_id("/etc/group", node.gid()).unwrap_or_else(|| node.gid().to_string());
    let user =
        name_of_id("/etc/passwd", rustix::process::getuid().as_raw()).unwrap_or_else(|| "$USER".to_owned());
    format!(
        "this account is not allowed to open it; add it to the group `{group}`: sudo usermod -aG {group} \
         {user}, then log in again (for a service: SupplementaryGroups={group})"
    )
}

/// Returns the name that belongs to the id `number` in a file like `/etc/group`; `None` if the id is not in it.
fn name_of_id(file: &str, number: u32) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(number)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_programs_that_have_a_device_open_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let node = at("video0");
        fs::write(&node, "").unwrap();
        let node = node.canonicalize().unwrap();
        for (pid, fd, comm) in
            [("41", "3", "\u{1b}ffmpeg\n"), ("42", "7", ""), ("43", "1", "other\n"), ("self", "3", "x")]
        {
            fs::create_dir_all(at(pid).join("fd")).unwrap();
            let file = if pid == "43" { Path::new("/dev/null") } else { &node };
            symlink(file, at(pid).join("fd").join(fd)).unwrap();
            fs::write(at(pid).join("comm"), comm).unwrap();
        }
        assert_eq!(users(folder.path(), &node, 0), ["ffmpeg (process 41)", "process 42"]);
    }

    #[test]
    fn this_process_uses_a_device_that_it_has_open_beside_the_one_that_asks() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let users = |own_opens| users(Path::new("/proc"), file.path(), own_opens);
        assert!(users(1).is_empty());
        assert_eq!(users(0), ["another camera on this server"]);
    }

    #[test]
    fn a_node_without_permission_names_the_group_to_join() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mode = |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o660);
        let group = name_of_id("/etc/group", fs::metadata(file.path()).unwrap().gid()).unwrap();
        let told = permission_advice(file.path());
        assert!(told.contains(&format!("sudo usermod -aG {group} ")), "{told}");
        mode(0o600);
        assert!(permission_advice(file.path()).starts_with("only its owner"));
    }

    #[test]
    fn a_link_of_udev_is_called_what_it_stands_for() {
        for (path, name) in [
            ("/dev/v4l/by-id/usb-Acme_Fake_Webcam_A1-video-index0", "Acme Fake Webcam A1"),
            ("/dev/v4l/by-id/usb-x", "x"),
            ("/dev/v4l/by-id/usb-", "/dev/v4l/by-id/usb-"),
            ("/dev/video0", "/dev/video0"),
        ] {
            assert_eq!(device_name(Path::new(path)), name);
        }
    }

    #[test]
    fn a_path_that_is_no_device_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = open_error(file.path(), v4l2::Device::open(file.path()).unwrap_err());
        assert_eq!(error.to_string(), format!("{}: this is not a video device", file.path().display()));
        let missing = Path::new("/dev/video-none");
        let error = open_error(missing, v4l2::Device::open(missing).unwrap_err()).to_string();
        assert!(error.starts_with("/dev/video-none is not plugged in"), "{error}");
    }
}
