//! Every photo read and decoded once, for all that is looked for.

use super::HealthConfig;
use super::crop::Probs;
use super::measure::Measures;
use crate::data::dataset::{Dataset, Fault};
use crate::data::named_photo::NamedPhoto;
use crate::error::Result;
use crate::input::InputSpec;
use crate::layers::Mode;
use crate::model::MultiTaskModel;
use crate::model::combine::log_softmax;
use crate::model_file::{ModelFile, Tensors};
use crate::train::config::Config;
use crate::train::optim::variables::Variables;
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// Photos held at once at most.
const CHUNK: usize = 64;

/// The network that looks at the photos.
pub struct Looker {
    model: MultiTaskModel,
    input: InputSpec,
    /// Whether its heads know anything.
    trained: bool,
}

impl Looker {
    /// A trained model: what it predicts is looked at too.
    ///
    /// # Errors
    /// As [`ModelFile::build`].
    pub fn trained(file: &ModelFile) -> Result<Self> {
        Ok(Self {
            model: file.build()?,
            input: whole(&file.description.model.input),
            trained: true,
        })
    }

    /// A pretrained backbone over `weights`, as [`load_weights`](crate::train::config::load_weights) gives them: its features
    /// only.
    ///
    /// # Errors
    /// If the weights are not those of the configuration's backbone.
    pub fn pretrained(config: &Config, weights: Tensors) -> Result<Self> {
        let spec = config.model_spec()?;
        let heads = |name: &str| !name.starts_with("backbone.");
        let variables = Variables::new(weights, 0, |_| false, heads);
        let model = MultiTaskModel::new(&spec, 0.0, &variables.builder())?;
        variables.check("the weights")?;
        Ok(Self {
            model,
            input: whole(&spec.input),
            trained: false,
        })
    }

    /// What tells what it asks of photos from what others ask.
    pub(crate) fn asks(&self, config: &HealthConfig) -> impl serde::Serialize + use<> {
        self.inputs(config)
    }

    /// The inputs photos are prepared to: the model's own, and with a crop that is to be compared, the one with and the one
    /// without.
    fn inputs(&self, config: &HealthConfig) -> (Vec<InputSpec>, bool) {
        let whole = InputSpec {
            crop: None,
            crop_pct: None,
            ..self.input.clone()
        };
        let cropped = match config.crop {
            None => self.input.clone(),
            crop => InputSpec {
                crop,
                ..whole.clone()
            },
        };
        if self.trained && cropped != whole {
            (vec![cropped, whole], true)
        } else {
            (vec![self.input.clone()], false)
        }
    }
}

/// An input for which a photo is decoded in its whole size: that is what is measured.
fn whole(input: &InputSpec) -> InputSpec {
    InputSpec {
        reduce: false,
        ..input.clone()
    }
}

/// Features of the photos that could be read.
pub(super) struct Features {
    pub(super) rows: Vec<f32>,
    pub(super) width: usize,
    /// The sample of each row.
    pub(super) places: Vec<usize>,
}

/// What was read. Rows are those of `places`.
pub(super) struct Read {
    /// The samples that could be read, ascending.
    pub(super) places: Vec<usize>,
    pub(super) measures: Vec<Measures>,
    /// SHA-256 of the files.
    pub(super) bytes: Vec<[u8; 32]>,
    pub(super) features: Option<Features>,
    pub(super) probs: Option<Probs>,
    /// The samples that could not be read, ascending.
    pub(super) faults: Vec<(usize, Fault)>,
}

struct One {
    measures: Measures,
    bytes: [u8; 32],
    planes: Vec<Vec<f32>>,
}

/// Looks at the samples at `places`.
pub(super) fn read(
    dataset: &Dataset,
    places: Range<usize>,
    looker: Option<&Looker>,
    config: &HealthConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Read> {
    let (inputs, compared) = looker.map_or((Vec::new(), false), |l| l.inputs(config));
    let mut read = Read {
        places: Vec::new(),
        measures: Vec::new(),
        bytes: Vec::new(),
        features: None,
        probs: compared.then(|| Probs {
            with: Vec::new(),
            without: Vec::new(),
        }),
        faults: Vec::new(),
    };
    let (mut rows, mut width) = (Vec::new(), 0);
    let samples = &dataset.samples[places.clone()];
    let of = samples.len();
    let held = inputs.iter().map(|i| i.at_once(CHUNK)).min();
    let held = held.unwrap_or(CHUNK);
    for (chunk, samples) in samples.chunks(held).enumerate() {
        let looked: Vec<Result<One>> = samples
            .par_iter()
            .map(|sample| look(&sample.into(), &inputs))
            .collect();
        let mut planes: Vec<Vec<f32>> = vec![Vec::new(); inputs.len()];
        let mut count = 0;
        for (i, one) in looked.into_iter().enumerate() {
            let place = places.start + chunk * held + i;
            match one {
                Ok(one) => {
                    read.places.push(place);
                    read.measures.push(one.measures);
                    read.bytes.push(one.bytes);
                    for (all, new) in planes.iter_mut().zip(one.planes) {
                        all.extend(new);
                    }
                    count += 1;
                }
                Err(e) => {
                    let fault = dataset.fault(&samples[i], format!("{e:#}"));
                    read.faults.push((place, fault));
                }
            }
        }
        if let Some(looker) = looker.filter(|_| count > 0) {
            for (place, (planes, input)) in planes.into_iter().zip(&inputs).enumerate() {
                let [h, w] = input.size;
                let shape = (count, input.channels, h, w);
                let images = Tensor::from_vec(planes, shape, &Device::Cpu)?;
                let features = looker.model.features(&images, Mode::Eval)?;
                if let Some(probs) = &mut read.probs {
                    let all = match place {
                        0 => &mut probs.with,
                        _ => &mut probs.without,
                    };
                    all.extend(probabilities(&looker.model, &features)?);
                }
                // Persons are told by what the model itself would see.
                if *input == looker.input {
                    let own = looker.model.parts().0.num_features();
                    let features = features.narrow(1, 0, own)?;
                    width = features.dims()[1];
                    rows.extend(features.flatten_all()?.to_vec1::<f32>()?);
                }
            }
        }
        progress(chunk * held + samples.len(), of);
    }
    if looker.is_some() && width > 0 {
        read.features = Some(Features {
            rows,
            width,
            places: read.places.clone(),
        });
    }
    Ok(read)
}

fn look(photo: &NamedPhoto, inputs: &[InputSpec]) -> Result<One> {
    // Decoded once, with alpha if anything asks for it, so that no photo is held while another is waited for.
    let channels = inputs.iter().map(|i| i.channels).max();
    let (mut photo, bytes) = photo.read(channels.unwrap_or(3).max(3), inputs)?;
    let mut planes = Vec::new();
    for input in inputs {
        let pixels = input.prepare(&photo)?;
        let mut out = vec![0.0; pixels.len()];
        input.normalise_into(&pixels, &mut out)?;
        planes.push(out);
    }
    photo.reduce(3);
    Ok(One {
        measures: Measures::new(&photo)?,
        bytes,
        planes,
    })
}

/// For each photo, each head's probabilities.
fn probabilities(model: &MultiTaskModel, features: &Tensor) -> Result<Vec<Vec<Vec<f64>>>> {
    let logits = crate::eval::evaluate::logits(model, features)?;
    let exp = |logits: &Vec<f32>| log_softmax(logits).into_iter().map(f64::exp).collect();
    Ok(logits
        .iter()
        .map(|photo| photo.heads.iter().map(exp).collect())
        .collect())
}
