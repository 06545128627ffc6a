//! What the backbone of a model file needs to compute in eight bits: a scale for each of its maps, found on photos.

use super::dtype::WeightDType;
use super::file::ModelFile;
use crate::backbone::eight_bits::{EightBits, named, names, plan};
use crate::error::{Error, Result};
use crate::input::InputSpec;
use crate::model::MultiTaskModel;
use crate::tape::Tape;
use crate::tape::internal::{Observed, Scale};
use crate::tensors::Tensors;
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use hydranet_kernels::tasks::in_pool;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the names of its tensors begin with.
pub(crate) const ACTIVATIONS: &str = "activations";

/// More is refused, so that a damaged file cannot ask for all memory.
const MOST: usize = 65_536;

/// What a file says of it: tensors `activations.scale` and `activations.zero` `(maps)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activations {
    /// Photos that the scales were found on.
    pub photos: usize,
    /// The maps whose scales there are, in the order of the tensors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<String>,
    /// Why there are none: what of the network is not computed in eight bits. The model computes in `f32` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_f32_because: Option<String>,
}

impl Activations {
    /// # Errors
    /// [`Error::Invalid`] if it contradicts itself.
    pub(super) fn validate(&self, dtype: WeightDType) -> Result<()> {
        let fail = |expected: &str, found: String| {
            Err(Error::Invalid {
                what: "activations".into(),
                expected: expected.into(),
                found,
            })
        };
        let names: BTreeSet<&String> = self.maps.iter().collect();
        if dtype != WeightDType::Int8 {
            let found = format!("`{}`", dtype.name());
            return fail("`dtype` \"int8\" beside them", found);
        }
        if self.maps.len() > MOST || names.len() < self.maps.len() {
            let found = format!("{}, {} of them different", self.maps.len(), names.len());
            return fail("at most 65536 maps, each once", found);
        }
        if self.maps.is_empty() != self.in_f32_because.is_some() {
            return fail(
                "`maps`, or `in_f32_because`",
                format!("{} maps and {:?}", self.maps.len(), self.in_f32_because),
            );
        }
        Ok(())
    }

    /// The values of its tensors: scale and zero of each map.
    pub(super) fn tensors(&self, vb: &VarBuilder) -> candle_core::Result<[Vec<f32>; 2]> {
        if self.maps.is_empty() {
            return Ok(Default::default());
        }
        let vb = vb.pp(ACTIVATIONS);
        let values = |name| vb.get(self.maps.len(), name)?.to_vec1::<f32>();
        Ok([values("scale")?, values("zero")?])
    }

    /// The scale of each map.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming a map whose scale is not above 0 or whose zero is no byte.
    pub(super) fn scales(
        &self,
        [scales, zeros]: &[Vec<f32>; 2],
        origin: &str,
    ) -> Result<BTreeMap<String, Scale>> {
        let values = scales.iter().zip(zeros);
        let scale = |(name, (scale, zero)): (&String, (&f32, &f32))| {
            let problem = if !(scale.is_finite() && *scale > 0.0) {
                format!("`activations.scale` of `{name}` is {scale}; expected a number above 0")
            } else if !((0.0..=255.0).contains(zero) && zero.fract() == 0.0) {
                format!(
                    "`activations.zero` of `{name}` is {zero}; expected a whole number from 0 to 255"
                )
            } else {
                let (scale, zero) = (*scale, *zero as u8);
                return Ok((name.clone(), Scale { scale, zero }));
            };
            Err(Error::Checkpoint {
                origin: origin.into(),
                problem,
                source: None,
            })
        };
        self.maps.iter().zip(values).map(scale).collect()
    }
}

/// (channels, height, width) of the images.
fn size(input: &InputSpec) -> [usize; 3] {
    [input.channels, input.size[0], input.size[1]]
}

