//! Routes, each declared once with its description.

use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{self, MethodRouter};
use utoipa::openapi::HttpMethod;

use super::access::Access;
use super::operation::Operation;

/// Describes an operation. A function, so that descriptions cost memory only while the document is written.
pub(in crate::http) type Describe = fn() -> Operation;

/// A path with its methods and their descriptions. GET brings HEAD, and every path has OPTIONS.
#[derive(Clone)]
pub(super) struct Declared {
    pub(super) path: &'static str,
    pub(super) operations: Vec<(HttpMethod, Describe)>,
}

impl Declared {
    fn new(path: &'static str) -> Self {
        Self { path, operations: Vec::new() }
    }

    /// Returns the value of the header `Allow`, such as `GET, HEAD, OPTIONS`.
    fn allow(&self) -> HeaderValue {
        let methods = self.operations.iter().map(|(method, _)| match method {
            HttpMethod::Get => "GET, HEAD, ",
            HttpMethod::Post => "POST, ",
            HttpMethod::Put => "PUT, ",
            HttpMethod::Patch => "PATCH, ",
            _ => "DELETE, ",
        });
        let methods = methods.collect::<String>() + "OPTIONS";
        HeaderValue::try_from(methods).expect("made of constants")
    }

    fn options_status(&self) -> StatusCode {
        self.operations
            .first()
            .map_or(StatusCode::NO_CONTENT, |(_, describe)| describe().tag.options_status())
    }
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declared").field("path", &self.path).field("allow", &self.allow()).finish()
    }
}

/// Routes that still need their state `S`. A route can only be added with its description.
pub(in crate::http) struct RouteTable<S> {
    routes: Vec<(Declared, MethodRouter<S>)>,
}

impl<S: Clone + Send + Sync + 'static> RouteTable<S> {
    pub(in crate::http) fn new() -> Self {
        Self { routes: Vec::new() }
    }

    /// Adds GET and HEAD at `path`. The handler gets both.
    pub(in crate::http) fn get<H, T>(self, path: &'static str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(path, HttpMethod::Get, routing::get(handler), describe)
    }

    /// Adds POST at `path`.
    pub(in crate::http) fn post<H, T>(self, path: &'static str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(path, HttpMethod::Post, routing::post(handler), describe)
    }

    /// Adds PUT at `path`.
    pub(in crate::http) fn put<H, T>(self, path: &'static str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(path, HttpMethod::Put, routing::put(handler), describe)
    }

    /// Adds PATCH at `path`.
    pub(in crate::http) fn patch<H, T>(self, path: &'static str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(path, HttpMethod::Patch, routing::patch(handler), describe)
    }

    /// Adds DELETE at `path`.
    pub(in crate::http) fn delete<H, T>(self, path: &'static str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(path, HttpMethod::Delete, routing::delete(handler), describe)
    }

    fn add(
        mut self,
        path: &'static str,
        method: HttpMethod,
        handler: MethodRouter<S>,
        describe: Describe,
    ) -> Self {
        let place = self.routes.iter().position(|(declared, _)| declared.path == path);
        let (mut declared, methods) = match place {
            Some(place) => self.routes.remove(place),
            None => (Declared::new(path), MethodRouter::new()),
        };
        declared.operations.push((method, describe));
        self.routes.push((declared, methods.merge(handler)));
        self
    }

    /// Returns the finished routes, whose handlers get `state`.
    pub(in crate::http) fn with_state(self, state: S) -> Routes {
        let mut router = Router::new();
        let mut declared = Vec::with_capacity(self.routes.len());
        for (route, methods) in self.routes {
            let answer = (route.options_status(), [(header::ALLOW, route.allow())]);
            let options = async move || answer.clone().into_response();
            router = router.route(route.path, methods.options(options));
            declared.push(route);
        }
        Routes { router: router.with_state(state), declared }
    }
}

/// Routes with their descriptions.
pub(in crate::http) struct Routes {
    router: Router,
    declared: Vec<Declared>,
}

impl Routes {
    /// Describes the routes of `router`, which another crate has made, and which all have GET alone.
    pub(in crate::http) fn described<const N: usize>(
        router: Router,
        descriptions: [(&'static str, Describe); N],
    ) -> Self {
        let declare =
            |(path, describe)| Declared { path, operations: vec![(HttpMethod::Get, describe as Describe)] };
        Self { router, declared: descriptions.map(declare).into() }
    }

    pub(in crate::http) fn merge(mut self, other: Self) -> Self {
        self.declared.extend(other.declared);
        Self { router: self.router.merge(other.router), declared: self.declared }
    }

    /// Puts layers around the router.
    pub(in crate::http) fn map_router(self, wrap: impl FnOnce(Router) -> Router) -> Self {
        Self { router: wrap(self.router), declared: self.declared }
    }

    /// Returns the paths that have an operation with `access`.
    pub(in crate::http) fn paths_with(&self, access: Access) -> Vec<&'static str> {
        let has = |declared: &&Declared| {
            declared.operations.iter().any(|(_, describe)| describe().access == access)
        };
        self.declared.iter().filter(has).map(|declared| declared.path).collect()
    }

    pub(super) fn into_parts(self) -> (Router, Vec<Declared>) {
        (self.router, self.declared)
    }
}
