//! The configuration: the file as written (`File`), and its meaning ([`Settings`]).
//!
//! `framecast.toml` → `File::parse` → [`Settings`], validated, with defaults filled in and URLs parsed. Only this
//! module reads the file; each part of the server gets its own part of the settings.

mod account;
mod availability;
mod check;
mod config_messages;
mod error;
mod file;
mod from_file;
mod history;
mod listen;
mod network;
mod permissions;
mod settings;
mod state_dir;
mod value;
mod webhook;

pub use account::Account;
pub use check::check_camera_name;
pub use error::ConfigError;
pub use history::{HistorySettings, HistoryStorage};
pub use listen::Listen;
pub use network::TrustedProxies;
pub use settings::{CameraSettings, Settings};
pub use webhook::{Secret, WebhookSettings};
