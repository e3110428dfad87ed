//! The parameters of operations.

use std::ops::RangeInclusive;

use framecast_hub::SIDE_RANGE_PX;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Schema, Type};

/// A parameter whose values are those of `schema`. It may be missing, unless it is a part of the path.
pub(in crate::http) fn parameter(
    place: ParameterIn,
    name: &str,
    text: &str,
    schema: impl Into<RefOr<Schema>>,
) -> ParameterBuilder {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let parameter = ParameterBuilder::new().parameter_in(place).name(name).required(required);
    parameter.description(Some(text)).schema(Some(schema))
}

fn query(name: &str, text: &str, schema: ObjectBuilder) -> Parameter {
    parameter(ParameterIn::Query, name, text, schema).build()
}

fn text_schema() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text in the path.
pub(in crate::http) fn path_word(name: &str, text: &str) -> Parameter {
    parameter(ParameterIn::Path, name, text, text_schema().min_length(Some(1))).build()
}

/// A text in the path that is one of `values`.
pub(in crate::http) fn path_choice(
    name: &str,
    values: impl IntoIterator<Item = &'static str>,
    text: &str,
) -> Parameter {
    parameter(ParameterIn::Path, name, text, text_schema().enum_values(Some(values))).build()
}

/// A whole number in the path, from `min` on.
pub(in crate::http) fn path_number(name: &str, min: u32, text: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min));
    parameter(ParameterIn::Path, name, text, schema).build()
}

/// Any text.
pub(in crate::http) fn word(name: &str, text: &str) -> Parameter {
    query(name, text, text_schema())
}

/// Any text, which may not be missing.
pub(in crate::http) fn required_word(name: &str, text: &str) -> Parameter {
    parameter(ParameterIn::Query, name, text, text_schema()).required(Required::True).build()
}

/// Yes or no, as [`framecast_media::parse_flag`] reads it; no by default.
pub(in crate::http) fn flag(name: &str, text: &str) -> Parameter {
    let schema = text_schema().title(Some("yes or no")).pattern(Some(flag_pattern()));
    query(name, text, schema)
}

/// Returns the regular expression of the spellings of yes and no. JSON Schema cannot say "in any letter case", so each
/// letter stands in both.
fn flag_pattern() -> String {
    let in_any_case = |letter: char| match letter {
        '0' | '1' => letter.to_string(),
        _ => format!("[{}{letter}]", letter.to_ascii_uppercase()),
    };
    let words = ["1", "true", "yes", "on", "0", "false", "no", "off"];
    let words = words.map(|word| word.chars().map(in_any_case).collect::<String>());
    format!("^({})?$", words.join("|"))
}

/// A whole number.
pub(in crate::http) fn whole(name: &str, range: RangeInclusive<u32>, text: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::Integer);
    query(name, text, schema.minimum(Some(*range.start())).maximum(Some(*range.end())))
}

/// The width or height of pictures, in pixels.
pub(in crate::http) fn side(name: &str, text: &str) -> Parameter {
    whole(name, SIDE_RANGE_PX, text)
}

/// A number.
pub(in crate::http) fn number(name: &str, range: RangeInclusive<f64>, text: &str) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::Number);
    query(name, text, schema.minimum(Some(*range.start())).maximum(Some(*range.end())))
}
