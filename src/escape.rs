//! Text of others, names and contents of files, on its way into messages: what would command a terminal or rearrange a line is
//! spelt out.

use std::borrow::Cow;

/// Whether a terminal takes a character for a command, or for an order to write the line otherwise than it stands.
fn commands(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn spelt(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let spelt = |c: char| commands(c) && !is_kept(c);
    if !text.chars().any(spelt) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if spelt(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
    }
    Cow::Owned(out)
}

/// As [`one_line`], but ends of lines and tabs stay.
#[cfg(any(feature = "audit", test))]
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    spelt(text, |c| matches!(c, '\n' | '\t'))
}

/// The text with control characters and orders of direction spelt as `\u{1b}`, ends of lines and tabs too.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    spelt(text, |_| false)
}

/// A text in JSON with such characters in JSON's own spelling, so that it means the same.
#[cfg(any(feature = "cli", test))]
pub(crate) fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|c| commands(c) && c != '\n') {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if commands(c) && c != '\n' {
            // All of them are of one unit of UTF-16.
            out += &format!("\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_spelt_out_and_text_is_left_alone() {
        assert_eq!(printable("a\nb\tc é 人 🙂"), "a\nb\tc é 人 🙂");
        assert_eq!(
            printable("\u{1b}[31m\r\u{9b}2J"),
            "\\u{1b}[31m\\u{d}\\u{9b}2J"
        );
        assert_eq!(printable("x\u{202e}gpj"), "x\\u{202e}gpj");
        assert_eq!(one_line("a\nerror"), "a\\u{a}error");
    }

    #[test]
    fn json_means_the_same_when_it_is_spelt_out() {
        let text = "a\u{1b}\u{9b}\u{202e}\u{7f}é\"";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let spelt = printable_json(&json);
        assert!(!spelt.contains(['\u{9b}', '\u{202e}', '\u{7f}']));
        let back: Vec<String> = serde_json::from_str(&spelt).unwrap();
        assert_eq!(back, [text]);
    }
}
