//! Writes the document from the declared routes.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{OperationBuilder, ParameterIn, PathItem};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, Content, HeaderBuilder, HttpMethod, InfoBuilder, LicenseBuilder, ObjectBuilder,
    OpenApiBuilder, PathsBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, Server, Type,
};

use super::access::AccessRules;
use super::operation::{DescribedAnswer, HTML, IMAGE, JSON, Operation, Tag};
use super::parameter::path_word;
use super::route_table::Declared;

/// What every route may answer, because the server looks at each request before it finds the route.
const ALWAYS: [(u16, &str); 4] = [
    (400, "The request's head or address is wrong; the error says what."),
    (408, "The request arrived too slowly."),
    (431, "The request's head is too long."),
    (503, "All connections are in use."),
];

const ABOUT: &str = "Live pictures of cameras, and what the cameras do. The addresses are relative to the folder that \
                     contains `api/`, so the document is also right below a prefix. Operations with `x-endless` answer \
                     until the client or the server leaves. `x-access` says who may use an operation.";

/// What stands in the path of a request with OPTIONS, whose answer does not depend on it.
const ANY_TEXT: &str = "Any text.";

/// Returns the document of the `declared` routes in JSON.
pub(super) fn write(declared: &[Declared], rules: &AccessRules) -> String {
    let mut paths = PathsBuilder::new();
    let mut components = ComponentsBuilder::new().schema("Error", error_schema());
    for (status, text) in ALWAYS.into_iter().chain(rules.all_refusals()) {
        components = components.response(refusal_name(status), refusal(status, text));
    }
    let mut tags = BTreeSet::new();
    for Declared { path, operations } in declared {
        let mut item = PathItem::default();
        for (method, describe) in operations {
            let mut operation = describe();
            components = components.schemas_from_iter(std::mem::take(&mut operation.schemas));
            tags.insert(operation.tag.texts().0);
            if matches!(method, HttpMethod::Get) {
                item.head = Some(head(path, &operation, rules));
            }
            item.options.get_or_insert_with(|| options(path, &operation, rules));
            let place = match method {
                HttpMethod::Get => &mut item.get,
                HttpMethod::Post => &mut item.post,
                HttpMethod::Put => &mut item.put,
                HttpMethod::Patch => &mut item.patch,
                _ => &mut item.delete,
            };
            *place = Some(written(path, method, operation, rules));
        }
        paths = paths.path(*path, item);
    }
    for (name, scheme) in rules.schemes() {
        components = components.security_scheme(name, scheme);
    }
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Framecast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license.build()));
    let described = Tag::ALL.iter().map(|tag| tag.texts()).filter(|(name, _)| tags.contains(name));
    let tags = described.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build());
    let document = OpenApiBuilder::new()
        .info(info)
        // The document is one folder below the start.
        .servers(Some([Server::new("..")]))
        .paths(paths)
        .components(Some(components.build()))
        .tags(Some(tags));
    let json = document.build().to_json().expect("plain structures have a JSON form");
    // The descriptions of fields are also those of Rust's fields.
    json.replace("`None`", "`null`")
}

/// Returns the name of the answer with `status` by which the server refuses requests before it finds the route.
fn refusal_name(status: u16) -> String {
    format!("Refused{status}")
}

fn refusal(status: u16, text: &str) -> Response {
    let error = Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name("Error"))));
    let page = Content::new(Some(ObjectBuilder::new().schema_type(Type::String)));
    let response = ResponseBuilder::new().description(text).content(JSON, error).content(HTML, page);
    match StatusCode::from_u16(status) {
        // An `<img>` gets it as a picture.
        Ok(StatusCode::MISDIRECTED_REQUEST) => response.content(IMAGE, Content::default()).build(),
        _ => response.build(),
    }
}

/// Returns the schema of the body of a refusal.
fn error_schema() -> ObjectBuilder {
    let error =
        ObjectBuilder::new().schema_type(Type::String).description(Some("What is wrong, for a person."));
    ObjectBuilder::new().property("error", error).required("error")
}

fn written(
    path: &str,
    method: &HttpMethod,
    operation: Operation,
    rules: &AccessRules,
) -> utoipa::openapi::path::Operation {
    let name = match method {
        HttpMethod::Get => "get",
        HttpMethod::Post => "post",
        HttpMethod::Put => "put",
        HttpMethod::Patch => "patch",
        _ => "delete",
    };
    let mut builder = common(name, path, &operation, rules)
        .summary(Some(operation.summary))
        .description(operation.details)
        .request_body(operation.body)
        .parameters(Some(operation.parameters));
    for (status, DescribedAnswer { text, contents }) in operation.answers {
        let mut response = ResponseBuilder::new().description(text);
        for (content_type, content) in contents {
            response = response.content(content_type, content);
        }
        builder = builder.response(status.to_string(), response.build());
    }
    builder.build()
}

/// Describes HEAD of a path whose GET is `get`.
fn head(path: &str, get: &Operation, rules: &AccessRules) -> utoipa::openapi::path::Operation {
    let mut builder = common("head", path, get, rules)
        .summary(Some("Answer with the head of GET alone"))
        .description(Some("Opens no camera, queries no device and changes nothing."))
        .parameters(Some(get.parameters.clone()));
    for (status, DescribedAnswer { text, .. }) in &get.answers {
        builder = builder.response(status.to_string(), Response::new(text));
    }
    builder.build()
}

fn options(path: &str, any: &Operation, rules: &AccessRules) -> utoipa::openapi::path::Operation {
    let in_path = any.parameters.iter().filter(|parameter| parameter.parameter_in == ParameterIn::Path);
    let methods = HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(Type::String)));
    let answer = ResponseBuilder::new()
        .description("The header `Allow` has the methods.")
        .header("Allow", methods.build());
    common("options", path, any, rules)
        .summary(Some("List the methods of this address"))
        .parameters(Some(in_path.map(|parameter| path_word(&parameter.name, ANY_TEXT))))
        .response(any.tag.options_status().as_u16().to_string(), answer.build())
        .build()
}

/// Returns what all methods have in common: group, name, login, who may use it, and the refusals before the route.
fn common(method: &str, path: &str, operation: &Operation, rules: &AccessRules) -> OperationBuilder {
    let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let name = [method, name.trim_end_matches('_')].concat();
    let mut extensions = ExtensionsBuilder::new().add("x-access", operation.access.name());
    if operation.is_endless && matches!(method, "get" | "post") {
        extensions = extensions.add("x-endless", true);
    }
    let mut builder = OperationBuilder::new()
        .operation_id(Some(name))
        .tag(operation.tag.texts().0)
        .extensions(Some(extensions.build()))
        .securities(Some(rules.requirements(operation.access)));
    for (status, _) in ALWAYS.into_iter().chain(rules.refusals(operation.access)) {
        builder = builder.response(status.to_string(), Ref::from_response_name(refusal_name(status)));
    }
    builder
}
