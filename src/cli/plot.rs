//! Plots, as SVG.

use crate::experiment::Comparison;
use crate::train::find_lr::Trial;
use plotters::prelude::*;
use std::path::Path;

/// The loss over the factor of the learning rates.
pub(crate) fn learning_rates(trials: &[Trial], path: &Path) -> crate::Result<()> {
    let fail = |e: &dyn std::fmt::Display| crate::Error::Config {
        origin: path.display().to_string(),
        message: format!("the plot could not be drawn: {e}"),
        source: None,
    };
    let points = |value: fn(&Trial) -> f64| {
        trials
            .iter()
            .map(move |t| (t.factor, value(t)))
            .filter(|(_, v)| v.is_finite())
    };
    let smoothed: Vec<(f64, f64)> = points(|t| t.smoothed).collect();
    let (Some(first), Some(last)) = (smoothed.first(), smoothed.last()) else {
        return Ok(());
    };
    let least = smoothed.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let most = smoothed.iter().map(|p| p.1).fold(0.0, f64::max);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (800, 480)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| fail(&e))?;
        let mut chart = ChartBuilder::on(&root)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(56)
            .caption("loss at growing learning rates", ("sans-serif", 18))
            .build_cartesian_2d(
                (first.0..last.0 * 1.001).log_scale(),
                least * 0.95..most * 1.05,
            )
            .map_err(|e| fail(&e))?;
        chart
            .configure_mesh()
            .x_desc("factor of lr_backbone and lr_heads")
            .y_desc("smoothed joint loss")
            .draw()
            .map_err(|e| fail(&e))?;
        chart
            .draw_series(LineSeries::new(points(|t| t.loss), RGBColor(190, 190, 190)))
            .map_err(|e| fail(&e))?;
        chart
            .draw_series(LineSeries::new(smoothed, BLUE.stroke_width(2)))
            .map_err(|e| fail(&e))?;
        root.present().map_err(|e| fail(&e))?;
    }
    crate::io::write_atomically(path, text.as_bytes())
}

/// The paired differences to the baseline in the first figure, each with its interval; without any, nothing is drawn.
pub(crate) fn differences(comparison: &Comparison, path: &Path) -> crate::Result<()> {
    let fail = |e: &dyn std::fmt::Display| crate::Error::Config {
        origin: path.display().to_string(),
        message: format!("the plot could not be drawn: {e}"),
        source: None,
    };
    let Some(table) = comparison.figures.first() else {
        return Ok(());
    };
    // One pair has a difference but no interval.
    let bars: Vec<(&str, f64, f64, f64)> = table
        .rows
        .iter()
        .zip(&comparison.variants)
        .filter_map(|(row, variant)| {
            let d = row.difference?;
            let (low, high) = (d.low.unwrap_or(d.mean), d.high.unwrap_or(d.mean));
            Some((variant.title.as_str(), low, d.mean, high))
        })
        .collect();
    if bars.is_empty() {
        return Ok(());
    }
    let least = bars.iter().map(|b| b.1).fold(0.0, f64::min);
    let most = bars.iter().map(|b| b.3).fold(0.0, f64::max);
    let margin = ((most - least) * 0.05).max(1e-4);
    let mut text = String::new();
    {
        let height = 110 + 34 * bars.len() as u32;
        let root = SVGBackend::with_string(&mut text, (960, height)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| fail(&e))?;
        let caption = format!("{}: difference to the baseline", table.figure);
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(380)
            .caption(caption, ("sans-serif", 18))
            .build_cartesian_2d(least - margin..most + margin, bars.len() as f64..0.0)
            .map_err(|e| fail(&e))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .max_light_lines(0)
            .disable_y_axis()
            .x_desc(format!(
                "mean and {} % interval of the paired difference",
                100.0 * comparison.confidence
            ))
            .draw()
            .map_err(|e| fail(&e))?;
        let zero = PathElement::new(vec![(0.0, 0.0), (0.0, bars.len() as f64)], BLACK);
        chart.draw_series([zero]).map_err(|e| fail(&e))?;
        for (place, (title, low, mean, high)) in bars.iter().enumerate() {
            let y = place as f64 + 0.5;
            let color = if *low > 0.0 || *high < 0.0 {
                BLUE
            } else {
                RGBColor(130, 130, 130)
            };
            let line = PathElement::new(vec![(*low, y), (*high, y)], color.stroke_width(3));
            chart.draw_series([line]).map_err(|e| fail(&e))?;
            let dot = Circle::new((*mean, y), 5, color.filled());
            chart.draw_series([dot]).map_err(|e| fail(&e))?;
            let row = chart.backend_coord(&(least, y)).1;
            let shown: String = if title.chars().count() > 58 {
                title.chars().take(57).collect::<String>() + "…"
            } else {
                (*title).into()
            };
            let label = Text::new(shown, (12, row - 7), ("sans-serif", 15));
            root.draw(&label).map_err(|e| fail(&e))?;
        }
        root.present().map_err(|e| fail(&e))?;
    }
    crate::io::write_atomically(path, text.as_bytes())
}
