//! The configuration: the keys of the file ([`keys`]), and their meaning ([`Settings`]).
//!
//! `framecast.toml` → a table of TOML → [`Settings`], validated, with defaults filled in and URLs parsed. Each key is
//! declared once, with the field that it sets. Only this module reads the file; each part of the server gets its own
//! part of the settings.

mod account;
mod availability;
mod camera;
mod check;
mod config_messages;
mod error;
mod from_file;
#[cfg(feature = "history")]
mod history;
mod key;
mod kind;
mod listen;
mod network;
mod permissions;
mod reader;
mod settings;
mod state_dir;
#[cfg(feature = "webhook")]
mod webhook;

pub use account::Account;
pub(crate) use availability::missing;
pub use camera::CameraSettings;
pub use check::check_camera_name;
pub use error::ConfigError;
pub use from_file::keys;
#[cfg(feature = "history")]
pub use history::{HistorySettings, HistoryStorage};
pub use key::{KeyInfo, Reload};
pub use listen::Listen;
pub use network::AddressRanges;
pub use settings::Settings;
#[cfg(feature = "webhook")]
pub use webhook::WebhookSettings;
