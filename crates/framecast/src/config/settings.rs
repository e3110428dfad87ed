//! The meaning of the configuration: validated, with defaults filled in and URLs parsed.

use std::env;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use framecast_drivers::{Drivers, SourceUrl};
use framecast_hub::ViewerLimits;
use framecast_media::Secret;

#[cfg(feature = "history")]
use super::HistorySettings;
#[cfg(feature = "webhook")]
use super::WebhookSettings;
use super::check::{check_camera_name, parse_host, parse_origin};
use super::config_messages::redacted;
use super::key::{Keyed, settings};
use super::kind::{Number, OrNever, Switch, Text, Texts, Time};
use super::network::{Addresses, FrameAncestors};
use super::{Account, AddressRanges, CameraSettings, ConfigError, Listen, state_dir};

/// The default address: only this machine can connect.
const DEFAULT_LISTEN: Listen = Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000));

/// The minimum length of `monitor_token`, in characters. As digits in base 16, these are 64 bits.
const MIN_TOKEN_CHARS: usize = 16;

/// The schemes of the drivers that come with Framecast and deliver pictures alone, never coded video.
const PICTURE_SCHEMES: [&str; 5] = ["emulated", "test", "images", "http", "https"];

/// The range of `writer_threads`. More threads than cores only add overhead.
const WRITER_THREADS: RangeInclusive<usize> = 1..=256;

