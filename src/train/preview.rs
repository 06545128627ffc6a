//! Photos as a run's network will see them in its first epoch: augmented and mixed, with what they are taught as.

use super::batches::{Batches, Inputs};
use super::config::Config;
use super::loss::tasks::Tasks;
use crate::data::augment::AugmentConfig;
use crate::data::dataset::Dataset;
use crate::data::targets::Targets;
use crate::error::Result;
use crate::input::InputSpec;
use std::rc::Rc;

/// A photo as the network sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Preview {
    /// What the photo is called; of a mixed one the first.
    pub(crate) name: String,
    /// `(H, W, 3)`.
    pub(crate) rgb: Vec<u8>,
    /// For each head, the joint one last, the targets above 0 with their labels, or its bins, by number; `None` where the photo
    /// teaches it nothing.
    pub(crate) targets: Vec<Option<Vec<(usize, f32)>>>,
}

/// The first `count` photos of a run's first epoch, or all of them.
///
/// # Errors
/// If the configuration is not valid or fits the data not, or a photo cannot be read.
pub(crate) fn preview(config: &Config, dataset: &Dataset, count: usize) -> Result<Vec<Preview>> {
    config.validate()?;
    let spec = config.model_spec()?;
    let mut train = config.train.clone();
    // Those of the last epochs, which say more.
    train.first_size = 1.0;
    if train.keeps_features() {
        // The network sees each photo once, as it is; what is mixed are features.
        train.augment = AugmentConfig::off();
        (train.mix_up, train.mix) = (0.0, Vec::new());
    }
    let tasks = Rc::new(Tasks::new(&spec)?);
    let batches = Batches::new(&train, &spec, tasks, dataset)?;
    let mut epoch = batches.epoch(0, 0)?;
    let mut all = Vec::new();
    for step in 0..batches.steps() {
        if all.len() >= count {
            break;
        }
        let batch = epoch.load(step)?;
        let Inputs::Photos(images) = batch.inputs else {
            break;
        };
        let planes: Vec<f32> = images.flatten_all()?.to_vec1()?;
        let size = planes.len() / batch.photos.max(1);
        for (row, (place, planes)) in epoch
            .photos(step)
            .zip(planes.chunks_exact(size))
            .enumerate()
        {
            all.push(Preview {
                name: dataset.samples[place].name.clone(),
                rgb: pixels(&spec.input, planes),
                targets: batch.targets.iter().map(|t| of_row(t, row)).collect(),
            });
        }
    }
    all.truncate(count);
    Ok(all)
}

fn of_row(targets: &Targets, row: usize) -> Option<Vec<(usize, f32)>> {
    let values = targets.rows.chunks_exact(targets.num_labels).nth(row)?;
    let taught = targets.weights[row] > 0.0;
    taught.then(|| {
        let all = values.iter().copied().enumerate();
        all.filter(|(_, value)| *value > 0.0).collect()
    })
}

/// Normalised planes as pixels again: grey as grey, alpha left out.
fn pixels(input: &InputSpec, planes: &[f32]) -> Vec<u8> {
    let size = input.size[0] * input.size[1];
    let mut rgb = vec![0; 3 * size];
    for (i, value) in rgb.iter_mut().enumerate() {
        let channel = (i % 3).min(input.channels - 1);
        let (mean, std) = input.norm(channel);
        let normalised = planes[channel * size + i / 3];
        *value = ((normalised * std + mean) * 255.0).round() as u8;
    }
    rgb
}
