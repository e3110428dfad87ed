//! Cookies of one source's session: what a camera sets with a challenge, a redirect or a page, it gets back.
//!
//! RFC 6265 is more than a camera needs: one server is asked for one thing, so paths, domains and dates do not matter.

/// The most cookies that are kept; a new one takes the oldest one's place.
const MAX_COOKIES: usize = 32;

/// The longest cookie that is kept, name and value together, in bytes.
const MAX_COOKIE_BYTES: usize = 4096;

/// The most that is sent back with one request, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The cookies of one server.
#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Takes the value of one `Set-Cookie` header; whether that changes what is sent back.
    pub(super) fn set(&mut self, header: &str) -> bool {
        let mut attributes = header.split(';').map(str::trim);
        let Some((name, value)) = attributes.next().and_then(|pair| pair.split_once('=')) else {
            return false;
        };
        let (name, value) = (name.trim(), value.trim());
        let is_text = |text: &str| !text.contains(|c: char| c.is_control());
        if name.is_empty() || name.len() + value.len() > MAX_COOKIE_BYTES || !is_text(name) || !is_text(value)
        {
            return false;
        }
        let is_deleted = attributes.any(|attribute| {
            let (key, age) = attribute.split_once('=').unwrap_or((attribute, ""));
            key.trim().eq_ignore_ascii_case("Max-Age") && age.trim().parse::<i64>().is_ok_and(|age| age <= 0)
        });
        if is_deleted {
            let before = self.0.len();
            self.0.retain(|(known, _)| known != name);
            return self.0.len() < before;
        }
        if let Some((_, held)) = self.0.iter_mut().find(|(known, _)| known == name) {
            let is_other = held != value;
            value.clone_into(held);
            return is_other;
        }
        if self.0.len() == MAX_COOKIES {
            self.0.remove(0);
        }
        self.0.push((name.to_owned(), value.to_owned()));
        true
    }

    /// The value of the header `Cookie`; `None` without cookies.
    pub(super) fn header(&self) -> Option<String> {
        let mut header = String::new();
        for (name, value) in &self.0 {
            if header.len() + name.len() + value.len() > MAX_HEADER_BYTES {
                break;
            }
            let separator = if header.is_empty() { "" } else { "; " };
            header.push_str(separator);
            header.push_str(name);
            header.push('=');
            header.push_str(value);
        }
        (!header.is_empty()).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_replaced_deleted_and_sent_back_in_their_order() {
        let mut cookies = Cookies::default();
        assert_eq!(cookies.header(), None);
        for header in [
            "session=abc; Path=/; HttpOnly",
            " lang = \"en\" ",
            "gone=1",
            "session=def=ghi; Max-Age=60",
            "gone=; max-age=0",
            "no cookie",
            "=empty",
            "odd=\u{1}",
        ] {
            cookies.set(header);
        }
        assert_eq!(cookies.header().as_deref(), Some("session=def=ghi; lang=\"en\""));
    }

    #[test]
    fn no_number_and_no_length_of_cookies_costs_more_than_the_bounds() {
        let mut cookies = Cookies::default();
        cookies.set(&format!("long={}", "x".repeat(MAX_COOKIE_BYTES)));
        assert_eq!(cookies.header(), None);
        for number in 0..1000 {
            cookies.set(&format!("n{number}={}", "x".repeat(1000)));
        }
        assert_eq!(cookies.0.len(), MAX_COOKIES);
        assert_eq!(cookies.0.last().map(|(name, _)| name.as_str()), Some("n999"));
        assert!(cookies.header().is_some_and(|header| header.len() <= MAX_HEADER_BYTES + 3 * MAX_COOKIES));
    }
}
