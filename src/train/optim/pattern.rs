//! Patterns of tensor names.

/// Whether a name matches a pattern, in which `*` stands for any characters. Takes at most the product of their lengths.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return name.is_empty();
    };
    // Between two stars the first place that fits leaves the most to what follows.
    for piece in pieces {
        match name.find(piece) {
            Some(at) => name = &name[at + piece.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}
