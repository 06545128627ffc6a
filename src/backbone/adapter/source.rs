//! Between a network of candle's and where its tensors come from.

use super::Entry;
use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

/// Answers what a network asks for out of `vb`, as its entry says.
struct OfEntry<'a> {
    entry: &'static Entry,
    vb: VarBuilder<'a>,
}

/// A `VarBuilder` for the network of `entry`.
pub(super) fn of_entry<'a>(entry: &'static Entry, vb: VarBuilder<'a>) -> VarBuilder<'a> {
    let (dtype, device) = (vb.dtype(), vb.device().clone());
    VarBuilder::from_backend(Box::new(OfEntry { entry, vb }), dtype, device)
}

impl OfEntry<'_> {
    /// The name `vb` has for a tensor.
    fn file_name(&self, name: &str) -> String {
        let renamed =
            |(own, file): &(&str, &str)| Some(format!("{file}{}", name.strip_prefix(own)?));
        let renamed = self.entry.renamed.iter().find_map(renamed);
        renamed.unwrap_or_else(|| name.into())
    }

    /// "weight" or "bias", of the classifier's.
    fn of_classifier<'n>(&self, name: &'n str) -> Option<&'n str> {
        let classifier = self.entry.classifier;
        (!classifier.is_empty()).then_some(())?;
        name.strip_prefix(classifier)?.strip_prefix('.')
    }
}

impl SimpleBackend for OfEntry<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        if (self.entry.absent)(name) {
            return Err(Error::CannotFindTensor { path: name.into() });
        }
        // candle's linear layer does not look at the sizes of what it is given.
        match (self.of_classifier(name), shape.dims()) {
            (Some("weight"), &[_, inputs]) => return Tensor::eye(inputs, dtype, device),
            (Some("bias"), _) => return Tensor::zeros(1, dtype, device),
            _ => {}
        }
        if let Some(given) = (self.entry.given)(name)? {
            return given.to_dtype(dtype)?.to_device(device);
        }
        let init = plain(init, &shape);
        self.vb
            .get_with_hints_dtype(shape, &self.file_name(name), init, dtype)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> Result<Tensor> {
        self.vb.get_unchecked_dtype(&self.file_name(name), dtype)
    }

    /// Whether or not there is such a tensor yet: what is missing is found when it is asked for, and said, or drawn.
    fn contains_tensor(&self, name: &str) -> bool {
        !(self.entry.absent)(name)
    }
}

/// Kaiming's first values (He et al. 2015) with their deviation or bound worked out for a shape, as candle does.
fn plain(init: Init, shape: &Shape) -> Init {
    let Init::Kaiming {
        dist,
        fan,
        non_linearity,
    } = init
    else {
        return init;
    };
    let stdev = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
    match dist {
        NormalOrUniform::Normal => Init::Randn { mean: 0.0, stdev },
        NormalOrUniform::Uniform => {
            let up = 3f64.sqrt() * stdev;
            Init::Uniform { lo: -up, up }
        }
    }
}
