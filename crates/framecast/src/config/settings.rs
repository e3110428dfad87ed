//! The meaning of the configuration: validated, with defaults filled in and URLs parsed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use framecast_drivers::{ControlValue, Drivers, OpenContext, SourceUrl};
use framecast_hub::{QUALITY_RANGE, ViewerLimits};

use super::check::{check_camera_name, check_control_id, parse_host};
use super::config_messages::redacted;
use super::file::File;
use super::value::MAX_DURATION;
use super::{Account, ConfigError, HistorySettings, Listen, Secret, TrustedProxies, WebhookSettings};

/// The default address: only this machine can connect.
const DEFAULT_LISTEN: Listen = Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000));

/// The range of `max_fps`. The limits keep the time between two pictures above zero and finite.
const MAX_FPS: RangeInclusive<f64> = 0.01..=10_000.0;

/// The range of `latency_budget`. A writer thread sends to its viewers in turns, so it cannot keep a budget that is
/// shorter than one turn. A budget above the range would not limit anything in practice.
const LATENCY_BUDGET: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

/// The range of `writer_threads`. More threads than cores only add overhead.
const WRITER_THREADS: RangeInclusive<usize> = 1..=256;

/// The settings of the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Address and port to listen on, or the path of a UNIX socket.
    pub listen: Listen,
    /// Host names under which browsers can reach the server, in addition to its own addresses and names; in lower case.
    pub allowed_hosts: Vec<String>,
    /// Web origins whose scripts are allowed to read pictures and the API, and to set marks and controls. `*` allows
    /// all other origins to read, but not to set anything.
    pub cors_origins: Vec<HeaderValue>,
    /// The account with which clients must log in; `None` if the server has no account.
    pub account: Option<Account>,
    /// How long a viewer can accept no data, while the server has data to send, before the server closes the
    /// connection.
    pub write_timeout: Duration,
    /// How long a client can take to send the head of its request: the request line and the headers.
    pub header_timeout: Duration,
    /// The maximum number of open connections. The server responds to further connections with status 503.
    pub max_connections: usize,
    /// The maximum number of open connections from one address. IPv6 addresses with the same /64 prefix count as one
    /// address. `None` means a quarter of `max_connections`, and no limit for loopback addresses.
    pub max_connections_per_address: Option<usize>,
    /// The reverse proxies that the server trusts to report a client's address in a header.
    pub trusted_proxies: TrustedProxies,
    /// Sites that can embed the server's pages in an `<iframe>`, in the syntax of the header `Content-Security-Policy`.
    pub frame_ancestors: Vec<String>,
    /// The maximum number of marks (events that clients add to the history) per minute from one address; 0 allows no
    /// marks. A client can add the marks of one minute all at once.
    pub marks_per_minute: u32,
    /// The maximum number of viewers at once; `None` for no limit.
    pub max_viewers: Option<usize>,
    /// The maximum number of viewers at once from one address; `None` for no limit.
    pub max_viewers_per_address: Option<usize>,
    /// The latency budget: the maximum amount of data on its way to a viewer, expressed as the time that the link needs
    /// to transfer the data.
    pub latency_budget: Duration,
    /// The number of threads that write to viewers; `None` for one thread per core.
    pub writer_threads: Option<usize>,
    /// Whether the server also responds at the URL paths of other camera servers, such as uStreamer's `/stream`.
    pub drop_in: bool,
    /// The folder for data that must survive a restart, such as the control values that requests asked to save. If
    /// there is no folder, the server refuses such requests.
    pub state_dir: Option<PathBuf>,
    /// Where the history stores events, and for how long.
    pub history: HistorySettings,
    /// The webhooks: URLs to which the server sends events.
    pub webhooks: Vec<WebhookSettings>,
    /// The key with which the server signs the requests of webhooks; `None` to send them unsigned.
    pub webhook_secret: Option<Secret>,
    /// The cameras. Requests that name no camera get the first one.
    pub cameras: Vec<CameraSettings>,
    /// A warning for each key that has an old name in the file.
    pub old_key_warnings: Vec<ConfigError>,
}

