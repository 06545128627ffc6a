//! Whatever is given to what is public of data, configuration, losses and training: a value that works or a named error, never a
//! panic.

use crate::common::tiny;
use crate::common::words::named;
use candle_core::{DType, Device, Tensor, Var};
use hydranet::adapter::{Entry, Module, Sizes, Training, register};
use hydranet::audit::{Given, Quality, Rule};
use hydranet::data::{
    AugmentConfig, AugmentPolicy, ColorJitter, Corrections, Dataset, ResizedCrop, Sample,
};
use hydranet::data::{Sampling, Split, SplitConfig, Targets, Value};
use hydranet::train::{Balancing, Config, FineTune, Group, HeadLoss, Lora, MixKind, MixRule};
use hydranet::train::{OptimizerKind, Partner, Trainer, read_head, targets, train_head};
use hydranet::{
    Architecture, BatchNormMode, ClassWeightRule, ClassWeights, DecisionRule, HeadSpec, InputSpec,
    JointSpec, LossKind, LossTerm, ModelSpec, Photo, PhotoSource, SavedActivations, Tensors,
};
use proptest::prelude::*;
use std::path::Path;
use std::sync::OnceLock;

/// Numbers as nobody means them, and some that are right.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-1.0),
        Just(-0.0),
        Just(1.0),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        0.0..1.0f64,
        0.0..100.0f64,
    ]
}

fn count() -> impl Strategy<Value = usize> {
    prop_oneof![0..10usize, Just(64), Just(usize::MAX), any::<usize>()]
}

fn word() -> impl Strategy<Value = String> {
    let known = ["shade", "tint", "dark / red", "joint", "*", "fc", ""];
    prop_oneof![
        prop::sample::select(known.map(String::from).to_vec()),
        ".{0,4}"
    ]
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(word(), 0..3)
}

fn loss() -> impl Strategy<Value = LossKind> {
    let alphas = prop::collection::vec(number(), 0..4);
    let one = prop_oneof![
        Just(LossKind::CrossEntropy),
        Just(LossKind::SoftF1),
        Just(LossKind::EarthMover),
        Just(LossKind::Coral),
        Just(LossKind::Corn),
        (number(), alphas).prop_map(|(gamma, alpha)| LossKind::Focal { gamma, alpha }),
        [number(), number()].prop_map(|[max_margin, scale]| LossKind::Ldam { max_margin, scale }),
        number().prop_map(|tau| LossKind::LogitAdjusted { tau }),
        number().prop_map(|q| LossKind::GeneralizedCrossEntropy { q }),
        [number(), number(), number()].prop_map(|[alpha, beta, zero]| {
            LossKind::SymmetricCrossEntropy {
                alpha,
                beta,
                log_zero: -zero,
            }
        }),
    ];
    one.prop_recursive(2, 6, 3, |inner| {
        let term = (inner, number()).prop_map(|(kind, factor)| LossTerm { kind, factor });
        prop::collection::vec(term, 0..3).prop_map(LossKind::Sum)
    })
}

fn class_weights() -> impl Strategy<Value = ClassWeights> {
    prop_oneof![
        Just(ClassWeights::Equal),
        prop::collection::vec(number(), 0..4).prop_map(ClassWeights::Given),
        Just(ClassWeights::Rule(ClassWeightRule::Balanced)),
        number().prop_map(|beta| ClassWeights::Rule(ClassWeightRule::EffectiveNumber { beta })),
    ]
}

