//! What a tape is made of on the CPU: maps (values, channels last), and nodes that know their way back.

use crate::step::Output;
use crate::values::Value;
use crate::watch::Watch;
use candle_core::{Result, Tensor, bail};
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::{Transform, add};
use hydranet_kernels::conv::Input;
use hydranet_kernels::rounded::Rounded;
use hydranet_kernels::tasks::in_pool;
use rayon::prelude::*;
use std::sync::Arc;

/// One map: the values a node wrote, and what is still to be done to them when they are read.
pub(crate) struct Slot<T: Value> {
    /// Batch, height, width, channels.
    pub dims: [usize; 4],
    /// `None` once nobody needs them any more, or while they are rounded.
    pub values: Option<Arc<Buffer<T>>>,
    /// The same in half the memory, until backward needs them.
    rounded: Option<Rounded>,
    /// How a backward pass will need them.
    need: Need,
    pub transform: Option<Arc<Transform<T>>>,
    /// The mean of each channel, as a pattern, where a batch normalisation follows whose backward pass needs sums about it.
    pub centre: Option<Arc<Vec<T>>>,
    /// Whether a gradient is wanted.
    pub tracked: bool,
    /// Nodes that read it and will hand a gradient back.
    pub readers: usize,
    /// Counts the handles outside.
    token: Arc<()>,
}

/// How a backward pass needs a map's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Nothing,
    Rounded,
    Exact,
}

impl<T: Value> Slot<T> {
    /// A map that holds just what its readers see.
    pub(crate) fn new(dims: [usize; 4], values: Buffer<T>, tracked: bool) -> Self {
        Self::sharing(dims, Arc::new(values), tracked)
    }

    /// The same over values that others may have too.
    pub(crate) fn sharing(dims: [usize; 4], values: Arc<Buffer<T>>, tracked: bool) -> Self {
        Self {
            dims,
            values: Some(values),
            rounded: None,
            need: Need::Nothing,
            transform: None,
            centre: None,
            tracked,
            readers: 0,
            token: Arc::default(),
        }
    }

    /// Values of one image.
    pub(crate) fn image_len(&self) -> usize {
        self.dims[1..].iter().product()
    }

    /// Values of all images.
    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether no handle outside can reach it.
    pub(crate) fn is_unreachable(&self) -> bool {
        Arc::strong_count(&self.token) == 1
    }

    /// Its values as readers see them.
    pub(crate) fn input(&self) -> Result<Input<'_, T>> {
        match &self.values {
            Some(values) => Ok(Input {
                values,
                transform: self.transform.as_deref(),
            }),
            None => bail!("a map of this tape was freed before it was read"),
        }
    }
}

/// Values a task works on: whole positions, never more than one image.
pub(crate) fn piece(dims: [usize; 4]) -> usize {
    let [_, h, w, c] = dims;
    let rows = (16_384 / c).clamp(1, h * w);
    rows * c
}

/// The gradient of what readers see of a map.
pub(crate) struct Gradient<T: Value> {
    pub values: Arc<Buffer<T>>,
    /// (Σ d, Σ d · (y − centre)) of each channel, where they were found on the way.
    pub sums: Option<Vec<(f64, f64)>>,
}

/// What a node's backward pass sees: the tape, and the state of the pass.
pub(crate) struct Back<'a, T: Value> {
    pub slots: &'a [Slot<T>],
    pub params: &'a [Param],
    /// What [`Node::sums`] gave, over all parts of the batch, where parts share it.
    pub whole: Option<Vec<(f64, f64)>>,
    state: &'a mut State<T>,
}

/// The state of a backward pass.
struct State<T: Value> {
    gradients: Vec<Option<Gradient<T>>>,
    /// Readers of each map that have not handed their gradient back yet.
    pending: Vec<usize>,
    /// Gradients of parameters that the node whose turn it is has found.
    found: Vec<(usize, Vec<T>)>,
}

/// A parameter: its tensor, and whether its gradient is wanted.
pub(crate) struct Param {
    pub tensor: Tensor,
    pub tracked: bool,
}

