//! Compares the user name and password that a client sent with those of the server's account, as bytes.
//!
//! Clients encode letters beyond ASCII in different ways. Browsers and curl use UTF-8, as in RFC 7617. Python's
//! requests and aiohttp use Latin-1, as in RFC 2617. Some keyboards send `ü` as two characters, others as one. All of
//! these forms of a password are accepted. The module `login_throttle` limits guesses.

use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use crate::config::Account;

/// The account's user name and password, in each encoding in which a client can send them.
pub(super) struct Credentials {
    /// The account's `user:password` in UTF-8, in composed Unicode form (NFC).
    composed: Vec<u8>,
    /// The account's `user:password` in Latin-1 (ISO 8859-1). `None` if all characters are ASCII, because the Latin-1
    /// form is then the same as the UTF-8 form. Also `None` if Latin-1 lacks one of the characters.
    latin_1: Option<Vec<u8>>,
}

impl Credentials {
    pub(super) fn new(account: &Account) -> Self {
        let composed: String = format!("{}:{}", account.user, account.password).nfc().collect();
        let latin_1 = composed.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<_, _>>().ok();
        Self { latin_1: latin_1.filter(|_| !composed.is_ascii()), composed: composed.into_bytes() }
    }

    /// Returns whether `given`, the `user:password` of a client, equals the account's in one of the encodings. The time
    /// of the comparison depends only on the length of `given`, so that it reveals nothing about the password.
    pub(super) fn matches(&self, given: &[u8]) -> bool {
        // Bytes that are not UTF-8 are compared unchanged, because they cannot be composed.
        let composed = std::str::from_utf8(given).map(|given| given.nfc().collect::<String>().into_bytes());
        let is_composed = composed.as_deref().unwrap_or(given).ct_eq(&self.composed);
        // Latin-1 bytes can be valid UTF-8 by chance.
        let is_latin_1 = given.ct_eq(self.latin_1.as_deref().unwrap_or(&self.composed));
        (is_composed | is_latin_1).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials::new(&Account::new(user, password).unwrap())
    }

    #[test]
    fn a_password_is_the_same_in_every_form_in_which_clients_write_it() {
        let composed = "jürgen:schlüssel-ñ";
        let decomposed = "ju\u{308}rgen:schlu\u{308}ssel-n\u{303}";
        assert_ne!(composed, decomposed);
        let latin_1 = b"j\xFCrgen:schl\xFCssel-\xF1";
        for account in [composed, decomposed] {
            let (user, password) = account.split_once(':').unwrap();
            let credentials = credentials(user, password);
            for given in [composed.as_bytes(), decomposed.as_bytes(), latin_1] {
                assert!(credentials.matches(given), "{account}: {given:?}");
            }
            for wrong in [
                &b"jurgen:schlussel-n"[..],
                b"j\xFCrgen:schl\xFCssel-\xF1 ",
                b"j\xFCrgen:",
                b"",
                "jürgen:SCHLÜSSEL-Ñ".as_bytes(),
                &latin_1[..latin_1.len() - 1],
                b"j\xFCrgen:schl\xFCssel-\xF1\xFF",
            ] {
                assert!(!credentials.matches(wrong), "{account}: {wrong:?}");
            }
        }
    }

    #[test]
    fn letters_that_latin_1_lacks_come_in_utf_8_alone() {
        let credentials = credentials("me", "пароль-ć");
        assert!(
            credentials.matches("me:пароль-ć".as_bytes())
                && credentials.matches("me:пароль-c\u{301}".as_bytes())
        );
        assert!(!credentials.matches(b"me:??????-c") && !credentials.matches("me:пароль-c".as_bytes()));
    }

    #[test]
    fn what_is_latin_1_and_utf_8_by_chance_is_taken_as_either() {
        // `Ã¼` in Latin-1 has the bytes of `ü` in UTF-8.
        let credentials = credentials("me", "Ã¼");
        assert!(credentials.matches("me:Ã¼".as_bytes()) && credentials.matches(b"me:\xC3\xBC"));
        assert!(!credentials.matches(b"me:\xFC"));
    }

    #[test]
    fn plain_passwords_are_what_they_were() {
        let credentials = credentials("me", "pw");
        assert!(credentials.matches(b"me:pw"));
        for wrong in [&b"me:pw\0"[..], b"me:p", b"ME:pw", b":", b"", b"\xFF\xFE"] {
            assert!(!credentials.matches(wrong), "{wrong:?}");
        }
    }
}