/// A head of two labels with any settings.
fn head(name: &'static str) -> impl Strategy<Value = HeadSpec> {
    let numbers = [number(), number(), number(), number(), number()];
    let bands = prop::collection::vec([number(), number()], 0..2);
    let kinds = (loss(), class_weights(), any::<bool>());
    (numbers, prop::collection::vec(number(), 0..3), bands, kinds).prop_map(
        move |(
            [weight, smoothing, dropout, soft, late],
            borders,
            drop,
            (loss, weights, ordered),
        )| {
            let mut head = HeadSpec::new(name, ["a", "b"]).with_loss(loss);
            head.labels.thresholds = borders;
            head.labels.drop = drop;
            head.labels.soft_width = soft;
            head.labels.ordered = ordered;
            head.loss.weight = weight;
            head.loss.smoothing = smoothing;
            head.loss.class_weights = weights;
            head.loss.reweight_after = late;
            head.layers.dropout = dropout;
            head
        },
    )
}

fn mix() -> impl Strategy<Value = MixRule> {
    let kind = prop_oneof![
        number().prop_map(|alpha| MixKind::MixUp { alpha }),
        number().prop_map(|alpha| MixKind::FeatureMixUp { alpha }),
        number().prop_map(|alpha| MixKind::CutMix { alpha }),
        Just(MixKind::HalfPaste),
    ];
    let partner = prop_oneof![
        Just(Partner::Any),
        Just(Partner::SameClass),
        word().prop_map(Partner::SameLabel),
        words().prop_map(Partner::Classes),
    ];
    (kind, partner, number()).prop_map(|(kind, partner, probability)| MixRule {
        kind,
        partner,
        probability,
    })
}

fn balancing() -> impl Strategy<Value = Balancing> {
    prop_oneof![
        Just(Balancing::Fixed),
        Just(Balancing::Uncertainty),
        Just(Balancing::PcGrad),
        number().prop_map(|temperature| Balancing::DynamicAverage { temperature }),
        [number(), number()].prop_map(|[alpha, lr]| Balancing::GradNorm { alpha, lr }),
        [number(), number()].prop_map(|[lr, decay]| Balancing::Famo { lr, decay }),
    ]
}

fn fine_tune() -> impl Strategy<Value = FineTune> {
    prop_oneof![
        Just(FineTune::Full),
        Just(FineTune::Frozen),
        count().prop_map(FineTune::LastStages),
        words().prop_map(FineTune::Matching),
    ]
}

fn sampling() -> impl Strategy<Value = Sampling> {
    prop_oneof![
        Just(Sampling::EveryPhoto),
        Just(Sampling::OnePhotoAPerson),
        number().prop_map(|power| Sampling::ByClass { power }),
        (word(), number()).prop_map(|(head, power)| Sampling::ByHead { head, power }),
    ]
}

fn augment() -> impl Strategy<Value = AugmentConfig> {
    let crop = prop::option::of([number(), number(), number(), number()]);
    let policy = prop::option::of(prop_oneof![
        Just(AugmentPolicy::TrivialAugment),
        (0..40usize, 0..40usize).prop_map(|(operations, magnitude)| AugmentPolicy::RandAugment {
            operations,
            magnitude
        }),
        (0..40usize).prop_map(|severity| AugmentPolicy::AugMix { severity }),
    ]);
    let numbers = (
        prop::array::uniform6(number()),
        prop::array::uniform4(number()),
    );
    (numbers, crop, policy).prop_map(|(([a, b, c, d, e, f], [g, h, i, j]), crop, policy)| {
        AugmentConfig {
            policy,
            perspective: g,
            grey: h,
            blur: i,
            jpeg: j,
            flip: a,
            rotation: b,
            erasing: c,
            color_jitter: ColorJitter {
                brightness: d,
                contrast: e,
                saturation: f,
            },
            random_resized_crop: crop.map(|[a, b, c, d]| ResizedCrop {
                scale: [a, b],
                ratio: [c, d],
            }),
        }
    })
}

/// Some of the settings of a configuration, to be laid over one that is right.
#[derive(Clone, Debug)]
enum Change {
    Counts([usize; 8]),
    Numbers([f64; 12]),
    FineTune(FineTune),
    BatchNorm(BatchNormMode),
    Lora(Lora),
    Mix(Vec<MixRule>),
    Balancing(Balancing),
    Sampling(Sampling),
    Augment(AugmentConfig),
    Optimizer(OptimizerKind),
    Split(SplitConfig),
    Joint(JointSpec),
    Frozen(Vec<String>),
    Decision(DecisionRule),
    Activations(SavedActivations),
    Head(Box<HeadSpec>),
    Input([usize; 2], usize, [f32; 2]),
}

