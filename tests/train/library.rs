//! What other programs build on: the trainer from Rust alone, data in memory, backbones and losses of one's own, one head alone.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Module, ModuleT, VarBuilder, VarMap};
use hydranet::PhotoSource;
use hydranet::adapter::{Entry, register};
use hydranet::data::{Dataset, Sample, Split, Value};
use hydranet::model_file::heads::{NewTensors, add};
use hydranet::train::{Config, Event, FineTune, Group, HeadLoss, Loss, Optimizer, OptimizerKind};
use hydranet::train::{Trainer, Variables, targets, train_head};
use hydranet::{
    Architecture, Backbone, HeadSpec, InputSpec, JointSpec, LossKind, Mode, ModelFile, ModelSpec,
    MultiTaskModel, Photo, Predictor, Result, Tensors,
};
use proptest::prelude::*;
use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Patches, batch norm, mean.
struct Patches {
    patches: Conv2d,
    norm: BatchNorm,
}

impl Backbone for Patches {
    fn num_features(&self) -> usize {
        self.patches.weight().dims()[0]
    }

    fn features(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let train = mode != Mode::Eval;
        let patches = self.norm.forward_t(&self.patches.forward(images)?, train)?;
        patches.relu()?.mean((2, 3))
    }
}

/// One of one's own, by a closure that holds its width.
fn patches() -> Architecture {
    static PATCHES: OnceLock<Architecture> = OnceLock::new();
    let width = 6;
    *PATCHES.get_or_init(|| {
        let entry = Entry::backbone("library_patches", width, 32, move |vb| {
            let config = Conv2dConfig {
                stride: 8,
                ..Default::default()
            };
            Ok(Patches {
                patches: candle_nn::conv2d(3, width, 8, config, vb.pp("patches"))?,
                norm: candle_nn::batch_norm(width, 1e-5, vb.pp("norm"))?,
            })
        });
        register(entry).unwrap()
    })
}

fn shade() -> HeadSpec {
    HeadSpec::new("shade", ["dark", "bright"])
}

fn tint() -> HeadSpec {
    HeadSpec::new("tint", ["red", "blue"])
}

/// Dark and bright, red and blue pictures of 40 × 32.
fn picture(i: usize) -> Photo {
    let base = if i.is_multiple_of(2) { 40 } else { 170 };
    let noise = |at: usize| ((at * 7919 + i * 104_729) % 41) as u8;
    let tint = |at: usize| {
        if at % 3 == if i % 4 < 2 { 0 } else { 2 } {
            40
        } else {
            0
        }
    };
    Photo {
        height: 40,
        width: 32,
        rgb: (0..3 * 40 * 32)
            .map(|at| base + noise(at) + tint(at))
            .collect(),
    }
}

fn png(photo: &Photo) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let (width, height) = (photo.width as u32, photo.height as u32);
    image::RgbImage::from_raw(width, height, photo.rgb.clone())
        .unwrap()
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// 32 of them.
fn dataset(heads: Vec<HeadSpec>, photo: impl Fn(usize) -> PhotoSource) -> Dataset {
    let sample = |i: usize| {
        let labels = [("shade", i % 2), ("tint", i % 4 / 2)];
        let label = |h: &HeadSpec| {
            labels
                .iter()
                .find(|l| l.0 == h.name)
                .map(|l| Value::Label(l.1))
        };
        let values = heads.iter().map(label).collect();
        Sample {
            split: Some(if i < 24 { Split::Train } else { Split::Valid }),
            ..Sample::new(format!("{i}.png"), photo(i), values)
        }
    };
    let samples = (0..32).map(sample).collect();
    Dataset::new(heads, samples).unwrap()
}

fn config(heads: Vec<HeadSpec>) -> Config {
    let input = InputSpec {
        size: [32, 32],
        ..InputSpec::default()
    };
    let mut config = Config::new(ModelSpec::new(patches(), heads, input));
    config.train.epochs = 2;
    config.train.batch = 8;
    config
}

