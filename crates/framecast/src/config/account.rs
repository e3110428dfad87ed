//! The account that is asked for.

use std::fmt;

/// The one account that may use the server.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// Its name.
    pub user: String,
    /// Its password; never shown.
    pub password: String,
}

impl Account {
    /// The account of `user`.
    ///
    /// # Errors
    /// What is wrong with the name, which HTTP Basic cannot carry with a colon, or that there is no password.
    pub fn new(user: &str, password: &str) -> Result<Self, String> {
        if user.is_empty() || user.contains(':') || user.contains(char::is_control) {
            // What follows a colon was meant as the password.
            let shown = if user.contains(':') { "***".to_owned() } else { user.escape_debug().to_string() };
            return Err(format!(
                "`{shown}` is no user name: it needs letters and can have no colon; its password is read from \
                 FRAMECAST_PASSWORD"
            ));
        }
        if password.is_empty() {
            return Err(format!("user `{user}` needs a password: set FRAMECAST_PASSWORD in the environment"));
        }
        Ok(Self { user: user.to_owned(), password: password.to_owned() })
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("user", &self.user).field("password", &"***").finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Secret, Settings, WebhookSettings};

    use super::*;

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
