//! The account with which clients log in.

use framecast_media::Secret;

/// The minimum length, in characters, of a password that causes no warning. An attacker can try all shorter passwords
/// in a short time.
const SHORTEST_PASSWORD: usize = 8;

/// The one account with which clients can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// The user name.
    pub user: String,
    /// The password. No log and no output contains it.
    pub password: Secret,
}

impl Account {
    /// Creates the account of `user`.
    ///
    /// # Errors
    /// The name is empty or contains a control character or a colon (HTTP Basic cannot carry a name with a colon), or
    /// the password is empty.
    pub fn new(user: &str, password: &str) -> Result<Self, String> {
        if user.is_empty() || user.contains(':') || user.contains(char::is_control) {
            // The part after a colon was probably meant as the password.
            let shown = if user.contains(':') { "***".to_owned() } else { user.escape_debug().to_string() };
            return Err(format!(
                "`{shown}` is not a user name: it must not be empty and must not contain a colon or control \
                 characters; put the password into FRAMECAST_PASSWORD"
            ));
        }
        if password.is_empty() {
            return Err(format!("user `{user}` needs a password: set FRAMECAST_PASSWORD in the environment"));
        }
        Ok(Self { user: user.to_owned(), password: Secret::new(password) })
    }

    /// Checks the name and the password, which code can have changed.
    pub(super) fn check(&self) -> Result<(), String> {
        Self::new(&self.user, self.password.expose()).map(drop)
    }

    /// Returns a warning if the password is short.
    pub(super) fn warning(&self) -> Option<String> {
        (self.password.expose().chars().count() < SHORTEST_PASSWORD).then(|| {
            format!(
                "the password of user `{}` has fewer than {SHORTEST_PASSWORD} characters and is easy to guess: set a \
                 longer FRAMECAST_PASSWORD",
                self.user
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Settings, WebhookSettings};

    use super::*;

    #[test]
    fn a_password_of_fewer_than_eight_characters_is_warned_of() {
        let warnings = |password: &str| {
            let settings =
                Settings { account: Some(Account::new("me", password).unwrap()), ..Settings::default() };
            settings.warnings()
        };
        let short = warnings("sieben7");
        assert!(
            short[0].contains("`me` has fewer than 8") && short[0].ends_with("FRAMECAST_PASSWORD"),
            "{short:?}"
        );
        assert!(!short[0].contains("sieben7"));
        assert!(warnings("schlüss").len() == 1 && warnings("schlüssel").is_empty());
    }

    #[test]
    fn settings_can_be_printed_without_their_secrets() {
        let mut settings = Settings::with_cameras([("a", "http://me:s3cr3t@host/?p=s3cr3t")]).unwrap();
        settings.account = Some(Account::new("me", "s3cr3t").unwrap());
        settings.webhook_secret = Some(Secret::new("s3cr3t"));
        settings.webhooks.push(WebhookSettings::new("https://hook.example/s3cr3t?s3cr3t".parse().unwrap()));
        let shown = format!("{settings:?}");
        assert!(shown.contains("***") && !shown.contains("s3cr3t"), "{shown}");
    }
}
