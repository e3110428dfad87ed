//! Statistics of small sets of measurements: medians, percentiles and ratios.

use std::collections::HashMap;

/// Median, minimum and maximum of several measured values.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The minimum.
    pub(crate) min: f64,
    /// The maximum.
    pub(crate) max: f64,
}

impl Spread {
    /// Computes the median, minimum and maximum of `values`. All three are zero if there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self {
            median: percentile(&values, 50.0),
            min: values.first().copied().unwrap_or_default(),
            max: values.last().copied().unwrap_or_default(),
        }
    }

    /// Divides each of `values` by the value of `base` with the same pass number, and computes the median, minimum and
    /// maximum of these ratios. A pass is left out if `base` has no value for it, or a value of zero.
    pub(crate) fn of_ratios(
        values: impl IntoIterator<Item = (u32, f64)>,
        base: impl IntoIterator<Item = (u32, f64)>,
    ) -> Self {
        let base: HashMap<u32, f64> = base.into_iter().filter(|&(_, divisor)| divisor > 0.0).collect();
        Self::of(values.into_iter().filter_map(|(pass, value)| Some(value / base.get(&pass)?)))
    }

    /// Formats the values as `median (min–max)` with this many decimals, or only the median if minimum and maximum are
    /// equal.
    pub(crate) fn show(&self, decimals: usize) -> String {
        let Self { median, min, max } = self;
        if min == max {
            format!("{median:.decimals$}")
        } else {
            format!("{median:.decimals$} ({min:.decimals$}–{max:.decimals$})")
        }
    }
}

/// Returns the percentile of the values in `sorted`: the value below which `percent` percent of them lie, interpolated.
/// `sorted` is in ascending order. Returns 0 if it is empty.
pub(crate) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let position = last as f64 * (percent / 100.0).clamp(0.0, 1.0);
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(percentile(&[1.0, 2.0, 4.0, 100.0], 50.0), 3.0);
        assert_eq!(percentile(&[1.0, 2.0, 4.0], 50.0), 2.0);
    }

    #[test]
    fn the_ends_of_the_percentiles_are_the_ends_of_the_values() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.0), 0.0);
        assert_eq!(percentile(&values, 99.0), 99.0);
        assert_eq!(percentile(&values, 100.0), 100.0);
    }

    #[test]
    fn nothing_measured_is_zero_not_a_panic() {
        assert_eq!(percentile(&[], 50.0), 0.0);
        assert_eq!(Spread::of([]).median, 0.0);
    }

    #[test]
    fn ratios_are_formed_within_a_pass_and_only_then_summed_up() {
        // The machine was twice as slow in the second pass, and the third lacks a base value.
        let values = [(0, 1.1), (1, 2.4), (2, 9.0), (3, 9.0)];
        let base = [(1, 2.0), (0, 1.0), (3, 0.0)];
        let ratios = Spread::of_ratios(values, base);
        assert_eq!((ratios.min, ratios.max), (1.1, 1.2));
    }

    #[test]
    fn a_spread_does_not_depend_on_the_order_of_the_runs() {
        let spread = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(spread.show(1), "2.0 (1.0–3.0)");
        assert_eq!(Spread::of([2.5]).show(1), "2.5");
    }
}
