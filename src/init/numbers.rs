//! Borders that turn a column of numbers into labels.

/// Borders at the thirds of the numbers, or where these are no three parts at their middle, each rounded as far as its part of
/// the numbers allows; `None` if they do not divide them.
pub(super) fn borders(numbers: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let range = sorted.last()? - sorted.first()?;
    let unit = 10f64.powf((range / 10.0).log10().floor());
    let at = |part: usize, of: usize| {
        let value = sorted[(sorted.len() * part / of).min(sorted.len() - 1)];
        let rounded = (value / unit).round() * unit;
        // Tenths of a unit are not exact in binary.
        (rounded * 1e9).round() / 1e9
    };
    [vec![at(1, 3), at(2, 3)], vec![at(1, 2)]]
        .into_iter()
        .find(|borders| divides(borders, &sorted))
}

/// Whether each part between borders holds a tenth of the numbers at least.
fn divides(borders: &[f64], sorted: &[f64]) -> bool {
    let below = |border: &f64| sorted.partition_point(|v| v < border);
    let mut places = vec![0];
    places.extend(borders.iter().map(below));
    places.push(sorted.len());
    let ascending = borders.windows(2).all(|w| w[0] < w[1]);
    ascending
        && places
            .windows(2)
            .all(|w| w[1] >= w[0] && 10 * (w[1] - w[0]) >= sorted.len())
}

/// What the parts are called.
pub(super) fn names(borders: &[f64]) -> Vec<String> {
    let first = borders.first().map(|b| format!("under_{b}"));
    let middle = borders.windows(2).map(|w| format!("{}_to_{}", w[0], w[1]));
    let last = borders.last().map(|b| format!("{b}_and_over"));
    first.into_iter().chain(middle).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_round_numbers_at_the_thirds() {
        let ages: Vec<f64> = (0..90).map(f64::from).collect();
        let found = borders(&ages).unwrap();
        assert_eq!(found, [30.0, 60.0]);
        assert_eq!(names(&found), ["under_30", "30_to_60", "60_and_over"]);
        let shares: Vec<f64> = (0..=100).map(|i| f64::from(i) / 100.0).collect();
        assert_eq!(borders(&shares).unwrap(), [0.3, 0.7]);
        // Half of them are one number: there are no three parts.
        let heaped: Vec<f64> = (0..100).map(|i| f64::from(i.max(50))).collect();
        assert_eq!(borders(&heaped).map(|b| b.len()), None);
        let two: Vec<f64> = (0..100)
            .map(|i| if i < 60 { 0.0 } else { f64::from(i) })
            .collect();
        assert!(borders(&two).is_none_or(|b| divides(&b, &two)));
        assert_eq!(borders(&[]), None);
        assert_eq!(borders(&[1.0, 1.0]), None);
    }
}
