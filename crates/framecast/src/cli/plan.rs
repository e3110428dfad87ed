//! Combines the command line's arguments, the configuration file and the environment into settings.

use std::collections::BTreeSet;
use std::env::{self, VarError};
use std::ffi::OsString;
use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use framecast::{Account, DriverError, Drivers, ReloadError, Secret, Settings, SourceUrl};
use framecast_drivers::nearest;

use super::config_file::{ConfigFile, variables_file};
use super::{PlanArgs, camera_env};

/// The configuration file that the program reads if the option `--config` does not name another file.
const DEFAULT_FILE: &str = "framecast.toml";

/// The name of the camera if the command line names only its source.
const DEFAULT_NAME: &str = "camera";

/// The commands of the command line.
const COMMANDS: [&str; 7] = ["serve", "devices", "check", "reload", "health", "completions", "man"];

/// The settings, and a description of where they come from.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) settings: Settings,
    pub(super) origin: String,
    /// Whether the file or the arguments name a camera. If not, there is one camera by default.
    pub(super) names_cameras: bool,
    /// The configuration file that was read; `None` if there was none.
    pub(super) file: Option<ConfigFile>,
    file_warnings: Vec<String>,
}

/// The values of the environment variables; an empty variable counts as absent.
#[derive(Default)]
pub(super) struct Environment {
    camera: Option<String>,
    opencv_source: Option<String>,
    password: Option<Secret>,
    /// The bearer token of programs that watch the server.
    monitor_token: Option<Secret>,
    /// The password of the PostgreSQL database that stores the history.
    #[cfg(feature = "postgres")]
    history_password: Option<Secret>,
    /// The key that signs webhooks.
    #[cfg(feature = "webhook")]
    webhook_secret: Option<Secret>,
    /// The default folder for data that must survive a restart, such as saved control values.
    state_dir: Option<PathBuf>,
}

impl Environment {
    pub(super) fn read() -> anyhow::Result<Self> {
        Ok(Self {
            camera: variable("CAMERA")?,
            opencv_source: variable("OPENCV_CAMERA_SOURCE")?,
            password: secret("FRAMECAST_PASSWORD")?,
            monitor_token: secret("FRAMECAST_MONITOR_TOKEN")?,
            #[cfg(feature = "postgres")]
            history_password: secret("FRAMECAST_HISTORY_PASSWORD")?,
            #[cfg(feature = "webhook")]
            webhook_secret: secret("FRAMECAST_WEBHOOK_SECRET")?,
            state_dir: state_dir(|name| env::var_os(name).filter(|value| !value.is_empty())),
        })
    }
}

impl Environment {
    /// Passes the secrets that are not part of another setting.
    fn pass_secrets(&self, settings: &mut Settings) {
        settings.monitor_token.clone_from(&self.monitor_token);
        #[cfg(feature = "webhook")]
        {
            settings.webhook_secret.clone_from(&self.webhook_secret);
        }
        #[cfg(feature = "postgres")]
        if let (framecast::HistoryStorage::Postgres(address), Some(password)) =
            (&mut settings.history.storage, self.history_password.clone())
        {
            address.set_password(password);
        }
    }
}

/// Returns the default folder for data that must survive a restart: the folder of systemd's `StateDirectory=` (the
/// first folder, if there are several). If there is none, returns the user's own folder, according to the XDG base
/// directory specification. `variable` looks up an environment variable.
fn state_dir(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let of_service = variable("STATE_DIRECTORY").and_then(|folders| env::split_paths(&folders).next());
    // The specification says to ignore relative paths.
    let absolute = |folder: OsString| Some(PathBuf::from(folder)).filter(|folder| folder.is_absolute());
    let of_user = || {
        let state = variable("XDG_STATE_HOME").and_then(absolute);
        let folder =
            state.or_else(|| variable("HOME").and_then(absolute).map(|home| home.join(".local/state")));
        folder.map(|folder| folder.join("framecast"))
    };
    of_service.or_else(of_user)
}

fn secret(name: &str) -> anyhow::Result<Option<Secret>> {
    Ok(variable(name)?.map(Secret::new))
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!("{name} is not UTF-8 text"),
    }
}