fn bits(t: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = t.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn photos_in_memory_train_the_model_that_their_files_train_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let file = |i: usize| folder.path().join(format!("{i}.png"));
    (0..32).for_each(|i| std::fs::write(file(i), png(&picture(i))).unwrap());
    let sources: [(&str, &dyn Fn(usize) -> PhotoSource); 3] = [
        ("files", &|i| file(i).into()),
        ("encoded", &|i| png(&picture(i)).into()),
        ("decoded", &|i| picture(i).into()),
    ];
    for frozen in [false, true] {
        let mut config = config(vec![shade(), tint()]);
        if frozen {
            config.train.fine_tune = FineTune::Frozen;
            config.train.mix_up = 0.0;
            config.train.feature_views = 2;
        }
        let run = |(name, photo): (&str, &dyn Fn(usize) -> PhotoSource)| {
            let data = dataset(vec![shade(), tint()], photo);
            let out = folder.path().join(format!("{name} {frozen}"));
            let trainer = Trainer::new(&config, Tensors::new(), &data);
            trainer.out(&out).run().unwrap();
            out.join("best.safetensors")
        };
        let [files, encoded, decoded] = sources.map(run);
        assert!(std::fs::read(&files).unwrap() == std::fs::read(&encoded).unwrap());
        // Views of kept features are drawn by the content, which is another one.
        if !frozen {
            let [files, decoded] = [&files, &decoded].map(|p| ModelFile::read(p).unwrap());
            for (name, tensor) in &files.tensors {
                assert_eq!(bits(tensor), bits(&decoded.tensors[name]), "{name}");
            }
            assert_ne!(files.description.seen, decoded.description.seen);
        }
    }
}

#[test]
fn a_photo_in_memory_that_is_none_is_named() {
    let config = config(vec![shade()]);
    let folder = tempfile::tempdir().unwrap();
    let broken = Photo {
        height: 40,
        width: 33,
        ..picture(3)
    };
    for (name, photo) in [
        ("no picture", PhotoSource::from(b"nothing".to_vec())),
        ("too few pixels", broken.into()),
        (
            "too large",
            Photo {
                height: usize::MAX,
                ..picture(3)
            }
            .into(),
        ),
    ] {
        let source = |i: usize| match i {
            3 => photo.clone(),
            _ => picture(i).into(),
        };
        let data = dataset(vec![shade()], source);
        let trainer = Trainer::new(&config, Tensors::new(), &data);
        let error = trainer.out(folder.path().join(name)).run().unwrap_err();
        assert!(error.to_string().contains("3.png"), "{error}");
    }
}

#[test]
fn data_of_other_heads_is_refused_before_a_folder_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(vec![shade(), tint()]);
    let refused = |dataset: &Dataset| {
        let trainer = Trainer::new(&config, Tensors::new(), dataset);
        trainer
            .out(folder.path().join("run"))
            .run()
            .unwrap_err()
            .to_string()
    };
    let data = dataset(vec![tint(), shade()], |i| picture(i).into());
    let error = refused(&data);
    assert!(
        error.contains("expected shade, tint") && error.contains("found tint, shade"),
        "{error}"
    );
    let mut other = shade();
    other.labels.names.reverse();
    let mut data = dataset(vec![shade(), tint()], |i| picture(i).into());
    data.heads[0] = other;
    assert!(refused(&data).contains("bright, dark"));
    for (value, part) in [
        (Value::Label(7), "label 7"),
        (Value::Number(3.0), "no thresholds"),
    ] {
        let mut data = dataset(vec![shade(), tint()], |i| picture(i).into());
        data.samples[5].values[0] = Some(value);
        let error = refused(&data);
        assert!(
            error.contains("`5.png`") && error.contains(part) && error.contains("`shade`"),
            "{error}"
        );
        assert!(Dataset::new(data.heads, data.samples).is_err());
    }
    let mut data = dataset(vec![shade(), tint()], |i| picture(i).into());
    data.samples[2].values.pop();
    assert!(refused(&data).contains("2 values, one a head"));
    data.samples[2].source = 9;
    assert!(refused(&data).contains("source"));
    assert!(!folder.path().join("run").exists());
    let data = dataset(vec![shade(), tint()], |i| picture(i).into());
    let error = Trainer::new(&config, Tensors::new(), &data)
        .run()
        .unwrap_err();
    assert!(error.to_string().contains("Trainer::out"), "{error}");
}

