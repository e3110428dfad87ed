//! What an error of PostgreSQL means.

use std::io;

/// Returns whether a later attempt can succeed although nobody changes anything on this machine.
pub(crate) fn is_transient(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // Class 08 is connection errors, 53 is missing resources, 57 is a server that stops or starts.
        Some(code) => ["08", "53", "57"].iter().any(|class| code.code().starts_with(class)),
        None => error.is_closed() || is_connection_failure(error),
    }
}

/// Returns whether the connection to PostgreSQL failed. Returns false if PostgreSQL answered a request with an error.
fn is_connection_failure(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        if source.is::<io::Error>() {
            return true;
        }
        cause = source.source();
    }
    error.to_string().starts_with("timeout")
}

/// Returns the text of a PostgreSQL error, followed by the texts of its causes. The error's own text does not say what
/// happened.
pub(crate) fn with_causes(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string().replacen("error connecting to server", "cannot connect", 1);
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    if text.contains("password missing") {
        text.push_str("; set FRAMECAST_HISTORY_PASSWORD");
    }
    text
}