fn change() -> impl Strategy<Value = Change> {
    let lora = (count(), number(), words());
    let joint = (prop::array::uniform5(number()), loss(), class_weights());
    prop_oneof![
        prop::array::uniform8(count()).prop_map(Change::Counts),
        prop::array::uniform12(number()).prop_map(Change::Numbers),
        fine_tune().prop_map(Change::FineTune),
        count().prop_map(|n| Change::BatchNorm(BatchNormMode::FrozenStages(n))),
        lora.prop_map(|(rank, alpha, weights)| Change::Lora(Lora {
            rank,
            alpha,
            weights
        })),
        prop::collection::vec(mix(), 0..3).prop_map(Change::Mix),
        balancing().prop_map(Change::Balancing),
        sampling().prop_map(Change::Sampling),
        augment().prop_map(Change::Augment),
        number().prop_map(|momentum| Change::Optimizer(OptimizerKind::Sgd { momentum })),
        [number(), number()].prop_map(|[valid, test]| Change::Split(SplitConfig { valid, test })),
        joint.prop_map(
            |([a, b, c, d, e], loss, class_weights)| Change::Joint(JointSpec {
                share: a,
                weight: b,
                consistency: c,
                smoothing: d,
                dropout: e,
                loss,
                class_weights,
                ..JointSpec::default()
            })
        ),
        words().prop_map(Change::Frozen),
        prop::sample::select(vec![
            DecisionRule::Prior,
            DecisionRule::Joint,
            DecisionRule::ClassOffsets,
            DecisionRule::LabelOffsets,
        ])
        .prop_map(Change::Decision),
        Just(Change::Activations(SavedActivations::Bf16)),
        head("shade").prop_map(|of| Change::Head(Box::new(of))),
        ([count(), count()], count(), [number(), number()])
            .prop_map(|(size, channels, of)| Change::Input(size, channels, of.map(|v| v as f32))),
    ]
}

impl Change {
    fn apply(self, config: &mut Config) {
        let t = &mut config.train;
        match self {
            Self::Counts([a, b, c, d, e, f, g, h]) => {
                (t.epochs, t.batch, t.parts, t.queue_mib) = (a, b, c, d);
                (t.average_last, t.mix_off, t.unfreeze_every, t.feature_views) = (e, f, g, h);
            }
            Self::Numbers([a, b, c, d, e, f, g, h, i, j, k, l]) => {
                (t.mix_up, t.drop_path, t.ema, t.warm_up, t.lr_heads, t.clip) = (a, b, c, d, e, f);
                (t.final_lr, t.lr_backbone, t.lr_decay, t.weight_decay) = (g, h, i, j);
                (t.split.valid, t.split.test) = (k, l);
            }
            Self::FineTune(of) => t.fine_tune = of,
            Self::BatchNorm(of) => t.batch_norm = of,
            Self::Lora(of) => t.lora = Some(of),
            Self::Mix(of) => t.mix = of,
            Self::Balancing(of) => t.balancing = of,
            Self::Sampling(of) => t.sampling = of,
            Self::Augment(of) => t.augment = of,
            Self::Optimizer(of) => t.optimizer = of,
            Self::Split(of) => t.split = of,
            Self::Frozen(of) => t.freeze = of,
            Self::Decision(of) => t.decision = of,
            Self::Activations(of) => t.activations = of,
            Self::Joint(of) => config.model.joint = Some(of),
            Self::Head(of) => drop(config.heads.insert("shade".into(), *of)),
            Self::Input(size, channels, [mean, std]) => {
                config.model.input.size = size;
                config.model.input.channels = channels;
                (config.model.input.mean, config.model.input.std) = ([mean; 3], [std; 3]);
            }
        }
    }
}

