//! A loop of one's own: heads over candle's `VarMap` on a frozen backbone, taught by candle's AdamW or by hydranet's:
//! `own_loop WEIGHTS OUT [ours]`.

use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Optimizer, VarBuilder, VarMap};
use consumer::{label, photo, shade, tint};
use hydranet::train::{self, Group, HeadLoss, OptimizerKind};
use hydranet::{Architecture, Description, InputSpec, Mode, ModelFile, ModelSpec, MultiTaskModel};

fn main() -> hydranet::Result<()> {
    let of = |place| std::env::args().nth(place).unwrap_or_default();
    let backbone = Architecture::from_name("tf_efficientnet_lite0")?;
    let input = InputSpec {
        size: [32, 32],
        ..backbone.input()
    };
    let spec = ModelSpec::new(backbone, vec![shade(), tint()], input);
    let mut tensors = hydranet::pretrained::load(&of(1), &[], backbone)?;
    let file = tensors.clone().into_iter().collect();
    let file = VarBuilder::from_tensors(file, DType::F32, &Device::Cpu);
    let variables = VarMap::new();
    let heads = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let model = MultiTaskModel::with_builders(&spec, file.pp("backbone"), heads)?;
    if of(3) == "ours" {
        let group = Group {
            lr: 0.01,
            weight_decay: 0.01,
            since: 0,
        };
        let optimizer: train::Optimizer =
            Optimizer::new(variables.all_vars(), (OptimizerKind::AdamW, group))?;
        teach(&spec, &model, optimizer)?;
    } else {
        teach(&spec, &model, AdamW::new_lr(variables.all_vars(), 0.01)?)?;
    }
    let learnt = variables.data().lock().expect("no thread panics");
    tensors.extend(
        learnt
            .iter()
            .map(|(name, var)| (name.clone(), var.as_detached_tensor())),
    );
    let description = Description::new(spec, serde_json::json!({"loop": "own"}))?;
    ModelFile {
        description,
        tensors,
    }
    .write(of(2))
}

fn teach(
    spec: &ModelSpec,
    model: &MultiTaskModel,
    mut optimizer: impl Optimizer,
) -> hydranet::Result<()> {
    let (input, photos) = (&spec.input, 32);
    let [height, width] = input.size;
    let mut pixels = vec![0.0; photos * 3 * height * width];
    for (i, image) in pixels.chunks_exact_mut(3 * height * width).enumerate() {
        input.normalise_into(&input.prepare(&photo(i))?, image)?;
    }
    let images = Tensor::from_vec(pixels, (photos, 3, height, width), &Device::Cpu)?;
    let labels: Vec<[_; 2]> = (0..photos)
        .map(|i| [0, 1].map(|h| label(&spec.heads[h], i)))
        .collect();
    let targets = train::targets(spec, &labels)?;
    // The backbone is frozen: its features are always the same.
    let features = model.features(&images, Mode::Eval)?;
    for _ in 0..60 {
        let outputs = model.outputs(&features, Mode::Eval)?;
        let mut joint = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for ((head, outputs), targets) in spec.heads.iter().zip(&outputs.heads).zip(&targets) {
            let (rows, weights) = targets.tensors(&Device::Cpu)?;
            let loss = HeadLoss::new(head.loss.kind.clone(), head.num_targets());
            if let Some(loss) = loss.loss(outputs, &rows, &weights)? {
                joint = (joint + loss)?;
            }
        }
        optimizer.backward_step(&joint)?;
    }
    Ok(())
}
