//! How often values occur, and the range of bytes that keeps most of them.

use hydranet_kernels::int8::Scale;

/// Bins, evenly from −reach to reach.
const BINS: usize = 4096;

/// Shares of the whole range that are tried.
const TRIED: usize = 64;

/// How often the values of a map occur.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    /// A power of two; 0 as long as there are no values but 0.
    reach: f64,
    low: f32,
    high: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BINS],
            reach: 0.0,
            low: 0.0,
            high: 0.0,
        }
    }
}

impl Histogram {
    /// Counts values; `false` if one is not finite.
    pub(super) fn add(&mut self, values: &[f32]) -> bool {
        let (mut low, mut high, mut sum) = (self.low, self.high, 0f32);
        for v in values {
            low = low.min(*v);
            high = high.max(*v);
            // A NaN is neither least nor greatest, but stays in a sum; so does what is infinite.
            sum += *v * 0.0;
        }
        if sum != 0.0 {
            return false;
        }
        (self.low, self.high) = (low, high);
        self.widen(f64::from(high.max(-low)));
        if self.reach == 0.0 {
            self.counts[BINS / 2] += values.len() as u64;
            return true;
        }
        let (scale, half) = ((BINS as f64 / 2.0 / self.reach) as f32, BINS as f32 / 2.0);
        for v in values {
            // Towards 0 by the conversion, which saturates.
            let bin = (v * scale + half) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
        true
    }

    /// Makes the bins reach so far, each twice as wide as often as it takes.
    fn widen(&mut self, needed: f64) {
        if needed == 0.0 {
            return;
        }
        if self.reach == 0.0 {
            self.reach = f64::from(f32::MIN_POSITIVE);
            while self.reach < needed {
                self.reach *= 2.0;
            }
        }
        while self.reach < needed {
            self.reach *= 2.0;
            let mut wide = vec![0; BINS];
            for (bin, count) in self.counts.iter().enumerate() {
                wide[BINS / 4 + bin / 2] += count;
            }
            self.counts = wide;
        }
    }

    /// The scale whose bytes are off by the least mean square: values beyond its range are clamped, which a finer step of all
    /// others may be worth (Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1).
    pub(super) fn scale(&self) -> Scale {
        let whole = Scale::of(self.low, self.high);
        let tried = (TRIED / 4..=TRIED).rev().map(|i| {
            let share = i as f32 / TRIED as f32;
            Scale::of(self.low * share, self.high * share)
        });
        let mut best = (f64::INFINITY, whole);
        for scale in tried {
            let error = self.error(scale);
            if error < best.0 {
                best = (error, scale);
            }
        }
        best.1
    }

    /// The sum of squares by which the bytes of such a scale are off.
    fn error(&self, scale: Scale) -> f64 {
        let width = 2.0 * self.reach / BINS as f64;
        let (step, zero) = (f64::from(scale.scale), f64::from(scale.zero));
        let occurring = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        let errors = occurring.map(|(bin, count)| {
            let v = (bin as f64 + 0.5) * width - self.reach;
            let q = (v / step + zero).round_ties_even().clamp(0.0, 255.0);
            let off = (q - zero) * step - v;
            *count as f64 * off * off
        });
        errors.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_that_grow_are_those_of_all_values_at_once() {
        let values: Vec<f32> = (0..10_000)
            .map(|i| ((i * 37) % 1000) as f32 * 0.013 - 4.0)
            .collect();
        let mut whole = Histogram::default();
        assert!(whole.add(&values));
        let mut sorted = values.clone();
        sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let mut grown = Histogram::default();
        for values in sorted.chunks(100) {
            assert!(grown.add(values));
        }
        assert_eq!(
            (grown.reach, grown.low, grown.high),
            (whole.reach, whole.low, whole.high)
        );
        assert_eq!(grown.counts.iter().sum::<u64>(), 10_000);
        // A value on the border of two bins may have been put on the other side of it.
        let apart: u64 = grown
            .counts
            .iter()
            .zip(&whole.counts)
            .map(|(a, b)| a.abs_diff(*b))
            .sum();
        assert!(apart < 400, "{apart}");
    }

    #[test]
    fn a_value_that_stands_alone_is_clamped_and_an_even_range_is_kept() {
        let even: Vec<f32> = (0..100_000).map(|i| i as f32 * 1e-5).collect();
        let mut histogram = Histogram::default();
        histogram.add(&even);
        let kept = histogram.scale();
        assert!(
            (kept.scale * 255.0 - 1.0).abs() < 0.02 && kept.zero == 0,
            "{kept:?}"
        );
        // One of two million; what it costs is the square of its distance.
        for _ in 0..19 {
            histogram.add(&even);
        }
        histogram.add(&[3.0]);
        let clamped = histogram.scale();
        assert!(clamped.scale * 255.0 < 1.5, "{clamped:?}");
        assert!(!histogram.add(&[f32::NAN]) && !histogram.add(&[f32::INFINITY]));
        let mut nothing = Histogram::default();
        nothing.add(&[0.0; 5]);
        assert_eq!(nothing.scale(), Scale::of(0.0, 0.0));
    }
}
