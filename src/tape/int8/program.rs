//! A plan with scales: what runs.

use super::plan::{Plan, Planned, Shown};
use crate::values::{Value, fits, lock, with_values};
use candle_core::{DType, Result, Tensor, bail};
use hydranet_kernels::geometry::{Conv2dParams, Geometry};
use hydranet_kernels::int8::{
    self, Conv, Following, MaxPool, Path, Scale, by_row, images, means, planes,
};
use hydranet_kernels::tasks::in_pool;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Mutex;

/// A network in eight bits, packed for images of one size. The same images give the same bytes, whatever instruction set and
/// however many threads compute them.
pub struct Program {
    /// (height, width, channels).
    images: [usize; 3],
    /// What the bytes of the images mean.
    scale: Scale,
    ops: Vec<Op>,
    /// Bytes of each slot; the first is that of the images.
    slots: Vec<usize>,
    outputs: Vec<Output>,
    width: usize,
    /// Memory nobody uses.
    free: Mutex<Vec<Memory>>,
}

/// A step: from which slots to which.
struct Op {
    x: usize,
    added: Option<usize>,
    y: usize,
    kernel: Kernel,
    /// Rows, bytes of a row.
    rows: usize,
    row: usize,
}

enum Kernel {
    Conv(Box<Conv>),
    MaxPool(MaxPool),
}

/// What is made of a map in the end: a slot, its bytes, its channels, what they mean, and whether it is their means.
struct Output {
    slot: usize,
    bytes: usize,
    channels: usize,
    scale: Scale,
    is_means: bool,
    width: usize,
}

/// What a pass over one image needs.
#[derive(Default)]
struct Memory {
    slots: Vec<Vec<u8>>,
    /// Of each thread that works on it.
    scratch: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("images", &self.images)
            .field("steps", &self.ops.len())
            .finish_non_exhaustive()
    }
}

/// Slots for maps by place: each as long as somebody will read it.
struct Slots {
    of: Vec<Option<usize>>,
    sizes: Vec<usize>,
    free: Vec<usize>,
}

impl Slots {
    fn take(&mut self, map: usize, bytes: usize) -> usize {
        // The one that was left last is the one still in the cache.
        let slot = self.free.pop().unwrap_or(self.sizes.len());
        if slot == self.sizes.len() {
            self.sizes.push(0);
        }
        self.sizes[slot] = self.sizes[slot].max(bytes);
        self.of[map] = Some(slot);
        slot
    }

    fn get(&self, map: usize) -> Result<usize> {
        match self.of[map] {
            Some(slot) => Ok(slot),
            None => bail!("a map of a program is read before it is made"),
        }
    }
}

/// A pointwise convolution over all positions in a row: they can be shared out evenly.
fn in_a_row(g: Geometry) -> Result<Geometry> {
    if !g.is_pointwise() {
        return Ok(g);
    }
    let dims = [1, g.c, g.h * g.w, 1];
    fits(Geometry::new(
        &dims,
        &[g.o, g.c, 1, 1],
        Conv2dParams::default(),
    ))
}

