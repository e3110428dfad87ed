//! From arguments, file and environment to settings.

use std::path::Path;

use anyhow::{Context, bail};
use framecast::{Account, Drivers, Settings};

use super::PlanArgs;

/// The file that is read by itself.
const DEFAULT_FILE: &str = "framecast.toml";

/// The name of a camera that was given without one.
const DEFAULT_NAME: &str = "camera";

/// Settings, and where they come from.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) settings: Settings,
    pub(super) origin: String,
}

impl Plan {
    /// Settings from the file, then the arguments, which count for more; the environment's `CAMERA`, or else the
    /// emulated camera, where these name no camera.
    pub(super) fn from_args(
        args: &PlanArgs,
        listen: Option<&str>,
        user: Option<&str>,
        password: Option<String>,
        drivers: &Drivers,
    ) -> anyhow::Result<Self> {
        let (mut settings, file_user, mut origin) = read_file(args, drivers)?;
        for (number, source) in args.sources.iter().enumerate() {
            let (name, source) = split_name(source);
            let name = name.map_or_else(|| default_name(number), str::to_owned);
            settings.add_camera(&name, source)?;
        }
        if settings.cameras.is_empty() {
            match args.camera.as_deref().filter(|camera| !camera.is_empty()) {
                Some(camera) => {
                    settings.add_camera(DEFAULT_NAME, camera).context("CAMERA")?;
                    origin = format!("CAMERA={}", settings.cameras[0].source);
                }
                None => {
                    settings.add_camera(DEFAULT_NAME, "emulated")?;
                    origin = format!("{origin}, the emulated camera");
                }
            }
        }
        settings.check_sources(drivers)?;
        if let Some(listen) = listen {
            settings.set_listen(listen).context("--listen")?;
        }
        settings.account = account(user.map(str::to_owned).or(file_user), password)?;
        Ok(Self { settings, origin: origin.trim_start_matches(", ").to_owned() })
    }
}

fn read_file(args: &PlanArgs, drivers: &Drivers) -> anyhow::Result<(Settings, Option<String>, String)> {
    let path = match &args.config {
        Some(path) => path.as_path(),
        None if args.sources.is_empty() && args.camera.is_none() && Path::new(DEFAULT_FILE).exists() => {
            Path::new(DEFAULT_FILE)
        }
        None => {
            let origin = if args.sources.is_empty() { "" } else { "the command line" };
            return Ok((Settings::default(), None, origin.to_owned()));
        }
    };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let (settings, user) =
        Settings::from_toml_with_user(&text, drivers).map_err(|error| error.in_file(&shown))?;
    Ok((settings, user, shown))
}

/// `front` and the source in `front=SOURCE`; a source alone has no name.
fn split_name(argument: &str) -> (Option<&str>, &str) {
    match argument.split_once('=') {
        // In a URL or a path something stands before the first `=` that no name has.
        Some((name, source)) if !name.contains([':', '/', '?', ' ', '\\']) => (Some(name), source),
        _ => (None, argument),
    }
}

fn default_name(number: usize) -> String {
    if number == 0 { DEFAULT_NAME.to_owned() } else { format!("{DEFAULT_NAME}{}", number + 1) }
}

fn account(user: Option<String>, password: Option<String>) -> anyhow::Result<Option<Account>> {
    match (user, password.filter(|password| !password.is_empty())) {
        (Some(user), Some(password)) if !user.is_empty() && !user.contains(':') => {
            Ok(Some(Account { user, password }))
        }
        (Some(_), Some(_)) => bail!("--user needs a name without a colon"),
        (Some(user), None) => {
            bail!("user `{user}` needs a password: set FRAMECAST_PASSWORD in the environment")
        }
        // Someone who sets a password means to be protected by it.
        (None, Some(_)) => bail!("FRAMECAST_PASSWORD is set, but no user: add --user NAME"),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_a_url_with_an_equals_sign() {
        assert_eq!(split_name("front=http://h/?a=b"), (Some("front"), "http://h/?a=b"));
        assert_eq!(split_name("http://h/?a=b"), (None, "http://h/?a=b"));
        assert_eq!(split_name("exec:x --size=3"), (None, "exec:x --size=3"));
        assert_eq!(split_name("./a=b/"), (None, "./a=b/"));
        assert_eq!(split_name("test:?fps=3"), (None, "test:?fps=3"));
    }

    #[test]
    fn a_user_without_password_and_a_password_without_user_are_refused() {
        assert!(account(Some("me".into()), None).unwrap_err().to_string().contains("FRAMECAST_PASSWORD"));
        assert!(account(Some("me".into()), Some(String::new())).is_err());
        assert!(account(None, Some("x".into())).unwrap_err().to_string().contains("--user"));
        assert!(account(None, None).unwrap().is_none());
    }
}
