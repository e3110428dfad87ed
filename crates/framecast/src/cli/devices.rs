//! `framecast devices`: lists the connected devices, as text or as JSON.

use std::time::Duration;

use framecast::{Device, DeviceFormat, DeviceSize, Drivers, escape_hidden_json};
use serde::Serialize;

use super::{FAILED, OK, print, print_error, print_visible};

/// The maximum total time for the responses of all devices.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The maximum number of picture sizes that the text output lists for one format. The JSON output lists all sizes.
const MAX_SIZES: usize = 6;

/// The width of the text output, in characters: that of a usual terminal.
const COLUMNS: usize = 80;

/// The width of the left column, which contains the labels, in characters.
const LABEL_WIDTH: usize = 12;

const NO_DEVICES: &str = "\
No camera is plugged in, or this user may not see it.

- USB camera: `lsusb` must list it, and it must have a node like /dev/video0.
- The user that runs Framecast must be in the group of that node, mostly
  `video`: sudo usermod -aG video $USER, then log out and in again.
- Raspberry Pi camera on the ribbon cable: Framecast needs `rpicam-vid`, of the
  package rpicam-apps. `rpicam-hello --list-cameras` must list the camera.
- Container: pass the device to it, as in --device /dev/video0.
- IP cameras are not in this list. Give their address:
  framecast http://192.168.1.20/video.mjpg
- Without a camera, `framecast test` shows a moving pattern.";

/// The JSON output: the same object as in the response of `/api/devices`.
#[derive(Serialize)]
struct ListedDevice {
    devices: Vec<Device>,
}

/// Prints the list of devices. Returns the exit code.
pub(super) fn list(as_json: bool) -> u8 {
    let devices = match find() {
        Ok(devices) => devices,
        Err(problem) => {
            print_error(&problem);
            return FAILED;
        }
    };
    if as_json {
        let text = serde_json::to_string_pretty(&ListedDevice { devices });
        print(&escape_hidden_json(&text.expect("a list of devices can be written as JSON")));
    } else if devices.is_empty() {
        print_visible(NO_DEVICES);
    } else {
        let described: Vec<String> = devices.iter().map(describe).collect();
        print_visible(&described.join("\n\n"));
    }
    OK
}

fn find() -> Result<Vec<Device>, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start threads: {error}"))?;
    let drivers = Drivers::builtin();
    let found = runtime.block_on(async { tokio::time::timeout(TIMEOUT, drivers.devices()).await });
    // A driver's thread that hangs must not keep the program alive.
    runtime.shutdown_background();
    found.map_err(|_| format!("a device did not answer within {TIMEOUT:?}"))
}

/// Describes one device in a few lines, its name first.
fn describe(device: &Device) -> String {
    let mut lines = vec![device.name.clone()];
    let mut line = |label: &str, text: &str| lines.push(format!("  {label:LABEL_WIDTH$}{}", wrap(text)));
    match &device.path {
        Some(path) => line("device", &format!("{path} ({})", device.driver)),
        None => line("device", &device.driver),
    }
    if let Some(program) = &device.in_use_by {
        line("in use by", program);
    }
    if let Some(problem) = &device.problem {
        line("problem", problem);
    }
    for (names, sizes) in group(&device.formats) {
        line(&names, &sizes);
    }
    // One line of any length, so that a user can copy it.
    lines.push(format!("  {:LABEL_WIDTH$}framecast {}", "show it", shell_words::quote(&device.source)));
    lines.join("\n")
}

/// Wraps `text` so that each line ends within [`COLUMNS`] characters. All lines but the first are indented, because the
/// text is a column to the right of the labels.
fn wrap(text: &str) -> String {
    let indent = " ".repeat(2 + LABEL_WIDTH);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("it begins with one line");
        if line.is_empty() {
            line.push_str(word);
        } else if indent.len() + line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(word.to_owned());
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{indent}"))
}

/// Groups formats that have the same picture sizes and frame rates. Returns a label and a text for each group. The
/// names of the formats are the label or, if they are too long for a label, stand in the text before the sizes.
fn group(formats: &[DeviceFormat]) -> Vec<(String, String)> {
    let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
    for format in formats {
        let sizes =
            if format.is_usable { sizes(&format.sizes) } else { "cannot be shown by Framecast".to_owned() };
        let name = format.format.as_str();
        match groups.iter_mut().find(|(_, known)| *known == sizes) {
            // Some devices list a format twice, only under different codes.
            Some((names, _)) if names.contains(&name) => {}
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], sizes)),
        }
    }
    // Names that are short enough stand in the left column. Longer names stand before the sizes.
    let lines = groups.into_iter().map(|(names, sizes)| match names.join(", ") {
        names if names.len() < LABEL_WIDTH => (names, sizes),
        names => ("formats".to_owned(), format!("{names}: {sizes}")),
    });
    lines.collect()
}

