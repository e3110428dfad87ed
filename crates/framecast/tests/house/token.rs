//! The tokens of Rust code, as far as the rules need them.

/// The tokens of `text`: words, `::`, and other characters one by one. Comments, lifetimes and spaces are left out; of
/// a text or character literal, only `"` stands.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, len) = next(rest, first);
        tokens.extend(token);
        rest = &rest[len..];
    }
    tokens
}

/// The first token of `rest`, which begins with `first`, and how many bytes it takes.
fn next(rest: &str, first: char) -> (Option<&str>, usize) {
    if first.is_whitespace() {
        return (None, first.len_utf8());
    }
    if rest.starts_with("//") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, block_comment(rest));
    }
    if let Some(len) = literal(rest) {
        return (Some("\""), len);
    }
    if first == '\'' {
        // A lifetime or a label.
        return (None, 1 + word(&rest[1..]));
    }
    if rest.starts_with("::") {
        return (Some("::"), 2);
    }
    let len = word(rest).max(first.len_utf8());
    (Some(&rest[..len]), len)
}

fn word(rest: &str) -> usize {
    rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
}

/// The length of a comment that may hold others.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let tail = &rest[at..];
        if tail.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if tail.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += tail.chars().next().expect("the comment ends").len_utf8();
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The length of the literal with which `rest` begins, if it begins with one.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|tail| tail.starts_with(['"', '\'']) || is_raw(prefix, tail))
    });
    let prefix = prefix.unwrap_or_default();
    let tail = &rest[prefix.len()..];
    if prefix.contains('r') {
        let hashes = tail.find('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let content = &tail[hashes + 1..];
        return Some(prefix.len() + hashes + 1 + content.find(&end).expect("the text ends") + end.len());
    }
    let quote = tail.chars().next().filter(|first| ['"', '\''].contains(first))?;
    let mut characters = tail.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            // Between two quotes that stand further apart is no character, but what stands between two lifetimes.
            let is_character = tail[1..at].starts_with('\\') || tail[1..at].chars().count() == 1;
            return (quote == '"' || is_character).then_some(prefix.len() + at + 1);
        }
    }
    None
}

/// Whether `tail` after `prefix` begins a text between hashes, and not a raw identifier.
fn is_raw(prefix: &str, tail: &str) -> bool {
    prefix.ends_with('r') && tail.starts_with('#') && tail.trim_start_matches('#').starts_with('"')
}

/// What `tokens` hold without the items that only tests have.
pub(crate) fn without_tests<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_test_attribute(&tokens[at..]) {
            at += item_len(&tokens[at..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

fn is_test_attribute(tokens: &[&str]) -> bool {
    tokens.starts_with(&["#", "[", "cfg", "(", "test", ")"])
        || tokens.starts_with(&["#", "[", "cfg", "(", "all", "(", "test", ","])
}

/// How many of `tokens` the item takes with which they begin, attributes included.
fn item_len(tokens: &[&str]) -> usize {
    let mut at = 0;
    while tokens[at] == "#" {
        at += 1 + group_len(&tokens[at + 1..]);
    }
    let mut head = tokens[at..].iter().take_while(|token| !["{", ";"].contains(*token));
    let is_import = head.any(|token| *token == "use");
    while at < tokens.len() {
        match tokens[at] {
            "{" if !is_import => return at + group_len(&tokens[at..]),
            ";" => return at + 1,
            "(" | "[" | "{" => at += group_len(&tokens[at..]),
            // The item was the last one in its block.
            "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// How many of `tokens`, which begin with a bracket, there are up to its counterpart.
pub(crate) fn group_len(tokens: &[&str]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match *token {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}
