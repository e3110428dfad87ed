//! The environment variable `CAMERA` of the Flask app that Framecast replaces. Its value names a camera by the Python
//! module that reads the camera.
//!
//! This module converts the value into a source. A value that is already a source stays unchanged.

use framecast::{SourceUrl, video_file_source};

/// The device that the Flask app, which Framecast replaces, read by default.
const FIRST_DEVICE: &str = "v4l2:/dev/video0";

/// The short names that the environment variable `CAMERA` accepts besides sources, as text for messages.
pub(super) const NAMES: &str = "pi, pi2, v4l2 and opencv, as in the Flask app";

/// Returns the source that `camera`, the value of the environment variable `CAMERA`, stands for. `opencv_source` is the
/// value of the variable `OPENCV_CAMERA_SOURCE`, which is used only if `camera` is `opencv`.
pub(super) fn source(camera: &str, opencv_source: Option<&str>) -> String {
    match camera.to_ascii_lowercase().as_str() {
        // `pi2` is the same camera, read with a newer library.
        "pi" | "pi2" => "pi:".to_owned(),
        "v4l2" => FIRST_DEVICE.to_owned(),
        "opencv" => opencv_source.map_or_else(|| FIRST_DEVICE.to_owned(), from_opencv),
        _ => camera.to_owned(),
    }
}

/// Returns the source for `text`, an argument of OpenCV's `VideoCapture`: a device's number or path, a URL, or the path
/// of a video file.
fn from_opencv(text: &str) -> String {
    let text = text.trim();
    // OpenCV's value for "any camera".
    if text == "-1" {
        return "v4l2:".to_owned();
    }
    if let Ok(number) = text.parse::<u32>() {
        return format!("v4l2:/dev/video{number}");
    }
    // In OpenCV, a plain path is a video file. In Framecast, it is a folder of pictures.
    match SourceUrl::parse(text) {
        Ok(url) if url.scheme() != "images" || text.starts_with("images:") => text.to_owned(),
        _ => video_file_source(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_flask_app_are_sources() {
        for (camera, expected) in [
            ("pi", "pi:"),
            ("Pi2", "pi:"),
            ("OPENCV", "v4l2:/dev/video0"),
            ("exec:X", "exec:X"),
            ("v4l2", "v4l2:/dev/video0"),
            ("opencv", "v4l2:/dev/video0"),
            ("emulated", "emulated"),
            ("pi:?hflip", "pi:?hflip"),
            ("/dev/video2", "/dev/video2"),
        ] {
            assert_eq!(source(camera, None), expected);
        }
        assert_eq!(source("emulated", Some("7")), "emulated");
    }

    #[test]
    fn opencv_opens_a_number_a_url_or_a_film() {
        for (opencv_source, expected) in [
            ("0", "v4l2:/dev/video0"),
            (" 12 ", "v4l2:/dev/video12"),
            ("-1", "v4l2:"),
            ("/dev/video1", "/dev/video1"),
            ("rtsp://me:pw@cam/1", "rtsp://me:pw@cam/1"),
            ("http://cam/video.mjpg", "http://cam/video.mjpg"),
            ("images:./x", "images:./x"),
        ] {
            assert_eq!(source("opencv", Some(opencv_source)), expected);
        }
        for path in ["film.mp4", "/srv/my film", "./film.avi"] {
            let played = source("opencv", Some(path));
            assert!(played.starts_with("exec:ffmpeg ") && played.contains(path), "{played}");
        }
    }
}