/// The way back through a step.
pub(crate) trait Node<T: Value>: Send + Sync {
    /// The maps whose values it reads.
    fn reads(&self) -> Vec<(usize, Need)> {
        Vec::new()
    }

    /// What has to be summed over all parts of a batch before its way back, where parts share the statistics it divides by.
    fn sums(&self, _gradient: &Gradient<T>, _slots: &[Slot<T>]) -> Result<Option<Vec<(f64, f64)>>> {
        Ok(None)
    }

    /// From the whole gradient of its result to those of its arguments.
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()>;
}

/// A node, the map it goes back from, and those it goes back to.
struct Entry<T: Value> {
    result: usize,
    arguments: Vec<usize>,
    node: Box<dyn Node<T>>,
}

impl<T: Value> Back<'_, T> {
    /// Whether the next gradient handed to a map is its last.
    pub(crate) fn is_last(&self, slot: usize) -> bool {
        self.state.pending[slot] == 1
    }

    /// The gradient so far, to be added to in place: taken out, and handed back with [`put`](Self::put).
    pub(crate) fn so_far(&mut self, slot: usize) -> Option<Buffer<T>> {
        let Gradient { values, .. } = self.state.gradients[slot].take()?;
        Some(Arc::try_unwrap(values).unwrap_or_else(|shared| {
            let mut own = Buffer::new(shared.len());
            own.copy_from_slice(&shared);
            own
        }))
    }

    /// Hands a map the gradient that holds everything so far.
    pub(crate) fn put(&mut self, slot: usize, gradient: Gradient<T>) {
        self.state.pending[slot] -= 1;
        self.state.gradients[slot] = Some(gradient);
    }

    /// Adds a gradient made elsewhere, if the map wants one.
    pub(crate) fn add(&mut self, slot: usize, values: Arc<Buffer<T>>) {
        if !self.slots[slot].tracked {
            return;
        }
        let values = match self.so_far(slot) {
            None => values,
            Some(mut sum) => {
                sum.par_chunks_mut(1 << 14)
                    .zip(values.par_chunks(1 << 14))
                    .for_each(|(s, v)| add(v, s));
                Arc::new(sum)
            }
        };
        self.put(slot, Gradient { values, sums: None });
    }

    /// Keeps a parameter's gradient.
    pub(crate) fn param(&mut self, param: usize, gradient: Vec<T>) {
        self.state.found.push((param, gradient));
    }
}

/// What a backward pass finds: the gradient of the input, and of each parameter; those of untracked ones, and of those the result
/// does not depend on, may be missing.
pub(crate) type Found<T> = (Option<Gradient<T>>, Vec<Option<Tensor>>);

/// Maps, nodes and parameters of one forward pass.
pub(crate) struct Engine<T: Value> {
    pub images: Tensor,
    pub slots: Vec<Slot<T>>,
    entries: Vec<Entry<T>>,
    pub params: Vec<Param>,
    /// Whether values kept for backward are rounded.
    pub rounds: bool,
    /// Who sees the pass, if anybody does.
    pub watch: Option<Arc<dyn Watch>>,
}

impl<T: Value> Engine<T> {
    pub(crate) fn new(images: &Tensor) -> Self {
        Self {
            images: images.clone(),
            rounds: false,
            watch: None,
            slots: Vec::new(),
            entries: Vec::new(),
            params: Vec::new(),
        }
    }

    /// Who shares the statistics of batch normalisations with this pass: then it waits for others, and does so outside the pool.
    pub(crate) fn shared(&self) -> Option<&Arc<dyn Watch>> {
        self.watch.as_ref().filter(|w| w.shares_statistics())
    }

    /// The parameters whose gradients are wanted, by place.
    pub(crate) fn tracked(&self) -> Vec<Option<Tensor>> {
        let tensor = |p: &Param| p.tracked.then(|| p.tensor.clone());
        self.params.iter().map(tensor).collect()
    }

