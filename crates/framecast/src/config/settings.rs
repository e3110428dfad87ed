//! What the configuration means: validated, defaults filled in, URLs parsed.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use axum::http::HeaderValue;
use framecast_drivers::{Drivers, SourceUrl};

use super::{CameraFile, ConfigError, File};

/// The address that the server listens on until told otherwise: this machine alone.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

/// The bound on a camera's name, so that it fits URLs, logs and drawn pictures.
const MAX_NAME_CHARS: usize = 64;

/// What the server shall do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names under which the server may be reached, beside its own addresses and names; lower case.
    pub allowed_hosts: Vec<String>,
    /// Origins whose scripts may read pictures and API.
    pub cors_origins: Vec<HeaderValue>,
    /// The account that is asked for, if any.
    pub account: Option<Account>,
    /// How long a viewer may leave what was sent to it unread.
    pub write_timeout: Duration,
    /// How long a client may take to send the head of its request.
    pub header_timeout: Duration,
    /// How many connections may be open at once; further ones are answered 503.
    pub max_connections: usize,
    /// The cameras; the first is the default one.
    pub cameras: Vec<CameraSettings>,
}

/// The one account that may use the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).field("password", &"***").finish()
    }
}

/// One camera.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CameraSettings {
    /// Its name, as in its URLs.
    pub name: String,
    /// Where its pictures come from.
    pub source: SourceUrl,
    /// How long it stays open without viewer; `None` keeps it open for ever.
    pub idle_timeout: Option<Duration>,
    /// How long it may yield nothing before it counts as lost.
    pub stall_timeout: Duration,
    /// The most frames per second that are taken from it.
    pub max_fps: f64,
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
            cameras: Vec::new(),
        }
    }
}

impl CameraSettings {
    /// A camera called `name` that shows `source`, with the defaults.
    pub fn new(name: impl Into<String>, source: SourceUrl) -> Self {
        Self {
            name: name.into(),
            source,
            idle_timeout: Some(Duration::from_secs(10)),
            stall_timeout: Duration::from_secs(5),
            max_fps: 120.0,
        }
    }
}

impl Settings {
    /// Settings with the cameras of `name`s and sources as people type them, and defaults for the rest.
    ///
    /// # Errors
    /// A name or source that cannot be used, and which.
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
    /// A name that is taken or cannot stand in a URL, or a source that cannot be read.
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

    /// Checks that each camera's source has a driver, and what that says of it without opening it.
    ///
    /// # Errors
    /// The first source that cannot work, with the camera's name.
    pub fn check_sources(&self, drivers: &Drivers) -> Result<(), ConfigError> {
        for camera in &self.cameras {
            drivers
                .find(&camera.source)
                .map_err(|error| ConfigError::new(format!("camera `{}`: {error}", camera.name)))?;
        }
        Ok(())
    }

    /// What `text`, a file's content, means. Sources are checked against `drivers` without being opened.
    ///
    /// # Errors
    /// The first thing that is wrong, with line and column.
    pub fn from_toml(text: &str, drivers: &Drivers) -> Result<Self, ConfigError> {
        Self::from_file(&File::parse(text)?, text, drivers)
    }

    /// As [`from_toml`](Self::from_toml), with the name of the account that the file asks for; its password comes
    /// from elsewhere.
    ///
    /// # Errors
    /// The first thing that is wrong, with line and column.
    pub fn from_toml_with_user(text: &str, drivers: &Drivers) -> Result<(Self, Option<String>), ConfigError> {
        let file = File::parse(text)?;
        let settings = Self::from_file(&file, text, drivers)?;
        Ok((settings, file.user.map(toml::Spanned::into_inner)))
    }

    /// Listens on the address in `text`, as in `127.0.0.1:5000` or `:5000`.
    ///
    /// # Errors
    /// Text that is no address.
    pub fn set_listen(&mut self, text: &str) -> Result<(), ConfigError> {
        self.listen = parse_listen(text).map_err(ConfigError::new)?;
        Ok(())
    }