#[test]
fn settings_out_of_range_are_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let data = dataset(vec![shade()], |i| picture(i).into());
    type Change = fn(&mut Config);
    let changes: [(&str, Change); 7] = [
        ("train.batch", |c| c.train.batch = 0),
        ("train.epochs", |c| c.train.epochs = 0),
        ("train.mix_up", |c| c.train.mix_up = -1.0),
        ("train.parts", |c| c.train.parts = 0),
        ("train.queue_mib", |c| c.train.queue_mib = 0),
        ("heads", |c| c.model.heads.clear()),
        ("shade", |c| c.model.heads.push("shade".into())),
    ];
    for (name, change) in changes {
        let mut config = config(vec![shade()]);
        change(&mut config);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
        let trainer = Trainer::new(&config, Tensors::new(), &data);
        assert_eq!(trainer.out(&out).run().unwrap_err().to_string(), error);
    }
    assert!(!out.exists());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_settings_and_the_values_are_they_are_taken_or_refused(
        sizes in proptest::array::uniform4(0usize..70_000),
        shares in proptest::array::uniform6(prop_oneof![Just(f64::NAN), Just(-1.0), 0.0..2.0f64]),
        values in proptest::collection::vec(
            proptest::option::of(prop_oneof![(0usize..5).prop_map(Value::Label), any::<f64>().prop_map(Value::Number)]), 0..4),
    ) {
        let mut config = config(vec![shade(), tint()]);
        let t = &mut config.train;
        [t.epochs, t.batch, t.parts, t.queue_mib] = sizes;
        [t.mix_up, t.drop_path, t.ema, t.warm_up, t.lr_heads, t.clip] = shares;
        let _ = config.validate();
        let spec = config.model_spec().unwrap();
        let made = targets(&spec, std::slice::from_ref(&values));
        let sample = Sample::new("a", picture(0), values);
        prop_assert_eq!(Dataset::new(spec.heads, vec![sample]).is_ok(), made.is_ok());
    }
}

#[test]
fn a_model_has_heads_and_no_two_of_one_name() {
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let built = |heads: Vec<HeadSpec>| {
        let spec = ModelSpec::new(patches(), heads, InputSpec::default());
        MultiTaskModel::new(&spec, 0.0, &vb).map(|_| ())
    };
    built(vec![shade(), tint()]).unwrap();
    assert!(
        built(vec![shade(), shade()])
            .unwrap_err()
            .to_string()
            .contains("shade")
    );
    assert!(built(Vec::new()).unwrap_err().to_string().contains("head"));
    let backbone = patches().build(vb, 0.0).unwrap();
    let error = MultiTaskModel::from_parts(backbone, Vec::new(), None)
        .err()
        .unwrap();
    assert!(error.to_string().contains("at least one"), "{error}");
}

#[test]
fn a_backbone_of_ones_own_is_trained_with_its_batch_norm_saved_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(vec![shade()], |i| picture(i).into());
    let mut config = config(vec![shade()]);
    config.train.epochs = 12;
    config.train.mix_up = 0.0;
    config.train.lr_backbone = 0.02;
    config.train.lr_heads = 0.05;
    let outcome = Trainer::new(&config, Tensors::new(), &data)
        .out(folder.path())
        .run()
        .unwrap();
    assert_eq!(
        outcome.progress.best.unwrap().0,
        1.0,
        "{:?}",
        outcome.progress.records
    );
    let path = folder.path().join("last.safetensors");
    let file = ModelFile::read(&path).unwrap();
    let first = Variables::new(Tensors::new(), 0, |_| true, |_| true);
    MultiTaskModel::new(&file.description.model, 0.0, &first.builder()).unwrap();
    let first = first.snapshot().unwrap();
    assert!(first.keys().eq(file.tensors.keys()));
    for (name, tensor) in &file.tensors {
        assert_ne!(bits(tensor), bits(&first[name]), "{name}");
    }
    let predictor = Predictor::from_file(&path).unwrap();
    let photo = picture(1);
    let bright = predictor
        .predict_file(write(folder.path(), &photo))
        .unwrap();
    assert_eq!(bright.name, "bright");
    // Frozen, its statistics stay too.
    config.train.fine_tune = FineTune::Frozen;
    config.train.epochs = 1;
    let frozen = folder.path().join("frozen");
    Trainer::new(&config, file.tensors.clone(), &data)
        .out(&frozen)
        .run()
        .unwrap();
    let after = ModelFile::read(frozen.join("last.safetensors"))
        .unwrap()
        .tensors;
    for (name, tensor) in file
        .tensors
        .iter()
        .filter(|(n, _)| n.starts_with("backbone."))
    {
        assert_eq!(bits(tensor), bits(&after[name]), "{name}");
    }
}