impl Program {
    /// Of a plan, with a scale for each of its [`maps`](Plan::maps), in their order.
    ///
    /// # Errors
    /// If there are more or fewer scales, a scale is not a number above 0, or they do not fit the weights.
    pub fn new(plan: &Plan, path: Path, scales: &[Scale]) -> Result<Self> {
        let mapped = plan.maps();
        if mapped.len() != scales.len() {
            bail!("expected {} scales, found {}", mapped.len(), scales.len())
        }
        if let Some(wrong) = scales
            .iter()
            .find(|s| !(s.scale.is_finite() && s.scale > 0.0))
        {
            bail!("expected scales above 0, found {}", wrong.scale)
        }
        let places = plan.steps.iter().map(|step| match step {
            Planned::Conv { y, .. } | Planned::MaxPool { y, .. } => *y,
        });
        let count = places.max().unwrap_or(0) + 1;
        let mut known: Vec<Option<Scale>> = vec![None; count];
        for (map, scale) in mapped.iter().zip(scales) {
            known[map.place] = Some(*scale);
        }
        let last = last_readers(plan, count);
        let mut slots = Slots {
            of: vec![None; count],
            sizes: Vec::new(),
            free: Vec::new(),
        };
        let [h, w, c] = plan.images;
        slots.take(0, h * w * c);
        let mut ops = Vec::with_capacity(plan.steps.len());
        for (i, step) in plan.steps.iter().enumerate() {
            let (x, y, added) = match step {
                Planned::Conv { x, y, added, .. } => (*x, *y, *added),
                Planned::MaxPool { x, y, .. } => (*x, *y, None),
            };
            let scale_of = |map: usize| match known[map] {
                Some(scale) => Ok(scale),
                None => bail!("a map of a program has no scale"),
            };
            let (kernel, rows, row) = match step {
                Planned::Conv { g, .. } => {
                    let following = added.map(scale_of).transpose()?;
                    let (from, to) = (scale_of(x)?, scale_of(y)?);
                    let conv = conv(step, *g, path, (from, x == 0), to, following)?;
                    let g = *conv.geometry();
                    let row = g.ow * int8::stride(g.o);
                    (Kernel::Conv(Box::new(conv)), g.oh, row)
                }
                Planned::MaxPool { windows, .. } => {
                    known[y] = known[x];
                    let [_, oh, ow, c] = windows.out_dims();
                    let pool = MaxPool { windows: *windows };
                    (Kernel::MaxPool(pool), oh, ow * int8::stride(c))
                }
            };
            let (from, sum) = (slots.get(x)?, added.map(|a| slots.get(a)).transpose()?);
            let to = slots.take(y, rows * row);
            for (map, last) in last.iter().enumerate() {
                if *last == Some(i)
                    && let Some(slot) = slots.of[map].take()
                {
                    slots.free.push(slot);
                }
            }
            ops.push(Op {
                x: from,
                added: sum,
                y: to,
                kernel,
                rows,
                row,
            });
        }
        let outputs = plan.outputs.iter().map(|shown| {
            let (map, positions, channels, is_means) = match *shown {
                Shown::Means(map, positions, channels) => (map, positions, channels, true),
                Shown::Planes(map, positions, channels) => (map, positions, channels, false),
            };
            let Some(scale) = known[map] else {
                bail!("a map of a program has no scale")
            };
            Ok(Output {
                slot: slots.get(map)?,
                bytes: positions * int8::stride(channels),
                channels,
                scale,
                is_means,
                width: if is_means {
                    channels
                } else {
                    channels * positions
                },
            })
        });
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            images: plan.images,
            scale: scales[0],
            ops,
            slots: slots.sizes,
            width: outputs.iter().map(|o| o.width).sum(),
            outputs,
            free: Mutex::default(),
        })
    }

    /// The features of images.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`, of the size it was made for; result `(batch, width)`.
    ///
    /// # Errors
    /// If the images are not on the CPU, of another size, or of another type than `f32`.
    pub fn run(&self, images: &Tensor) -> Result<Tensor> {
        let [h, w, c] = self.images;
        let (batch, channels, height, width) = images.dims4()?;
        if [channels, height, width] != [c, h, w] || images.dtype() != DType::F32 {
            bail!(
                "a network in eight bits for images ({c}, {h}, {w}) of f32 was given {:?} of {:?}",
                images.dims(),
                images.dtype()
            )
        }
        let mut out = vec![0f32; batch * self.width];
        with_values(images, |x: &[f32]| {
            in_pool(|| self.batch(x, &mut out));
            Ok(())
        })?;
        f32::tensor(out, &[batch, self.width])
    }

    /// As many images at once as there are threads, and the threads together on each of the rest.
    fn batch(&self, x: &[f32], out: &mut [f32]) {
        let image = self.images.iter().product::<usize>();
        let threads = rayon::current_num_threads();
        let count = x.len() / image;
        let alone = count - count % threads;
        let (first, rest) = x.split_at(alone * image);
        let (of_first, of_rest) = out.split_at_mut(alone * self.width);
        first
            .par_chunks(image)
            .zip(of_first.par_chunks_mut(self.width))
            .for_each(|(x, out)| self.image(x, out, 1));
        let rest = rest.chunks(image).zip(of_rest.chunks_mut(self.width));
        rest.for_each(|(x, out)| self.image(x, out, threads));
    }

    /// One image, by so many threads.
    fn image(&self, x: &[f32], out: &mut [f32], threads: usize) {
        let mut memory = lock(&self.free).pop().unwrap_or_default();
        if memory.slots.is_empty() {
            memory.slots = self.slots.iter().map(|len| vec![0; *len]).collect();
        }
        if memory.scratch.len() < threads {
            memory.scratch.resize_with(threads, Vec::new);
        }
        let slots = &mut memory.slots;
        images(x, self.images[2], self.scale, &mut slots[0][..x.len()]);
        for op in &self.ops {
            let mut y = std::mem::take(&mut slots[op.y]);
            let added = op.added.map(|slot| &slots[slot][..op.rows * op.row]);
            let to = &mut y[..op.rows * op.row];
            op.run(
                &slots[op.x],
                0..op.rows,
                added,
                to,
                &mut memory.scratch[..threads],
            );
            slots[op.y] = y;
        }
        let mut at = 0;
        for o in &self.outputs {
            let map = &slots[o.slot][..o.bytes];
            let out = &mut out[at..at + o.width];
            let write = if o.is_means { means } else { planes };
            write(map, o.channels, o.scale, out);
            at += o.width;
        }
        lock(&self.free).push(memory);
    }
}