fn network(vb: candle_nn::VarBuilder) -> candle_core::Result<Module> {
    let config = candle_nn::Conv2dConfig {
        stride: 8,
        ..Default::default()
    };
    let patches = candle_nn::conv2d(3, 4, 8, config, vb.pp("patches"))?;
    Ok(Box::new(candle_nn::func(move |images: &Tensor| {
        images.apply(&patches)?.relu()?.mean((2, 3))
    })))
}

/// A network that learns in no time.
fn small() -> Architecture {
    static SMALL: OnceLock<Architecture> = OnceLock::new();
    *SMALL.get_or_init(|| {
        register(Entry {
            training: Training::Full,
            sizes: Sizes::Any,
            ..Entry::new("hostile_patches", 4, 16, network)
        })
        .unwrap()
    })
}

/// A configuration that is right.
fn right() -> Config {
    let heads = vec![
        HeadSpec::new("shade", ["a", "b"]),
        HeadSpec::new("tint", ["c", "d", "e"]),
    ];
    let input = InputSpec {
        size: [16, 16],
        ..InputSpec::default()
    };
    let mut config = Config::new(ModelSpec::new(small(), heads, input));
    (config.train.epochs, config.train.batch) = (2, 4);
    config
}

/// A few photos with labels of these heads, one missing.
fn photos(heads: Vec<HeadSpec>) -> Dataset {
    let sample = |i: usize| {
        let photo = Photo {
            height: 20,
            width: 18,
            rgb: (0..3 * 20 * 18)
                .map(|at| (at * 31 * (i + 1) % 251) as u8)
                .collect(),
        };
        let label = |h: &HeadSpec| (i != 5).then_some(Value::Label(i % h.num_labels()));
        Sample {
            split: Some(if i < 9 { Split::Train } else { Split::Valid }),
            person: (!i.is_multiple_of(3)).then(|| format!("{}", i / 2)),
            ..Sample::new(format!("{i}.png"), photo, heads.iter().map(label).collect())
        }
    };
    let samples = (0..13).map(sample).collect();
    Dataset::new(heads, samples).unwrap()
}

