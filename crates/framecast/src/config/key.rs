//! The declaration of the file's keys. Each key is declared once, with the field of the settings that it sets.
//!
//! [`settings!`] makes from a declaration the struct with the settings, their defaults, and the table
//! [`KEYS`](Keyed::KEYS). From this table come the reader of the file, the check of settings that code has set, the
//! known keys in messages, and the tables in `docs/config.md`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kind::ValueKind;
use super::reader::FileReader;

/// Whether a changed value needs a restart of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// A reload of the configuration applies the value: only the cameras that differ start again.
    Applies,
    /// Only a restart of the server applies the value.
    NeedsRestart,
}

/// What is to be known about one key of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// The name of the key.
    pub name: &'static str,
    /// The table of `docs/config.md` in which the key belongs.
    pub section: &'static str,
    /// The default value as it would be written in the file, or what it is in words; `None` if the key is required.
    pub default: Option<String>,
    /// The smallest and the largest value as they are written in the file; `None` if users need to know no limits.
    pub range: Option<(String, String)>,
    /// What the key does, in a few words. A `†` at the end says that there is more text in `docs/config.md`.
    pub text: &'static str,
    /// Whether a reload applies a changed value.
    pub reload: Reload,
}

/// One key of the file, which sets a field of the settings `S`.
pub(super) struct Key<S: 'static> {
    pub(super) name: &'static str,
    /// The name of the key in the release before.
    pub(super) formerly: Option<&'static str>,
    pub(super) is_required: bool,
    pub(super) read: fn(&mut S, Spanned<DeValue<'_>>, &mut FileReader<'_>),
    pub(super) check: fn(&S) -> Result<(), String>,
    /// Returns whether two settings have different values of this key.
    pub(super) differs: fn(&S, &S) -> bool,
    pub(super) info: fn() -> KeyInfo,
}

/// Settings whose keys are declared with [`settings!`].
pub(super) trait Keyed: Sized + 'static {
    /// The keys in the order of the declaration.
    const KEYS: &'static [Key<Self>];

    /// Checks the value of every key.
    ///
    /// # Errors
    /// The first value that is out of range or has no meaning.
    fn check_keys(&self) -> Result<(), String> {
        Self::KEYS.iter().try_for_each(|key| (key.check)(self))
    }

    /// Returns the names of the keys whose values differ in `other`, and which only a restart applies.
    fn restart_keys(&self, other: &Self) -> Vec<&'static str> {
        let needs_restart = |key: &&Key<Self>| (key.info)().reload == Reload::NeedsRestart;
        let differing = Self::KEYS.iter().filter(|key| (key.differs)(self, other));
        differing.filter(needs_restart).map(|key| key.name).collect()
    }
}

/// Reads those keys of `table` that set fields of `settings`. Returns the rest of the table.
pub(super) fn read_keys<'de, S: Keyed>(
    mut table: DeTable<'de>,
    settings: &mut S,
    reader: &mut FileReader<'_>,
) -> DeTable<'de> {
    for key in S::KEYS {
        let (now, old) = (table.remove_entry(key.name), key.formerly.and_then(|old| table.remove_entry(old)));
        if let Some((old, value)) = old {
            let (old, name, span) = (old.into_inner(), key.name, value.span());
            if now.is_some() {
                let message =
                    format!("`{old}` is the old name of `{name}`, and both are set here: remove `{old}`");
                reader.wrong_value(span, message);
            } else {
                let message = format!(
                    "`{old}` is now called `{name}`: rename it; the next release rejects the old name"
                );
                reader.warn(span, message);
                (key.read)(settings, value, reader);
            }
        }
        if let Some((_, value)) = now {
            (key.read)(settings, value, reader);
        }
    }
    table
}

/// Reads a value of the key `key`. Returns `None` if it is wrong, and tells `reader` why.
pub(super) fn read_value<K: ValueKind>(
    kind: &K,
    key: &str,
    value: Spanned<DeValue<'_>>,
    reader: &mut FileReader<'_>,
) -> Option<K::Value> {
    let span = value.span();
    let value = kind.read(value, reader)?;
    let checked = kind.check(key, &value);
    reader.keep(span, checked.map(|()| value))
}

/// Checks the value of the field `field`, which the key `key` sets.
pub(super) fn check_field<K: ValueKind>(
    kind: &K,
    key: &str,
    field: &impl Field<K::Value>,
) -> Result<(), String> {
    field.value().map_or(Ok(()), |value| kind.check(key, value))
}

/// Returns the value of the field `field` as it is written in the file; `None` if the field has no value.
pub(super) fn write_field<K: ValueKind>(kind: &K, field: &impl Field<K::Value>) -> Option<String> {
    kind.write(field.value()?)
}

/// A field of the settings: a value, or an `Option` of a value that has no default.
pub(super) trait Field<T> {
    fn value(&self) -> Option<&T>;
}

