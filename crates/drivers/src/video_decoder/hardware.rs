//! Which of the machine's hardware ffmpeg decodes video with.

use std::fs::{OpenOptions, read_dir};
use std::path::{Path, PathBuf};

/// Returns ffmpeg's options for the hardware in the folder `devices`; none if this account cannot open any. The options
/// name the device, because ffmpeg's own choice (`-hwaccel auto`) writes errors about each kind that the machine lacks.
pub(super) fn hardware_options(devices: &Path) -> Vec<String> {
    let options = |options: &[&str]| options.iter().map(|&option| option.to_owned()).collect();
    if opens(&devices.join("nvidiactl")) {
        return options(&["-hwaccel", "cuda"]);
    }
    let nodes = read_dir(devices.join("dri")).into_iter().flatten().flatten();
    let is_render_node = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"renderD")) && opens(path)
    };
    match nodes.map(|node| node.path()).filter(is_render_node).min() {
        Some(node) => options(&["-hwaccel", "vaapi", "-hwaccel_device", &node.to_string_lossy()]),
        None => Vec::new(),
    }
}

/// Returns whether this account can open the device at `path` for reading and writing.
fn opens(path: &Path) -> bool {
    OpenOptions::new().read(true).write(true).open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn options(devices: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dri")).unwrap();
        for device in devices {
            fs::write(folder.path().join(device), b"").unwrap();
        }
        hardware_options(folder.path()).join(" ").replace(folder.path().to_str().unwrap(), "/dev")
    }

    #[test]
    fn the_first_device_that_decodes_is_used() {
        assert_eq!(options(&["dri/card0", "video0"]), "");
        let of_node = "-hwaccel vaapi -hwaccel_device /dev/dri/renderD128";
        assert_eq!(options(&["dri/renderD129", "dri/card0", "dri/renderD128"]), of_node);
        assert_eq!(options(&["dri/renderD128", "nvidiactl"]), "-hwaccel cuda");
        assert!(hardware_options(Path::new("/no/such/folder")).is_empty());
    }

    #[test]
    fn a_device_that_does_not_open_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        // A folder does not open for writing, whoever runs the test.
        fs::create_dir_all(folder.path().join("dri/renderD128")).unwrap();
        assert!(hardware_options(folder.path()).is_empty());
    }
}
