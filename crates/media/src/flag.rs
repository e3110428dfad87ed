//! Yes-or-no parameters in the URLs of camera sources and in the server's own URLs.

/// The end of the error message about an invalid yes-or-no parameter: it lists the valid values.
pub const FLAG_VALUES: &str = "must have no value, or one of 1, true, yes, on, 0, false, no, off";

/// Returns the value of a yes-or-no parameter: an empty text, `1`, `true`, `yes` and `on` are true; `0`, `false`, `no`
/// and `off` are false, in any letter case. Returns `None` for every other text.
pub fn parse_flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_has_its_value_and_others_have_none() {
        for value in ["", "1", "true", "yes", "on", "True", "ON"] {
            assert_eq!(parse_flag(value), Some(true), "{value}");
        }
        for value in ["0", "false", "no", "off", "No"] {
            assert_eq!(parse_flag(value), Some(false), "{value}");
        }
        for value in ["2", "10", "truee", " 1", "y"] {
            assert_eq!(parse_flag(value), None, "{value}");
        }
    }
}
