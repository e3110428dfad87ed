//! Texts that nobody may see. They are here because every other crate may import this one.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A password, a key, a token, or a URL that contains one. It has no `Display`, its `Debug` is `***`, and its text is
/// overwritten in memory when it is dropped.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// Creates a secret from `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Returns the text. Use it to log in or to sign, never to show it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// For settings that are compared with earlier ones. The time of the comparison depends on the texts, so this is not
/// for what a client sends.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_but_never_shown() {
        let secret = Secret::new("s3cr3t");
        assert_eq!((format!("{secret:?}"), format!("{secret:#?}")), ("***".to_owned(), "***".to_owned()));
        assert!(secret == secret.clone() && secret != Secret::new("s3cr3") && secret.expose() == "s3cr3t");
    }
}