/// The settings of one camera.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CameraSettings {
    /// The camera's name, which is part of its URLs.
    pub name: String,
    /// The source of the camera's pictures.
    pub source: SourceUrl,
    /// How long the camera stays open without a viewer; with `None` the camera never closes.
    pub idle_timeout: Option<Duration>,
    /// How long the camera can deliver no picture before it counts as lost. `None` adapts this time to the camera: 30 s
    /// until three pictures have arrived; then 5 s or, if that is longer, four times the camera's usual interval, at
    /// most ten minutes.
    pub stall_timeout: Option<Duration>,
    /// The maximum number of frames per second that the server accepts from the camera.
    pub max_fps: f64,
    /// The JPEG quality, from 1 to 100, at which the server encodes the camera's raw pictures, and its renditions:
    /// versions of the pictures in another size, quality or frame rate.
    pub quality: u8,
    /// The maximum number of the camera's viewers at once; `None` for no limit.
    pub max_viewers: Option<usize>,
    /// The latency budget of this camera's viewers; with `None` the server's
    /// [`latency_budget`](Settings::latency_budget) applies.
    pub latency_budget: Option<Duration>,
    /// The maximum size, in bytes, of one coded picture of the camera.
    pub max_picture_bytes: usize,
    /// The values that the server sets on the camera's controls each time it opens the camera, in the order of this
    /// list. If the device lacks a control, the server logs a warning.
    pub controls: Vec<(String, ControlValue)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            account: None,
            write_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            max_connections: 1024,
            max_connections_per_address: None,
            trusted_proxies: TrustedProxies::default(),
            frame_ancestors: vec!["'self'".to_owned()],
            marks_per_minute: 60,
            max_viewers: None,
            max_viewers_per_address: None,
            latency_budget: ViewerLimits::default().latency_budget,
            writer_threads: None,
            drop_in: true,
            state_dir: None,
            history: HistorySettings::default(),
            webhooks: Vec::new(),
            webhook_secret: None,
            cameras: Vec::new(),
            old_key_warnings: Vec::new(),
        }
    }
}

impl CameraSettings {
    /// Creates the settings of a camera called `name` with the source `source`, and defaults for the rest.
    pub fn new(name: impl Into<String>, source: SourceUrl) -> Self {
        Self {
            name: name.into(),
            source,
            idle_timeout: Some(Duration::from_secs(10)),
            stall_timeout: None,
            max_fps: 120.0,
            quality: 80,
            max_viewers: None,
            latency_budget: None,
            max_picture_bytes: OpenContext::default().max_picture_bytes(),
            controls: Vec::new(),
        }
    }
}

