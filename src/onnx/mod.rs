//! ONNX: one file that any program with an ONNX runtime can predict with.
//!
//! The model has one input, `images`, `(batch, channels, H, W)`: photos decoded, cropped and resized as the model's [`InputSpec`]
//! says, values from 0 to 255; the normalisation is in the file. Its outputs are probabilities, one for each head, named as the
//! head, `(batch, num_labels)`, and `joint`, `(batch, num_classes)`, those of the final classes by the model's
//! [`Decision`](crate::Decision); of a head that predicts a number `<head>_mean`, `(batch)`, the number, and `<head>_bins`,
//! `(batch, bins)`, the probabilities of its bins; of one whose labels are in groups `<head>_groups`, `(batch, groups)`, those of
//! the groups in the order of their names; those of a head of several labels at once do not sum to 1, and from which on a label
//! is said stands in the metadata; and `final_class`, `(batch)`, integers, the class that is decided on. Metadata: `hydranet`,
//! the model's [`Description`](crate::Description) as JSON, and `classes`, the names of the final classes as a JSON list.
//!
//! The network is written down by its own forward pass over a tape that does not compute. Opset 17.

mod classes;
mod curves;
mod graph;
mod heads;
mod layers;
mod reads;
mod steps;
mod tokens;

use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::input::InputSpec;
use crate::model::{Outputs, sampled};
use crate::model_file::ModelFile;
use crate::tape::Tape;
use candle_core::TensorId;
use graph::Attribute::Int;
use graph::Graph;
use heads::Written;
use std::collections::HashMap;

/// The input's name.
pub(crate) const IMAGES: &str = "images";

/// The name of the output with the final classes' probabilities.
pub(crate) const JOINT: &str = "joint";

/// The name of the output with the final class that is decided on.
pub(crate) const FINAL_CLASS: &str = "final_class";

/// Readers of protocol buffers take no more bytes.
const MOST_BYTES: usize = i32::MAX as usize;

/// The bytes of an ONNX file; equal models give equal bytes.
///
/// # Errors
/// [`Error::Invalid`] if the backbone is not one of this library's own, a head is named as the input or one of
/// the other outputs, or the file would be of 2 GiB or more; [`Error::Checkpoint`] if the model is not whole.
pub fn to_bytes(file: &ModelFile) -> Result<Vec<u8>> {
    let spec = &file.description.model;
    if spec.backbone.entry().is_some() {
        return Err(invalid(
            "the backbone of an export to ONNX",
            "one of hydranet's own",
            format!("{}, a network that was plugged in", spec.backbone),
        ));
    }
    let numbers = spec.heads.iter().filter(|h| h.labels.number.is_some());
    let mut taken = [IMAGES, JOINT, FINAL_CLASS].map(String::from).to_vec();
    taken.extend(numbers.flat_map(number_outputs));
    let grouped = spec.heads.iter().filter(|h| !h.labels.groups.is_empty());
    taken.extend(grouped.map(groups_output));
    if let Some(head) = spec.heads.iter().find(|h| taken.contains(&h.name)) {
        return Err(invalid(
            "the name of a head of an export to ONNX",
            &format!(
                "another than those of the file's input and other outputs, {}",
                taken.join(", ")
            ),
            format!("`{}`", head.name),
        ));
    }
    let model = file.build()?;
    let (backbone, heads, joint) = model.parts();
    let [h, w] = spec.input.size;
    let (mut tape, images) = Tape::recorded(spec.input.channels, (h, w))?;
    let features = backbone.on_tape(&mut tape, &images)?;
    let (record, result) = tape.into_record(&features)?;

    let mut graph = Graph::default();
    let names: HashMap<TensorId, String> = file
        .tensors
        .iter()
        .map(|(name, tensor)| (tensor.id(), name.clone()))
        .collect();
    let images = normalised(&mut graph, &spec.input);
    let mut rows = Vec::new();
    let parts = model.crops().iter().map(|crop| Some(*crop));
    for crop in std::iter::once(None).chain(parts) {
        let seen = match crop {
            None => images.clone(),
            Some(crop) => cropped(&mut graph, &images, crop, spec.input.size),
        };
        let row = steps::write(&mut graph, seen, &record, result, &names)?;
        rows.push(graph.node("Flatten", &[&row], &[]));
    }
    let features = match rows.as_slice() {
        [one] => one.clone(),
        all => {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            graph.node("Concat", &all, &[("axis", Int(1))])
        }
    };
    let taxonomy = spec.taxonomy()?;
    let mut all: Vec<Option<Written>> = vec![None; heads.len()];
    let mut outputs: Vec<Vec<(String, Vec<usize>)>> = vec![Vec::new(); heads.len()];
    for place in model.order() {
        let (spec, head) = (&spec.heads[*place], &heads[*place]);
        let prefix = format!("heads.{}", spec.name);
        let read = reads::write(&mut graph, &features, &prefix, head, &all)?;
        let written = heads::write(&mut graph, &read, (spec, &prefix), head)?;
        graph.named(written.probs, &[&written.labels], &[&spec.name], &[]);
        outputs[*place].push((spec.name.clone(), vec![spec.num_labels()]));
        if let Some((number, bins)) = spec.labels.number.as_ref().zip(written.bins.as_ref()) {
            let [mean, all] = number_outputs(spec);
            heads::mean(&mut graph, number, bins, &mean);
            graph.named("Identity", &[bins], &[&all], &[]);
            outputs[*place].extend([(mean, vec![]), (all, vec![number.bins])]);
        }
        if let Some(groups) = taxonomy.groups(*place) {
            let name = groups_output(spec);
            heads::groups(&mut graph, groups, &spec.name, &name);
            outputs[*place].push((name, vec![groups.names().len()]));
        }
        all[*place] = Some(written);
    }
    for (name, shape) in outputs.iter().flatten() {
        graph.output(name, shape);
    }
    let log_probs = all.into_iter().flatten().map(|written| written.labels);
    let mut log_probs = Outputs::from(log_probs.collect::<Vec<_>>());
    if let Some((joint, head)) = spec.joint.as_ref().zip(joint) {
        let spec = (&joint.head(&taxonomy), "joint");
        let read = reads::write(&mut graph, &features, "joint", head, &[])?;
        log_probs.joint = Some(heads::write(&mut graph, &read, spec, head)?.labels);
    }
    let decision = &file.description.decision;
    let of_classes = classes::log_probs(&mut graph, &taxonomy, decision, &log_probs)?;
    graph.named("Exp", &[&of_classes], &[JOINT], &[]);
    graph.output(JOINT, &[taxonomy.num_classes()]);
    classes::decide(&mut graph, &taxonomy, decision, &of_classes, FINAL_CLASS)?;
    graph.integers(FINAL_CLASS);

    let description = file.description.to_json()?;
    let names = serde_json::Value::from(file.description.classes.clone()).to_string();
    let metadata = [("hydranet", description.as_str()), ("classes", &names)];
    let model = graph.into_model(IMAGES, &[spec.input.channels, h, w], &metadata);
    if model.len() > MOST_BYTES {
        return Err(invalid(
            "a model exported to ONNX",
            "less than 2 GiB",
            format!("{} bytes", model.len()),
        ));
    }
    Ok(model.into_bytes())
}

