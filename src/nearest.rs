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

/// How a name is written is taken off: spaces around, case, and what joins words.
fn form(name: &str) -> String {
    let letters = name.trim().chars();
    let joined = letters.filter(|c| !matches!(c, ' ' | '_' | '-' | '\u{a0}'));
    joined.flat_map(char::to_lowercase).collect()
}

/// The name that is meant, where one is not among `names` but for how it is written, or as a number is written; and in long lists
/// the nearest. To be put behind a message.
pub(crate) fn hint(name: &str, names: &[String]) -> String {
    let number = |n: &str| n.trim().parse::<f64>().ok().filter(|v| v.is_finite());
    let of_form = names.iter().find(|n| form(n) == form(name));
    let of_number =
        || number(name).and_then(|value| names.iter().find(|n| number(n) == Some(value)));
    let near = || match names.len() {
        ..=20 => None,
        _ => nearest(name, names),
    };
    let found = of_form.or_else(of_number).map(String::as_str);
    match (found, found.or_else(near)) {
        (Some(found), _) => {
            format!("; did you mean `{found}`? Names are compared letter by letter")
        }
        (None, Some(near)) => format!("; did you mean `{near}`?"),
        (None, None) => String::new(),
    }
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