impl Plan {
    /// Creates the settings from the configuration file. The arguments override the file. If neither the arguments nor
    /// the file name a camera, the environment variable `CAMERA` does. If `CAMERA` is not set either, the server shows
    /// the emulated camera.
    ///
    /// # Errors
    /// [`PlanErrors`]: all that is wrong in the file and on the command line.
    pub(super) fn new(args: &PlanArgs, environment: &Environment, drivers: &Drivers) -> anyhow::Result<Self> {
        let file = configuration(args, environment).map(ConfigFile::read);
        Self::from_file(file, args, environment, drivers)
    }

    /// Creates the settings, as [`new`](Self::new) does, from a file that has been read.
    fn from_file(
        file: Option<ConfigFile>,
        args: &PlanArgs,
        environment: &Environment,
        drivers: &Drivers,
    ) -> anyhow::Result<Self> {
        let mut errors = Vec::new();
        let (mut settings, mut origin) = (Settings::default(), Vec::new());
        if let Some(file) = &file {
            match parse(file, environment, drivers) {
                Ok(of_file) => settings = of_file,
                Err(of_file) => errors.extend(of_file),
            }
            origin.push(file.path.display().to_string());
        }
        let has_file = errors.is_empty();
        let file_warnings =
            file.as_ref().map(|file| file_warnings(&file.path, &mut settings)).unwrap_or_default();
        errors.extend(add_sources(&mut settings, &args.sources, drivers));
        if !args.sources.is_empty() {
            origin.push("the command line".to_owned());
        }
        let names_cameras = !settings.cameras.is_empty();
        if !names_cameras && errors.is_empty() {
            let added = add_default(&mut settings, environment, &mut origin, drivers);
            errors.extend(added.err().map(|error| format!("{error:#}")));
        }
        errors.extend(add_options(&mut settings, args, environment));
        add_environment(&mut settings, environment);
        errors.extend(settings.check_secrets().err().map(|error| error.to_string()));
        if has_file && args.user.is_none() && environment.password.is_some() && settings.account.is_none() {
            // A user who sets a password wants the server to ask for it.
            let message = "FRAMECAST_PASSWORD is set, but there is no user: add --user NAME, or user = \"NAME\" in the file";
            errors.push(message.to_owned());
        }
        if !errors.is_empty() {
            bail!(PlanErrors(errors));
        }
        Ok(Self { settings, origin: origin.join(", "), names_cameras, file, file_warnings })
    }

    /// Creates the settings from a file that has been read again, with the same arguments and environment.
    ///
    /// # Errors
    /// All that is wrong, as in [`new`](Self::new).
    pub(super) fn again(
        file: ConfigFile,
        args: &PlanArgs,
        environment: &Environment,
        drivers: &Drivers,
    ) -> Result<Self, ReloadError> {
        let plan = Self::from_file(Some(file), args, environment, drivers);
        plan.map_err(|error| ReloadError::Invalid(messages(&error)))
    }

    /// Returns warnings about settings that are valid but probably unintended, one sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.settings.warnings().into_iter().chain(self.file_warnings.clone()).collect()
    }
}

/// Returns settings that say only where the server that these arguments describe listens, and which account it has.
///
/// # Errors
/// The file cannot be read, or one of these arguments is not valid.
pub(super) fn listener(args: &PlanArgs, environment: &Environment) -> anyhow::Result<Settings> {
    let password = environment.password.as_ref().map(Secret::expose);
    let mut settings = match configuration(args, environment).map(ConfigFile::read) {
        Some(file) => Settings::listener_of_toml(&file.text.map_err(anyhow::Error::msg)?, password),
        None => Settings::default(),
    };
    let errors = add_options(&mut settings, args, environment);
    if errors.is_empty() { Ok(settings) } else { bail!(PlanErrors(errors)) }
}

/// Returns a sentence about the variables of a service's environment, if this process does not have the password among
/// them: for commands that a person runs beside a service.
pub(super) fn missing_variables(args: &PlanArgs) -> Option<String> {
    let environment = Environment::read().ok().filter(|environment| environment.password.is_none())?;
    let variables = variables_file(configuration(args, &environment)?)?;
    let variables = variables.display();
    Some(format!("the service has the variables of {variables}, such as its password; this command has not"))
}

/// Returns the path of the configuration file to read; `None` to read no file.
fn configuration<'a>(args: &'a PlanArgs, environment: &Environment) -> Option<&'a Path> {
    match &args.config {
        Some(path) => Some(path),
        // A user who names a source does not want the cameras of a file that happens to be in this folder.
        None if !args.sources.is_empty() || environment.camera.is_some() => None,
        None => Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()),
    }
}

