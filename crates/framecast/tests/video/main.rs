//! Cameras with coded video, through the whole server: fake RTSP cameras send it, and ffmpeg makes JPEG of it for
//! viewers of JPEG.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod faults;
mod go2rtc;
mod hung;
mod jpeg;
mod sub;
