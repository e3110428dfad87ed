//! Parses HTTP headers in which a client lists what it accepts, such as `Accept`. Each member of the list has a qvalue,
//! which is the client's preference from 0 to 1 (RFC 9110, sections 5.6 and 12.4.2).

/// The highest qvalue (a client's preference), in thousandths. A member of the list without a qvalue has this one too.
pub(super) const MAX_QVALUE: u16 = 1000;

/// Returns the members of `list`, each with its qvalue (the client's preference) in thousandths. Leaves out other
/// parameters of the members, and skips malformed members.
pub(super) fn parse_qvalues(list: &str) -> impl Iterator<Item = (&str, u16)> {
    split(list, b',').filter_map(|member| {
        let mut parts = split(member, b';');
        let name = parts.next()?.trim();
        let mut qvalue = MAX_QVALUE;
        for part in parts {
            if let Some((key, value)) = part.split_once('=')
                && key.trim().eq_ignore_ascii_case("q")
            {
                qvalue = parse(value.trim())?;
            }
        }
        (!name.is_empty()).then_some((name, qvalue))
    })
}

/// Parses a qvalue such as `1`, `0.5` or `0.125`, and returns it in thousandths. Ignores digits after the third.
/// Returns `None` if `text` is not a qvalue.
fn parse(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = digits.bytes().chain(std::iter::repeat(b'0')).take(3);
    let thousandths = thousandths.fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(MAX_QVALUE),
        _ => None,
    }
}

/// Returns the parts of `text` between the bytes `separator`. A separator within a quoted string does not end a part.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = text.bytes().position(|byte| {
            if is_escaped {
                is_escaped = false;
            } else if is_quoted && byte == b'\\' {
                is_escaped = true;
            } else if byte == b'"' {
                is_quoted = !is_quoted;
            }
            byte == separator && !is_quoted
        });
        let (part, left) = match end {
            Some(end) => (&text[..end], Some(&text[end + 1..])),
            None => (text, None),
        };
        rest = left;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str) -> Vec<(&str, u16)> {
        parse_qvalues(list).collect()
    }

    #[test]
    fn members_have_the_weight_that_they_say_or_all_of_it() {
        assert_eq!(of("gzip, br;q=0.5 ,\tzstd; Q=0.125"), [("gzip", 1000), ("br", 500), ("zstd", 125)]);
        assert_eq!(of("a;q=1.000, b;q=0, c;q=0.0009, d;q=0."), [("a", 1000), ("b", 0), ("c", 0), ("d", 0)]);
    }

    #[test]
    fn other_parameters_do_not_matter_even_when_they_hold_separators() {
        assert_eq!(of(r#"text/html;a="b,;q=0\",";q=0.7, x/y;z"#), [("text/html", 700), ("x/y", 1000)]);
    }

    #[test]
    fn malformed_members_are_left_out() {
        assert_eq!(of(",, ;q=1, a;q=2, b;q=1.5, c;q=-1, d;q=, e;q=0.5x, f;q=é, g"), [("g", 1000)]);
        assert_eq!(of(""), []);
        assert_eq!(of("\"never closed, b;q=0.5"), [("\"never closed, b;q=0.5", 1000)]);
    }
}