    /// Registers a parameter.
    pub(crate) fn param(&mut self, tensor: &Tensor) -> usize {
        self.params.push(Param {
            tensor: tensor.clone(),
            tracked: tensor.track_op(),
        });
        self.params.len() - 1
    }

    /// Adds a map; gives the token its handle holds.
    pub(crate) fn push(&mut self, slot: Slot<T>) -> Arc<()> {
        let token = slot.token.clone();
        self.slots.push(slot);
        token
    }

    /// Adds what a step gave; if backward will come, with the node that goes back to `arguments`, made by `node(engine, place of
    /// the map)`.
    pub(crate) fn give<N: Node<T> + 'static>(
        &mut self,
        slot: Slot<T>,
        arguments: &[usize],
        node: impl FnOnce(&mut Self, usize) -> N,
    ) -> Output {
        let tracked = slot.tracked;
        let token = self.push(slot);
        if tracked {
            for argument in arguments {
                self.slots[*argument].readers += 1;
            }
            let result = self.slots.len() - 1;
            let node = node(self, result);
            for (slot, need) in node.reads() {
                let slot = &mut self.slots[slot];
                slot.need = slot.need.max(need);
            }
            self.entries.push(Entry {
                result,
                arguments: arguments.to_vec(),
                node: Box::new(node),
            });
        }
        Output {
            token,
            ..Output::default()
        }
    }

    /// Of values that no handle can reach, frees those that no backward pass will ask for, and rounds the others.
    pub(crate) fn free(&mut self) {
        for slot in self.slots.iter_mut().filter(|s| s.is_unreachable()) {
            match (slot.need, &slot.values) {
                (Need::Nothing, _) => slot.values = None,
                // Values of two maps would be rounded twice.
                (Need::Rounded, Some(values)) if self.rounds && Arc::strong_count(values) == 1 => {
                    slot.rounded = Some(Rounded::new(values));
                    slot.values = None;
                }
                _ => {}
            }
        }
    }

    /// Runs backward from the gradient of map `result`; gives the gradient of map 0, the input, and of the parameters.
    pub(crate) fn backward(&mut self, result: usize, gradient: Buffer<T>) -> Result<Found<T>> {
        let mut state = State {
            gradients: self.slots.iter().map(|_| None).collect(),
            pending: self.slots.iter().map(|s| s.readers).collect(),
            found: Vec::new(),
        };
        let mut found = vec![None; self.params.len()];
        let shared = self.shared().cloned();
        state.gradients[result] = Some(Gradient {
            values: Arc::new(gradient),
            sums: None,
        });
        for entry in self.entries.iter().rev() {
            // All its readers have had their turn. Without a gradient nothing after it reaches the result, and nothing before it
            // gets one from here.
            let Some(mut gradient) = state.gradients[entry.result].take() else {
                for argument in &entry.arguments {
                    state.pending[*argument] -= 1;
                }
                continue;
            };
            for (slot, _) in entry.node.reads() {
                let slot = &mut self.slots[slot];
                if let (None, Some(rounded)) = (&slot.values, &slot.rounded) {
                    slot.values = Some(Arc::new(rounded.values()));
                }
            }
            let mut whole = None;
            if let Some(watch) = &shared
                && let Some(own) = in_pool(|| entry.node.sums(&gradient, &self.slots))?
            {
                whole = Some(watch.sums(own.clone())?);
                gradient.sums = Some(own);
            }
            let mut back = Back {
                slots: &self.slots,
                params: &self.params,
                whole,
                state: &mut state,
            };
            in_pool(|| entry.node.backward(gradient, &mut back))?;
            for (place, values) in state.found.drain(..) {
                let Param { tensor, tracked } = &self.params[place];
                if *tracked {
                    let gradient = T::tensor(values, tensor.dims())?;
                    if let Some(watch) = &self.watch {
                        watch.found(tensor, &gradient);
                    }
                    found[place] = Some(gradient);
                }
            }
            // Whoever reads it came later on the tape and has had its turn.
            let done = &mut self.slots[entry.result];
            if done.rounded.is_some() {
                done.values = None;
            }
        }
        Ok((state.gradients[0].take(), found))
    }
}
