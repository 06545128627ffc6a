//! Which steps of a network are computed in eight bits, as what.

use crate::epilogue::FusedConv;
use crate::step::{Record, Step, max_windows};
use candle_core::Tensor;
use hydranet_kernels::activation::Activation;
use hydranet_kernels::geometry::Geometry;
use hydranet_kernels::pool::Windows;

/// The steps of a network that is computed in eight bits from its images to its features.
pub struct Plan {
    pub(super) steps: Vec<Planned>,
    /// (height, width, channels) of the images.
    pub(super) images: [usize; 3],
    pub(super) outputs: Vec<Shown>,
}

/// A step.
pub(super) enum Planned {
    /// A convolution with what follows it, a sum with another map and an activation among that.
    Conv {
        x: usize,
        y: usize,
        added: Option<usize>,
        conv: Box<FusedConv>,
        activation: Activation,
        g: Geometry,
    },
    MaxPool {
        x: usize,
        y: usize,
        windows: Windows,
    },
}

/// What the features are made of, one behind the other.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    /// The means of the channels of a map: its place, its positions, its channels.
    Means(usize, usize, usize),
    /// The planes `(channels, H, W)` of a map; the same.
    Planes(usize, usize, usize),
}

/// A map between two steps.
pub struct Mapped<'a> {
    /// Its place among the maps of the tape.
    pub place: usize,
    /// The weight of the convolution that it is the result of; `None`: the images.
    pub weight: Option<&'a Tensor>,
    /// Whether another map was added.
    pub is_sum: bool,
}

/// What a step is called that is not computed in eight bits.
fn name(step: &Step) -> &'static str {
    match step {
        Step::Conv { .. } => "a convolution",
        Step::LayerNorm(_) => "a layer normalisation",
        Step::ResponseNorm(_) => "a response normalisation",
        Step::Activation { .. } => "an activation for itself",
        Step::Attention { .. } | Step::WindowAttention { .. } => "an attention",
        Step::Merge { .. } => "a merging of patches",
        Step::Tokens { .. } | Step::Token { .. } => "a row of tokens",
        Step::Offset { .. } => "an offset of a map",
        Step::Add { .. } => "a sum that is not of a convolution",
        Step::GlobalAvgPool { .. } => "a mean that is no feature",
        Step::ScaleChannels { .. } => "a squeeze-and-excitation",
        Step::Row { .. } => "a row of maps that is no feature",
        Step::AvgPool { .. } => "a pooling by means",
        Step::MaxPool { .. } => "a pooling",
    }
}

/// The maps that a step reads.
fn reads(step: &Step) -> Vec<usize> {
    match step {
        Step::Conv { x, .. }
        | Step::Activation { x, .. }
        | Step::Attention { x, .. }
        | Step::WindowAttention { x, .. }
        | Step::Merge { x }
        | Step::Tokens { x, .. }
        | Step::Token { x, .. }
        | Step::GlobalAvgPool { x }
        | Step::AvgPool { x, .. }
        | Step::MaxPool { x, .. }
        | Step::Offset { x, .. } => vec![*x],
        Step::LayerNorm(norm) | Step::ResponseNorm(norm) => vec![norm.x],
        Step::Add { x, y, .. } => vec![*x, *y],
        Step::ScaleChannels { x, gate } => vec![*x, *gate],
        Step::Row { maps } => maps.clone(),
    }
}

/// Whether it is no more than clamping.
fn clamps(activation: Activation) -> bool {
    matches!(
        activation,
        Activation::Identity | Activation::Relu | Activation::Relu6
    )
}

/// The steps written down, and who reads each map.
struct Steps {
    record: Record,
    readers: Vec<Vec<usize>>,
}

impl Steps {
    /// The only step that reads a map, with its place, if there is one and the map is not the result.
    fn only_reader(&self, map: usize, result: usize) -> Option<(usize, &Step)> {
        match self.readers[map][..] {
            [step] if map != result => Some((step, &self.record.steps[step])),
            _ => None,
        }
    }

    /// What follows a convolution, the step `i`, before its bytes are made: the map that is added, an activation behind that,
    /// and the place of the map that they give.
    fn behind(
        &self,
        i: usize,
        activation: Activation,
        result: usize,
    ) -> (Option<usize>, Activation, usize) {
        let alone = (None, activation, i + 1);
        if activation != Activation::Identity {
            return alone;
        }
        let Some((
            sum,
            Step::Add {
                x,
                y,
                factors: None,
            },
        )) = self.only_reader(i + 1, result)
        else {
            return alone;
        };
        let other = if *x == i + 1 { *y } else { *x };
        // The later one of two convolutions is the one that adds.
        if other > i || x == y {
            return alone;
        }
        match self.only_reader(sum + 1, result) {
            Some((step, Step::Activation { activation, .. })) if clamps(*activation) => {
                (Some(other), *activation, step + 1)
            }
            _ => (Some(other), Activation::Identity, sum + 1),
        }
    }
}

