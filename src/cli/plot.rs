//! Plots, as SVG.

use hydranet::train::find_lr::Trial;
use plotters::prelude::*;
use std::path::Path;

/// The loss over the factor of the learning rates.
pub(crate) fn learning_rates(trials: &[Trial], path: &Path) -> hydranet::Result<()> {
    let fail = |e: &dyn std::fmt::Display| hydranet::Error::Config {
        origin: path.display().to_string(),
        message: format!("the plot could not be drawn: {e}"),
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
    hydranet::write_atomically(path, text.as_bytes())
}
