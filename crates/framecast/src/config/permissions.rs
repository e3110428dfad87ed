//! Warns if every user of this machine can read a configuration file that contains secrets.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Settings;

/// The permission bit that lets other users read a file: users who are neither its owner nor in its group.
const READ_BY_OTHERS: u32 = 0o004;

/// The minimum length, in characters, of a path segment in a webhook's URL that counts as a possible secret.
#[cfg(feature = "webhook")]
const TOKEN_CHARS: usize = 12;

/// Names of parameters, options and headers whose values are logins.
const LOGIN_NAMES: [&str; 13] = [
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "key",
    "loginpas",
    "pass",
    "passwd",
    "password",
    "pwd",
    "secret",
    "token",
];

impl Settings {
    /// Returns a warning if these settings contain secrets and all users can read the file at `path`, from which the
    /// settings come. The warning names the command that fixes the permissions.
    pub fn permissions_warning(&self, path: &Path) -> Option<String> {
        let what = self.secret()?;
        let metadata = fs::metadata(path).ok().filter(|metadata| metadata.mode() & READ_BY_OTHERS != 0)?;
        let shown = path.display().to_string();
        let word = shell_words::quote(&shown);
        let cure = match metadata.uid() == rustix::process::geteuid().as_raw() {
            true => format!("chmod 600 {word}"),
            // With mode 600, only the account that owns the file could read it. That is not the server's account.
            false => format!("chgrp {} {word} && chmod 640 {word}", rustix::process::getegid().as_raw()),
        };
        Some(format!("everyone on this machine can read {shown}, and {what}; to stop that, run: {cure}"))
    }

    /// Describes the first secret among these settings in words. Returns `None` if there is no secret.
    fn secret(&self) -> Option<String> {
        let camera = self.cameras.iter().find(|camera| camera.sources().any(|url| has_login(&url.expose())));
        let of_camera = camera.map(|camera| format!("the source of camera `{}` holds a login", camera.name));
        of_camera.or_else(|| self.secret_of_webhook())
    }

    #[cfg(feature = "webhook")]
    fn secret_of_webhook(&self) -> Option<String> {
        let is_there = self.webhooks.iter().any(|webhook| is_secret(&webhook.url));
        is_there.then(|| "the address of a webhook holds a secret".to_owned())
    }

    #[cfg(not(feature = "webhook"))]
    fn secret_of_webhook(&self) -> Option<String> {
        None
    }
}

/// Returns whether a source contains a login: a URL with a user name, or a value under one of the [`LOGIN_NAMES`]. The
/// source can also be a program with its arguments.
fn has_login(source: &str) -> bool {
    let has_user = source.split("//").skip(1).any(|address| {
        let end = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'');
        address.split(end).next().is_some_and(|authority| authority.contains('@'))
    });
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = source.match_indices(['=', ':']).map(|(at, _)| {
        let before = &source[..at];
        &before[before.trim_end_matches(is_in_name).len()..]
    });
    has_user || names.any(|name| LOGIN_NAMES.contains(&&*name.to_ascii_lowercase()))
}

/// Returns whether a webhook's URL might contain a secret: a user name, query parameters, or a path segment that looks
/// like a token.
#[cfg(feature = "webhook")]
fn is_secret(url: &url::Url) -> bool {
    let is_token = |part: &str| part.len() >= TOKEN_CHARS && part.contains(|c: char| c.is_ascii_digit());
    !url.username().is_empty()
        || url.query().is_some()
        || url.path_segments().is_some_and(|mut parts| parts.any(is_token))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::WebhookSettings;

    #[test]
    fn logins_are_told_from_addresses() {
        for source in [
            "rtsp://me:pw@cam/live",
            "http://cam/snap?user=me&pwd=x",
            "http://cam/snap#x=1&Token=x",
            "exec:ffmpeg -i rtsp://me@cam/live -f mjpeg -",
            "exec:curl -H 'Authorization: Basic bWU6cHc=' http://cam/",
        ] {
            assert!(has_login(source), "{source}");
        }
        for source in [
            "test:?size=64x64",
            "/dev/video0?size=640x480",
            "http://cam:81/video?fps=5#size=640x480",
            "exec:ffmpeg -f v4l2 -i /dev/video0 -f mjpeg -",
            "images:/srv/mail@home/*.jpg",
            "http://cam/ü=ö:",
        ] {
            assert!(!has_login(source), "{source}");
        }
        let secret = |url: &str| is_secret(&url.parse().unwrap());
        assert!(secret("https://me:pw@hook.example/") && secret("http://hook.example/?t=1"));
        assert!(secret("https://hook.example/services/T00000000/B00000000/XXXXXXXX1XXXXXXX"));
        assert!(!secret("http://hook.example/events/cameras"));
    }

    #[test]
    fn a_file_with_secrets_that_everyone_can_read_is_told_with_its_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my site.toml");
        fs::write(&path, "").unwrap();
        let allow = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        // Chosen so that no temporary folder has it in its name.
        let secret = Settings::with_cameras([("front", "rtsp://me:pass-word@cam/live")]).unwrap();
        allow(0o644);
        let warning = secret.permissions_warning(&path).unwrap();
        let told = format!(
            "everyone on this machine can read {}, and the source of camera `front` ",
            path.display()
        );
        assert!(warning.starts_with(&told), "{warning}");
        assert!(warning.ends_with(&format!(": chmod 600 '{}'", path.display())), "{warning}");
        assert!(!warning.contains("pass-word"), "{warning}");
        let mut hook = Settings::with_cameras([("front", "emulated")]).unwrap();
        assert_eq!(hook.permissions_warning(&path), None);
        hook.webhooks.push(WebhookSettings::new("https://hook.example/?token=1".parse().unwrap()));
        assert!(hook.permissions_warning(&path).unwrap().contains("the address of a webhook holds a secret"));
        for mode in [0o600, 0o640] {
            allow(mode);
            assert_eq!(secret.permissions_warning(&path), None);
        }
    }
}
