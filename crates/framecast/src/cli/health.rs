//! The command `health`: asks a running server whether it works, for the health check of a container.

use std::time::Duration;

use hyper::{Method, StatusCode};

use super::plan::{self, Environment, messages};
use super::{BAD_USAGE, FAILED, OK, PlanArgs, client, print_error, print_missing_variables, print_visible};

/// How long the command waits for the server's answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the server that these arguments describe for `/healthz` or, with `needs_cameras`, for `/readyz`. Prints its
/// answer. Returns the exit code.
pub(super) fn ask(args: &PlanArgs, needs_cameras: bool) -> u8 {
    // A mistake elsewhere in the file, which the running server does not apply, says nothing about its health.
    let settings = Environment::read().and_then(|env| plan::listener(args, &env));
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            messages(&error).iter().for_each(|message| print_error(message));
            print_missing_variables(args);
            return BAD_USAGE;
        }
    };
    let path = if needs_cameras { "/readyz" } else { "/healthz" };
    match client::send(&settings, Method::GET, path, TIMEOUT) {
        Ok((StatusCode::OK, body)) => {
            print_visible(String::from_utf8_lossy(&body).trim_end());
            OK
        }
        Ok((StatusCode::SERVICE_UNAVAILABLE, body)) => {
            String::from_utf8_lossy(&body).lines().for_each(print_error);
            FAILED
        }
        Ok((status, body)) => {
            print_error(&client::refusal(status, &body));
            print_missing_variables(args);
            FAILED
        }
        Err(error) => {
            print_error(&format!("{error:#}"));
            FAILED
        }
    }
}