impl<T> Field<T> for T {
    fn value(&self) -> Option<&T> {
        Some(self)
    }
}

impl<T> Field<T> for Option<T> {
    fn value(&self) -> Option<&T> {
        self.as_ref()
    }
}

/// Declares settings: a public struct, and the keys of the file that set its fields.
///
/// - A line `field: Type = default, kind, reload, text;` declares a key, its field and the documentation of both.
///   The `text` stands in `docs/config.md`, after a `§` in the table `section`.
/// - `field as key` names the key if it is not called as the field.
/// - `default "words"` says what stands as the default in `docs/config.md`, if the kind cannot write it.
/// - `formerly "name"` names a key that still works, with a warning.
/// - `required` keys have no default: `with_defaults` takes their values.
/// - `others` are fields that no key sets. Those of `feature "name"` are there only in builds with this Cargo feature.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $settings:ident {
            $( required $required_section:literal { $(
                $(#[$required_attribute:meta])*
                $required:ident: $required_type:ty,
                $required_kind:expr, $required_reload:ident, $required_text:literal;
            )* } )?
            $( section $section:literal { $(
                $(#[$field_attribute:meta])*
                $field:ident $(as $key:ident)?: $type:ty = $default:expr, $kind:expr, $reload:ident, $text:literal
                $(, default $words:literal)? $(, formerly $old:literal)?;
            )* } )*
            $( others { $(
                $(#[$other_attribute:meta])*
                $other:ident: $other_type:ty = $other_default:expr;
            )* } )?
            $( feature $feature:literal { $(
                $(#[$feature_attribute:meta])*
                $featured:ident: $featured_type:ty = $featured_default:expr;
            )* } )*
        }
    ) => {
        $(#[$attribute])*
        pub struct $settings {
            $($( $(#[$required_attribute])* pub $required: $required_type, )*)?
            $($( $(#[$field_attribute])* pub $field: $type, )*)*
            $($( $(#[$other_attribute])* pub $other: $other_type, )*)?
            $($(
                $(#[$feature_attribute])*
                #[cfg(feature = $feature)]
                pub $featured: $featured_type,
            )*)*
        }

        impl $settings {
            fn with_defaults($($( $required: $required_type, )*)?) -> Self {
                Self {
                    $($( $required, )*)?
                    $($( $field: $default, )*)*
                    $($( $other: $other_default, )*)?
                    $($( #[cfg(feature = $feature)] $featured: $featured_default, )*)*
                }
            }
        }

        impl $crate::config::key::Keyed for $settings {
            const KEYS: &'static [$crate::config::key::Key<Self>] = &[
                $($( $crate::config::key::Key {
                    name: stringify!($required),
                    formerly: None,
                    is_required: true,
                    read: |settings, value, reader| {
                        let value = $crate::config::key::read_value(
                            &$required_kind, stringify!($required), value, reader,
                        );
                        if let Some(value) = value {
                            settings.$required = value;
                        }
                    },
                    check: |settings| {
                        $crate::config::key::check_field(
                            &$required_kind, stringify!($required), &settings.$required,
                        )
                    },
                    differs: |one, other| one.$required != other.$required,
                    info: || $crate::config::key::KeyInfo {
                        name: stringify!($required),
                        section: $required_section,
                        default: None,
                        range: $crate::config::kind::ValueKind::range(&$required_kind),
                        text: $required_text,
                        reload: $crate::config::key::Reload::$required_reload,
                    },
                }, )*)?
                $($( $crate::config::key::Key {
                    name: [$(stringify!($key),)? stringify!($field)][0],
                    formerly: [$(Some($old),)? None][0],
                    is_required: false,
                    read: |settings, value, reader| {
                        let key = [$(stringify!($key),)? stringify!($field)][0];
                        if let Some(value) = $crate::config::key::read_value(&$kind, key, value, reader) {
                            settings.$field = value.into();
                        }
                    },
                    check: |settings| {
                        let key = [$(stringify!($key),)? stringify!($field)][0];
                        $crate::config::key::check_field(&$kind, key, &settings.$field)
                    },
                    differs: |one, other| one.$field != other.$field,
                    info: || {
                        let words: Option<&str> = [$(Some($words),)? None][0];
                        let default: $type = $default;
                        let written = || $crate::config::key::write_field(&$kind, &default);
                        let default = words.map(str::to_owned).or_else(written);
                        $crate::config::key::KeyInfo {
                            name: [$(stringify!($key),)? stringify!($field)][0],
                            section: $section,
                            default: Some(default.unwrap_or_else(|| "none".to_owned())),
                            range: $crate::config::kind::ValueKind::range(&$kind),
                            text: $text,
                            reload: $crate::config::key::Reload::$reload,
                        }
                    },
                }, )*)*
            ];
        }
    };
}

pub(super) use settings;