/// A line of TOML: a key that some file has, and any value.
fn line() -> impl Strategy<Value = String> {
    let keys = [
        "name",
        "labels",
        "thresholds",
        "loss",
        "weight",
        "hidden",
        "when",
        "drop",
        "column",
        "[train]",
        "[model]",
        "epochs",
        "batch",
        "mix",
        "fine_tune",
        "[heads.shade]",
        "smoothing",
    ];
    let values = [
        "1",
        "-1",
        "nan",
        "1e400",
        "\"x\"",
        "[]",
        "[[1, 0]]",
        "{}",
        "[\"a\", \"b\"]",
        "\"corn\"",
        "{ focal = { gamma = -1 } }",
        "true",
        "99999999999999999999",
        "{ sum = [{ kind = \"coral\" }] }",
        "{ shade = [\"a\"] }",
        "",
    ];
    (
        prop::sample::select(keys.to_vec()),
        prop::sample::select(values.to_vec()),
    )
        .prop_map(|(key, value)| match key.starts_with('[') {
            true => key.into(),
            false => format!("{key} = {value}"),
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_configuration_of_anything_is_right_or_says_what_is_not(
        changes in prop::collection::vec(change(), 0..4), heads in words(),
    ) {
        let mut config = right();
        changes.into_iter().for_each(|c| c.apply(&mut config));
        named(config.validate());
        named(config.model_spec());
        named(config.to_toml());
        config.model.heads = heads;
        named(config.validate());
    }

    #[test]
    fn a_file_of_any_keys_is_read_or_refused(lines in prop::collection::vec(line(), 0..6), setting in line()) {
        let text = lines.join("\n");
        if let Ok(head) = toml::from_str::<HeadSpec>(&text) {
            named(head.validate());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::fs::write(&path, &text).unwrap();
        named(read_head(&path));
        named(Config::read(&path));
        let heads = Path::new(env!("CARGO_MANIFEST_DIR")).join("heads");
        named(Config::load(&heads, Some(&path), &[]));
        named(Config::load(&heads, None, &[setting.replace(' ', ""), format!("train.{setting}")]));
        named(Config::load(&path, None, &[]));
        for name in ["a.toml", "a.csv"] {
            named(Corrections::default().add(text.as_bytes(), Path::new(name)));
        }
    }

    #[test]
    fn data_of_anything_is_a_data_set_or_refused(
        heads in prop::collection::vec(prop_oneof![head("shade"), head("tint"), head("")], 0..3),
        values in prop::collection::vec(
            prop::option::of(prop_oneof![count().prop_map(Value::Label), number().prop_map(Value::Number)]), 0..4),
        bytes in prop::collection::vec(any::<u8>(), 0..40), place in count(), shares in [number(), number()],
        names in [word(), word(), word()],
    ) {
        let photos: [PhotoSource; 3] = [
            bytes.clone().into(),
            Photo { height: place, width: 1, rgb: bytes }.into(),
            Path::new("nowhere.png").into(),
        ];
        let sample = |(photo, name): (PhotoSource, &String)| Sample { source: place, ..Sample::new(name, photo, values.clone()) };
        let samples: Vec<Sample> = photos.into_iter().zip(&names).map(sample).collect();
        let apart = names[0] != names[1] && names[1] != names[2] && names[0] != names[2];
        if let Some(mut data) = named(Dataset::new(heads.clone(), samples)) {
            prop_assert!(apart);
            named(data.check(&heads));
            data.indices(Split::Train);
            let stop = std::sync::atomic::AtomicBool::new(false);
            let split = SplitConfig { valid: shares[0], test: shares[1] };
            named(data.put_on_sides(&split, 1, &[]));
            named(data.find_broken(&InputSpec::default(), true, &stop, &mut |_, _| ()));
            data.samples[0].source = place;
            named(data.check(&heads));
        }
        let spec = ModelSpec::new(small(), heads, InputSpec::default());
        for of in named(targets(&spec, &[values])).into_iter().flatten() {
            of.tensors(&Device::Cpu).unwrap();
        }
    }

    #[test]
    fn a_loss_of_anything_is_a_number_or_refused(
        kind in loss(), sizes in prop::array::uniform6(0..4usize), numbers in prop::array::uniform4(number()),
    ) {
        let [labels, weights, counts, rows, width, photos] = sizes;
        let [weight, smoothing, count, value] = numbers;
        let loss = HeadLoss {
            class_weights: vec![weight; weights],
            counts: vec![count; counts],
            smoothing,
            ..HeadLoss::new(kind.clone(), labels)
        };
        let of = |n: usize, m: usize| Tensor::full(value as f32, (n, m), &Device::Cpu).unwrap();
        let weights = Tensor::ones(photos, DType::F32, &Device::Cpu).unwrap();
        named(loss.loss(&of(rows, width), &of(photos, labels), &weights));
        let fits = HeadLoss { smoothing, ..HeadLoss::new(kind.clone(), labels) };
        named(fits.loss(&of(photos, kind.num_outputs(labels)), &of(photos, labels), &weights));
        let targets = Targets { rows: vec![0.5; rows], weights: vec![1.0; photos], num_labels: labels };
        prop_assert_eq!(named(targets.tensors(&Device::Cpu)).is_some(), rows == photos * labels);
    }

    #[test]
    fn labels_and_probabilities_of_anything_are_audited_or_refused(
        labels in prop::collection::vec(0..4usize, 0..6), probs in prop::collection::vec(number(), 0..12),
        classes in count(), places in prop::collection::vec(count(), 0..3), least in count(),
    ) {
        named(Given::new(&labels, &probs, classes));
        let even = vec![0.5; 2 * labels.len()];
        let others = Given::new(&[0, 1, 2], &[0.2; 9], 3).unwrap().confident_joint();
        if let Some(given) = named(Given::new(&labels, &even, 2)) {
            let own = given.confident_joint();
            for rule in ["prune_by_class", "prune_by_noise_rate", "confident_learning", "low_normalized_margin"] {
                let rule: Rule = rule.parse().unwrap();
                prop_assert!(named(given.issues(&own, rule, least)).is_some());
                prop_assert!(named(given.issues(&others, rule, least)).is_none());
            }
            let known = places.iter().all(|p| *p < labels.len());
            prop_assert_eq!(named(given.ranked(&places, Quality::NormalizedMargin)).is_some(), known);
        }
    }

    #[test]
    fn a_network_of_anything_is_registered_or_refused(
        name in prop::sample::select(vec!["", "resnet18", "hostile_network"]),
        features in count(), side in count(), numbers in [number(), number(), number()], step in count(), least in count(),
    ) {
        let [crop_pct, mean, std] = numbers;
        let entry = Entry {
            crop_pct,
            mean: [mean as f32; 3],
            std: [std as f32; 3],
            sizes: Sizes::Square { step, least },
            ..Entry::new(name, features, side, network)
        };
        if let Some(known) = named(register(entry)) {
            prop_assert!(features > 0 && known.input().validate().is_ok());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_run_of_any_right_settings_ends_or_says_why_not(changes in prop::collection::vec(change(), 1..4)) {
        let mut config = right();
        changes.into_iter().for_each(|c| c.apply(&mut config));
        let t = &config.train;
        let small = t.epochs < 5 && t.batch < 100 && t.feature_views < 10 && config.model.input.size.iter().all(|s| *s < 100);
        if small && let Ok(spec) = config.model_spec() && config.validate().is_ok() {
            let folder = tempfile::tempdir().unwrap();
            // Of a head whose labels are made of numbers, labels by name are right too.
            let data = photos(spec.heads);
            let trainer = Trainer::new(&config, Tensors::new(), &data).out(folder.path());
            named(trainer.run());
        }
    }
}

#[test]
fn one_head_of_anything_is_trained_alone_or_refused() {
    let model = tiny::model();
    let folder = tempfile::tempdir().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(6));
    let heads = prop_oneof![head("mask"), head("other"), head("joint"), head("")];
    runner
        .run(&heads, |head| {
            let config = Config::for_head(&model, head.clone());
            if let Ok(data) = Dataset::new(vec![head], Vec::new()) {
                // There is no photo.
                assert!(named(train_head(&config, &model, &data, folder.path())).is_none());
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_optimiser_without_variables_or_of_odd_rates_takes_its_steps() {
    use candle_nn::Optimizer as _;
    use hydranet::train::Optimizer;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let numbers = prop::array::uniform4(number());
    runner
        .run(
            &(numbers, any::<u64>(), 0..3usize),
            |([lr, decay, momentum, rate], since, vars)| {
                for kind in [OptimizerKind::AdamW, OptimizerKind::Sgd { momentum }] {
                    let group = Group {
                        lr,
                        weight_decay: decay,
                        since,
                    };
                    let var = || Var::new(&[1f32, 2.0], &Device::Cpu).unwrap();
                    let vars: Vec<Var> = (0..vars).map(|_| var()).collect();
                    let sum = vars
                        .iter()
                        .try_fold(Tensor::new(0f32, &Device::Cpu)?, |sum, v| {
                            sum + v.sum_all()?
                        })?;
                    let mut optimizer =
                        <Optimizer as candle_nn::Optimizer>::new(vars, (kind, group))?;
                    optimizer.set_learning_rate(rate);
                    optimizer.backward_step(&sum)?;
                }
                Ok(())
            },
        )
        .unwrap();
}