settings! {
    /// The settings of the server.
    #[derive(Debug, Clone, PartialEq)]
    #[non_exhaustive]
    pub struct Settings {
        section "server" {
            /// Address and port to listen on, or the path of a UNIX socket.
            listen: Listen = DEFAULT_LISTEN,
                Text::new(|text, _| Listen::parse(text)), NeedsRestart,
                "address and port to listen on †", default "\"127.0.0.1:5000\"";
            /// The account with which clients must log in; `None` if the server has no account.
            account as user: Option<Account> = None,
                Text::new(|user, file| Account::new(user, file.password.unwrap_or_default()))
                    .checked(Account::check),
                NeedsRestart, "the account; its password is in `FRAMECAST_PASSWORD`";
            /// Host names under which browsers can reach the server, in addition to its own addresses and names; in
            /// lower case.
            allowed_hosts: Vec<String> = Vec::new(),
                Texts(|text, _| parse_host(text)), NeedsRestart,
                "further host names under which browsers reach the server †", default "[]";
            /// Web origins whose scripts are allowed to read pictures and the API, and to set marks and controls. `*`
            /// allows all other origins to read, but not to set anything.
            cors_origins: Vec<HeaderValue> = Vec::new(),
                Texts(|text, _| parse_origin(text)), NeedsRestart,
                "origins whose scripts may use the pictures and the API †", default "[]";
            /// The reverse proxies that the server trusts to report a client's address in a header.
            trusted_proxies: AddressRanges = AddressRanges::this_machine(),
                Addresses, NeedsRestart,
                "the proxies that Framecast believes when they name a request's client †",
                default "[\"loopback\", \"unix\"]";
            /// Sites that can embed the server's pages in an `<iframe>`, in the syntax of the header
            /// `Content-Security-Policy`.
            frame_ancestors: Vec<String> = vec!["'self'".to_owned()],
                FrameAncestors, NeedsRestart,
                "which sites may show Framecast's pages in a frame †", default "[\"self\"]";
            /// Whether the server also responds at the URL paths of other camera servers, such as uStreamer's
            /// `/stream`.
            drop_in: bool = true,
                Switch, NeedsRestart,
                "whether Framecast also serves the [paths of other programs](compat.md) †";
        }
        section "limits" {
            /// How long a viewer can accept no data, while the server has data to send, before the server closes the
            /// connection.
            write_timeout: Duration = Duration::from_secs(10),
                Time::positive(), NeedsRestart,
                "disconnect a viewer that accepts no data for this long";
            /// How long a client can take to send the head of its request: the request line and the headers.
            header_timeout: Duration = Duration::from_secs(10),
                Time::positive(), NeedsRestart,
                "how long a request's head may take, and how long a connection may be idle";
            /// The maximum number of open connections. The server responds to further connections with status 503.
            max_connections: usize = 1024,
                Number::at_least(1_usize), NeedsRestart,
                "the most connections; Framecast answers further ones with 503";
            /// The maximum number of open connections from one address. IPv6 addresses with the same /64 prefix count
            /// as one address. `None` means a quarter of `max_connections`, and no limit for loopback addresses.
            max_connections_per_address: Option<usize> = None,
                Number::at_least(1_usize), NeedsRestart,
                "the most connections from one address †", default "a quarter of `max_connections`";
            /// The maximum number of viewers at once; `None` for no limit.
            max_viewers: Option<usize> = None,
                Number::at_least(1_usize), NeedsRestart,
                "the most viewers; Framecast answers further ones with 503 †", default "any number";
            /// The maximum number of viewers at once from one address; `None` for no limit.
            max_viewers_per_address: Option<usize> = None,
                Number::at_least(1_usize), NeedsRestart,
                "the most viewers from one address †", default "any number";
            /// The maximum number of marks (events that clients add to the history) per minute from one address; 0
            /// allows no marks. A client can add the marks of one minute all at once.
            marks_per_minute: u32 = 60,
                Number::at_least(0_u32), NeedsRestart,
                "the most [marks](history.md#for-programs) that one address may set in a minute †";
        }
        section "sending" {
            /// The latency budget: the maximum amount of data on its way to a viewer, expressed as the time that the
            /// link needs to transfer the data.
            latency_budget: Duration = ViewerLimits::default().latency_budget,
                Time::latency_budget(), Applies,
                "how far a viewer's pictures may lag †", formerly "freshness";
            /// The number of threads that write to viewers; `None` for one thread per core.
            writer_threads: Option<usize> = None,
                Number::between(&WRITER_THREADS), NeedsRestart,
                "threads that write to viewers", default "one per core", formerly "writers";
        }
        section "health" {
            /// How often the server opens each network camera for one picture while nobody watches it, to learn whether
            /// it works; `None` for never.
            probe: Option<Duration> = None,
                OrNever(Time::probe_interval()), Applies,
                "how often Framecast probes a network camera that nobody watches †";
            /// The addresses that may read `/metrics`, `/healthz` and `/readyz` without the account. Others need the
            /// account or the [`monitor_token`](Self::monitor_token). With `None`, these paths have no such rule.
            monitor_addresses: Option<AddressRanges> = None,
                Addresses, NeedsRestart,
                "the addresses that may read `/metrics`, `/healthz` and `/readyz` without the account †";
        }
        section "storage" {
            /// The folder for data that must survive a restart, such as the control values that requests asked to
            /// save. If there is no folder, the server refuses such requests.
            state_dir: Option<PathBuf> = None,
                Text::new(|text, _| state_dir::parse(text, env::var_os("HOME"))), NeedsRestart,
                "the folder for the history and the saved controls †", default "see below";
        }
        others {
            /// The cameras. Requests that name no camera get the first one.
            cameras: Vec<CameraSettings> = Vec::new();
            /// The bearer token with which programs may read `/metrics`, `/healthz` and `/readyz` without the account.
            monitor_token: Option<Secret> = None;
            /// A warning for each key that has an old name in the file.
            old_key_warnings: Vec<ConfigError> = Vec::new();
        }
        feature "history" {
            /// Where the history stores events, and for how long.
            history: HistorySettings = HistorySettings::default();
        }
        feature "webhook" {
            /// The webhooks: URLs to which the server sends events.
            webhooks: Vec<WebhookSettings> = Vec::new();
            /// The key with which the server signs the requests of webhooks; `None` to send them unsigned.
            webhook_secret: Option<Secret> = None;
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::with_defaults()
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
            camera
                .check_sources(drivers)
                .map_err(|problem| ConfigError::new(format!("camera `{}`: {problem}", camera.name)))?;
        }
        Ok(())
    }

    /// Checks all values. Code can set values that the parser of the file would refuse: values out of range, bad names,
    /// and bad sources as in [`check_sources`](Self::check_sources).
    ///
    /// # Errors
    /// A value is not valid. The error is about the first such value; for a camera's value, it names the camera.
    pub fn validate(&self, drivers: &Drivers) -> Result<(), ConfigError> {
        self.check_keys().map_err(ConfigError::new)?;
        self.check_secrets()?;
        #[cfg(feature = "history")]
        self.history.check_keys().map_err(ConfigError::new)?;
        for camera in &self.cameras {
            camera.check_keys().map_err(|problem| {
                ConfigError::new(format!("camera `{}`: {problem}", redacted(&camera.name)))
            })?;
        }
        self.check_sources(drivers)
    }

    /// Checks the secrets that come from the environment and not from the file.
    ///
    /// # Errors
    /// The [`monitor_token`](Self::monitor_token) is too short, so that somebody could guess it, or has a character that
    /// clients cannot send, such as a line break.
    pub fn check_secrets(&self) -> Result<(), ConfigError> {
        let Some(token) = &self.monitor_token else { return Ok(()) };
        let advice = "`openssl rand -hex 16` makes one that is right";
        if !token.expose().chars().all(|c| c.is_ascii_graphic()) {
            return Err(ConfigError::new(format!(
                "FRAMECAST_MONITOR_TOKEN has a blank, a line break or a character beyond ASCII, which clients cannot \
                 send: {advice}"
            )));
        }
        if token.expose().len() < MIN_TOKEN_CHARS {
            return Err(ConfigError::new(format!(
                "FRAMECAST_MONITOR_TOKEN is too short: it needs at least {MIN_TOKEN_CHARS} characters; {advice}"
            )));
        }
        Ok(())
    }

    /// Returns the names of the keys whose values differ in `other`, and which only a restart of the server applies.
    pub fn restart_keys(&self, other: &Self) -> Vec<&'static str> {
        let keys = Keyed::restart_keys(self, other);
        #[cfg(feature = "history")]
        let keys = [keys, Keyed::restart_keys(&self.history, &other.history)].concat();
        #[cfg(feature = "webhook")]
        let keys = match self.webhooks == other.webhooks {
            true => keys,
            false => [keys, vec!["webhook"]].concat(),
        };
        keys
    }

    /// Returns warnings about settings that are valid but probably unintended, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let has_address = self.listen.path().is_none() || self.trusted_proxies.contains(None);
        let counts_nobody = self.max_viewers_per_address.is_some() && !has_address;
        let message = "max_viewers_per_address has no effect: viewers of a UNIX socket have no address, unless \
                       trusted_proxies contains \"unix\"; max_viewers limits them";
        let counts_nobody = counts_nobody.then(|| message.to_owned());
        let unseen = self.cameras.iter().filter(|camera| camera.required && camera.probe == Some(None));
        let unseen = unseen.map(|camera| {
            format!(
                "camera `{}` is required, but `probe = \"never\"`: /readyz answers 503 until someone watches it",
                camera.name
            )
        });
        let useless_subs = self.cameras.iter().filter_map(|camera| {
            let scheme = camera.sub.as_ref()?.scheme();
            PICTURE_SCHEMES.contains(&scheme).then(|| {
                format!(
                    "camera `{}`: nobody gets its `sub`: a sub stream must be H.264 or H.265, and `{scheme}:` delivers \
                     pictures",
                    camera.name
                )
            })
        });
        let old_keys = self.old_key_warnings.iter().map(ToString::to_string);
        old_keys
            .chain(counts_nobody)
            .chain(unseen)
            .chain(useless_subs)
            .chain(self.account.as_ref().and_then(Account::warning))
            .collect()
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
    /// Checks all values, and that a driver accepts the source, as [`Settings::validate`] does for each camera. Opens
    /// no source.
    ///
    /// # Errors
    /// A value is not valid, or the source has no driver. The error names the camera.
    pub(crate) fn check(&self, drivers: &Drivers) -> Result<(), ConfigError> {
        let of_camera =
            |problem: String| ConfigError::new(format!("camera `{}`: {problem}", redacted(&self.name)));
        self.check_keys().map_err(of_camera)?;
        self.check_sources(drivers).map_err(of_camera)
    }

    /// Checks that a driver accepts each source.
    fn check_sources(&self, drivers: &Drivers) -> Result<(), String> {
        drivers.find(&self.source).map_err(|error| error.to_string())?;
        let Some(sub) = &self.sub else { return Ok(()) };
        drivers.find(sub).map(drop).map_err(|error| format!("sub: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use framecast_media::Secret;

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
    fn a_sub_stream_that_cannot_be_video_is_among_the_warnings() {
        let warnings = |sub: &str| {
            let file = format!("[[camera]]\nname = \"front\"\nsource = \"emulated\"\nsub = \"{sub}\"\n");
            Settings::from_toml(&file, &Drivers::builtin()).unwrap().warnings()
        };
        assert_eq!(warnings("rtsp://cam.example/2"), Vec::<String>::new());
        let told = warnings("http://cam.example/video.mjpg");
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("camera `front`: nobody gets its `sub`"), "{told:?}");
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
        let changes: [(Change, &str); 17] = [
            (
                |s| s.monitor_token = Some(Secret::new("0123456789abcdef\n")),
                "FRAMECAST_MONITOR_TOKEN has a blank, a line break",
            ),
            (|s| s.probe = Some(Duration::from_secs(9)), "probe must be from 10s to 366d"),
            (
                |s| s.cameras[0].probe = Some(Some(Duration::ZERO)),
                "camera `front`: probe must be from 10s to 366d",
            ),
            (
                |s| s.monitor_token = Some(Secret::new("fifteen-letters")),
                "FRAMECAST_MONITOR_TOKEN is too short: it needs at least 16 characters",
            ),
            (|s| s.cameras[0].quality = 0, "camera `front`: quality must be from 1 to 100"),
            (
                |s| s.cameras[0].stall_timeout = Some(Duration::ZERO),
                "camera `front`: stall_timeout must be longer than 0s, and at most 366d",
            ),
            (
                |s| s.cameras[0].idle_timeout = Some(Duration::MAX),
                "camera `front`: idle_timeout must be from 0s to 366d",
            ),
            (|s| s.cameras[0].name = "a/b".to_owned(), "camera `a/b`: `a/b` is not a name"),
            (
                |s| s.cameras[0].source = SourceUrl::parse("nope:").unwrap(),
                "camera `front`: no driver for `nope:`",
            ),
            (
                |s| s.cameras[0].sub = SourceUrl::parse("nope:").ok(),
                "camera `front`: sub: no driver for `nope:`",
            ),
            (|s| s.write_timeout = Duration::ZERO, "write_timeout must be longer than 0s, and at most 366d"),
            (|s| s.header_timeout = Duration::MAX, "header_timeout must be longer than 0s, and at most 366d"),
            (|s| s.max_connections = 0, "max_connections must be at least 1"),
            (|s| s.cameras[0].max_viewers = Some(0), "camera `front`: max_viewers must be at least 1"),
            (|s| s.latency_budget = Duration::from_millis(9), "latency_budget must be from 10ms to 1min"),
            (|s| s.writer_threads = Some(0), "writer_threads must be from 1 to 256"),
            (
                |s| {
                    s.account = Account::new("me", "pw").ok();
                    s.account.as_mut().unwrap().password = Secret::default();
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