/// The images as the backbone takes them: (x − 255 · mean) / (255 · std) of each channel.
fn normalised(graph: &mut Graph, input: &InputSpec) -> String {
    let channels = input.channels;
    let (mean, scale): (Vec<f32>, Vec<f32>) = (0..channels)
        .map(|c| input.norm(c))
        .map(|(mean, std)| (255.0 * f64::from(mean), 1.0 / (255.0 * f64::from(std))))
        .map(|(mean, scale)| (mean as f32, scale as f32))
        .unzip();
    let shape = [channels, 1, 1];
    let (mean, scale) = (graph.floats(&shape, &mean), graph.floats(&shape, &scale));
    let x = graph.node("Sub", &[IMAGES, &mean], &[]);
    graph.node("Mul", &[&x, &scale], &[])
}

/// A part of images, in the size of the whole, as `model/crop.rs` has it.
fn cropped(
    graph: &mut Graph,
    images: &str,
    [top, left, bottom, right]: [f64; 4],
    [h, w]: [usize; 2],
) -> String {
    let across = sampled(w, [left, right]);
    let turned: Vec<f32> = (0..w * w).map(|i| across[i % w * w + i / w]).collect();
    let across = graph.floats(&[w, w], &turned);
    let down = graph.floats(&[h, h], &sampled(h, [top, bottom]));
    let x = graph.node("MatMul", &[images, &across], &[]);
    graph.node("MatMul", &[&down, &x], &[])
}

/// The names of the outputs that a head has which predicts a number: its mean, and the probabilities of its bins.
pub(crate) fn number_outputs(head: &HeadSpec) -> [String; 2] {
    ["mean", "bins"].map(|what| format!("{}_{what}", head.name))
}

/// The name of the output that a head has whose labels are in groups: the probabilities of its groups.
pub(crate) fn groups_output(head: &HeadSpec) -> String {
    format!("{}_groups", head.name)
}

fn invalid(what: &str, expected: &str, found: String) -> Error {
    Error::Invalid {
        what: what.into(),
        expected: expected.into(),
        found,
    }
}
