//! Parses the boundary parameter of a `Content-Type` header as cameras write it.

/// Returns the boundary that a `Content-Type` header declares, without quotes; `None` if the header declares none.
///
/// The case of the parameter's name does not matter. Blanks around `=` are allowed, and the closing quote can be
/// missing. Leading dashes are kept: the [`Parser`](super::Parser) finds out whether they belong to the boundary.
pub fn boundary_from_content_type(content_type: &str) -> Option<String> {
    let mut rest = content_type;
    while let Some(semicolon) = rest.find(';') {
        let (name, value) = rest[semicolon + 1..].split_once('=')?;
        // A parameter without a value can precede `boundary`.
        if name.contains(';') {
            rest = &rest[semicolon + 1..];
            continue;
        }
        let (value, after) = parameter_value(value.trim_start());
        if name.trim().eq_ignore_ascii_case("boundary") {
            return (!value.is_empty()).then_some(value);
        }
        rest = after;
    }
    None
}

/// Reads one token or quoted string (RFC 9110 §5.6.6). Returns the value without quotes, and the text after it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (text[..end].trim_end().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::boundary_from_content_type as boundary;

    #[test]
    fn the_boundary_is_found_however_it_is_written() {
        for (header, expected) in [
            ("multipart/x-mixed-replace; boundary=frame", "frame"),
            ("multipart/x-mixed-replace;boundary=--myboundary", "--myboundary"),
            ("multipart/x-mixed-replace; Boundary=\"a b\"", "a b"),
            ("multipart/x-mixed-replace; BOUNDARY = frame ", "frame"),
            ("multipart/x-mixed-replace; charset=utf-8; boundary=frame; x=y", "frame"),
            ("multipart/x-mixed-replace; charset=\"a;boundary=no\"; boundary=yes", "yes"),
            ("multipart/x-mixed-replace; live; boundary=frame", "frame"),
            ("multipart/x-mixed-replace; boundary=\"never closed", "never closed"),
            ("multipart/x-mixed-replace; boundary=\"with \\\"quotes\\\"\"", "with \"quotes\""),
            ("multipart/x-mixed-replace; boundary==_=", "=_="),
        ] {
            assert_eq!(boundary(header).as_deref(), Some(expected), "{header}");
        }
    }

    #[test]
    fn a_header_without_boundary_declares_none() {
        for header in [
            "",
            "image/jpeg",
            "multipart/x-mixed-replace",
            "multipart/x-mixed-replace; boundary=",
            ";;;=",
            "; ü",
        ] {
            assert_eq!(boundary(header), None, "{header}");
        }
    }
}