impl Op {
    /// Some rows, by as many threads as there are scratches.
    fn run(
        &self,
        x: &[u8],
        rows: Range<usize>,
        added: Option<&[u8]>,
        out: &mut [u8],
        scratch: &mut [Vec<u8>],
    ) {
        if let [scratch] = scratch {
            match &self.kernel {
                Kernel::Conv(conv) => conv.rows(x, rows, added, out, scratch),
                Kernel::MaxPool(pool) => pool.rows(x, rows, out),
            }
            return;
        }
        let threads = scratch.len();
        let (few, more) = scratch.split_at_mut(threads / 2);
        let middle = rows.start + rows.len() * few.len() / threads;
        let bytes = (middle - rows.start) * self.row;
        let (low, high) = out.split_at_mut(bytes);
        let (of_low, of_high) = (added.map(|a| &a[..bytes]), added.map(|a| &a[bytes..]));
        rayon::join(
            || self.run(x, rows.start..middle, of_low, low, few),
            || self.run(x, middle..rows.end, of_high, high, more),
        );
    }
}

/// Of each map the last step that reads it; those that are read in the end have none.
fn last_readers(plan: &Plan, count: usize) -> Vec<Option<usize>> {
    let mut last = vec![None; count];
    for (i, step) in plan.steps.iter().enumerate() {
        match step {
            Planned::Conv { x, added, .. } => {
                last[*x] = Some(i);
                if let Some(added) = added {
                    last[*added] = Some(i);
                }
            }
            Planned::MaxPool { x, .. } => last[*x] = Some(i),
        }
    }
    for shown in &plan.outputs {
        match shown {
            Shown::Means(map, ..) | Shown::Planes(map, ..) => last[*map] = None,
        }
    }
    last
}

/// A planned convolution, packed: its weights rounded as in a file of eight bits.
fn conv(
    step: &Planned,
    g: Geometry,
    path: Path,
    input: (Scale, bool),
    output: Scale,
    added: Option<Scale>,
) -> Result<Conv> {
    let Planned::Conv {
        conv, activation, ..
    } = step
    else {
        bail!("a step that is no convolution")
    };
    let row = g.c / g.p.groups * g.kh * g.kw;
    let (q, scales) = with_values(&conv.weight, |w: &[f32]| {
        if !w.iter().all(|v| v.is_finite()) {
            bail!("a convolution's weights are not finite")
        }
        Ok(by_row(w, row))
    })?;
    let (scale, shift) = conv.epilogue.affine(g.o)?;
    let following = Following {
        scale: scale.unwrap_or_else(|| vec![1.0; g.o]),
        shift: shift.unwrap_or_else(|| vec![0.0; g.o]),
        bounds: activation.bounds::<f64>(),
        added,
    };
    let g = if input.1 { g } else { in_a_row(g)? };
    fits(Conv::new(
        path,
        &g,
        (&q, &scales),
        input,
        output,
        &following,
    ))
}
