//! An axis: its range, and round numbers along it.

/// Marks of an axis, about.
const TICKS: f64 = 5.0;

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// What it counts, below the axis of x.
    pub(crate) title: String,
    from: f64,
    to: f64,
    /// Powers of ten are equally far apart.
    log: bool,
    /// Only whole numbers are marked.
    whole: bool,
    /// Marked in percent.
    percent: bool,
    /// Not marked.
    bare: bool,
}

impl Axis {
    /// From a value to a greater one; a range that has no width is widened.
    pub(crate) fn new(title: impl Into<String>, from: f64, to: f64) -> Self {
        let known = from.is_finite() && to.is_finite() && to > from;
        let (from, to) = match known {
            true => (from, to),
            false if from.is_finite() => (from - 0.5, from + 0.5),
            false => (0.0, 1.0),
        };
        Self {
            title: title.into(),
            from,
            to,
            log: false,
            whole: false,
            percent: false,
            bare: false,
        }
    }

    /// Around all finite values, with room at both ends.
    pub(crate) fn around(title: impl Into<String>, values: impl Iterator<Item = f64>) -> Self {
        let finite = values.filter(|v| v.is_finite());
        let (least, most) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
            (a.min(v), b.max(v))
        });
        let room = 0.05 * (most - least);
        Self::new(title, least - room, most + room)
    }

    /// With powers of ten equally far apart; the range has to be above 0.
    pub(crate) fn log(self) -> Self {
        Self {
            log: self.from > 0.0,
            ..self
        }
    }

    /// Of whole numbers.
    pub(crate) fn whole(self) -> Self {
        Self {
            whole: true,
            ..self
        }
    }

    /// Of shares, marked in percent.
    pub(crate) fn percent(self) -> Self {
        Self {
            percent: true,
            ..self
        }
    }

    /// Without marks.
    pub(crate) fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    /// Where a value lies, from 0 to 1 within the range.
    pub(super) fn place(&self, value: f64) -> f64 {
        if self.log {
            (value / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        }
    }

    /// Round values within the range, and what is written beside them.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        if self.bare {
            return Vec::new();
        }
        if self.log {
            let (first, last) = (self.from.log10().ceil(), self.to.log10().floor());
            let step = ((last - first) / TICKS).ceil().max(1.0);
            let powers = (0..).map(|i| first + step * f64::from(i));
            let powers = powers.take_while(|p| *p <= last);
            return powers
                .map(|p| (10f64.powf(p), format!("1e{p:.0}")))
                .collect();
        }
        let rough = (self.to - self.from) / TICKS;
        let power = 10f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
        let step = round.into_iter().find(|s| *s >= rough).unwrap_or(rough);
        let step = if self.whole { step.max(1.0) } else { step };
        let first = (self.from / step).ceil();
        let values = (0..50).map(|i| (first + f64::from(i)) * step);
        let values = values.take_while(|v| *v <= self.to + step * 1e-9);
        values.map(|v| (v, self.written(v, step))).collect()
    }

    fn written(&self, value: f64, step: f64) -> String {
        let (value, step, sign) = if self.percent {
            (100.0 * value, 100.0 * step, " %")
        } else {
            (value, step, "")
        };
        let most = value.abs().max(step);
        if !(1e-4..1e7).contains(&most) {
            return format!("{value:.1e}{sign}");
        }
        let digits = (-step.log10().floor()).max(0.0) as usize;
        // Not −0.
        format!("{:.digits$}{sign}", value + 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(
            texts(&Axis::new("", 0.0, 1.0)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            texts(&Axis::new("", 0.0, 1.0).percent()),
            ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
        );
        assert_eq!(texts(&Axis::new("", 1.0, 3.0).whole()), ["1", "2", "3"]);
        assert_eq!(
            texts(&Axis::new("", 0.001, 5.0).log()),
            ["1e-3", "1e-2", "1e-1", "1e0"]
        );
    }

    #[test]
    fn a_range_without_a_width_has_one_all_the_same() {
        for axis in [
            Axis::new("", 1.0, 1.0),
            Axis::new("", f64::NAN, 1.0),
            Axis::around("", [].into_iter()),
            Axis::around("", [f64::INFINITY, 2.0].into_iter()),
        ] {
            assert!(axis.place(1.0).is_finite());
            assert!(!axis.ticks().is_empty());
        }
    }
}
