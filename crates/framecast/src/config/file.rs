//! `framecast.toml` as written.

use std::collections::BTreeMap;

use framecast_drivers::ControlValue;
use serde::Deserialize;
use toml::Spanned;

use super::value::{AgeValue, DurationValue, SizeValue, TimeoutValue};
use super::webhook::WebhookFile;
use super::{ConfigError, wording};

/// The file as written; every key is optional, unknown ones are refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Address and port to listen on, or a UNIX socket.
    pub(super) listen: Option<Spanned<String>>,
    /// Names under which the server may be reached, beside its own addresses.
    pub(super) allowed_hosts: Option<Vec<Spanned<String>>>,
    /// Origins whose scripts may read pictures and API; `"*"` for all.
    pub(super) cors_origins: Option<Vec<Spanned<String>>>,
    /// Name of the account that is asked for; its password is in the environment.
    pub(super) user: Option<Spanned<String>>,
    /// How long a viewer may leave what was sent to it unread.
    pub(super) write_timeout: Option<Spanned<DurationValue>>,
    /// How long a client may take to send the head of its request.
    pub(super) header_timeout: Option<Spanned<DurationValue>>,
    /// How many connections may be open at once.
    pub(super) max_connections: Option<Spanned<usize>>,
    /// How many of them from one address.
    pub(super) max_connections_per_address: Option<Spanned<usize>>,
    /// The proxies whose word on a client's address counts.
    pub(super) trusted_proxies: Option<Vec<Spanned<String>>>,
    /// Who may show the pages in a frame.
    pub(super) frame_ancestors: Option<Vec<Spanned<String>>>,
    /// How many marks one address may set a minute; 0 for none.
    pub(super) marks_per_minute: Option<u32>,
    /// How many viewers there may be at once.
    pub(super) max_viewers: Option<Spanned<usize>>,
    /// How many of them from one address.
    pub(super) max_viewers_per_address: Option<Spanned<usize>>,
    /// How much of what a viewer was sent may be on its way, as time.
    pub(super) freshness: Option<Spanned<DurationValue>>,
    /// Threads that write to viewers.
    pub(super) writers: Option<Spanned<usize>>,
    /// Whether the paths of other programs are answered.
    pub(super) drop_in: Option<bool>,
    /// Where what must outlive a restart is kept.
    pub(super) state_dir: Option<Spanned<String>>,
    /// Where events are kept.
    pub(super) history: Option<Spanned<String>>,
    /// How old they become.
    pub(super) history_max_age: Option<Spanned<AgeValue>>,
    /// How many there are at most.
    pub(super) history_max_rows: Option<Spanned<u64>>,
    /// The cameras; the first is the default one.
    #[serde(default)]
    pub(super) camera: Vec<Spanned<CameraFile>>,
    /// The addresses that events are sent to.
    #[serde(default)]
    pub(super) webhook: Vec<WebhookFile>,
}

/// One camera as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CameraFile {
    /// The camera's name, as in its URLs.
    pub(super) name: Spanned<String>,
    /// Where its pictures come from.
    pub(super) source: Spanned<String>,
    /// How long it stays open without viewer; `"never"` closes it never.
    pub(super) idle_timeout: Option<Spanned<TimeoutValue>>,
    /// How long it may yield nothing before it counts as lost.
    pub(super) stall_timeout: Option<Spanned<DurationValue>>,
    /// The most frames per second that are taken from it.
    pub(super) max_fps: Option<Spanned<f64>>,
    /// The JPEG quality at which its raw pictures are encoded.
    pub(super) quality: Option<Spanned<u8>>,
    /// How many viewers it may have at once.
    pub(super) max_viewers: Option<Spanned<usize>>,
    /// How much of what a viewer of it was sent may be on its way, as time.
    pub(super) freshness: Option<Spanned<DurationValue>>,
    /// The largest picture that is taken from it.
    pub(super) max_picture: Option<Spanned<SizeValue>>,
    /// What its controls are set to at every opening.
    pub(super) controls: Option<BTreeMap<Spanned<String>, ControlValue>>,
}

impl File {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong, with line and column; for an unknown key the nearest known one.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let unquoted = error.span().and_then(|span| wording::unquoted(text, span.start));
            let is_syntax = wording::is_of_syntax(error.message());
            let message = unquoted.filter(|_| is_syntax).unwrap_or_else(|| wording::reword(error.message()));
            let message = match error.span() {
                Some(span) => wording::with_key(text, span, message),
                None => message,
            };
            ConfigError::at(text, error.span(), message)
        })
    }
}
