//! Any text as the value of `WWW-Authenticate`: challenges no larger than the text, each with a scheme.
#![no_main]

use framecast_drivers::http1::parse_challenges;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let challenges = parse_challenges(text);
    assert!(challenges.len() <= text.len());
    for challenge in challenges {
        assert!(!challenge.scheme.is_empty());
        for name in ["realm", "nonce", "qop", "algorithm", "opaque", "stale"] {
            // Lower case may be longer than upper case, but not much.
            assert!(challenge.get(name).is_none_or(|value| value.len() <= text.len()));
        }
    }
});
