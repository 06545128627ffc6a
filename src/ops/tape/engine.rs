//! What a tape is made of: maps (values, channels last), and nodes that know their way back.

use super::columns::Transform;
use super::packed::Packed;
use crate::buffer::Buffer;
use crate::simd::Real;
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// One map: the values a node wrote, and what is still to be done to them when they are read.
pub(crate) struct Slot<T: Real> {
    /// Batch, height, width, channels.
    pub dims: [usize; 4],
    /// `None` once nobody needs them any more, or while they are packed.
    pub values: Option<Arc<Buffer<T>>>,
    /// The same in half the memory, until backward needs them.
    pub(super) packed: Option<Packed>,
    /// How a backward pass will need them.
    pub(super) need: Need,
    pub transform: Option<Arc<Transform<T>>>,
    /// The mean of each channel, as a pattern, where a batch normalisation follows whose backward pass needs sums about it.
    pub centre: Option<Arc<Vec<T>>>,
    /// Whether a gradient is wanted.
    pub tracked: bool,
    /// Nodes that read it and will hand a gradient back.
    pub readers: usize,
    /// Counts the handles outside.
    pub token: Arc<()>,
}

/// How a backward pass needs a map's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Nothing,
    Rounded,
    Exact,
}

impl<T: Real> Slot<T> {
    /// A map that holds just what its readers see.
    pub(crate) fn new(dims: [usize; 4], values: Buffer<T>, tracked: bool) -> Self {
        Self::sharing(dims, Arc::new(values), tracked)
    }

    /// The same over values that others may have too.
    pub(crate) fn sharing(dims: [usize; 4], values: Arc<Buffer<T>>, tracked: bool) -> Self {
        Self {
            dims,
            values: Some(values),
            packed: None,
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
}

/// The gradient of what readers see of a map.
pub(crate) struct Gradient<T: Real> {
    pub values: Arc<Buffer<T>>,
    /// (Σ d, Σ d · (y − centre)) of each channel, where they were found on the way.
    pub sums: Option<Vec<(f64, f64)>>,
}

/// What a step of a backward pass sees: the tape, and the state of the pass.
pub(crate) struct Back<'a, T: Real> {
    pub slots: &'a [Slot<T>],
    pub params: &'a [Param],
    state: &'a mut State<T>,
}

/// The state of a backward pass.
struct State<T: Real> {
    gradients: Vec<Option<Gradient<T>>>,
    /// Readers of each map that have not handed their gradient back yet.
    pending: Vec<usize>,
    /// Gradients of the parameters.
    found: Vec<Option<Vec<T>>>,
}

/// A parameter: its tensor, and whether its gradient is wanted.
pub(crate) struct Param {
    pub tensor: Tensor,
    pub tracked: bool,
}

/// A step of the tape.
pub(crate) trait Node<T: Real>: Send + Sync {
    /// The map it makes.
    fn result(&self) -> usize;

    /// The maps whose values its backward reads.
    fn reads(&self) -> Vec<(usize, Need)> {
        Vec::new()
    }

    /// Takes the gradient of its result and hands on those of its arguments.
    fn backward(&self, back: &mut Back<T>) -> Result<()>;
}

impl<T: Real> Back<'_, T> {
    /// The whole gradient of a map; all its readers have been asked before. `None` if none of them reached the result.
    pub(crate) fn take(&mut self, slot: usize) -> Option<Gradient<T>> {
        self.state.gradients[slot].take()
    }

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

    /// Counts a reader that has no gradient to hand back.
    pub(crate) fn skip(&mut self, slot: usize) {
        let pending = &mut self.state.pending[slot];
        *pending = pending.saturating_sub(1);
    }

    /// Adds a gradient made elsewhere.
    pub(crate) fn add(&mut self, slot: usize, values: Arc<Buffer<T>>) {
        let values = match self.so_far(slot) {
            None => values,
            Some(mut sum) => {
                use rayon::prelude::*;
                sum.par_chunks_mut(1 << 14)
                    .zip(values.par_chunks(1 << 14))
                    .for_each(|(s, v)| super::columns::add(v, s));
                Arc::new(sum)
            }
        };
        self.put(slot, Gradient { values, sums: None });
    }

    /// Keeps a parameter's gradient.
    pub(crate) fn param(&mut self, param: usize, gradient: Vec<T>) {
        self.state.found[param] = Some(gradient);
    }
}

/// What a backward pass finds: the gradient of the input, and of each parameter; those of untracked ones, and of those the result
/// does not depend on, may be missing.
pub(crate) type Found<T> = (Option<Gradient<T>>, Vec<Option<Vec<T>>>);

/// Maps, nodes and parameters of one forward pass.
pub(crate) struct Engine<T: Real> {
    pub slots: Vec<Slot<T>>,
    pub nodes: Vec<Box<dyn Node<T>>>,
    pub params: Vec<Param>,
    /// Whether values kept for backward are rounded.
    pub packs: bool,
}

impl<T: Real> Engine<T> {
    pub(crate) fn new() -> Self {
        Self {
            packs: false,
            slots: Vec::new(),
            nodes: Vec::new(),
            params: Vec::new(),
        }
    }

    /// (batch, H, W, channels) of a map.
    pub(crate) fn dims(&self, place: usize) -> [usize; 4] {
        self.slots[place].dims
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

    /// Adds a map; gives its place and the token its handle holds.
    pub(crate) fn push(&mut self, slot: Slot<T>) -> (usize, Arc<()>) {
        let token = slot.token.clone();
        self.slots.push(slot);
        (self.slots.len() - 1, token)
    }

    /// Adds a step that backward will go through.
    pub(crate) fn record(&mut self, node: impl Node<T> + 'static) {
        for (slot, need) in node.reads() {
            let slot = &mut self.slots[slot];
            slot.need = slot.need.max(need);
        }
        self.nodes.push(Box::new(node));
    }

    /// Of values that no handle can reach, lets go of those that no backward pass will ask for, and packs the others.
    pub(crate) fn sweep(&mut self) {
        for slot in &mut self.slots {
            if Arc::strong_count(&slot.token) > 1 {
                continue;
            }
            match (slot.need, &slot.values) {
                (Need::Nothing, _) => slot.values = None,
                // Values of two maps would be packed twice.
                (Need::Rounded, Some(values)) if self.packs && Arc::strong_count(values) == 1 => {
                    slot.packed = Some(Packed::new(values));
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
            found: self.params.iter().map(|_| None).collect(),
        };
        state.gradients[result] = Some(Gradient {
            values: Arc::new(gradient),
            sums: None,
        });
        for node in self.nodes.iter().rev() {
            for (slot, _) in node.reads() {
                let slot = &mut self.slots[slot];
                if let (None, Some(packed)) = (&slot.values, &slot.packed) {
                    slot.values = Some(Arc::new(packed.values()));
                }
            }
            node.backward(&mut Back {
                slots: &self.slots,
                params: &self.params,
                state: &mut state,
            })?;
            // Whoever reads it came later on the tape and has had its turn.
            let done = &mut self.slots[node.result()];
            if done.packed.is_some() {
                done.values = None;
            }
        }
        Ok((state.gradients[0].take(), state.found))
    }
}