impl Settings {
    /// Creates settings with these cameras and defaults for the rest. Each camera is a name and a source, written as on
    /// the command line.
    ///
    /// # Errors
    /// A name or a source is not valid.
    pub fn with_cameras<'a>(
        cameras: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        for (name, source) in cameras {
            settings.add_camera(name, source)?;
        }
        Ok(settings)
    }

    /// Adds a camera with default settings.
    ///
    /// # Errors
    /// The name is taken or cannot be part of a URL, or the source cannot be parsed.
    pub fn add_camera(&mut self, name: &str, source: &str) -> Result<(), ConfigError> {
        check_camera_name(name).map_err(ConfigError::new)?;
        if self.cameras.iter().any(|camera| camera.name == name) {
            return Err(ConfigError::new(format!("two cameras are called `{name}`")));
        }
        let source = SourceUrl::parse(source)
            .map_err(|error| ConfigError::new(format!("camera `{name}`: {error}")))?;
        self.cameras.push(CameraSettings::new(name, source));
        Ok(())
    }

    /// Checks that each camera's source has a driver, and that the driver accepts the source. Opens no source.
    ///
    /// # Errors
    /// A source has no driver, or its driver refuses it. The error names the first such camera.
    pub fn check_sources(&self, drivers: &Drivers) -> Result<(), ConfigError> {
        for camera in &self.cameras {
            drivers
                .find(&camera.source)
                .map_err(|error| ConfigError::new(format!("camera `{}`: {error}", camera.name)))?;
        }
        Ok(())
    }

    /// Checks all values. Code can set values that the parser of the file would refuse: values out of range, bad names,
    /// and bad sources as in [`check_sources`](Self::check_sources).
    ///
    /// # Errors
    /// A value is not valid. The error is about the first such value; for a camera's value, it names the camera.
    pub fn validate(&self, drivers: &Drivers) -> Result<(), ConfigError> {
        let of_server = || {
            check_timeout("write_timeout", self.write_timeout)?;
            check_timeout("header_timeout", self.header_timeout)?;
            check_count("max_connections", self.max_connections)?;
            check_limit("max_connections_per_address", self.max_connections_per_address)?;
            check_limit("max_viewers", self.max_viewers)?;
            check_limit("max_viewers_per_address", self.max_viewers_per_address)?;
            check_latency_budget(self.latency_budget)?;
            self.writer_threads.map_or(Ok(0), check_writer_threads)?;
            self.account
                .as_ref()
                .map_or(Ok(()), |account| Account::new(&account.user, &account.password).map(drop))
        };
        of_server().map_err(ConfigError::new)?;
        for camera in &self.cameras {
            camera.validate().map_err(|problem| {
                ConfigError::new(format!("camera `{}`: {problem}", redacted(&camera.name)))
            })?;
        }
        self.check_sources(drivers)
    }

    /// Returns warnings about settings that are valid but probably unintended, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let has_address = self.listen.path().is_none() || self.trusted_proxies.contains(None);
        let counts_nobody = self.max_viewers_per_address.is_some() && !has_address;
        let message = "max_viewers_per_address has no effect: viewers of a UNIX socket have no address, unless \
                       trusted_proxies contains \"unix\"; max_viewers limits them";
        let counts_nobody = counts_nobody.then(|| message.to_owned());
        let old_keys = self.old_key_warnings.iter().map(ToString::to_string);
        old_keys.chain(counts_nobody).chain(self.account.as_ref().and_then(Account::warning)).collect()
    }

    /// Parses `text`, the content of a `framecast.toml`. Checks that the `drivers` accept the sources, but opens no
    /// source.
    ///
    /// If the file names a `user`, the account also needs a password: see
    /// [`from_toml_with_password`](Self::from_toml_with_password).
    ///
    /// # Errors
    /// The first error, with line and column.
    pub fn from_toml(text: &str, drivers: &Drivers) -> Result<Self, ConfigError> {
        Self::from_toml_with_password(text, drivers, None)
    }

    /// Parses `text` like [`from_toml`](Self::from_toml), with the password of the account that the file names. If the
    /// file names no account, the password is ignored.
    ///
    /// # Errors
    /// The first error, with line and column. A `user` without a password is also an error.
    pub fn from_toml_with_password(
        text: &str,
        drivers: &Drivers,
        password: Option<&str>,
    ) -> Result<Self, ConfigError> {
        Self::from_file(File::parse(text)?, text, drivers, password)
    }

    /// Sets the address to listen on. `text` is written like `127.0.0.1:5000`, `:5000` or `unix:/run/framecast.sock`.
    ///
    /// # Errors
    /// The text is not an address.
    pub fn set_listen(&mut self, text: &str) -> Result<(), ConfigError> {
        self.listen = Listen::parse(text).map_err(ConfigError::new)?;
        Ok(())
    }

    /// Allows browsers to reach the server under the host name in `text`, such as `cam.example` or `cam.example:8080`.
    ///
    /// # Errors
    /// The text is not a host name.
    pub fn allow_host(&mut self, text: &str) -> Result<(), ConfigError> {
        self.allowed_hosts.push(parse_host(text).map_err(ConfigError::new)?);
        Ok(())
    }
}

impl CameraSettings {
    fn validate(&self) -> Result<(), String> {
        check_camera_name(&self.name)?;
        if let Some(idle_timeout) = self.idle_timeout.filter(|idle| !idle.is_zero()) {
            check_timeout("idle_timeout", idle_timeout)?;
        }
        if let Some(stall_timeout) = self.stall_timeout {
            check_timeout("stall_timeout", stall_timeout)?;
        }
        check_max_fps(self.max_fps)?;
        check_quality(self.quality)?;
        check_limit("max_viewers", self.max_viewers)?;
        if let Some(latency_budget) = self.latency_budget {
            check_latency_budget(latency_budget)?;
        }
        self.controls.iter().try_for_each(|(id, _)| check_control_id(id))
    }
}

pub(super) fn check_max_fps(max_fps: f64) -> Result<f64, String> {
    let message = || format!("max_fps must be from {} to {}", MAX_FPS.start(), MAX_FPS.end());
    MAX_FPS.contains(&max_fps).then_some(max_fps).ok_or_else(message)
}

