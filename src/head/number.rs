//! Heads that predict a number: as a distribution over bins, whose sums between borders are the probabilities of labels.

use super::fault::{Fault, fault};
use super::ordinal::LEAST;

/// A number as a head predicts it: the softmax of its outputs is a distribution over bins of equal width, and it is taught by
/// rows over the bins as other heads are by rows over their labels (label distribution learning, Gao et al. 2017, "Deep Label
/// Distribution Learning with Label Ambiguity").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberSpec {
    /// Least and greatest number, in the unit of the column. The first and the last bin stand for what lies beyond, too.
    pub range: [f64; 2],
    /// Bins of equal width, from 2 to 1000: the outputs of the head. In a file 100 unless said.
    pub bins: usize,
    /// Standard deviation of the normal distribution that a number is taught as, in its unit; 0: the one bin it lies in. In a
    /// file twice the width of a bin unless said, which for ages in years is the paper's 2. Not between 0 and a thousandth of
    /// a bin.
    pub spread: f64,
}

/// More is refused: a bin less wide than a thousandth of the range tells nothing.
const MAX_BINS: usize = 1000;

impl NumberSpec {
    /// Numbers in a range, by a hundred bins and a spread of two of them.
    pub fn new(range: [f64; 2]) -> Self {
        Self::with_bins(range, 100)
    }

    /// The same by another number of bins.
    pub(super) fn with_bins(range: [f64; 2], bins: usize) -> Self {
        let width = (range[1] - range[0]) / bins as f64;
        Self {
            range,
            bins,
            spread: 2.0 * width,
        }
    }

    /// Whether labels by these borders can be told from it.
    pub(super) fn check(&self, thresholds: &[f64]) -> Result<(), Fault> {
        let [from, to] = self.range;
        if from.is_nan() && to.is_nan() {
            let expected = "[least, greatest], which `kind = \"number\"` needs";
            return fault("range", expected, "none");
        }
        // A bound far below what overflows in squares; no number is not within it.
        let bounded = self.range.iter().all(|v| v.abs() <= 1e100);
        if from >= to || !bounded {
            let expected = "[least, greatest], two numbers that ascend, at most 1e100";
            return fault("range", expected, format!("{:?}", self.range));
        }
        if !(2..=MAX_BINS).contains(&self.bins) {
            let expected = format!("a number from 2 to {MAX_BINS}");
            return fault("bins", expected, self.bins);
        }
        if !(0..self.bins).all(|bin| self.border(bin) < self.border(bin + 1)) {
            let expected = format!("so wide that {} bins are told apart", self.bins);
            return fault("range", expected, format!("{:?}", self.range));
        }
        // Less could not be told from 0, and its squares would overflow.
        let least = (to - from) / self.bins as f64 / 1000.0;
        if self.spread != 0.0 && !(least..=to - from).contains(&self.spread) {
            let expected = format!("0, or a number from {least} to {}", to - from);
            return fault("spread", expected, self.spread);
        }
        if thresholds.is_empty() {
            let expected = "the borders between its labels, beside `kind = \"number\"`";
            return fault("thresholds", expected, "none");
        }
        if thresholds.len() >= self.bins {
            let expected = format!("at most {} for {} bins", self.bins - 1, self.bins);
            return fault("thresholds", expected, thresholds.len());
        }
        match thresholds.iter().find(|t| **t <= from || **t >= to) {
            Some(border) => {
                let expected = format!("numbers between {from} and {to}, inside of the range");
                fault("thresholds", expected, border)
            }
            None => Ok(()),
        }
    }

    /// The lower border of bin `bin`, and the upper one of the bin before it.
    fn border(&self, bin: usize) -> f64 {
        let [from, to] = self.range;
        let share = bin as f64 / self.bins as f64;
        from * (1.0 - share) + to * share
    }

    /// The number in the middle of each bin.
    pub(crate) fn centres(&self) -> impl Iterator<Item = f64> {
        (0..self.bins).map(|bin| 0.5 * (self.border(bin) + self.border(bin + 1)))
    }

    /// What a number is taught as: the density of a normal distribution around it in the middle of each bin, together 1 (Gao et
    /// al. 2017, equation 3). A number beyond the range counts as the middle of the first or last bin.
    pub(crate) fn row(&self, number: f64) -> Vec<f32> {
        let centres: Vec<f64> = self.centres().collect();
        let number = number.clamp(centres[0], centres[self.bins - 1]);
        let [from, to] = self.range;
        if self.spread == 0.0 {
            let place = (number - from) / (to - from) * self.bins as f64;
            let mut row = vec![0.0; self.bins];
            row[(place as usize).min(self.bins - 1)] = 1.0;
            return row;
        }
        let exponent = |centre: f64| -0.5 * ((centre - number) / self.spread).powi(2);
        let greatest = centres.iter().map(|c| exponent(*c));
        let greatest = greatest.fold(f64::NEG_INFINITY, f64::max);
        // Where the spread is far less than a bin's width all densities are nearly 0, but for the nearest relative to itself.
        let density = centres.iter().map(|c| (exponent(*c) - greatest).exp());
        let density: Vec<f64> = density.collect();
        let sum: f64 = density.iter().sum();
        density.into_iter().map(|d| (d / sum) as f32).collect()
    }
}

