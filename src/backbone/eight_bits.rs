//! A backbone that predicts in eight bits: its steps, written down, as a program of the tape's.

use super::Backbone;
use crate::layers::Mode;
use crate::tape::internal::{Attended, Path, Plan, Program, Scale};
use crate::tape::{Map, Tape};
use candle_core::{DType, Result, Tensor, TensorId, bail};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// What the maps of a network are called: by the weight of the convolution that they are the result of.
pub(crate) type Names = HashMap<TensorId, String>;

/// The names of a backbone's weights, without `backbone.` and `.weight`.
pub(crate) fn names<'a>(tensors: impl Iterator<Item = (&'a String, &'a Tensor)>) -> Names {
    let of_weight = |(name, tensor): (&String, &Tensor)| {
        let name = name.strip_prefix("backbone.")?.strip_suffix(".weight")?;
        Some((tensor.id(), name.to_string()))
    };
    tensors.filter_map(of_weight).collect()
}

/// What there is to compute in eight bits for images of `(channels, height, width)`; or what of the network is not.
pub(crate) fn plan(
    backbone: &dyn Backbone,
    [channels, height, width]: [usize; 3],
) -> std::result::Result<Plan, String> {
    let record = || {
        let (mut tape, images) = Tape::recorded(channels, (height, width))?;
        let features = backbone.on_tape(&mut tape, &images)?;
        tape.into_record(&features)
    };
    let (record, result) = record().map_err(|e: candle_core::Error| e.to_string())?;
    Plan::new(record, result)
}

/// The names of the maps of a plan, in its order, each with its place on the tape.
pub(crate) fn named(plan: &Plan, names: &Names) -> Vec<(String, usize)> {
    let named = |map: crate::tape::internal::Mapped| {
        let Some(weight) = map.weight else {
            return ("images".into(), map.place);
        };
        let name = match names.get(&weight.id()) {
            Some(name) => name.clone(),
            // A weight that is made of several has no name.
            None => format!("map {}", map.place),
        };
        let sum = if map.is_sum { ".sum" } else { "" };
        (name + sum, map.place)
    };
    plan.maps().into_iter().map(named).collect()
}

/// A backbone of this library's own whose features are computed in eight bits; in training it is what it was.
pub(crate) struct EightBits {
    inner: Box<dyn Backbone>,
    names: Names,
    scales: BTreeMap<String, Scale>,
    /// That of the size of images asked for last.
    program: Mutex<Option<([usize; 3], Arc<Program>)>>,
}

impl EightBits {
    /// Over the scale of each map, for images of `(channels, height, width)` at first.
    ///
    /// # Errors
    /// If the network is not computed in eight bits, or has other maps; the names of those that are missing and left over.
    pub(crate) fn new(
        inner: Box<dyn Backbone>,
        names: Names,
        scales: BTreeMap<String, Scale>,
        size: [usize; 3],
    ) -> Result<Self> {
        let this = Self {
            inner,
            names,
            scales,
            program: Mutex::default(),
        };
        let plan = this.plan(size)?;
        let needed = named(&plan, &this.names);
        let missing = needed.iter().map(|(name, _)| name);
        let missing: Vec<_> = missing.filter(|n| !this.scales.contains_key(*n)).collect();
        let is_needed = |name: &String| needed.iter().any(|(n, _)| n == name);
        let foreign: Vec<_> = this.scales.keys().filter(|n| !is_needed(n)).collect();
        if !missing.is_empty() || !foreign.is_empty() {
            bail!(
                "the scales of its activations are not those of its maps: missing {missing:?}, not of this network {foreign:?}"
            )
        }
        this.program(size)?;
        Ok(this)
    }

    fn plan(&self, size: [usize; 3]) -> Result<Plan> {
        plan(self.inner.as_ref(), size).map_err(|why| {
            candle_core::Error::Msg(format!("the network is not computed in int8: {why}"))
        })
    }

    /// The program for images of this size; one is kept.
    fn program(&self, size: [usize; 3]) -> Result<Arc<Program>> {
        let kept = || self.program.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, program)) = &*kept()
            && *of == size
        {
            return Ok(program.clone());
        }
        let plan = self.plan(size)?;
        let scales = named(&plan, &self.names);
        let scales = scales.iter().map(|(name, _)| match self.scales.get(name) {
            Some(scale) => Ok(*scale),
            None => bail!("no scale of `{name}`"),
        });
        let scales = scales.collect::<Result<Vec<_>>>()?;
        let program = Arc::new(Program::new(&plan, Path::best(), &scales)?);
        *kept() = Some((size, program.clone()));
        Ok(program)
    }
}

impl Backbone for EightBits {
    fn num_features(&self) -> usize {
        self.inner.num_features()
    }

    fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let fits = images.device().is_cpu() && images.dtype() == DType::F32;
        // What has gradients is computed in f32.
        if mode != Mode::Eval || !fits || images.track_op() {
            return self.inner.features(images, mode);
        }
        let (_, c, h, w) = images.dims4()?;
        self.program([c, h, w])?.run(images)
    }

    fn on_tape(&self, tape: &mut Tape, images: &Map) -> Result<Map> {
        self.inner.on_tape(tape, images)
    }

    fn features_attended(&self, images: &Tensor) -> Result<(Tensor, Vec<Attended>)> {
        self.inner.features_attended(images)
    }

    fn features_from(&self, images: &Tensor, place: usize, offset: &Tensor) -> Result<Tensor> {
        self.inner.features_from(images, place, offset)
    }

    fn feature_maps(&self, images: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        self.inner.feature_maps(images, mode)
    }
}