pub(super) fn check_quality(quality: u8) -> Result<u8, String> {
    let message = || format!("quality must be from {} to {}", QUALITY_RANGE.start(), QUALITY_RANGE.end());
    QUALITY_RANGE.contains(&quality).then_some(quality).ok_or_else(message)
}

pub(super) fn check_count(key: &str, count: usize) -> Result<usize, String> {
    if count == 0 { Err(format!("{key} must be at least 1")) } else { Ok(count) }
}

pub(super) fn check_limit(key: &str, limit: Option<usize>) -> Result<(), String> {
    limit.map_or(Ok(()), |limit| check_count(key, limit).map(drop))
}

pub(super) fn check_latency_budget(latency_budget: Duration) -> Result<Duration, String> {
    let message = || "latency_budget must be from 10ms to 1min".to_owned();
    LATENCY_BUDGET.contains(&latency_budget).then_some(latency_budget).ok_or_else(message)
}

pub(super) fn check_writer_threads(threads: usize) -> Result<usize, String> {
    let message =
        || format!("writer_threads must be from {} to {}", WRITER_THREADS.start(), WRITER_THREADS.end());
    WRITER_THREADS.contains(&threads).then_some(threads).ok_or_else(message)
}

/// Returns `timeout`, the value of the configuration key `key`. Returns an error if the timeout is zero, or so long
/// that adding it to the current time could overflow.
pub(super) fn check_timeout(key: &str, timeout: Duration) -> Result<Duration, String> {
    if timeout.is_zero() {
        return Err(format!("{key} must be longer than 0 s"));
    }
    if timeout > MAX_DURATION {
        return Err(format!("{key} must be at most 366 days"));
    }
    Ok(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_is_among_the_warnings() {
        let settings = Settings::from_toml("writers = 1\n", &Drivers::builtin()).unwrap();
        let warnings = settings.warnings();
        assert!(
            warnings.len() == 1 && warnings[0].starts_with("1:11: `writers` is now called"),
            "{warnings:?}"
        );
    }

    #[test]
    fn what_code_sets_is_held_to_the_ranges_of_the_file() {
        let refusal = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::with_cameras([("front", "emulated")]).unwrap();
            change(&mut settings);
            settings.validate(&Drivers::builtin()).err().map(|error| error.to_string())
        };
        assert_eq!(refusal(&|_| {}), None);
        assert_eq!(refusal(&|settings| settings.cameras[0].idle_timeout = Some(Duration::ZERO)), None);
        for max_fps in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
            let told = refusal(&|settings| settings.cameras[0].max_fps = max_fps);
            assert_eq!(
                told.as_deref(),
                Some("camera `front`: max_fps must be from 0.01 to 10000"),
                "{max_fps}"
            );
        }
        type Change = fn(&mut Settings);
        let changes: [(Change, &str); 12] = [
            (|s| s.cameras[0].quality = 0, "camera `front`: quality must be from 1 to 100"),
            (
                |s| s.cameras[0].stall_timeout = Some(Duration::ZERO),
                "camera `front`: stall_timeout must be longer",
            ),
            (
                |s| s.cameras[0].idle_timeout = Some(Duration::MAX),
                "camera `front`: idle_timeout must be at most",
            ),
            (|s| s.cameras[0].name = "a/b".to_owned(), "camera `a/b`: `a/b` is not a name"),
            (
                |s| s.cameras[0].source = SourceUrl::parse("nope:").unwrap(),
                "camera `front`: no driver for `nope:`",
            ),
            (|s| s.write_timeout = Duration::ZERO, "write_timeout must be longer than 0 s"),
            (|s| s.header_timeout = Duration::MAX, "header_timeout must be at most 366 days"),
            (|s| s.max_connections = 0, "max_connections must be at least 1"),
            (|s| s.cameras[0].max_viewers = Some(0), "camera `front`: max_viewers must be at least 1"),
            (|s| s.latency_budget = Duration::from_millis(9), "latency_budget must be from 10ms to 1min"),
            (|s| s.writer_threads = Some(0), "writer_threads must be from 1 to 256"),
            (
                |s| {
                    s.account = Account::new("me", "pw").ok();
                    s.account.as_mut().unwrap().password.clear();
                },
                "user `me` needs a password",
            ),
        ];
        for (change, expected) in changes {
            let told = refusal(&change).unwrap_or_default();
            assert!(told.starts_with(expected), "{told}, and not {expected}");
        }
    }
}
