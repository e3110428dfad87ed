//! `framecast.toml` as written.

use serde::Deserialize;
use toml::Spanned;

use super::value::{DurationValue, SizeValue, TimeoutValue};
use super::{ConfigError, wording};

/// The file as written; every key is optional, unknown ones are refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct File {
    /// Address and port to listen on.
    pub listen: Option<Spanned<String>>,
    /// Names under which the server may be reached, beside its own addresses.
    pub allowed_hosts: Option<Vec<Spanned<String>>>,
    /// Origins whose scripts may read pictures and API; `"*"` for all.
    pub cors_origins: Option<Vec<Spanned<String>>>,
    /// Name of the account that is asked for; its password is in the environment.
    pub user: Option<Spanned<String>>,
    /// How long a viewer may leave what was sent to it unread.
    pub write_timeout: Option<Spanned<DurationValue>>,
    /// How long a client may take to send the head of its request.
    pub header_timeout: Option<Spanned<DurationValue>>,
    /// How many connections may be open at once.
    pub max_connections: Option<Spanned<usize>>,
    /// The cameras; the first is the default one.
    #[serde(default)]
    pub camera: Vec<Spanned<CameraFile>>,
}

/// One camera as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CameraFile {
    /// The camera's name, as in its URLs.
    pub name: Spanned<String>,
    /// Where its pictures come from.
    pub source: Spanned<String>,
    /// How long it stays open without viewer; `"never"` closes it never.
    pub idle_timeout: Option<Spanned<TimeoutValue>>,
    /// How long it may yield nothing before it counts as lost.
    pub stall_timeout: Option<Spanned<DurationValue>>,
    /// The most frames per second that are taken from it.
    pub max_fps: Option<Spanned<f64>>,
    /// The largest picture that is taken from it.
    pub max_picture: Option<Spanned<SizeValue>>,
}

impl File {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first thing that is wrong, with line and column; for an unknown key the nearest known one.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let message = wording::reword(error.message());
            ConfigError::at(text, error.span(), message)
        })
    }
}
