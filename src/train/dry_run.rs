//! What a run would train, without training.

use super::config::Config;
use super::network::Network;
use super::optim::variables::is_buffer;
use crate::error::Result;
use crate::input::InputSpec;
use crate::model::JOINT;
use crate::model::MultiTaskModel;
use crate::model_file::Tensors;
use crate::tape::Tape;
use hydranet_tape::internal::Step;

/// A stage of the backbone, or a head, and how it is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The prefixes of the stage's tensors, or `heads.<name>`.
    pub name: String,
    /// Numbers in its tensors, statistics of norms left out.
    pub parameters: usize,
    /// Numbers that are trained in the end: of these, or of low-rank factors beside them.
    pub trained: usize,
    /// The peak learning rate.
    pub lr: f64,
    /// The first epoch, from 1, in which any of it is trained.
    pub from: Option<usize>,
    /// Multiplications with additions of a head for one photo, forward; `None` of a stage.
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
    let heads = spec.heads.iter().map(|h| format!("heads.{}", h.name));
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
    let (_, heads, joint) = network.model.parts();
    for (part, head) in parts[groups.stages.len()..]
        .iter_mut()
        .zip(heads.iter().chain(joint))
    {
        part.multiply_adds = Some(head.multiply_adds()?);
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
        multiply_adds: multiply_adds(&network.model, &spec.input).ok(),
    })
}

fn multiply_adds(model: &MultiTaskModel, input: &InputSpec) -> candle_core::Result<u64> {
    let [height, width] = input.size;
    let (mut tape, images) = Tape::recorded(input.channels, (height, width))?;
    let features = model.parts().0.on_tape(&mut tape, &images)?;
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
