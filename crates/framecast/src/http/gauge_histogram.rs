//! OpenMetrics' `gaugehistogram`: how a value is spread over what there is at this moment. Unlike a histogram's, its
//! counts may fall, so nobody takes them for counters.
//!
//! The metrics library knows no such type; this is its text, as the OpenMetrics specification has it.

use std::fmt::{self, Write};

/// Values of this moment, counted by bounds.
#[derive(Debug)]
pub(super) struct GaugeHistogram<'b> {
    /// Upper bounds, from the least to the greatest.
    bounds: &'b [f64],
    /// Those of the values that are at most as large as the bound in this place.
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl<'b> GaugeHistogram<'b> {
    pub(super) fn new(bounds: &'b [f64], values: impl IntoIterator<Item = f64>) -> Self {
        let mut spread = Self { bounds, counts: vec![0; bounds.len()], count: 0, sum: 0.0 };
        for value in values {
            spread.count += 1;
            spread.sum += value;
            let within = bounds.iter().zip(&mut spread.counts).filter(|(bound, _)| value <= **bound);
            within.for_each(|(_, count)| *count += 1);
        }
        spread
    }

    /// Writes the whole family called `name`.
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
        let spread = GaugeHistogram::new(&[0.0, 0.5], [0.0, 0.25, 0.5, 2.0]);
        spread.write(&mut text, "cats_weight", "Cats in the house").unwrap();
        let expected = "# HELP cats_weight Cats in the house.\n# TYPE cats_weight gaugehistogram\n\
                        cats_weight_bucket{le=\"0.0\"} 1\ncats_weight_bucket{le=\"0.5\"} 3\n\
                        cats_weight_bucket{le=\"+Inf\"} 4\ncats_weight_gcount 4\ncats_weight_gsum 2.75\n";
        assert_eq!(text, expected);
    }
}