fn write(folder: &Path, photo: &Photo) -> std::path::PathBuf {
    let path = folder.join("photo.png");
    std::fs::write(&path, png(photo)).unwrap();
    path
}

#[test]
fn a_file_with_a_backbone_nobody_registered_says_how_to_provide_it() {
    let tiny = crate::common::tiny::model();
    let bytes = tiny.to_bytes().unwrap();
    let name = b"tf_efficientnet_lite0";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    let mut bytes = bytes;
    bytes[at..at + name.len()].copy_from_slice(b"of_someone_elses_make");
    let error = ModelFile::from_bytes(&bytes, "their file")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`of_someone_elses_make`") && error.contains("register"),
        "{error}"
    );
    assert!(
        error.contains("their file") && !error.contains("resnet18"),
        "{error}"
    );
}

/// Cross-entropy again, counted.
struct Counted {
    calls: Cell<usize>,
    factor: f64,
}

impl Loss for Counted {
    fn loss(
        &self,
        outputs: &Tensor,
        targets: &Tensor,
        weights: &Tensor,
    ) -> candle_core::Result<Tensor> {
        self.calls.set(self.calls.get() + 1);
        let log_probs = candle_nn::ops::log_softmax(outputs, D::Minus1)?;
        let each = (log_probs * targets)?.sum(D::Minus1)?;
        ((each * weights)?.sum_all()? / weights.sum_all()?)? * -self.factor
    }
}

