//! Which events a reader wants, and in which order.

use framecast_hub::EventKind;

use crate::entry::EntryRef;

/// The number of cameras that a filter should not exceed. Each camera adds a branch to the database query.
pub const MAX_CAMERAS: usize = 16;

/// Which events to return. An empty list, or `None`, does not restrict the events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only events of the cameras with these names.
    pub cameras: Vec<String>,
    /// Only events of these kinds.
    pub kinds: Vec<EventKind>,
    /// Only events at or after this time, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Only events before this time, in milliseconds since 1970.
    pub to_ms: Option<i64>,
}

impl Filter {
    /// Returns whether the filter selects `entry`.
    pub fn wants(&self, entry: &EntryRef<'_>) -> bool {
        let Self { cameras, kinds, from_ms, to_ms } = self;
        (cameras.is_empty() || entry.camera.is_some_and(|camera| cameras.iter().any(|name| name == camera)))
            && (kinds.is_empty() || kinds.contains(&entry.kind))
            && from_ms.is_none_or(|from| entry.at_ms >= from)
            && to_ms.is_none_or(|to| entry.at_ms < to)
    }
}

/// The order in which a reader wants events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Newest events first.
    #[default]
    Newest,
    /// Oldest events first.
    Oldest,
}

impl Order {
    /// Returns the order's name, `newest` or `oldest`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }
}

/// Which events a reader wants, and in which order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// Which events to return.
    pub filter: Filter,
    /// The order of the returned events.
    pub order: Order,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_wants_what_it_names() {
        let entry = EntryRef {
            id: 1,
            at_ms: 1000,
            kind: EventKind::Lost,
            camera: Some("yard"),
            text: None,
            count: None,
        };
        let with = |change: fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter
        };
        let wants = |change| with(change).wants(&entry);
        assert!(
            wants(|_| {}) && wants(|filter| filter.cameras = ["front", "yard"].map(str::to_owned).into())
        );
        assert!(wants(|filter| filter.kinds = vec![EventKind::Lost]));
        assert!(!wants(|filter| filter.cameras = vec!["front".to_owned()]));
        assert!(!wants(|filter| filter.kinds = vec![EventKind::Live]));
        assert!(wants(|filter| filter.from_ms = Some(1000)) && !wants(|filter| filter.to_ms = Some(1000)));
        let yard = with(|filter| filter.cameras = vec!["yard".to_owned()]);
        assert!(!yard.wants(&EntryRef { camera: None, ..entry }));
    }
}
