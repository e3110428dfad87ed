//! The parameters of a request on a compat path (a path of another camera server, such as uStreamer), parsed by the
//! rules of those servers.

/// The query parameters of a request, percent-decoded, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CompatQuery(Vec<(String, String)>);

impl CompatQuery {
    pub(super) fn parse(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// Returns the value of the parameter called `name`; `None` if there is no such parameter. If there are several,
    /// returns the value of the first, as the imitated camera servers do.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns whether the parameter `name`, a switch, is on. As in the camera server uStreamer, `true`, `yes` and any
    /// value that begins with `1` mean on. Every other value means off, and is not an error.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| {
            value.starts_with('1') || value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("yes")
        })
    }

    /// Returns the name and value of all parameters, in the order of the request.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts_and_encoding_is_undone() {
        let query = CompatQuery::parse(Some("key=a%2Fb+c&key=other&&alone"));
        assert_eq!(query.get("key"), Some("a/b c"));
        assert_eq!(query.get("alone"), Some(""));
        assert_eq!(query.get("none"), None);
        assert_eq!(CompatQuery::parse(None), CompatQuery::default());
        assert_eq!(CompatQuery::parse(Some("key=%FF")).get("key"), Some("\u{FFFD}"));
    }

    #[test]
    fn a_switch_is_on_for_what_begins_with_one_or_says_yes() {
        for (value, is_on) in [
            ("1", true),
            ("10", true),
            ("True", true),
            ("YES", true),
            ("0", false),
            ("", false),
            ("on", false),
        ] {
            assert_eq!(CompatQuery::parse(Some(&format!("x={value}"))).is_on("x"), is_on, "{value}");
        }
        assert!(!CompatQuery::default().is_on("x"));
    }
}
