//! The parameters that only requests for events have.

use std::ops::RangeInclusive;

use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Type};

use crate::http::openapi::parameter;

fn text_schema() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// Texts, separated by commas or in repeated parameters.
pub(super) fn repeated(name: &str, text: &str, values: &[&'static str]) -> Parameter {
    let mut item = text_schema();
    if !values.is_empty() {
        item = item.enum_values(Some(values.iter().copied()));
    }
    parameter(ParameterIn::Query, name, text, ArrayBuilder::new().items(item)).build()
}

/// One of `values`, of which the first is the default.
pub(super) fn choice(name: &str, values: &[&'static str], text: &str) -> Parameter {
    let default = values.first().map(|first| Value::from(*first));
    parameter(
        ParameterIn::Query,
        name,
        text,
        text_schema().enum_values(Some(values.iter().copied())).default(default),
    )
    .build()
}

/// A whole number with a default.
pub(super) fn whole_or(name: &str, range: RangeInclusive<usize>, default: usize, text: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).default(Some(default.into()));
    parameter(
        ParameterIn::Query,
        name,
        text,
        schema.minimum(Some(*range.start())).maximum(Some(*range.end())),
    )
    .build()
}

/// The id of an event.
pub(super) fn id(name: &str, text: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(i64::MAX));
    parameter(ParameterIn::Query, name, text, schema).build()
}

/// A header of the request.
pub(super) fn header_word(name: &str, text: &str) -> Parameter {
    parameter(ParameterIn::Header, name, text, text_schema()).build()
}