/// What is known of the maps so far, by place.
struct Known {
    /// Those that there are as bytes.
    bytes: Vec<bool>,
    /// Those that are the means of one.
    means: Vec<Option<Shown>>,
}

impl Plan {
    /// Of a network written down, whose features are the map `result`; or what of it is not computed in eight bits.
    ///
    /// # Errors
    /// What it is, in words.
    pub fn new(record: Record, result: usize) -> std::result::Result<Self, String> {
        let maps = record.dims.len();
        let mut readers = vec![Vec::new(); maps];
        for (i, step) in record.steps.iter().enumerate() {
            for map in reads(step) {
                readers[map].push(i);
            }
        }
        let all = Steps { record, readers };
        let mut known = Known {
            bytes: vec![false; maps],
            means: vec![None; maps],
        };
        known.bytes[0] = true;
        let mut steps = Vec::new();
        let mut row = None;
        // Steps that a convolution before them does with its own.
        let mut done = vec![false; maps];
        for (i, step) in all.record.steps.iter().enumerate() {
            let y = i + 1;
            let is_map = |x: usize| known.bytes[x] && x > 0;
            match step {
                _ if done[i] => {}
                Step::Conv { x, conv } if known.bytes[*x] => {
                    let (planned, result) = all.conv(i, (*x, conv), &known, result)?;
                    let mut at = y;
                    while at != result {
                        let reader = all.readers[at][0];
                        done[reader] = true;
                        at = reader + 1;
                    }
                    known.bytes[result] = true;
                    steps.push(planned);
                }
                Step::MaxPool {
                    x,
                    kernel,
                    stride,
                    padding,
                } if is_map(*x) => {
                    let windows = max_windows(all.one(*x), *kernel, *stride, *padding);
                    let windows = windows.map_err(|e| e.to_string())?;
                    known.bytes[y] = true;
                    steps.push(Planned::MaxPool { x: *x, y, windows });
                }
                Step::GlobalAvgPool { x } if is_map(*x) => {
                    let [_, h, w, c] = all.one(*x);
                    known.means[y] = Some(Shown::Means(*x, h * w, c));
                }
                Step::Row { maps } if y == result => {
                    let part = |map: &usize| {
                        let [_, h, w, c] = all.one(*map);
                        let whole = is_map(*map).then_some(Shown::Planes(*map, h * w, c));
                        known.means[*map].or(whole)
                    };
                    let Some(parts) = maps.iter().map(part).collect() else {
                        return Err(format!("it has {}", name(step)));
                    };
                    row = Some(parts);
                }
                _ => return Err(format!("it has {}", name(step))),
            }
        }
        let outputs = row.or(known.means[result].map(|means| vec![means]));
        let Some(outputs) = outputs else {
            return Err("its features are not the means of a map".into());
        };
        let [_, h, w, c] = all.one(0);
        Ok(Self {
            steps,
            images: [h, w, c],
            outputs,
        })
    }

    /// The maps that need a scale, in the order in which they are computed. A pooling's bytes mean what those before it do.
    pub fn maps(&self) -> Vec<Mapped<'_>> {
        let images = Mapped {
            place: 0,
            weight: None,
            is_sum: false,
        };
        let convs = self.steps.iter().filter_map(|step| match step {
            Planned::Conv { y, added, conv, .. } => Some(Mapped {
                place: *y,
                weight: Some(&conv.weight),
                is_sum: added.is_some(),
            }),
            Planned::MaxPool { .. } => None,
        });
        std::iter::once(images).chain(convs).collect()
    }
}

impl Steps {
    /// (1, height, width, channels) of a map.
    fn one(&self, map: usize) -> [usize; 4] {
        let [_, h, w, c] = self.record.dims[map];
        [1, h, w, c]
    }

    /// The convolution of step `i`, with what follows it, and the place of the map that it gives.
    fn conv(
        &self,
        i: usize,
        (x, conv): (usize, &FusedConv),
        known: &Known,
        result: usize,
    ) -> std::result::Result<(Planned, usize), String> {
        let g = conv.geometry(self.one(x)).map_err(|e| e.to_string())?;
        let own = conv.epilogue.activation;
        let grouped = g.p.groups != 1 && !g.is_depthwise();
        if grouped || g.p.dilation != (1, 1) {
            return Err("it has a convolution in groups or with a dilation".into());
        }
        if x == 0 && (g.is_depthwise() || self.readers[0].len() > 1) {
            return Err("its images do not go into one convolution over all channels".into());
        }
        if !clamps(own) {
            return Err(format!("it has the activation {own:?}"));
        }
        let (added, activation, y) = if g.is_depthwise() {
            (None, own, i + 1)
        } else {
            self.behind(i, own, result)
        };
        if added.is_some_and(|added| added == 0 || !known.bytes[added]) {
            return Err("it has a sum with a map that is not in eight bits".into());
        }
        let planned = Planned::Conv {
            x,
            y,
            added,
            conv: Box::new(conv.clone()),
            activation,
            g,
        };
        Ok((planned, y))
    }
}