/// The model with its backbone in eight bits.
pub(super) fn in_eight_bits(
    model: MultiTaskModel,
    file: &ModelFile,
    scales: BTreeMap<String, Scale>,
    origin: &str,
) -> Result<MultiTaskModel> {
    let names = names(file.tensors.iter());
    let size = size(&file.description.model.input);
    model.with_backbone(|backbone| {
        let backbone = EightBits::new(backbone, names, scales, size);
        let backbone = backbone.map_err(|e| Error::Checkpoint {
            origin: origin.into(),
            problem: "its backbone cannot compute in int8; calibrate it again, from the model that it was made of".into(),
            source: Some(e.into()),
        })?;
        Ok(Box::new(backbone))
    })
}

/// Between which values the images lie: those of black and of white.
fn of_images(input: &InputSpec) -> Scale {
    let norms = (0..input.channels).map(|c| input.norm(c));
    let bounds = norms.flat_map(|(mean, std)| [(0.0 - mean) / std, (1.0 - mean) / std]);
    let (low, high) = bounds.fold((0f32, 0f32), |(low, high), v| (low.min(v), high.max(v)));
    Scale::of(low, high)
}

impl ModelFile {
    /// The same model with its backbone's weights kept in eight bits, which computes in eight bits too, if its network is one
    /// that can: the scales of its maps are found on photos, `batches` of `(batch, channels, H, W)` of the model's input. What of
    /// a network is not computed so stands in the file; it computes in `f32` then.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming a tensor whose values eight bits cannot hold, [`Error::Invalid`] if there is no photo; as
    /// `batches`.
    pub fn calibrated(&self, batches: impl IntoIterator<Item = Result<Tensor>>) -> Result<Self> {
        let mut file = self.with_dtype(WeightDType::Int8)?;
        let model = file.build()?;
        let (backbone, ..) = model.parts();
        let input = &file.description.model.input;
        let plan = match plan(backbone, size(input)) {
            Ok(plan) => plan,
            Err(why) => {
                file.description.activations = Some(Activations {
                    in_f32_because: Some(why),
                    ..Activations::default()
                });
                return Ok(file);
            }
        };
        let (observed, mut photos) = (Observed::default(), 0);
        for images in batches {
            let images = images?;
            photos += images.dims().first().copied().unwrap_or(0);
            in_pool(|| {
                let (mut tape, images) = Tape::observed(&images, &observed)?;
                backbone.on_tape(&mut tape, &images)
            })?;
        }
        let mut maps = named(&plan, &names(file.tensors.iter()));
        let scale = |place| match place {
            0 => Some(of_images(input)),
            place => observed.scale(place),
        };
        let scales: Option<Vec<Scale>> = maps.iter().map(|(_, place)| scale(*place)).collect();
        let Some(scales) = scales.filter(|_| photos > 0) else {
            return Err(Error::Invalid {
                what: "the photos to calibrate on".into(),
                expected: "at least one".into(),
                found: "none".into(),
            });
        };
        let values = |of: &dyn Fn(&Scale) -> f32| {
            Tensor::new(scales.iter().map(of).collect::<Vec<_>>(), &Device::Cpu)
        };
        let own = |name| format!("{ACTIVATIONS}.{name}");
        let scale = values(&|s| s.scale)?;
        let zero = values(&|s| f32::from(s.zero))?;
        file.tensors.insert(own("scale"), scale);
        file.tensors.insert(own("zero"), zero);
        file.description.activations = Some(Activations {
            photos,
            maps: maps.drain(..).map(|(name, _)| name).collect(),
            in_f32_because: None,
        });
        Ok(file)
    }
}

/// Takes out what belongs to them.
pub(crate) fn take_out(tensors: &mut Tensors) {
    tensors.retain(|name, _| !is_of_activations(name));
}

/// Whether a tensor of this name belongs to them.
pub(crate) fn is_of_activations(name: &str) -> bool {
    name.strip_prefix(ACTIVATIONS)
        .is_some_and(|n| n.starts_with('.'))
}
