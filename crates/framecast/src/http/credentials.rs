//! Compares the user name and password that a client sent with those of the server's account, as bytes.
//!
//! Clients encode letters beyond ASCII in different ways. Browsers and curl use UTF-8, as in RFC 7617. Python's
//! requests and aiohttp use Latin-1, as in RFC 2617. Some keyboards send `ü` as two characters, others as one. All of
//! these forms of a password are accepted. The module `login_throttle` limits guesses.

use framecast_media::Secret;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use crate::config::Account;

/// The account's user name and password, to be compared with those that a client sends in any encoding.
pub(super) struct Credentials {
    /// The account's `user:password` in composed Unicode form (NFC).
    composed: Secret,
}

impl Credentials {
    pub(super) fn new(account: &Account) -> Self {
        let (user, password) = (account.user.chars(), account.password.expose().chars());
        Self { composed: Secret::new(user.chain([':']).chain(password).nfc().collect::<String>()) }
    }

    /// Returns whether `given`, the `user:password` of a client, equals the account's in one of the encodings. The time
    /// of the comparison depends only on the length of `given`, so that it reveals nothing about the password.
    pub(super) fn matches(&self, given: &[u8]) -> bool {
        // Bytes that are not UTF-8 are compared unchanged, because they cannot be composed.
        let composed = std::str::from_utf8(given).map(|given| given.nfc().collect::<String>().into_bytes());
        let expected = self.composed.expose().as_bytes();
        let is_composed = composed.as_deref().unwrap_or(given).ct_eq(expected);
        // Latin-1 bytes can be valid UTF-8 by chance. In Latin-1, each byte is the number of a character.
        let of_latin_1: String = given.iter().copied().map(char::from).collect();
        (is_composed | of_latin_1.as_bytes().ct_eq(expected)).into()
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
