//! The content of `framecast.toml` as written, before it is validated.

use std::collections::BTreeMap;

use framecast_drivers::ControlValue;
use serde::Deserialize;
use toml::Spanned;

use super::value::{AgeValue, DurationValue, SizeValue, TimeoutValue};
use super::webhook::WebhookFile;
use super::{ConfigError, config_messages};

/// The content of `framecast.toml` as written. Every key is optional; the parser refuses unknown keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Address and port to listen on, or a UNIX socket.
    pub(super) listen: Option<Spanned<String>>,
    /// Host names under which browsers can reach the server, in addition to its own addresses.
    pub(super) allowed_hosts: Option<Vec<Spanned<String>>>,
    /// Web origins whose scripts are allowed to read pictures and the API; `"*"` for all origins.
    pub(super) cors_origins: Option<Vec<Spanned<String>>>,
    /// The name of the account with which clients log in. The account's password is in the environment.
    pub(super) user: Option<Spanned<String>>,
    /// How long a viewer can accept no data, while the server has data to send, before the server closes the
    /// connection.
    pub(super) write_timeout: Option<Spanned<DurationValue>>,
    /// How long a client can take to send the head of its request: the request line and the headers.
    pub(super) header_timeout: Option<Spanned<DurationValue>>,
    /// The maximum number of open connections.
    pub(super) max_connections: Option<Spanned<usize>>,
    /// The maximum number of open connections from one address.
    pub(super) max_connections_per_address: Option<Spanned<usize>>,
    /// The reverse proxies that the server trusts to report a client's address in a header.
    pub(super) trusted_proxies: Option<Vec<Spanned<String>>>,
    /// Web origins whose pages can embed the server's pages in an `<iframe>`.
    pub(super) frame_ancestors: Option<Vec<Spanned<String>>>,
    /// The maximum number of marks (events that clients add to the history) per minute from one address; 0 allows no
    /// marks.
    pub(super) marks_per_minute: Option<u32>,
    /// The maximum number of viewers at once.
    pub(super) max_viewers: Option<Spanned<usize>>,
    /// The maximum number of viewers at once from one address.
    pub(super) max_viewers_per_address: Option<Spanned<usize>>,
    /// The latency budget: the maximum amount of data on its way to a viewer, expressed as the time that the link needs
    /// to transfer the data.
    pub(super) latency_budget: Option<Spanned<DurationValue>>,
    /// The old name of `latency_budget`.
    freshness: Option<Spanned<DurationValue>>,
    /// The number of threads that write to viewers.
    pub(super) writer_threads: Option<Spanned<usize>>,
    /// The old name of `writer_threads`.
    writers: Option<Spanned<usize>>,
    /// Whether the server also responds at the URL paths of other camera servers, such as uStreamer's `/stream`.
    pub(super) drop_in: Option<bool>,
    /// The folder for data that must survive a restart, such as saved control values.
    pub(super) state_dir: Option<Spanned<String>>,
    /// The place where the history stores events.
    pub(super) history: Option<Spanned<String>>,
    /// The maximum age of events in the history.
    pub(super) history_max_age: Option<Spanned<AgeValue>>,
    /// The maximum number of events in the history.
    pub(super) history_max_rows: Option<Spanned<u64>>,
    /// The cameras. Requests that name no camera get the first one.
    #[serde(default)]
    pub(super) camera: Vec<Spanned<CameraFile>>,
    /// The `[[webhook]]` tables: URLs that receive events.
    #[serde(default)]
    pub(super) webhook: Vec<WebhookFile>,
}

/// One `[[camera]]` table as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CameraFile {
    /// The camera's name, which is part of its URLs.
    pub(super) name: Spanned<String>,
    /// The source of the camera's pictures.
    pub(super) source: Spanned<String>,
    /// How long the camera stays open without a viewer; with `"never"` the camera never closes.
    pub(super) idle_timeout: Option<Spanned<TimeoutValue>>,
    /// How long the camera can deliver no picture before it counts as lost.
    pub(super) stall_timeout: Option<Spanned<DurationValue>>,
    /// The maximum number of frames per second that the server accepts from the camera.
    pub(super) max_fps: Option<Spanned<f64>>,
    /// The JPEG quality at which the server encodes the camera's raw pictures.
    pub(super) quality: Option<Spanned<u8>>,
    /// The maximum number of the camera's viewers at once.
    pub(super) max_viewers: Option<Spanned<usize>>,
    /// The latency budget of the camera's viewers. It overrides the server's latency budget.
    pub(super) latency_budget: Option<Spanned<DurationValue>>,
    /// The old name of `latency_budget`.
    freshness: Option<Spanned<DurationValue>>,
    /// The maximum size of a picture that the server accepts from the camera.
    pub(super) max_picture: Option<Spanned<SizeValue>>,
    /// The values that the server sets on the camera's controls each time it opens the camera.
    pub(super) controls: Option<BTreeMap<Spanned<String>, ControlValue>>,
}

impl File {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// The first error, with line and column. For an unknown key, the message suggests the most similar known key.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let unquoted = error.span().and_then(|span| config_messages::unquoted(text, span.start));
            let is_syntax = config_messages::is_syntax_error(error.message());
            let message =
                unquoted.filter(|_| is_syntax).unwrap_or_else(|| config_messages::explain(error.message()));
            let message = match error.span() {
                Some(span) => config_messages::with_key(text, span, message),
                None => message,
            };
            ConfigError::at(text, error.span(), message)
        })
    }

    /// Moves the values of keys that have an old name to the fields with the current names. Returns a warning for each
    /// old name, with line and column.
    ///
    /// # Errors
    /// The file contains a key under both names.
    pub(super) fn rename_old_keys(&mut self, text: &str) -> Result<Vec<ConfigError>, ConfigError> {
        let mut warnings = Vec::new();
        let (budget, old) = (&mut self.latency_budget, self.freshness.take());
        warnings.extend(rename(text, "freshness", old, "latency_budget", budget)?);
        let (threads, old) = (&mut self.writer_threads, self.writers.take());
        warnings.extend(rename(text, "writers", old, "writer_threads", threads)?);
        for camera in &mut self.camera {
            let camera = camera.get_mut();
            let (budget, old) = (&mut camera.latency_budget, camera.freshness.take());
            warnings.extend(rename(text, "freshness", old, "latency_budget", budget)?);
        }
        Ok(warnings)
    }
}

fn rename<T>(
    text: &str,
    old_key: &str,
    old: Option<Spanned<T>>,
    key: &str,
    value: &mut Option<Spanned<T>>,
) -> Result<Option<ConfigError>, ConfigError> {
    let Some(old) = old else { return Ok(None) };
    let at = |message: String| ConfigError::at(text, Some(old.span()), message);
    if value.is_some() {
        return Err(at(format!(
            "`{old_key}` is the old name of `{key}`, and both are set here: remove `{old_key}`"
        )));
    }
    let warning =
        at(format!("`{old_key}` is now called `{key}`: rename it; the next release rejects the old name"));
    *value = Some(old);
    Ok(Some(warning))
}
