//! The name that was probably meant.

/// The edit distance (Levenshtein 1966): letters to insert, leave out or exchange.
pub(crate) fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The name among `names` with the fewest edits from `name`, the first of equal ones; none if even that one differs in more than
/// half of its letters.
pub(crate) fn nearest<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Option<&'a str> {
    let (distance, found) = names
        .into_iter()
        .map(|n| (edits(name, n), n))
        .min_by_key(|(distance, _)| *distance)?;
    (2 * distance <= name.chars().count()).then_some(found.as_str())
}