#[test]
fn a_loss_of_ones_own_teaches_a_head_as_the_shipped_one_it_equals() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = dataset(vec![shade(), tint()], |i| picture(i).into());
    // A batch with hardly a label of it is no trouble.
    data.samples
        .iter_mut()
        .skip(3)
        .for_each(|s| s.values[1] = None);
    let mut config = config(vec![shade(), tint()]);
    config.train.parts = 2;
    let run = |name: &str, loss: Option<&Counted>| {
        let trainer = Trainer::new(&config, Tensors::new(), &data).out(folder.path().join(name));
        let trainer = match loss {
            Some(loss) => trainer.loss("shade", loss).loss("tint", loss),
            None => trainer,
        };
        let outcome = trainer.run().unwrap();
        let file = ModelFile::read(folder.path().join(name).join("last.safetensors")).unwrap();
        (outcome, file)
    };
    let counted = |factor| Counted {
        calls: Cell::new(0),
        factor,
    };
    let (own, tenth) = (counted(1.0), counted(0.1));
    let (shipped, plain) = run("shipped", None);
    let (same, file) = run("own", Some(&own));
    assert!(own.calls.get() > 6);
    assert_eq!(
        file.description.training["own_losses"],
        serde_json::json!(["shade", "tint"])
    );
    for (a, b) in shipped.progress.records.iter().zip(&same.progress.records) {
        assert!((a.train_loss - b.train_loss).abs() < 1e-3, "{a:?} {b:?}");
        assert!((a.valid_loss.unwrap() - b.valid_loss.unwrap()).abs() < 1e-3);
    }
    // Before a batch norm a bias has no effect, and AdamW makes steps of what rounding leaves of its gradient.
    let moved = plain
        .tensors
        .iter()
        .filter(|(name, _)| *name != "backbone.patches.bias");
    for (name, tensor) in moved {
        let apart = (tensor - &file.tensors[name])
            .unwrap()
            .abs()
            .unwrap()
            .flatten_all()
            .unwrap();
        assert!(
            apart.max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-3,
            "{name}"
        );
    }
    let (other, _) = run("tenth", Some(&tenth));
    assert!(other.progress.records[0].train_loss < 0.2 * same.progress.records[0].train_loss);
    let forgotten = Trainer::new(&config, Tensors::new(), &data).out(folder.path().join("own"));
    let error = forgotten.resume(true).run().unwrap_err().to_string();
    assert!(error.contains(r#"["shade", "tint"]"#), "{error}");
    let unknown = Trainer::new(&config, Tensors::new(), &data).loss("shape", &own);
    let error = unknown.out(folder.path().join("none")).run().unwrap_err();
    assert!(error.to_string().contains("`shape`"), "{error}");
}

#[test]
fn targets_are_those_of_the_trainer_with_the_joint_heads_last() {
    let mut age = HeadSpec::new("age", ["young", "old"]).with_thresholds([30.0]);
    age.labels.soft_width = 20.0;
    let mut spec = ModelSpec::new(patches(), vec![shade(), age], InputSpec::default());
    spec.joint = Some(JointSpec::default());
    let values = [
        vec![Some(Value::Label(1)), Some(Value::Number(35.0))],
        vec![None, Some(Value::Label(0))],
    ];
    let all = targets(&spec, &values).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[1].rows, [0.25, 0.75, 1.0, 0.0]);
    assert_eq!(all[2].rows, [0.0, 0.0, 0.25, 0.75, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!((all[0].weights[1], all[2].weights[1]), (0.0, 0.0));
    let (rows, weights) = all[1].tensors(&Device::Cpu).unwrap();
    assert_eq!((rows.dims(), weights.dims()), (&[2, 2][..], &[2][..]));
    let error = targets(&spec, &[vec![Some(Value::Label(2)), None]]).unwrap_err();
    assert!(
        error.to_string().contains("photo 1") && error.to_string().contains("shade"),
        "{error}"
    );
}

/// Steps of a loop over the heads of a frozen backbone, by any optimiser; the last loss.
fn steps<O: candle_nn::Optimizer>(optimizer: impl FnOnce(Vec<Var>) -> O) -> Result<f32> {
    let spec = config(vec![shade()]).model_spec()?;
    let frozen = Variables::new(Tensors::new(), 3, |_| false, |_| true);
    let variables = VarMap::new();
    let heads = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let model = MultiTaskModel::with_builders(&spec, frozen.builder(), heads)?;
    let input = &spec.input;
    let mut pixels = vec![0.0; 16 * 3 * 32 * 32];
    for (i, one) in pixels.chunks_exact_mut(3 * 32 * 32).enumerate() {
        input.normalise_into(&input.prepare(&picture(i))?, one)?;
    }
    let images = Tensor::from_vec(pixels, (16, 3, 32, 32), &Device::Cpu)?;
    let values: Vec<_> = (0..16).map(|i| [Some(Value::Label(i % 2))]).collect();
    let (rows, weights) = targets(&spec, &values)?[0].tensors(&Device::Cpu)?;
    let features = model.features(&images, Mode::Eval)?;
    let settings = HeadLoss::new(LossKind::CrossEntropy, 2);
    let mut optimizer = optimizer(variables.all_vars());
    assert_eq!(variables.all_vars().len(), 2);
    let mut last = f32::NAN;
    for _ in 0..60 {
        let outputs = model.outputs(&features, Mode::Eval)?;
        let loss = settings.loss(&outputs.heads[0], &rows, &weights)?.unwrap();
        optimizer.backward_step(&loss)?;
        last = loss.to_scalar()?;
    }
    assert!(!features.track_op());
    Ok(last)
}

#[test]
fn candles_optimisers_and_ours_teach_in_the_same_loop() {
    use candle_nn::Optimizer as _;
    let group = Group {
        lr: 0.05,
        weight_decay: 0.01,
        since: 0,
    };
    let params = candle_nn::ParamsAdamW {
        lr: 0.05,
        ..Default::default()
    };
    let candles = steps(|vars| candle_nn::AdamW::new(vars, params).unwrap()).unwrap();
    let ours = steps(|vars| {
        let config = (OptimizerKind::AdamW, group);
        <Optimizer as candle_nn::Optimizer>::new(vars, config).unwrap()
    });
    let ours = ours.unwrap();
    assert!(
        ours.max(candles) < 0.3 && (ours - candles).abs() < 0.1,
        "{ours} {candles}"
    );
    let var = Var::new(&[1f32, 2.0], &Device::Cpu).unwrap();
    let other = Var::new(&[1f32], &Device::Cpu).unwrap();
    let sgd = OptimizerKind::Sgd { momentum: 0.0 };
    let vars = vec![var.clone(), other];
    let mut sgd = <Optimizer as candle_nn::Optimizer>::new(vars, (sgd, group)).unwrap();
    for rate in [0.5, 0.0, 0.25] {
        sgd.set_learning_rate(rate);
        assert_eq!(sgd.learning_rate(), rate);
    }
    let error = sgd.backward_step(&var.sum_all().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("no gradient reached 1"),
        "{error}"
    );
}

#[test]
fn one_head_is_trained_alone_and_everything_else_stays_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let both = dataset(vec![shade(), tint()], |i| picture(i).into());
    let full = config(vec![shade(), tint()]);
    Trainer::new(&full, Tensors::new(), &both)
        .out(out("model"))
        .run()
        .unwrap();
    let model = ModelFile::read(out("model").join("best.safetensors")).unwrap();
    let alone = dataset(vec![tint()], |i| picture(i).into());
    let mut settings = Config::for_head(&model, tint());
    settings.train.epochs = 20;
    settings.train.lr_heads = 0.05;
    assert!(settings.train.keeps_features());
    let swapped = train_head(&settings, &model, &alone, out("tint")).unwrap();
    assert_eq!(swapped.description.classes, model.description.classes);
    for (name, tensor) in &model.tensors {
        let same = bits(tensor) == bits(&swapped.tensors[name]);
        assert_eq!(same, !name.starts_with("heads.tint."), "{name}");
    }
    assert_eq!(swapped.description.seen.len(), 2);
    let again = ModelFile::from_bytes(&swapped.to_bytes().unwrap(), "again").unwrap();
    assert_eq!(again.description, swapped.description);
    // A head it has not yet comes after the others, and one that applies under another's labels still does.
    let mut dim = HeadSpec::new("dim", ["no", "yes"]);
    dim.labels.when = [("shade".to_string(), vec!["dark".to_string()])].into();
    let with_dim = add(&model, dim.clone(), None, NewTensors::Fresh { seed: 1 }).unwrap();
    let mut of_dim = dataset(vec![HeadSpec::new("dim", ["no", "yes"])], |i| {
        picture(i).into()
    });
    of_dim
        .samples
        .iter_mut()
        .enumerate()
        .for_each(|(i, s)| s.values[0] = Some(Value::Label(i % 2)));
    let new = train_head(
        &Config::for_head(&with_dim, dim.clone()),
        &with_dim,
        &of_dim,
        out("dim"),
    )
    .unwrap();
    assert_eq!(new.description.model.heads[2], dim);
    let added = Config::for_head(&model, dim.clone());
    let added = train_head(&added, &model, &of_dim, out("added")).unwrap();
    assert_eq!(added.description.model.heads[2], dim);
    let mut smaller = Config::for_head(&model, dim.clone());
    smaller.model.input.size = [40, 40];
    let error = train_head(&smaller, &model, &of_dim, out("smaller")).unwrap_err();
    assert!(error.to_string().starts_with("model.input"), "{error}");
    assert!(!out("smaller").exists());
    let plain = Config::for_head(&model, of_dim.heads[0].clone());
    let last = train_head(&plain, &model, &of_dim, out("last")).unwrap();
    assert_eq!(last.description.model.heads.len(), 3);
    settings.train.fine_tune = FineTune::Full;
    let error = train_head(&settings, &model, &alone, out("full")).unwrap_err();
    assert!(error.to_string().contains("frozen"), "{error}");
    assert!(train_head(&full, &model, &both, out("both")).is_err());
}

#[test]
fn with_resume_a_run_begins_in_an_empty_folder_and_goes_on_in_one_that_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(vec![shade()]);
    let data = dataset(vec![shade()], |i| picture(i).into());
    let run = |name: &str, resume: bool, stop_after: usize| {
        let stop = AtomicBool::new(false);
        let (mut steps, mut first) = (0, None);
        let trainer = Trainer::new(&config, Tensors::new(), &data)
            .out(folder.path().join(name))
            .resume(resume)
            .stop(&stop)
            .on_event(|event| {
                if let Event::Step { epoch, step, .. } = event {
                    first.get_or_insert((*epoch, *step));
                    steps += 1;
                    stop.store(steps == stop_after, Ordering::Relaxed);
                }
            });
        let outcome = trainer.run();
        outcome.map(|o| (o.stopped, first))
    };
    let bytes =
        |name: &str| std::fs::read(folder.path().join(name).join("best.safetensors")).unwrap();
    assert_eq!(run("whole", false, 99).unwrap(), (false, Some((1, 1))));
    assert_eq!(run("parts", true, 4).unwrap(), (true, Some((1, 1))));
    assert_eq!(run("parts", true, 99).unwrap(), (false, Some((2, 2))));
    assert!(bytes("whole") == bytes("parts"));
    assert!(run("parts", false, 99).is_err());
}