/// Returns the settings of a configuration file.
///
/// # Errors
/// All that is wrong in the file, or why it could not be read.
fn parse(file: &ConfigFile, environment: &Environment, drivers: &Drivers) -> Result<Settings, Vec<String>> {
    let text = file.text.as_ref().map_err(|error| vec![error.clone()])?;
    let password = environment.password.as_ref().map(Secret::expose);
    let shown = file.path.display().to_string();
    Settings::check_toml(text, drivers, password)
        .map_err(|errors| errors.into_iter().map(|error| error.in_file(&shown).to_string()).collect())
}

/// What is wrong in the configuration file, in the order of the file, and then on the command line.
#[derive(Debug)]
pub(super) struct PlanErrors(Vec<String>);

impl std::error::Error for PlanErrors {}

/// Returns the messages of an error, one for each error in the configuration file and on the command line.
pub(super) fn messages(error: &anyhow::Error) -> Vec<String> {
    match error.downcast_ref::<PlanErrors>() {
        Some(PlanErrors(errors)) => errors.clone(),
        None => vec![format!("{error:#}")],
    }
}

/// Formats one error a line.
impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Returns warnings about the configuration file itself: keys with old names, and permissions that let other users read
/// its secrets.
fn file_warnings(path: &Path, settings: &mut Settings) -> Vec<String> {
    let shown = path.display().to_string();
    // Here they get the name of the file, which the settings do not have.
    let old_keys = mem::take(&mut settings.old_key_warnings);
    let old_keys = old_keys.into_iter().map(|warning| warning.in_file(&shown).to_string());
    old_keys.chain(settings.permissions_warning(path)).collect()
}

/// Adds the cameras of the command line to `settings`. Returns what is wrong with them.
fn add_sources(settings: &mut Settings, sources: &[String], drivers: &Drivers) -> Vec<String> {
    let named: BTreeSet<&str> = sources.iter().filter_map(|source| split_name(source).0).collect();
    let mut add = |number: usize, argument: &str| {
        if number == 0 {
            check_command(argument, drivers)?;
        }
        let (name, source) = split_name(argument);
        check_configuration(source)?;
        let is_taken =
            |name: &str| named.contains(name) || settings.cameras.iter().any(|camera| camera.name == name);
        let name = name.map_or_else(|| free_name(is_taken), str::to_owned);
        settings.add_camera(&name, source)?;
        let added = settings.cameras.last().expect("it was added");
        drivers.find(&added.source).map(drop).map_err(|error| anyhow!("camera `{name}`: {error}"))
    };
    let results = sources.iter().enumerate().map(|(number, argument)| add(number, argument));
    results.filter_map(Result::err).map(|error| format!("{error:#}")).collect()
}

/// Overrides `settings` with the options of the command line. Returns what is wrong with them.
fn add_options(settings: &mut Settings, args: &PlanArgs, environment: &Environment) -> Vec<String> {
    let mut errors = Vec::new();
    if let Some(listen) = &args.listen {
        errors.extend(settings.set_listen(listen).err().map(|error| format!("--listen: {error}")));
    }
    for host in &args.allowed_hosts {
        errors.extend(settings.allow_host(host).err().map(|error| format!("--allowed-host: {error}")));
    }
    if let Some(user) = &args.user {
        let password = environment.password.as_ref().map(Secret::expose);
        match Account::new(user, password.unwrap_or_default()) {
            Ok(account) => settings.account = Some(account),
            Err(problem) => errors.push(format!("--user: {problem}")),
        }
    }
    errors
}

/// Adds what the environment says and the file does not.
fn add_environment(settings: &mut Settings, environment: &Environment) {
    if settings.state_dir.is_none() {
        settings.state_dir.clone_from(&environment.state_dir);
    }
    environment.pass_secrets(settings);
}

/// Returns an error if `word`, an argument in the place of a source, is a misspelt command. Also returns an error if
/// `word` is a command that stands after options of the server. Without this check, the program would take the word for
/// a driver's name.
fn check_command(word: &str, drivers: &Drivers) -> anyhow::Result<()> {
    if drivers.schemes().contains(&word) {
        return Ok(());
    }
    if COMMANDS.contains(&word) {
        bail!("write the command first, without the server's options: `framecast {word}`");
    }
    match nearest(word, &COMMANDS) {
        Some(command) => bail!("`{word}` is neither a command nor a source; did you mean `{command}`?"),
        None => Ok(()),
    }
}

