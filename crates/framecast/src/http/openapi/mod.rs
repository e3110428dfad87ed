//! The description of all routes in OpenAPI, at `/api/openapi.json`.
//!
//! Each route is declared once, in a [`RouteTable`], with the [`Operation`] that describes it. The table makes both the
//! router and the entry of the document. So a route without a description cannot exist. `/api` is a page that shows
//! the document. What a route does is not decided here.

mod access;
mod document;
mod operation;
mod parameter;
mod route_table;

use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};

pub(super) use access::{Access, AccessRules};
pub(super) use operation::{CROSS_SITE, HTML, IMAGE, JSON, MP4, MULTIPART, Operation, TEXT, Tag, media_type};
pub(super) use parameter::{
    flag, number, parameter, path_choice, path_number, path_word, required_word, side, whole, word,
};
pub(super) use route_table::{Describe, RouteTable, Routes};

/// The document, written once somebody asks for it. All clones share it.
#[derive(Clone)]
pub(super) struct Document(Arc<DocumentParts>);

struct DocumentParts {
    rules: AccessRules,
    /// Set when all routes are known.
    declared: OnceLock<Vec<route_table::Declared>>,
    json: OnceLock<Bytes>,
}

impl Document {
    pub(super) fn new(rules: AccessRules) -> Self {
        Self(Arc::new(DocumentParts { rules, declared: OnceLock::new(), json: OnceLock::new() }))
    }

    /// Returns the route of this document.
    pub(super) fn routes(&self) -> Routes {
        let describe = || {
            Operation::new(Tag::Server, "Describe all routes in OpenAPI 3.1")
                .details("The page `/api` shows this document.")
                .answer(200, JSON, "This document.")
        };
        RouteTable::new().get("/api/openapi.json", show, describe).with_state(self.clone())
    }

    /// Returns the router of `routes`, which the document describes from now on.
    pub(super) fn describe(&self, routes: Routes) -> axum::Router {
        let (router, declared) = routes.into_parts();
        self.0.declared.get_or_init(|| declared);
        router
    }

    fn json(&self) -> Bytes {
        let DocumentParts { rules, declared, json } = &*self.0;
        let write = || document::write(declared.get().map(Vec::as_slice).unwrap_or_default(), rules).into();
        json.get_or_init(write).clone()
    }
}

async fn show(State(document): State<Document>) -> Response {
    // The browser revalidates, as for the page: another version or configuration has other routes.
    ([(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, "no-cache")], document.json()).into_response()
}

/// Returns the schema of a time in RFC 3339.
pub(super) fn time() -> RefOr<Schema> {
    time_as(Type::String.into())
}

/// Returns the schema of a time in RFC 3339, or `null`.
pub(super) fn maybe_time() -> RefOr<Schema> {
    time_as(SchemaType::Array(vec![Type::String, Type::Null]))
}

fn time_as(schema_type: SchemaType) -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    ObjectBuilder::new().schema_type(schema_type).format(Some(format)).into()
}
