//! What a run would train, without training.

use super::config::Config;
use super::network::Network;
use super::optim::variables::is_buffer;
use crate::backbone::{Backbone, Branch};
use crate::error::Result;
use crate::input::InputSpec;
use crate::model::{JOINT, Layout, OWN_STAGES};
use crate::model_file::Tensors;
use crate::tape::Tape;
use candle_nn::VarBuilder;
use hydranet_tape::internal::Step;

/// A stage of the backbone, or a head, and how it is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The prefixes of the stage's tensors, `heads.<name>`, or `heads.<name>.stages` of a head's own.
    pub name: String,
    /// Numbers in its tensors, statistics of norms left out.
    pub parameters: usize,
    /// Numbers that are trained in the end: of these, or of low-rank factors beside them.
    pub trained: usize,
    /// The peak learning rate.
    pub lr: f64,
    /// The first epoch, from 1, in which any of it is trained.
    pub from: Option<usize>,
    /// Multiplications with additions of a head for one photo, forward, of stages of its own and of the network that sees a part
    /// of the image for it; `None` of a stage of all.
    pub multiply_adds: Option<u64>,
}

/// What a run would train, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// From input to output.
    pub parts: Vec<Part>,
    /// Multiplications with additions of the backbone for one photo, forward: of convolutions, linear layers and attention.
    /// `None` of networks that are not made of a tape's steps.
    pub multiply_adds: Option<u64>,
}

/// What a run with this configuration would train; `weights` as for [`Trainer`](super::Trainer).
///
/// # Errors
/// If the configuration is not valid or the weights do not fit the model.
pub fn dry_run(config: &Config, weights: Tensors) -> Result<Plan> {
    config.validate()?;
    let spec = config.model_spec()?;
    let last = config.train.epochs - 1;
    let network = Network::new(config, spec.clone(), weights, last, 1)?;
    let (groups, variables) = (&network.groups, &network.variables);
    let heads = spec.heads.iter().flat_map(|h| {
        let head = format!("heads.{}", h.name);
        let own = format!("{head}.{OWN_STAGES}");
        // The longer name first: tensors are of the first that theirs starts with.
        let own = (h.layers.own_stages > 0).then_some(own);
        own.into_iter().chain([head])
    });
    let heads = heads.chain(spec.joint.iter().map(|_| JOINT.to_string()));
    let mut parts: Vec<Part> = groups
        .stages
        .iter()
        .map(|prefixes| prefixes.join(" "))
        .chain(heads)
        .map(|name| Part {
            name,
            parameters: 0,
            trained: 0,
            lr: 0.0,
            from: None,
            multiply_adds: None,
        })
        .collect();
    let (backbone, heads, joint) = network.model.parts();
    let names = spec.heads.iter().map(|h| format!("heads.{}", h.name));
    let names = names.chain([JOINT.to_string()]);
    for (name, head) in names.zip(heads.iter().chain(joint)) {
        let part = parts.iter_mut().find(|part| part.name == name);
        let cost = head.multiply_adds()?;
        part.into_iter()
            .for_each(|part| part.multiply_adds = Some(cost));
    }
    let mut all = multiply_adds(backbone, &spec.input).ok();
    if let Some(of_network) = all {
        let mut shared = of_network;
        for (name, cost, is_part) in costs_of_own(&network, of_network)? {
            if is_part {
                shared -= cost;
            }
            let part = parts.iter_mut().find(|part| part.name == name);
            part.into_iter()
                .for_each(|part| part.multiply_adds = Some(part.multiply_adds.unwrap_or(0) + cost));
        }
        all = Some(shared);
    }
    let mut add = |name: &str, of: &mut dyn FnMut(&mut Part)| {
        let part = match name.strip_prefix("backbone.") {
            Some(name) => parts.get_mut(groups.stage(name)),
            None => parts
                .iter_mut()
                .find(|p| name.starts_with(&format!("{}.", p.name))),
        };
        if let Some(part) = part {
            of(part);
        }
    };
    for (name, tensor) in variables.snapshot()? {
        if !is_buffer(&name) {
            add(&name, &mut |part| part.parameters += tensor.elem_count());
        }
    }
    for (name, var) in variables.vars() {
        add(&name, &mut |part| {
            part.trained += var.elem_count();
            part.lr = groups.group(&name, var.rank(), last, 1).lr;
            let from = (0..=last).find(|e| groups.is_trained(&name, *e));
            let from = Some(from.unwrap_or(0) + 1);
            part.from = [part.from, from].into_iter().flatten().min();
        });
    }
    Ok(Plan {
        parts,
        multiply_adds: all,
    })
}

/// What the stages of heads' own cost, which are part of what the network costs, and the first head of each part of the image,
/// which is seen by the whole network once more.
fn costs_of_own(network: &Network, of_network: u64) -> Result<Vec<(String, u64, bool)>> {
    let (spec, vb) = (&network.spec, network.variables.builder());
    let layout = Layout::of(spec)?;
    let mut costs = Vec::new();
    let built = |branches: &[(Branch, VarBuilder)]| -> Result<u64> {
        let (channels, vb) = (spec.input.channels, vb.pp("backbone"));
        let built = spec
            .backbone
            .build_reading(channels, vb, 0.0, (&[], branches))?;
        Ok(multiply_adds(built.as_ref(), &spec.input)?)
    };
    for branch in layout.branches {
        let name = format!("heads.{}.{OWN_STAGES}", branch.head);
        let with = built(&[(branch, vb.pp(&name))])?;
        costs.push((name, with - built(&[])?, true));
    }
    for crop in layout.crops {
        let first = spec.heads.iter().find(|h| h.layers.crop == Some(crop));
        costs.extend(first.map(|head| (format!("heads.{}", head.name), of_network, false)));
    }
    Ok(costs)
}

fn multiply_adds(backbone: &dyn Backbone, input: &InputSpec) -> candle_core::Result<u64> {
    let [height, width] = input.size;
    let (mut tape, images) = Tape::recorded(input.channels, (height, width))?;
    let features = backbone.on_tape(&mut tape, &images)?;
    let (record, _) = tape.into_record(&features)?;
    // Place 0 is that of the images.
    let steps = record.steps.iter().zip(&record.dims[1..]);
    let of_step = |(step, dims): (&Step, &[usize; 4])| {
        let [batch, h, w, channels] = dims.map(|d| d as u64);
        let positions = batch * h * w;
        match step {
            Step::Conv { conv, .. } => positions * conv.weight.elem_count() as u64,
            // Scores, and the values by them.
            Step::Attention { .. } => 2 * positions * h * w * channels,
            Step::WindowAttention { layout, .. } => {
                2 * positions * (layout.side * layout.side) as u64 * channels
            }
            _ => 0,
        }
    };
    Ok(steps.map(of_step).sum())
}