/// Formats picture sizes with their frame rates, as in `1280x720 at 30, 15 fps; 640x480 at 30 fps`. Consecutive sizes
/// with the same frame rates share one entry.
fn sizes(sizes: &[DeviceSize]) -> String {
    if sizes.is_empty() {
        return "any size".to_owned();
    }
    let mut groups: Vec<(Vec<String>, String)> = Vec::new();
    for size in sizes.iter().take(MAX_SIZES) {
        let (shown, rates) = (format!("{}x{}", size.width, size.height), rates(&size.fps));
        match groups.last_mut() {
            Some((shared, known)) if *known == rates => shared.push(shown),
            _ => groups.push((vec![shown], rates)),
        }
    }
    let mut shown: Vec<String> =
        groups.into_iter().map(|(sizes, rates)| format!("{}{rates}", sizes.join(", "))).collect();
    if sizes.len() > MAX_SIZES {
        shown.push(format!("and {} more", sizes.len() - MAX_SIZES));
    }
    shown.join("; ")
}

/// Formats frame rates, as in ` at 30, 15 fps`. If there are more than three rates, the text has only the highest and
/// the lowest.
fn rates(fps: &[f64]) -> String {
    let rounded: Vec<String> = fps.iter().map(|fps| ((fps * 100.0).round() / 100.0).to_string()).collect();
    match rounded.as_slice() {
        [] => String::new(),
        [highest, _, _, .., lowest] => format!(" at {highest} to {lowest} fps"),
        few => format!(" at {} fps", few.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32, fps: &[f64]) -> DeviceSize {
        DeviceSize { width, height, fps: fps.to_vec() }
    }

    fn format(name: &str, sizes: &[DeviceSize]) -> DeviceFormat {
        DeviceFormat { format: name.to_owned(), is_usable: name != "h264", sizes: sizes.to_vec() }
    }

    #[test]
    fn a_device_is_described_in_a_few_lines_that_end_with_what_to_paste() {
        let large = [size(1280, 720, &[30.0, 15.0]), size(640, 480, &[30.0, 15.0]), size(320, 240, &[29.97])];
        let rates = [60.0, 30.0, 15.0, 10.0, 5.0];
        let device = Device {
            name: "HD Webcam".to_owned(),
            source: "v4l2:name=HD Webcam".to_owned(),
            path: Some("/dev/video0".to_owned()),
            driver: "uvcvideo".to_owned(),
            in_use_by: Some("ffmpeg (4711)".to_owned()),
            problem: None,
            formats: vec![
                format("mjpeg", &large),
                format("yuyv", &[size(640, 480, &rates)]),
                format("nv12", &[size(640, 480, &rates)]),
                format("i420", &[size(640, 480, &rates)]),
                format("h264", &[]),
            ],
        };
        assert_eq!(
            describe(&device),
            "HD Webcam\n  \
             device      /dev/video0 (uvcvideo)\n  \
             in use by   ffmpeg (4711)\n  \
             mjpeg       1280x720, 640x480 at 30, 15 fps; 320x240 at 29.97 fps\n  \
             formats     yuyv, nv12, i420: 640x480 at 60 to 5 fps\n  \
             h264        cannot be shown by Framecast\n  \
             show it     framecast 'v4l2:name=HD Webcam'"
        );
    }

    #[test]
    fn a_device_that_cannot_be_asked_says_why() {
        let device = Device {
            name: "video0".to_owned(),
            source: "v4l2:/dev/video0".to_owned(),
            path: None,
            driver: "v4l2".to_owned(),
            in_use_by: None,
            problem: Some("no permission: join the group `video`".to_owned()),
            formats: Vec::new(),
        };
        let text = describe(&device);
        assert!(text.contains("\n  problem     no permission: join the group `video`\n"), "{text}");
        assert!(text.ends_with("show it     framecast v4l2:/dev/video0"), "{text}");
    }

    #[test]
    fn many_formats_fit_a_terminal() {
        let names: Vec<String> = (0..40).map(|n| format!("fmt{n}")).collect();
        let formats = names.iter().map(|name| format(name, &[size(640, 480, &[30.0])])).collect();
        let device = Device {
            name: "vivid".to_owned(),
            source: "v4l2:/dev/video0".to_owned(),
            path: None,
            driver: "vivid".to_owned(),
            in_use_by: None,
            problem: None,
            formats,
        };
        let text = describe(&device);
        assert!(text.lines().count() > 5 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("fmt39: 640x480 at 30 fps\n"), "{text}");
    }

    #[test]
    fn many_sizes_are_cut_short() {
        let many: Vec<DeviceSize> = (1..=9).map(|n| size(100 * n, 100, &[])).collect();
        assert_eq!(sizes(&many), "100x100, 200x100, 300x100, 400x100, 500x100, 600x100; and 3 more");
        assert_eq!(sizes(&[]), "any size");
    }
}
