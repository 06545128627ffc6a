//! A tape that computes, and looks at the values of each map.

use super::histogram::Histogram;
use crate::engine::{Engine, piece};
use crate::step::{Interpreter, Output, Step};
use crate::values::lock;
use candle_core::{Result, Tensor, bail};
use hydranet_kernels::int8::Scale;
use std::sync::{Arc, Mutex};

/// How often the values of each map occur, over all tapes that were looked at; see [`Tape::observed`](crate::Tape::observed).
#[derive(Clone, Debug, Default)]
pub struct Observed(Arc<Mutex<Vec<Histogram>>>);

impl Observed {
    /// The scale of the map of a place, if it was looked at: that by which its values are off by the least mean square.
    pub fn scale(&self, place: usize) -> Option<Scale> {
        lock(&self.0).get(place).map(Histogram::scale)
    }
}

/// The kernels' engine, and what it is looked at for.
pub(crate) struct Observer {
    engine: Engine<f32>,
    observed: Observed,
}

impl Observer {
    /// Over an engine that has the images.
    pub(crate) fn new(engine: Engine<f32>, observed: &Observed) -> Result<Self> {
        let observer = Self {
            engine,
            observed: observed.clone(),
        };
        observer.look()?;
        Ok(observer)
    }

    /// Counts the values of the newest map.
    fn look(&self) -> Result<()> {
        let place = self.engine.slots.len() - 1;
        let slot = &self.engine.slots[place];
        let (input, len) = (slot.input()?, piece(slot.dims));
        let mut all = lock(&self.observed.0);
        if all.len() <= place {
            all.resize_with(place + 1, Histogram::default);
        }
        let (mut scratch, mut finite) = (Vec::new(), true);
        for from in (0..slot.len()).step_by(len) {
            let range = from..(from + len).min(slot.len());
            input.read(range, &mut scratch, |values| {
                finite &= all[place].add(values);
            });
        }
        if !finite {
            bail!("map {place} of the network has values that are not finite")
        }
        Ok(())
    }
}

impl Interpreter for Observer {
    fn step(&mut self, step: Step, dims: [usize; 4]) -> Result<Output> {
        let output = self.engine.step(step, dims)?;
        self.look()?;
        Ok(output)
    }

    fn sweep(&mut self) {
        self.engine.sweep();
    }

    fn tensor(&self, place: usize) -> Result<Tensor> {
        self.engine.tensor(place)
    }

    fn finish(self: Box<Self>, place: usize) -> Result<Tensor> {
        self.engine.tensor(place)
    }
}