/// Which part of which bin belongs to which label: a border inside of a bin shares it in proportion.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    labels: usize,
    bins: usize,
    /// In order.
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    bin: usize,
    label: usize,
    /// Of the bin, above 0.
    share: f64,
}

impl Sums {
    /// Of labels between these borders.
    pub(crate) fn new(number: &NumberSpec, thresholds: &[f64]) -> Self {
        let mut parts = Vec::with_capacity(number.bins + thresholds.len());
        let mut label = 0;
        for bin in 0..number.bins {
            let [low, high] = [bin, bin + 1].map(|b| number.border(b));
            let mut reached = low;
            while let Some(border) = thresholds.get(label).filter(|t| **t < high) {
                if *border > reached {
                    let share = (border - reached) / (high - low);
                    parts.push(Part { bin, label, share });
                    reached = *border;
                }
                label += 1;
            }
            let share = (high - reached) / (high - low);
            parts.push(Part { bin, label, share });
        }
        Self {
            labels: thresholds.len() + 1,
            bins: number.bins,
            parts,
        }
    }

    pub(super) fn num_labels(&self) -> usize {
        self.labels
    }

    /// The log-probability of each label, from the logits of the bins.
    pub(super) fn log_probs(&self, logits: &[f32]) -> Vec<f32> {
        let logits = || logits.iter().map(|z| f64::from(*z));
        let max = logits().fold(f64::NEG_INFINITY, f64::max);
        let all: f64 = logits().map(|z| (z - max).exp()).sum();
        let logs: Vec<f64> = logits().map(|z| z - max - all.ln()).collect();
        let of_label = |parts: &[Part]| {
            let terms = || parts.iter().map(|p| logs[p.bin] + p.share.ln());
            let max = terms().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = terms().map(|t| (t - max).exp()).sum();
            let log = max + sum.ln();
            // What is no number stays none.
            if log < LEAST {
                LEAST as f32
            } else {
                log as f32
            }
        };
        let labels = self.parts.chunk_by(|a, b| a.label == b.label);
        labels.map(of_label).collect()
    }

    /// What each label has of something that the bins have.
    pub(crate) fn of_labels(&self, bins: &[f64]) -> Vec<f64> {
        let mut labels = vec![0.0; self.labels];
        for part in &self.parts {
            labels[part.label] += part.share * bins[part.bin];
        }
        labels
    }

    /// For each bin the mean of what its labels have, each by its share of the bin.
    pub(crate) fn of_bins(&self, labels: &[f64]) -> Vec<f64> {
        let mut bins = vec![0.0; self.bins];
        for part in &self.parts {
            bins[part.bin] += part.share * labels[part.label];
        }
        bins
    }

    /// The part of each bin that belongs to each label, `(bins, labels)` row after row.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let mut all = vec![0.0; self.bins * self.labels];
        for part in &self.parts {
            all[part.bin * self.labels + part.label] = part.share;
        }
        all
    }

    /// A photo of which the label is known and the number is not: the bins of the label alike.
    pub(crate) fn row_of_label(&self, label: usize) -> Vec<f32> {
        let mut labels = vec![0.0; self.labels];
        labels[label] = 1.0;
        let bins = self.of_bins(&labels);
        let sum: f64 = bins.iter().sum();
        bins.into_iter().map(|b| (b / sum) as f32).collect()
    }
}

/// What is said of the number on one photo.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    /// The bins.
    pub number: NumberSpec,
    /// The probability of each.
    pub probs: Vec<f64>,
}

impl Distribution {
    /// The mean, each bin counting as its middle.
    pub(crate) fn mean(&self) -> f64 {
        let pairs = self.number.centres().zip(&self.probs);
        pairs.map(|(centre, p)| centre * p).sum()
    }

    /// The number below which this share lies, a bin's own being spread evenly over it.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut below = 0.0;
        for (bin, p) in self.probs.iter().enumerate() {
            if below + p >= share && *p > 0.0 {
                let [low, high] = [bin, bin + 1].map(|b| self.number.border(b));
                return low + ((share - below) / p).clamp(0.0, 1.0) * (high - low);
            }
            below += p;
        }
        self.number.range[1]
    }
}
