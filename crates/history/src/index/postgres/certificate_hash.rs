//! The hash of a server's certificate, with which the login is bound to the TLS connection (`tls-server-end-point`, RFC
//! 5929, section 4.1). Somebody between client and server then cannot pass the login on.

use sha2::{Digest, Sha256, Sha384, Sha512};

/// The tags of DER, of ITU-T X.690.
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The object identifiers of RSA signatures (1.2.840.113549.1.1) and of ECDSA signatures (1.2.840.10045.4), without the
/// parts that name the hash: RFC 8017, appendix C, and RFC 5758, section 3.2.
const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01";
const ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04";

/// Returns the hash of `certificate`, which is in DER, by the hash of its signature, or by SHA-256 in place of MD5 and
/// SHA-1. Returns `None` if the signature has no such hash.
pub(super) fn certificate_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(certificate)?;
    let hash_number = algorithm.strip_prefix(RSA).or_else(|| algorithm.strip_prefix(ECDSA))?;
    match (hash_number, algorithm.starts_with(RSA)) {
        ([4 | 5 | 11], true) | ([1] | [3, 2], false) => Some(Sha256::digest(certificate).to_vec()),
        ([12], true) | ([3, 3], false) => Some(Sha384::digest(certificate).to_vec()),
        ([13], true) | ([3, 4], false) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// Returns the object identifier of the algorithm with which `certificate` is signed: RFC 5280, section 4.1.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (parts, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(parts, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    Some(element(algorithm, OBJECT_IDENTIFIER)?.0)
}

/// Splits `bytes` into the content of its first element, which must have the tag `tag`, and what follows the element.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The number of bytes that follow and have the length. Two are enough for certificates.
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |len, digit| len * 256 + usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len).filter(|_| found == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a certificate with a signature of the algorithm `identifier` begins with, and where it ends.
    fn signed_by(identifier: &[u8]) -> Vec<u8> {
        let of = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let algorithm = of(SEQUENCE, &[of(OBJECT_IDENTIFIER, identifier), vec![5, 0]].concat());
        of(SEQUENCE, &[of(SEQUENCE, b"what is signed"), algorithm, of(3, b"signature")].concat())
    }

    #[test]
    fn a_certificate_is_hashed_as_its_signature_is() {
        for (algorithm, number, len) in [
            (RSA, &[4][..], 32),
            (RSA, &[5], 32),
            (RSA, &[11], 32),
            (RSA, &[12], 48),
            (RSA, &[13], 64),
            (ECDSA, &[1], 32),
            (ECDSA, &[3, 2], 32),
            (ECDSA, &[3, 3], 48),
            (ECDSA, &[3, 4], 64),
        ] {
            let certificate = signed_by(&[algorithm, number].concat());
            assert_eq!(certificate_hash(&certificate).map(|hash| hash.len()), Some(len), "{number:?}");
        }
        // Ed25519, and RSA with a hash in its parameters.
        for algorithm in [&b"\x2b\x65\x70"[..], &[RSA, &[10]].concat(), &[ECDSA, &[11]].concat()] {
            assert_eq!(certificate_hash(&signed_by(algorithm)), None);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_hash() {
        let whole = signed_by(&[RSA, &[11]].concat());
        for len in 0..whole.len() {
            assert_eq!(certificate_hash(&whole[..len]), None);
        }
        for start in
            [&b"\x30\x80"[..], b"\x30\x84\xff\xff\xff\xff", b"\x30\x82\xff\xff\x30", b"\x31\x00", b"\x30\x81"]
        {
            assert_eq!(certificate_hash(start), None);
        }
    }
}
