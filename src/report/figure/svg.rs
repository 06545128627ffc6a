//! Text and numbers of an SVG.

/// A text that is text wherever it stands, in an element or in an attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            // XML has no other characters below a space.
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            // Ends of lines in scripts.
            '\u{2028}' | '\u{2029}' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The text, or its beginning and an ellipsis.
pub(super) fn shortened(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.into();
    }
    text.chars().take(letters - 1).collect::<String>() + "…"
}

/// A length in pixels.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), String::from)
}

/// A path through points, interrupted where one is not finite.
pub(super) fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let (mut out, mut on) = (String::new(), false);
    for (x, y) in points {
        if x.is_finite() && y.is_finite() {
            out += &format!("{}{} {}", if on { 'L' } else { 'M' }, number(x), number(y));
            on = true;
        } else {
            on = false;
        }
    }
    out
}
