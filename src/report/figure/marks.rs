//! What is drawn over the axes.

use super::svg::{escaped, number, path, shortened};
use super::{Figure, Frame, Mark};
use std::fmt::Write;

/// Colours of series on white; a page has its own for the classes `s0` to `s7`.
const COLOURS: [&str; 8] = [
    "#1d5fbf", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0e7490", "#be185d", "#4d5a2a",
];
/// Of what is drawn behind the others.
const SOFT: &str = "#8a8a84";
impl Figure {
    pub(super) fn mark(&self, out: &mut String, frame: &Frame, mark: &Mark) {
        let at = |(x, y): (f64, f64)| (frame.x(&self.x, x), frame.y(&self.y, y));
        let titled = |text: &str| match text {
            "" => String::new(),
            text => format!("<title>{}</title>", escaped(text)),
        };
        match mark {
            Mark::Line { series, points, .. } => {
                let path = path(points.iter().map(|p| at(*p)));
                let _ = write!(out, r#"<path {} d="{path}"/>"#, stroke(*series));
                // A line of one point is none.
                if let [point] = points[..] {
                    let (x, y) = at(point);
                    let colour = COLOURS[series % COLOURS.len()];
                    let _ = write!(
                        out,
                        r#"<circle class="f{}" fill="{colour}" cx="{}" cy="{}" r="3"/>"#,
                        series % COLOURS.len(),
                        number(x),
                        number(y)
                    );
                }
            }
            Mark::Faint(points) => {
                let path = path(points.iter().map(|p| at(*p)));
                let _ = write!(
                    out,
                    r#"<path class="fa" fill="none" stroke="{SOFT}" d="{path}"/>"#
                );
            }
            Mark::Dot {
                at: place,
                radius,
                text,
            } => {
                let (x, y) = at(*place);
                let _ = write!(
                    out,
                    r#"<circle class="f0" fill="{}" fill-opacity=".6" cx="{}" cy="{}" r="{radius}">{}</circle>"#,
                    COLOURS[0],
                    number(x),
                    number(y),
                    titled(text)
                );
            }
            Mark::Bar {
                from,
                to,
                height,
                text,
            } => {
                let ((x0, y0), (x1, y1)) = (at((*from, 0.0)), at((*to, *height)));
                let _ = write!(
                    out,
                    r#"<rect class="f0" fill="{}" fill-opacity=".75" x="{}" y="{}" width="{}" height="{}">{}</rect>"#,
                    COLOURS[0],
                    number(x0 + 0.5),
                    number(y1),
                    number((x1 - x0 - 1.0).max(0.5)),
                    number((y0 - y1).max(0.0)),
                    titled(text)
                );
            }
            Mark::Interval {
                y,
                ends,
                middle,
                strong,
                label,
            } => {
                let (class, colour) = if *strong {
                    ("s0", COLOURS[0])
                } else {
                    ("fa", SOFT)
                };
                let ((low, row), high) = (at((ends.0, *y)), frame.x(&self.x, ends.1));
                let _ = write!(
                    out,
                    r##"<text class="t1" x="12" y="{}" fill="#222">{}</text><path class="{class}" stroke="{colour}" stroke-width="3" d="M{} {}H{}"/><circle class="{class}" fill="{colour}" stroke="{colour}" cx="{}" cy="{}" r="4"/>"##,
                    number(row + 4.0),
                    escaped(&shortened(label, 58)),
                    number(low),
                    number(row),
                    number(high),
                    number(frame.x(&self.x, *middle)),
                    number(row)
                );
            }
        }
    }
}

/// How the line of a series is drawn: behind eight colours the same dashed.
pub(super) fn stroke(series: usize) -> String {
    let (place, dashed) = (series % COLOURS.len(), series >= COLOURS.len());
    let dashes = if dashed {
        r#" stroke-dasharray="5 3""#
    } else {
        ""
    };
    format!(
        r#"class="s{place}" fill="none" stroke="{}" stroke-width="2" stroke-linejoin="round"{dashes}"#,
        COLOURS[place]
    )
}
