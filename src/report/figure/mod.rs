//! Figures as SVG, drawn here alone: those inside a page take its colours, those in a file of their own bring theirs.

mod axis;
mod drawn;
mod marks;
mod svg;

pub(crate) use axis::Axis;
pub(crate) use drawn::{differences, learning_rates};
use marks::stroke;
use std::fmt::Write;
use svg::{escaped, number};

/// Estimated width of a letter of the labels, in pixels.
const LETTER: f64 = 6.9;
/// Height of a row of the legend, and of a line of text.
const ROW: f64 = 17.0;

/// Something drawn over the axes; positions are in their units.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    /// A line through points, of the series of this number; interrupted where a value is not finite.
    Line {
        series: usize,
        name: String,
        points: Vec<(f64, f64)>,
    },
    /// The same in grey, without a name.
    Faint(Vec<(f64, f64)>),
    /// A dot with a radius in pixels, and what it says of itself.
    Dot {
        at: (f64, f64),
        radius: f64,
        text: String,
    },
    /// A bar from 0 up, as wide as from x to x.
    Bar {
        from: f64,
        to: f64,
        height: f64,
        text: String,
    },
    /// An interval along x with its middle, at y; `strong` where it leaves 0 out.
    Interval {
        y: f64,
        ends: (f64, f64),
        middle: f64,
        strong: bool,
        label: String,
    },
}

/// A figure: axes, and what is drawn over them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// What it shows, in a line.
    pub(crate) title: String,
    /// Width and height in pixels.
    pub(crate) size: (f64, f64),
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) marks: Vec<Mark>,
}

impl Figure {
    /// For a page: without a name space, which HTML does not need, and without a background.
    pub(crate) fn inline(&self) -> String {
        self.svg("", "")
    }

    /// For a file.
    pub(crate) fn file(&self) -> String {
        let (width, height) = self.size;
        let back = format!(r##"<rect width="{width}" height="{height}" fill="#fff"/>"##);
        self.svg(r#" xmlns="http://www.w3.org/2000/svg""#, &back) + "\n"
    }

    fn svg(&self, name_space: &str, back: &str) -> String {
        let (width, height) = self.size;
        let title = escaped(&self.title);
        let legend = self.legend();
        let frame = Frame::new(self, legend.1);
        let mut out = format!(
            r#"<svg{name_space} viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="12">{back}"#
        );
        let _ = write!(
            out,
            r##"<text class="t1" x="{}" y="15" font-size="13" font-weight="600" fill="#222">{title}</text>"##,
            number(frame.left)
        );
        out += &legend.0;
        self.axes(&mut out, &frame);
        for mark in &self.marks {
            self.mark(&mut out, &frame, mark);
        }
        out + "</svg>"
    }

    /// Names of the lines, in rows below the title, and their height.
    fn legend(&self) -> (String, f64) {
        let lines = self.marks.iter().filter_map(|mark| match mark {
            Mark::Line { series, name, .. } if !name.is_empty() => Some((*series, name)),
            _ => None,
        });
        let (mut out, mut x, mut y) = (String::new(), Frame::LEFT, 34.0);
        for (series, name) in lines {
            let shown = svg::shortened(name, 28);
            let width = 30.0 + LETTER * shown.chars().count() as f64;
            if x + width > self.size.0 && x > Frame::LEFT {
                (x, y) = (Frame::LEFT, y + ROW);
            }
            let _ = write!(
                out,
                r##"<path {} d="M{} {}h16"/><text class="t2" x="{}" y="{}" fill="#555">{}</text>"##,
                stroke(series),
                number(x),
                number(y - 4.0),
                number(x + 21.0),
                number(y),
                escaped(&shown)
            );
            x += width;
        }
        let rows = if out.is_empty() { 0.0 } else { y - 34.0 + ROW };
        (out, rows)
    }

    fn axes(&self, out: &mut String, frame: &Frame) {
        for (value, text) in self.y.ticks() {
            let y = frame.y(&self.y, value);
            let _ = write!(
                out,
                r##"<path class="g" stroke="#ddd" d="M{} {}H{}"/><text class="t2" x="{}" y="{}" text-anchor="end" fill="#555">{}</text>"##,
                number(frame.left),
                number(y),
                number(frame.right),
                number(frame.left - 6.0),
                number(y + 4.0),
                escaped(&text)
            );
        }
        for (value, text) in self.x.ticks() {
            let x = frame.x(&self.x, value);
            let _ = write!(
                out,
                r##"<path class="g" stroke="#bbb" d="M{} {}v4"/><text class="t2" x="{}" y="{}" text-anchor="middle" fill="#555">{}</text>"##,
                number(x),
                number(frame.bottom),
                number(x),
                number(frame.bottom + 16.0),
                escaped(&text)
            );
        }
        let _ = write!(
            out,
            r##"<path class="g" stroke="#999" d="M{} {}H{}"/><text class="t2" x="{}" y="{}" text-anchor="middle" fill="#555">{}</text>"##,
            number(frame.left),
            number(frame.bottom),
            number(frame.right),
            number((frame.left + frame.right) / 2.0),
            number(self.size.1 - 4.0),
            escaped(&self.x.title)
        );
    }
}

/// Where the axes lie, in pixels.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Frame {
    const LEFT: f64 = 52.0;

    fn new(figure: &Figure, legend: f64) -> Self {
        let (width, height) = figure.size;
        let named = |m: &Mark| matches!(m, Mark::Interval { .. });
        // Intervals have their names before them.
        let left = if figure.marks.iter().any(named) {
            0.42 * width
        } else {
            Self::LEFT
        };
        Self {
            left,
            right: width - 22.0,
            top: 26.0 + legend,
            bottom: height - 40.0,
        }
    }

    fn x(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.place(value) * (self.right - self.left)
    }

    fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.place(value) * (self.bottom - self.top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(marks: Vec<Mark>) -> Figure {
        Figure {
            title: "a <b> & \"c\"".into(),
            size: (400.0, 240.0),
            x: Axis::new("epoch", 1.0, 5.0),
            y: Axis::new("", 0.0, 1.0),
            marks,
        }
    }

    #[test]
    fn a_figure_lets_no_name_be_taken_for_an_element() {
        let evil = "</svg><script>alert('1')</script>";
        let svg = figure(vec![
            Mark::Line {
                series: 11,
                name: evil.into(),
                points: vec![(1.0, 0.2), (2.0, f64::NAN), (3.0, 0.4), (5.0, 0.9)],
            },
            Mark::Dot {
                at: (2.0, 0.5),
                radius: 3.0,
                text: evil.into(),
            },
            Mark::Interval {
                y: 0.5,
                ends: (1.0, 2.0),
                middle: 1.5,
                strong: true,
                label: evil.into(),
            },
        ]);
        for text in [svg.inline(), svg.file()] {
            assert!(!text.contains("<script") && !text.contains("<b>"), "{text}");
            assert_eq!(text.matches("</svg>").count(), 1);
            assert!(!text.contains("NaN"));
        }
        assert!(!svg.inline().contains("http"));
        assert!(svg.file().contains("xmlns="));
    }

    #[test]
    fn a_value_that_is_missing_interrupts_its_line() {
        let points = vec![
            (1.0, 0.0),
            (2.0, 1.0),
            (3.0, f64::NAN),
            (4.0, 0.0),
            (5.0, 1.0),
        ];
        let text = figure(vec![Mark::Faint(points)]).inline();
        let path = text.split("class=\"fa\"").nth(1).unwrap();
        let path = path.split('>').next().unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 2, "{path}");
    }
}