/// Returns an error if `source` is the path of a configuration file. Without this check, the program would watch that
/// file for pictures.
fn check_configuration(source: &str) -> anyhow::Result<()> {
    let path = Path::new(source);
    let is_toml = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    if is_toml && !source.contains([':', ' ']) && !path.is_dir() {
        let path = source.strip_prefix("./").unwrap_or(source);
        bail!("`{source}` is not a source; did you mean --config {path}?");
    }
    Ok(())
}

/// Adds a camera if the user named none: the camera of the environment variable `CAMERA` or, if that is not set, the
/// emulated camera.
fn add_default(
    settings: &mut Settings,
    environment: &Environment,
    origin: &mut Vec<String>,
    drivers: &Drivers,
) -> anyhow::Result<()> {
    let Some(camera) = &environment.camera else {
        settings.add_camera(DEFAULT_NAME, "emulated")?;
        let why_emulated = match origin.is_empty() {
            true => format!("the emulated camera, because this folder has no {DEFAULT_FILE}"),
            false => "the emulated camera, because the file names no camera".to_owned(),
        };
        origin.push(why_emulated);
        return Ok(());
    };
    if split_name(camera).0.is_some() {
        bail!(
            "the environment variable CAMERA must be a source without a name: remove the name and the `=` after it"
        );
    }
    let source = camera_env::source(camera, environment.opencv_source.as_deref());
    settings
        .add_camera(DEFAULT_NAME, &source)
        .and_then(|()| settings.check_sources(drivers))
        .map_err(|error| match SourceUrl::parse(&source).and_then(|url| drivers.find(&url)) {
            Err(DriverError::UnknownScheme { .. } | DriverError::BadUrl { .. }) => {
                anyhow!("{error}; CAMERA can also be {}", camera_env::NAMES)
            }
            _ => error.into(),
        })
        .context("the environment variable CAMERA")?;
    origin.push("the environment variable CAMERA".to_owned());
    Ok(())
}

/// Splits `front=SOURCE` into the name `front` and the source. For a source alone, returns `None` in place of the name.
fn split_name(argument: &str) -> (Option<&str>, &str) {
    match argument.split_once('=') {
        // In a URL or a path, a character that is not allowed in names stands before the first `=`.
        Some((name, source)) if !name.contains([':', '/', '?', ' ', '\\']) => (Some(name), source),
        _ => (None, argument),
    }
}

/// Returns the first of the names `camera`, `camera2`, `camera3`, … that is not taken.
fn free_name(is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{DEFAULT_NAME}{number}"));
    let mut names = std::iter::once(DEFAULT_NAME.to_owned()).chain(numbered);
    names.find(|name| !is_taken(name)).expect("there are more numbers than cameras")
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
    fn state_is_kept_where_the_system_says() {
        let found = |variables: &[(&str, &str)]| {
            let value = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            state_dir(value).map(|folder| folder.to_str().unwrap().to_owned())
        };
        let home = ("HOME", "/h");
        assert_eq!(found(&[home]).as_deref(), Some("/h/.local/state/framecast"));
        assert_eq!(found(&[home, ("XDG_STATE_HOME", "/x")]).as_deref(), Some("/x/framecast"));
        assert_eq!(found(&[home, ("XDG_STATE_HOME", "x")]).as_deref(), Some("/h/.local/state/framecast"));
        assert_eq!(
            found(&[home, ("STATE_DIRECTORY", "/var/lib/f:/var/lib/g")]).as_deref(),
            Some("/var/lib/f")
        );
        assert_eq!(found(&[("HOME", "h")]), None);
    }

    #[test]
    fn sources_without_a_name_get_one_that_is_free() {
        let args = |sources: &[&str]| PlanArgs {
            sources: sources.iter().map(|&source| source.to_owned()).collect(),
            ..PlanArgs::default()
        };
        let plan = |sources: &[&str]| {
            let plan = Plan::new(&args(sources), &Environment::default(), &Drivers::builtin()).unwrap();
            plan.settings.cameras.into_iter().map(|camera| camera.name).collect::<Vec<_>>()
        };
        assert_eq!(plan(&["emulated", "emulated"]), ["camera", "camera2"]);
        assert_eq!(plan(&["emulated", "camera=emulated", "emulated"]), ["camera2", "camera", "camera3"]);
    }
}
