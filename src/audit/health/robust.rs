//! How far a value lies from the middle of many, in units that a few odd ones do not change.

use serde::Serialize;

/// Median and spread of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Robust {
    /// The median.
    pub median: f64,
    /// The median of the distances from it.
    pub mad: f64,
    /// What one robust unit is: 1.4826 · `mad`, as the deviation of a normal distribution; where more than half of the numbers
    /// are equal,
    /// 1.2533 times the mean distance (Iglewicz and Hoaglin 1993). 0 if all are equal.
    pub unit: f64,
}

impl Robust {
    /// Of finite numbers; all 0 for none.
    pub fn new(values: &[f64]) -> Self {
        let median = median(values.to_vec());
        let distances: Vec<f64> = values.iter().map(|v| (v - median).abs()).collect();
        let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
        let mad = self::median(distances);
        let unit = if mad > 0.0 {
            1.482_602_218_505_602 * mad
        } else {
            1.253_314_137_315_5 * mean
        };
        Self { median, mad, unit }
    }

    /// Robust units above the median.
    pub fn units(&self, value: f64) -> f64 {
        if self.unit > 0.0 {
            (value - self.median) / self.unit
        } else {
            0.0
        }
    }
}

/// The share of the other values that lie within `near` of one of them; the values are sorted.
pub(super) fn others_near(sorted: &[f64], value: f64, near: f64) -> f64 {
    let from = sorted.partition_point(|v| *v < value - near);
    let to = sorted.partition_point(|v| *v <= value + near);
    (to - from).saturating_sub(1) as f64 / sorted.len().saturating_sub(1).max(1) as f64
}

/// The middle one, or the mean of the two middle ones; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (low, middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let middle = *middle;
    match n % 2 {
        1 => middle,
        _ => {
            let below = low.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (below + middle) / 2.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Robust;

    #[test]
    fn a_few_odd_values_change_neither_middle_nor_unit_much() {
        let r = Robust::new(&[1.0, 2.0, 3.0, 4.0, 1e9]);
        assert_eq!((r.median, r.mad), (3.0, 1.0));
        assert!((r.units(3.0 + 1.482_602_218_505_602) - 1.0).abs() < 1e-12);
        assert_eq!(Robust::new(&[1.0, 2.0, 3.0, 4.0]).median, 2.5);
    }

    #[test]
    fn a_value_is_not_among_the_others_near_it() {
        let sorted = [1.0, 1.01, 5.0, 9.0, 9.0];
        for (value, share) in [(1.0, 0.25), (5.0, 0.0), (9.0, 0.25)] {
            assert_eq!(super::others_near(&sorted, value, 0.1), share);
        }
        assert_eq!(super::others_near(&[3.0], 3.0, 0.1), 0.0);
    }

    #[test]
    fn where_most_are_equal_the_mean_distance_serves() {
        let r = Robust::new(&[5.0, 5.0, 5.0, 5.0, 15.0]);
        assert_eq!((r.median, r.mad), (5.0, 0.0));
        assert!((r.unit - 1.253_314_137_315_5 * 2.0).abs() < 1e-12);
        let equal = Robust::new(&[7.0; 4]);
        assert_eq!((equal.unit, equal.units(7.0)), (0.0, 0.0));
        assert_eq!(Robust::new(&[]).median, 0.0);
    }
}
