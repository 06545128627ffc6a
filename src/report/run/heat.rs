//! Where in the worst photos each head looked.

use super::data::Source;
use super::photos::{interest, samples};
use crate::data::dataset::Sample;
use crate::data::named_photo::NamedPhoto;
use crate::error::Result;
use crate::input::{Interpolation, Photo};
use crate::predict::{ExplainMethod, Predictor};
use crate::report::{heat, thumbs};
use serde::Serialize;
use std::collections::BTreeMap;

/// Photos that are explained: a second or two of work, and some hundred kilobytes.
const EXPLAINED: usize = 24;
/// Pixels that a picture is high.
const HEIGHT: usize = 96;

/// The heat of a head over a photo.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HeatData {
    /// The label that the heat speaks for, in the words of the model.
    label: String,
    /// A data URI.
    picture: String,
}

impl Source<'_> {
    /// Explains the worst of its photos, those the model was surest of and wrong about; what cannot be explained becomes a note.
    pub(crate) fn explain(&mut self, predictor: &Predictor) {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        let looked_at: Vec<(u8, f64)> = self.rows.iter().map(|r| interest(self, r)).collect();
        order.retain(|i| looked_at[*i].0 < 2);
        order.sort_by(|a, b| {
            let (x, y) = (looked_at[*a], looked_at[*b]);
            x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)).then(a.cmp(b))
        });
        let samples = samples(self);
        let mut found = BTreeMap::new();
        let mut failed = None;
        for place in order.into_iter().take(EXPLAINED) {
            let row = &self.rows[place];
            let Some(sample) = samples.get(&(row.name.as_str(), row.listing.clone())) else {
                continue;
            };
            match pictures(predictor, sample) {
                Ok(pictures) => drop(found.insert(place, pictures)),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            self.notes
                .push(format!("not all photos have their heat: {error:#}"));
        }
        self.heat = found;
    }
}

/// One for each head, in their order.
fn pictures(predictor: &Predictor, sample: &Sample) -> Result<Vec<HeatData>> {
    let input = predictor.input();
    let named = NamedPhoto::from(sample);
    let photo = named.hold(input)?;
    let labels = BTreeMap::new();
    let (pixels, _, explained) = heat::explain(predictor, &photo, ExplainMethod::GradCam, &labels)?;
    let [height, width] = input.size;
    let picture = |heat: &[f32]| {
        let rgb = heat::overlay(&pixels, input.channels, heat);
        let photo = Photo { height, width, rgb };
        let high = height.min(HEIGHT);
        let size = [high, (width * high).div_ceil(height).clamp(1, 3 * high)];
        let rgb = photo.resize(photo.region(), size, Interpolation::Bilinear)?;
        thumbs::jpeg(&rgb, size, named.path())
    };
    let heads = explained.into_iter().map(|e| {
        Ok(HeatData {
            label: e.label,
            picture: picture(&e.heat)?,
        })
    });
    heads.collect()
}