    fn from_file(file: &File, text: &str, drivers: &Drivers) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        if let Some(listen) = &file.listen {
            settings.listen = parse_listen(listen.get_ref())
                .map_err(|problem| ConfigError::at(text, Some(listen.span()), problem))?;
        }
        for host in file.allowed_hosts.iter().flatten() {
            settings.allowed_hosts.push(host.to_ascii_lowercase());
        }
        for origin in file.cors_origins.iter().flatten() {
            let value = parse_origin(origin.get_ref())
                .map_err(|problem| ConfigError::at(text, Some(origin.span()), problem))?;
            settings.cors_origins.push(value);
        }
        settings.write_timeout = positive(text, "write_timeout", file.write_timeout.as_ref(), |v| v.0)?
            .unwrap_or(settings.write_timeout);
        settings.header_timeout = positive(text, "header_timeout", file.header_timeout.as_ref(), |v| v.0)?
            .unwrap_or(settings.header_timeout);
        if let Some(max) = &file.max_connections {
            if *max.get_ref() == 0 {
                let message = "max_connections must be at least 1";
                return Err(ConfigError::at(text, Some(max.span()), message));
            }
            settings.max_connections = *max.get_ref();
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for camera in &file.camera {
            let camera = camera.get_ref();
            settings.cameras.push(camera_settings(camera, text, drivers)?);
            let name = &camera.name;
            if let Some(first) = seen.insert(name.get_ref(), name.span().start) {
                let first = text[..first].matches('\n').count() + 1;
                let message =
                    format!("two cameras are called `{}`; the first is in line {first}", name.get_ref());
                return Err(ConfigError::at(text, Some(name.span()), message));
            }
        }
        Ok(settings)
    }
}

fn camera_settings(file: &CameraFile, text: &str, drivers: &Drivers) -> Result<CameraSettings, ConfigError> {
    let name = file.name.get_ref();
    check_camera_name(name).map_err(|problem| ConfigError::at(text, Some(file.name.span()), problem))?;
    let at_source =
        |error: framecast_drivers::Error| ConfigError::at(text, Some(file.source.span()), error.to_string());
    let mut source = SourceUrl::parse(file.source.get_ref()).map_err(at_source)?;
    if let Some(max) = &file.max_picture {
        let bytes = max.get_ref().0;
        if !(1024..=1 << 30).contains(&bytes) {
            let message = "max_picture must be from 1KiB to 1GiB";
            return Err(ConfigError::at(text, Some(max.span()), message));
        }
        source = source.with_max_picture_bytes(bytes);
    }
    drivers.find(&source).map_err(at_source)?;
    let mut camera = CameraSettings::new(name, source);
    if let Some(idle) = &file.idle_timeout {
        camera.idle_timeout = idle.get_ref().0;
    }
    camera.stall_timeout = positive(text, "stall_timeout", file.stall_timeout.as_ref(), |v| v.0)?
        .unwrap_or(camera.stall_timeout);
    if let Some(max_fps) = &file.max_fps {
        if !(0.01..=10_000.0).contains(max_fps.get_ref()) {
            let message = "max_fps must be from 0.01 to 10000";
            return Err(ConfigError::at(text, Some(max_fps.span()), message));
        }
        camera.max_fps = *max_fps.get_ref();
    }
    Ok(camera)
}

/// The duration of a key, which must not be zero.
fn positive<T>(
    text: &str,
    key: &str,
    value: Option<&toml::Spanned<T>>,
    get: impl Fn(&T) -> Duration,
) -> Result<Option<Duration>, ConfigError> {
    match value {
        Some(spanned) if get(spanned.get_ref()).is_zero() => {
            Err(ConfigError::at(text, Some(spanned.span()), format!("{key} must be longer than nothing")))
        }
        Some(spanned) => Ok(Some(get(spanned.get_ref()))),
        None => Ok(None),
    }
}

/// The address that `text` names: `127.0.0.1:5000`, `[::]:5000`, `localhost:5000`, `:5000` for all addresses.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(|| {
        format!(
            "`{text}` is no address to listen on; write it like 127.0.0.1:5000, or 0.0.0.0:5000 for the network"
        )
    })
}

fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    let is_origin = text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', ' '])
        });
    is_origin.then(|| HeaderValue::from_str(text).ok()).flatten().ok_or_else(|| {
        format!("`{text}` is no origin; write it like https://dashboard.example, without a path, or \"*\"")
    })
}

/// Whether `name` can be a camera's: it stands in URLs, file names and log lines.
///
/// # Errors
/// What a name must be like.
pub fn check_camera_name(name: &str) -> Result<(), String> {
    let is_good = !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_good {
        return Ok(());
    }
    Err(format!(
        "`{}` is no name for a camera; use up to {MAX_NAME_CHARS} letters, digits, `-`, `_` and `.`, as in `front-door`",
        name.chars().take(MAX_NAME_CHARS).collect::<String>().escape_debug()
    ))
}
