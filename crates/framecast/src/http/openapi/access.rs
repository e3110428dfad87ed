//! Who may use a route, and how OpenAPI says it.

use std::collections::BTreeMap;

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};

use crate::config::Settings;

/// The names of the two ways to log in, in the document.
const ACCOUNT: &str = "account";
const MONITOR: &str = "monitor";

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::http) enum Access {
    /// Clients that log in with the server's account. If the server has no account, all clients.
    #[default]
    Account,
    /// As [`Account`](Self::Account), and also programs that watch the server: by a token, or by their address.
    Monitor,
    /// Clients that log in with the server's account. If the server has no account, programs on its own machine.
    AccountOrThisMachine,
}

impl Access {
    /// Returns the name in the document, as the value of `x-access`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Monitor => "monitor",
            Self::AccountOrThisMachine => "account-or-this-machine",
        }
    }
}

/// What the configuration says about who may use the routes.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct AccessRules {
    pub(super) has_account: bool,
    has_token: bool,
    has_addresses: bool,
}

impl AccessRules {
    pub(in crate::http) fn new(settings: &Settings) -> Self {
        Self {
            has_account: settings.account.is_some(),
            has_token: settings.monitor_token.is_some(),
            has_addresses: settings.monitor_addresses.is_some(),
        }
    }

    /// Returns the ways to log in that the server knows, with their names.
    pub(super) fn schemes(&self) -> Vec<(&'static str, SecurityScheme)> {
        let http = |scheme, text: &str| {
            let mut http = Http::new(scheme);
            http.description = Some(text.to_owned());
            SecurityScheme::Http(http)
        };
        let account = (ACCOUNT, http(HttpAuthScheme::Basic, "The server's user and password."));
        let token = "The token in FRAMECAST_MONITOR_TOKEN.";
        let monitor = (MONITOR, http(HttpAuthScheme::Bearer, token));
        let known = [self.has_account.then_some(account), self.has_token.then_some(monitor)];
        known.into_iter().flatten().collect()
    }

    /// Returns the ways to log in of which a route with `access` needs one. Empty if it needs none.
    pub(super) fn requirements(&self, access: Access) -> Vec<SecurityRequirement> {
        let need = |name: &str| SecurityRequirement::new(name, [""; 0]);
        let mut needed = Vec::new();
        if self.has_account {
            needed.push(need(ACCOUNT));
        }
        if access == Access::Monitor && self.has_token {
            needed.push(need(MONITOR));
        }
        if access == Access::Monitor && self.has_addresses {
            // An empty requirement: some clients need no login.
            needed.push(SecurityRequirement::default());
        }
        needed
    }

    /// Returns the statuses with which the server refuses clients of any route, with the reasons.
    pub(super) fn all_refusals(&self) -> BTreeMap<u16, &'static str> {
        let accesses = [Access::Account, Access::Monitor, Access::AccountOrThisMachine];
        accesses.iter().flat_map(|access| self.refusals(*access)).collect()
    }

    /// Returns the statuses with which the server refuses clients of a route with `access`, with the reasons.
    pub(super) fn refusals(&self, access: Access) -> Vec<(u16, &'static str)> {
        let monitor = access == Access::Monitor;
        let mut refusals = Vec::new();
        // A token is also wrong where only addresses are admitted.
        if self.has_account || monitor && (self.has_token || self.has_addresses) {
            refusals.push((401, "The login is missing or wrong."));
        }
        if self.has_account {
            refusals.push((429, "Too many wrong passwords came from this address."));
        } else {
            refusals.push((421, "The host name in the request is not one of the server's names."));
        }
        if monitor && self.has_addresses && !self.has_account && !self.has_token {
            refusals.push((403, "The client's address is none of `monitor_addresses`."));
        }
        refusals
    }
}
