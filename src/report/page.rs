//! The shell of every page: one HTML file that needs nothing else, neither a network nor the photos.
//!
//! What is shown is data in JSON, from which the script makes elements whose text is text; figures are drawn before and lie in
//! templates. Nothing that comes from a file, a label or a person can become a part of the page.

use crate::error::{Error, Result};
use crate::escape::printable;
use serde::Serialize;

const HTML: &str = include_str!("page.html");
const STYLE: &str = concat!(
    include_str!("style/base.css"),
    include_str!("style/audit.css"),
    include_str!("style/run.css")
);
const SCRIPT: &str = concat!(
    include_str!("script/base.js"),
    include_str!("script/audit.js"),
    include_str!("script/parts.js"),
    include_str!("script/photos.js"),
    include_str!("script/compare.js"),
    include_str!("script/sheet.js"),
    include_str!("script/run.js")
);
/// What stands in the body of a page of an audit or of health, and of a run.
pub(super) const AUDIT: &str = include_str!("audit/body.html");
pub(super) const RUN: &str = include_str!("run/body.html");

/// What a page is besides its data.
pub(super) struct Shell<'a> {
    pub(super) title: &'a str,
    /// HTML of our own.
    pub(super) body: &'a str,
    /// SVGs of our own.
    pub(super) figures: &'a [String],
    /// Whether it loads itself again.
    pub(super) live: bool,
}

/// The text of a page.
///
/// # Errors
/// [`Error::Config`] if a value has no form in JSON.
pub(super) fn html(shell: &Shell, data: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(data).map_err(|e| Error::Config {
        origin: "the page".into(),
        message: "cannot be written as JSON".into(),
        source: Some(e.into()),
    })?;
    let figures = shell.figures.iter().enumerate();
    let figures = figures.map(|(i, svg)| format!("<template id=\"figure{i}\">{svg}</template>"));
    let reload = "<meta http-equiv=\"refresh\" content=\"5\">";
    let (style, script) = (compact(STYLE), compact(SCRIPT));
    let (json, title) = (harmless(&json), escaped(&printable(shell.title)));
    let figures: String = figures.collect();
    Ok(filled(
        HTML,
        &[
            ("/*RELOAD*/", if shell.live { reload } else { "" }),
            ("/*TITLE*/", &title),
            ("/*STYLE*/", &style),
            ("/*BODY*/", shell.body),
            ("/*FIGURES*/", &figures),
            ("/*DATA*/", &json),
            ("/*SCRIPT*/", &script),
        ],
    ))
}

/// JSON that means the same and is nothing else, wherever in HTML or in a script it stands.
fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out += &format!("\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
        .replace(['\u{2028}', '\u{2029}'], " ")
}

/// The template with each place, which come in this order, filled; what is filled in is not looked at again.
fn filled(template: &str, places: &[(&str, &str)]) -> String {
    let (mut out, mut rest) = (String::new(), template);
    for (place, text) in places {
        if let Some((before, after)) = rest.split_once(place) {
            out += before;
            out += text;
            rest = after;
        }
    }
    out + rest
}

/// Without indentation, empty lines and comments of a line.
fn compact(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let kept = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    kept.fold(String::with_capacity(text.len()), |mut out, line| {
        out += line;
        out.push('\n');
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_taken_for_a_place() {
        let text = filled(
            "a /*X*/ b /*Y*/ c",
            &[("/*X*/", "/*Y*/"), ("/*Y*/", "/*X*/")],
        );
        assert_eq!(text, "a /*Y*/ b /*X*/ c");
    }

    #[test]
    fn data_cannot_leave_its_element() {
        let evil = "</script><script>alert(1)</script><!--\"'&\u{2028}/*DATA*//*SCRIPT*/";
        let shell = Shell {
            title: evil,
            body: "",
            figures: &[],
            live: false,
        };
        let page = html(&shell, &[evil]).unwrap();
        assert_eq!(page.matches("<script").count(), 2, "its own two");
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("<!--") && !page.contains('\u{2028}'));
        for place in [
            "/*RELOAD*/",
            "/*TITLE*/</title>",
            "<style>/*",
            "/*BODY*/",
            "/*FIGURES*/",
        ] {
            assert!(!page.contains(place), "{place}");
        }
        let start = page.find("type=\"application/json\">").unwrap() + 24;
        let end = start + page[start..].find("</script>").unwrap();
        assert!(!page.contains("http-equiv=\"refresh\""));
        let live = html(
            &Shell {
                live: true,
                ..shell
            },
            &[evil],
        )
        .unwrap();
        assert!(live.contains("http-equiv=\"refresh\" content=\"5\""));
        let back: Vec<String> = serde_json::from_str(&page[start..end]).unwrap();
        assert_eq!(back, [evil]);
    }
}
