//! URLs of servers: what the drivers share that read them.
//!
//! Path and query belong to the server and are sent as they are; options of our own stand in the fragment. Text in, parts
//! out; nothing is looked up or opened.

use std::time::Duration;

use url::Url;

use crate::{Error, SourceUrl, mask_secrets};

/// Reads `source` as the URL of a server.
///
/// # Errors
/// [`Error::BadUrl`] says how to write it, also what browsers forgive in silence and servers then do not find.
pub(crate) fn parse(source: &SourceUrl) -> Result<Url, Error> {
    check(source)?;
    let scheme = source.scheme();
    let bad = |problem: String| Error::BadUrl { url: source.to_string(), problem };
    let url = Url::parse(&source.expose()).map_err(|error| {
        bad(format!(
            "cannot be read: {error}; write it like {scheme}://user:password@host:8080/path, where `/`, `?`, `#` and \
             `%` in a password are written %2F, %3F, %23 and %25"
        ))
    })?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad(format!("names no host; write it like {scheme}://user:password@host/path")));
    }
    Ok(url)
}

fn check(source: &SourceUrl) -> Result<(), Error> {
    let address = source.rest().trim_start_matches('/');
    let slashes = source.rest().len() - address.len();
    if slashes != 2 && !address.is_empty() {
        let meant = mask_secrets(&format!("{}://{address}", source.scheme()));
        // Only a URL that is whole has its password masked.
        let url = meant.replacen("//", &"/".repeat(slashes), 1);
        let problem = format!("needs two slashes before the host; did you mean `{meant}`?");
        return Err(Error::BadUrl { url, problem });
    }
    if address.contains(char::is_whitespace) {
        let problem = "has a space in it; write it %20, and several sources one by one".to_owned();
        return Err(Error::BadUrl { url: source.to_string(), problem });
    }
    Ok(())
}

/// The frame interval by the rate in the query, if it is one that we can keep: the query is the server's, so anything
/// may stand there.
pub(crate) fn frame_interval(url: &Url) -> Option<Duration> {
    let (_, value) = url.query_pairs().filter(|(name, _)| name == "fps").last()?;
    let fps = value.parse::<f64>().ok().filter(|fps| (0.001..=1000.0).contains(fps))?;
    Some(Duration::from_secs_f64(1.0 / fps))
}
