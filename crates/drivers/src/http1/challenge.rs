//! Parses the challenges of `WWW-Authenticate` headers (RFC 9110 §11.6.1).

/// One challenge: an authentication scheme and its parameters. Quotes are removed, and parameter names are in lower
/// case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme in lower case, such as `digest`.
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Returns the value of the first parameter called `name`; `None` if there is no such parameter. `name` must be in
    /// lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Parses the challenges in the value of one header, which can contain several:
/// `Basic realm="a", Digest realm="a", nonce="b"`.
pub fn parse_challenges(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    for item in items(header) {
        // A blank before any `=` separates a scheme from its first parameter.
        let name_end = item.find(['=', '"']).unwrap_or(item.len());
        let (scheme, parameter) = match item[..name_end].trim_end().split_once(char::is_whitespace) {
            Some((scheme, _)) => (Some(scheme), item[scheme.len()..].trim_start()),
            None if name_end == item.len() => (Some(item), ""),
            None => (None, item),
        };
        if let Some(scheme) = scheme {
            challenges.push(Challenge { scheme: scheme.to_ascii_lowercase(), parameters: Vec::new() });
        }
        if let (Some(challenge), Some((name, value))) = (challenges.last_mut(), parameter.split_once('=')) {
            challenge.parameters.push((name.trim().to_ascii_lowercase(), unquote(value.trim())));
        }
    }
    challenges
}

/// Splits a header's value at the commas that are outside quotes.
fn items(header: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    header
        .split(move |c: char| {
            let separates = c == ',' && !is_quoted;
            if c == '"' && !is_escaped {
                is_quoted = !is_quoted;
            }
            is_escaped = c == '\\' && is_quoted && !is_escaped;
            separates
        })
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Returns the text of a quoted string without quotes and escapes. If `value` is not quoted, returns it unchanged.
fn unquote(value: &str) -> String {
    let Some(quoted) = value.strip_prefix('"') else { return value.to_owned() };
    let quoted = quoted.strip_suffix('"').unwrap_or(quoted);
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let challenges = parse_challenges(
            r#"Basic realm="a, \"b\"" , Negotiate,DIGEST Realm = "c", nonce="d==", qop="auth,auth-int", stale=TRUE"#,
        );
        let schemes: Vec<_> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes, ["basic", "negotiate", "digest"]);
        assert_eq!(challenges[0].get("realm"), Some("a, \"b\""));
        let digest = &challenges[2];
        for (name, value) in [("realm", "c"), ("nonce", "d=="), ("qop", "auth,auth-int"), ("stale", "TRUE")] {
            assert_eq!(digest.get(name), Some(value));
        }
    }

    #[test]
    fn nonsense_yields_no_parameters_and_no_panic() {
        for odd in ["", ",,", "=", "\"", "a=b", "Digest \"", "Digest =", "é ü=\"ß", "Digest realm=\"\\"] {
            assert!(parse_challenges(odd).iter().all(|challenge| challenge.get("nonce").is_none()), "{odd}");
        }
    }
}
