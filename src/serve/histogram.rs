//! A histogram as Prometheus counts: how many values were at most each bound, all of them, and their sum.

use std::fmt::{self, Display, Write};

/// Counts of values, by bounds that ascend.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    /// Of each bound those above the one before, and last those above all.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
        }
    }

    pub(super) fn add(&mut self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place] += 1;
        self.sum += value;
    }

    /// Its lines in the text format of Prometheus; `labels` as `path="/predict"`.
    pub(super) fn write(&self, text: &mut String, name: &str, labels: &str) -> fmt::Result {
        let mut below = 0;
        let bounds = self.bounds.iter().map(|b| b as &dyn Display);
        for (bound, count) in bounds.chain([&"+Inf" as &dyn Display]).zip(&self.counts) {
            below += count;
            writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}")?;
        }
        writeln!(text, "{name}_sum{{{labels}}} {}", self.sum)?;
        writeln!(text, "{name}_count{{{labels}}} {below}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_is_below_it_and_buckets_add_up() {
        let mut histogram = Histogram::new(&[1.0, 2.5]);
        for value in [0.5, 1.0, 2.0, 7.0] {
            histogram.add(value);
        }
        let mut text = String::new();
        histogram.write(&mut text, "x", "a=\"b\"").unwrap();
        let lines = [
            "x_bucket{a=\"b\",le=\"1\"} 2",
            "x_bucket{a=\"b\",le=\"2.5\"} 3",
            "x_bucket{a=\"b\",le=\"+Inf\"} 4",
            "x_sum{a=\"b\"} 10.5",
            "x_count{a=\"b\"} 4",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }
}
