//! The cookies of one source's session. The client sends back the cookies that the camera set, whether in a login
//! challenge, in a redirect or with a page.
//!
//! Cameras need only part of RFC 6265. A session requests one URL from one server, so paths and domains do not matter.
//! Of the expiry dates, only those that delete a cookie at once matter. Cookies that arrived over TLS are sent over TLS
//! only.

/// The maximum number of stored cookies. When it is reached, a new cookie replaces the oldest.
const MAX_COOKIES: usize = 32;

/// The maximum length of a stored cookie, in bytes: name and value together.
const MAX_COOKIE_BYTES: usize = 4096;

/// The approximate maximum length of the `Cookie` header of one request, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The cookies of one server.
#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    is_tls: bool,
}

impl Cookies {
    /// Stores the cookie of one `Set-Cookie` header. `is_tls` tells whether the header arrived over TLS. Returns
    /// whether this changes the `Cookie` header of the next request.
    pub(super) fn set(&mut self, header: &str, is_tls: bool) -> bool {
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
        if attributes.any(is_deletion) {
            let before = self.0.len();
            self.0.retain(|cookie| cookie.name != name);
            return self.0.len() < before;
        }
        if let Some(cookie) = self.0.iter_mut().find(|cookie| cookie.name == name) {
            let is_other = cookie.value != value;
            value.clone_into(&mut cookie.value);
            cookie.is_tls = is_tls;
            return is_other;
        }
        if self.0.len() == MAX_COOKIES {
            self.0.remove(0);
        }
        self.0.push(Cookie { name: name.to_owned(), value: value.to_owned(), is_tls });
        true
    }

    /// Returns the value of the `Cookie` header for a request; `None` if there are no cookies to send. `is_tls` tells
    /// whether the request goes over TLS.
    pub(super) fn header(&self, is_tls: bool) -> Option<String> {
        let mut header = String::new();
        for Cookie { name, value, .. } in self.0.iter().filter(|cookie| is_tls || !cookie.is_tls) {
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

/// Returns whether an attribute deletes its cookie: a maximum age of zero or less, or an expiry date before the year
/// 2000.
fn is_deletion(attribute: &str) -> bool {
    let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
    let is_old = |word: &str| {
        // The two-digit numbers that RFC 6265 reads as a year of the last century and that cannot be a day, hour,
        // minute or second.
        let years = match word.len() {
            2 => 70..100,
            4 => 1900..2000,
            _ => return false,
        };
        word.parse::<u16>().is_ok_and(|year| years.contains(&year))
    };
    match name.trim().to_ascii_lowercase().as_str() {
        "max-age" => value.trim().parse::<i64>().is_ok_and(|age| age <= 0),
        "expires" => value.split(|c: char| !c.is_ascii_alphanumeric()).any(is_old),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_replaced_deleted_and_sent_back_in_their_order() {
        let mut cookies = Cookies::default();
        assert_eq!(cookies.header(false), None);
        for header in [
            "session=abc; Path=/; HttpOnly",
            " lang = \"en\" ",
            "gone=1",
            "session=def=ghi; Max-Age=60",
            "gone=; max-age=0",
            "old=1",
            "old=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT",
            "older=1",
            "older=deleted; expires=Thu, 01-Jan-70 00:00:00 GMT",
            "new=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
            "new=; Max-Age=-1",
            "kept=1; expires=Wed, 31-Dec-31 23:59:60 GMT",
            "no cookie",
            "=empty",
            "odd=\u{1}",
        ] {
            cookies.set(header, false);
        }
        assert_eq!(cookies.header(false).as_deref(), Some("session=def=ghi; lang=\"en\"; kept=1"));
    }

    #[test]
    fn what_came_over_tls_goes_back_over_tls_alone() {
        let mut cookies = Cookies::default();
        cookies.set("open=1", false);
        cookies.set("session=2", true);
        assert_eq!(cookies.header(false).as_deref(), Some("open=1"));
        assert_eq!(cookies.header(true).as_deref(), Some("open=1; session=2"));
    }

    #[test]
    fn no_number_and_no_length_of_cookies_costs_more_than_the_bounds() {
        let mut cookies = Cookies::default();
        cookies.set(&format!("long={}", "x".repeat(MAX_COOKIE_BYTES)), false);
        assert_eq!(cookies.header(false), None);
        for number in 0..1000 {
            cookies.set(&format!("n{number}={}", "x".repeat(1000)), false);
        }
        assert_eq!(cookies.0.len(), MAX_COOKIES);
        assert_eq!(cookies.0.last().map(|cookie| cookie.name.as_str()), Some("n999"));
        assert!(
            cookies.header(false).is_some_and(|header| header.len() <= MAX_HEADER_BYTES + 3 * MAX_COOKIES)
        );
    }
}
