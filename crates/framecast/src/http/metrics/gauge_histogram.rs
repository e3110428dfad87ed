//! The OpenMetrics type `gaugehistogram`, a distribution of current values. The counts can fall, unlike the counts of a
//! histogram, so Prometheus must not treat them as counters.
//!
//! The metrics library does not support this type, so this module writes the text itself, in the format of the
//! OpenMetrics specification.

use std::fmt::{self, Write};

/// A distribution of current values, stored as the number of values up to each bound.
#[derive(Debug)]
pub(super) struct GaugeHistogram<'b> {
    /// The upper bounds of the buckets, in ascending order.
    bounds: &'b [f64],
    /// For each bound, the number of values that do not exceed the bound.
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl<'b> GaugeHistogram<'b> {
    pub(super) fn new(bounds: &'b [f64], values: impl IntoIterator<Item = f64>) -> Self {
        let mut histogram = Self { bounds, counts: vec![0; bounds.len()], count: 0, sum: 0.0 };
        for value in values {
            histogram.count += 1;
            histogram.sum += value;
            let within = bounds.iter().zip(&mut histogram.counts).filter(|(bound, _)| value <= **bound);
            within.for_each(|(_, count)| *count += 1);
        }
        histogram
    }

    /// Writes the distribution to `out` as a complete OpenMetrics metric family called `name`, with the description
    /// `help`.
    pub(super) fn write(&self, out: &mut String, name: &str, help: &str) -> fmt::Result {
        writeln!(out, "# HELP {name} {help}.\n# TYPE {name} gaugehistogram")?;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            writeln!(out, "{name}_bucket{{le=\"{bound:?}\"}} {count}")?;
        }
        writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", self.count)?;
        writeln!(out, "{name}_gcount {}\n{name}_gsum {:?}", self.count, self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_counts_all_that_are_no_larger() {
        let mut text = String::new();
        let histogram = GaugeHistogram::new(&[0.0, 0.5], [0.0, 0.25, 0.5, 2.0]);
        histogram.write(&mut text, "cats_weight", "Cats in the house").unwrap();
        let expected = "# HELP cats_weight Cats in the house.\n# TYPE cats_weight gaugehistogram\n\
                        cats_weight_bucket{le=\"0.0\"} 1\ncats_weight_bucket{le=\"0.5\"} 3\n\
                        cats_weight_bucket{le=\"+Inf\"} 4\ncats_weight_gcount 4\ncats_weight_gsum 2.75\n";
        assert_eq!(text, expected);
    }
}
