//! `config.json` as timm 1.0 writes and reads it.

use crate::input::Interpolation;
use crate::model::ModelSpec;
use serde_json::{Value, json};

/// The text of `config.json` for a model's backbone, whose tensors are `names`.
///
/// timm builds the backbone from it, without a classifier, and its photos' way to the tensor: a photo that is not to keep its
/// shape is `crop_mode` `squash` there. A [`crop`](crate::InputSpec::crop) in pixels has no form in it, nor has
/// [`reduce`](crate::InputSpec::reduce). Networks with position
/// embeddings or windows take the model's size of image by `dynamic_img_size`, as they do here.
pub fn config<'a>(model: &ModelSpec, names: impl Iterator<Item = &'a String>) -> String {
    let input = &model.input;
    let [height, width] = input.size;
    let positions = |n: &&String| n.contains("pos_embed") || n.contains("relative_position");
    let has_positions = names.into_iter().find(positions).is_some();
    let fixed = has_positions && input.size == model.backbone.input().size;
    let mut arguments = serde_json::Map::new();
    if input.channels != 3 {
        arguments.insert("in_chans".into(), input.channels.into());
    }
    if has_positions && !fixed {
        arguments.insert("dynamic_img_size".into(), true.into());
    }
    let (mean, std): (Vec<Value>, Vec<Value>) = (0..input.channels)
        .map(|c| input.norm(c))
        .map(|(mean, std)| (short(mean), short(std)))
        .unzip();
    let mut config = json!({
        "architecture": model.backbone.name(),
        "num_classes": 0,
        "num_features": model.backbone.num_features(),
        "pretrained_cfg": {
            "input_size": [input.channels, height, width],
            "fixed_input_size": fixed,
            "interpolation": match input.interpolation {
                Interpolation::Bilinear => "bilinear",
                Interpolation::Bicubic => "bicubic",
            },
            "crop_pct": input.crop_pct.unwrap_or(1.0),
            "crop_mode": if input.crop_pct.is_some() { "center" } else { "squash" },
            "mean": mean,
            "std": std,
            "num_classes": 0,
            "pool_size": null,
            "first_conv": null,
            "classifier": null,
        },
    });
    if !arguments.is_empty() {
        config["model_args"] = arguments.into();
    }
    format!("{config:#}\n")
}

/// The shortest decimal that is this `f32`.
fn short(v: f32) -> Value {
    v.to_string().parse::<f64>().unwrap_or(v.into()).into()
}
