//! Private copies of a network's last stages: a head's own, over the map that the stages before them make for all.

use super::{Architecture, Each, Known, Network, Variant};
use crate::error::{Error, Result as Outcome};
use crate::layers::Mode;
use crate::tape::{Map, Tape};
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

/// A private copy of the last stages, and what it puts into a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Branch {
    /// The head whose it is.
    pub head: String,
    /// How many stages, as `fine_tune` counts them.
    pub stages: usize,
    /// Whether the last map is put there in place of the features that are made of it.
    pub map: bool,
}

/// A network of which only the last stages run.
pub(super) struct OwnStages {
    network: Box<dyn Network>,
    /// The stages before them, which are everybody's.
    pub(super) start: usize,
    map: bool,
    /// The place of the last map among all outputs of stages.
    last: usize,
}

impl Architecture {
    /// The prefixes of the tensors of its last `stages` stages.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it has not more than so many, or is a network that was plugged in.
    pub(crate) fn own_prefixes(self, stages: usize) -> Outcome<Vec<String>> {
        let fail = |expected: String, found: String| {
            Err(Error::Invalid {
                what: "own_stages".into(),
                expected,
                found,
            })
        };
        let Known::Own(variant) = self.0 else {
            let expected = "a backbone of hydranet's own beside it".into();
            return fail(expected, format!("{self}, a network that was plugged in"));
        };
        let mut all = (variant.stages)();
        if stages >= all.len() {
            let expected = format!("at most {} stages of {self}", all.len() - 1);
            return fail(expected, stages.to_string());
        }
        Ok(all.split_off(all.len() - stages).concat())
    }
}

impl OwnStages {
    /// Over the tensors of the last stages of `own`, named as in the network, and for all others over those of `shared`.
    pub(super) fn new<'a>(
        variant: &Variant,
        branch: &Branch,
        (shared, own): (&VarBuilder<'a>, &VarBuilder<'a>),
        drop_path: f32,
    ) -> Result<Self> {
        let mut stages = (variant.stages)();
        let start = stages.len().saturating_sub(branch.stages);
        let source = Source {
            shared: shared.clone(),
            own: own.clone(),
            prefixes: stages.split_off(start).concat(),
        };
        let (dtype, device) = (shared.dtype(), shared.device().clone());
        let vb = VarBuilder::from_backend(Box::new(source), dtype, device);
        let network = (variant.build)(&vb, drop_path)?;
        let last = network.last_map(start + branch.stages);
        Ok(Self {
            network,
            start,
            map: branch.map,
            last,
        })
    }

    /// What it makes of the output of the stages before it.
    pub(super) fn run(
        &self,
        tape: &mut Tape,
        map: &Map,
        mode: Mode,
        each: &mut Each,
    ) -> Result<Map> {
        let mut place = self.start;
        let mut last = (self.last < place).then(|| map.clone());
        let features = self
            .network
            .run(tape, (map, self.start), mode, &mut |tape, map| {
                if place == self.last {
                    last = Some(map.clone());
                }
                place += 1;
                each(tape, map)
            })?;
        match last {
            Some(map) if self.map => self.network.shown(tape, &map, true),
            _ => Ok(features),
        }
    }
}

/// Tensors of two sources, told apart by their names.
struct Source<'a> {
    shared: VarBuilder<'a>,
    own: VarBuilder<'a>,
    prefixes: Vec<String>,
}

impl<'a> Source<'a> {
    fn of(&self, name: &str) -> &VarBuilder<'a> {
        if self.prefixes.iter().any(|p| name.starts_with(p.as_str())) {
            &self.own
        } else {
            &self.shared
        }
    }
}

impl SimpleBackend for Source<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        _: &Device,
    ) -> Result<Tensor> {
        self.of(name).get_with_hints_dtype(shape, name, init, dtype)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> Result<Tensor> {
        self.of(name).get_unchecked_dtype(name, dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.of(name).contains_tensor(name)
    }
}
