//! The login that a fake camera asks for: Basic (RFC 7617) and Digest (RFC 2617, RFC 7616).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use digest_auth::{AuthContext, AuthorizationHeader, HttpMethod};

const REALM: &str = "fake camera";
const NONCE: &str = "9f2e60b3c8d14a75";

/// How a camera asks for the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginScheme {
    /// As it is.
    Basic,
    /// As a hash with MD5.
    Digest,
    /// As a hash with SHA-256.
    DigestSha256,
}

/// The user whom a camera lets in.
#[derive(Clone, Debug)]
pub struct Login {
    /// How the camera asks.
    pub scheme: LoginScheme,
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: String,
}

impl Login {
    /// The value of `WWW-Authenticate`.
    pub(super) fn challenge(&self) -> String {
        match self.scheme {
            LoginScheme::Basic => format!("Basic realm=\"{REALM}\""),
            LoginScheme::Digest => format!("Digest realm=\"{REALM}\", nonce=\"{NONCE}\""),
            LoginScheme::DigestSha256 => {
                format!("Digest realm=\"{REALM}\", nonce=\"{NONCE}\", algorithm=SHA-256, qop=\"auth\"")
            }
        }
    }

    /// Whether `header`, the value of `Authorization`, belongs to this user and a request by `method`.
    pub(super) fn lets_in(&self, method: &str, header: &str) -> bool {
        if self.scheme == LoginScheme::Basic {
            let expected = STANDARD.encode(format!("{}:{}", self.user, self.password));
            return header == format!("Basic {expected}");
        }
        let Ok(given) = AuthorizationHeader::parse(header) else { return false };
        let mut expected = given.clone();
        let method = HttpMethod(method.into());
        let context =
            AuthContext::new_with_method(&*self.user, &*self.password, &*given.uri, None::<&[u8]>, method);
        expected.digest(&context);
        let is_sha = self.scheme == LoginScheme::DigestSha256;
        let algorithm = if is_sha { "SHA-256" } else { "MD5" };
        given == expected && given.nonce == NONCE && given.algorithm.to_string() == algorithm
    }
}
