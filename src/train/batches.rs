//! Where the batches of an epoch come from: photos, loaded ahead, or features that are kept, mixed, with their targets.

use super::config::TrainConfig;
use super::kept::Kept;
use super::loss::tasks::Tasks;
use super::mix::{Draw, Mixer, StepMix};
use super::parts::Cut;
use super::teacher::Soft;
use crate::data::dataset::{Dataset, Split, empty_split};
use crate::data::loader::{Job, Loader, LoaderConfig};
use crate::data::sampling::Sampler;
use crate::data::targets::Targets;
use crate::error::Result;
use crate::input::InputSpec;
use crate::model::ModelSpec;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// What goes into the model.
pub(super) enum Inputs {
    /// `(batch, channels, H, W)`.
    Photos(Tensor),
    /// `(batch, num_features)`, of a frozen backbone.
    Features(Tensor),
}

impl Inputs {
    /// Some of the rows.
    pub(super) fn rows(&self, rows: &Range<usize>) -> Result<Self> {
        Ok(match self {
            Self::Photos(all) => Self::Photos(all.narrow(0, rows.start, rows.len())?),
            Self::Features(all) => Self::Features(all.narrow(0, rows.start, rows.len())?),
        })
    }
}

/// What a step learns from.
pub(super) struct Batch {
    /// Of the rows that are computed here.
    pub inputs: Inputs,
    /// One a head, of the whole batch.
    pub targets: Vec<Targets>,
    /// How many photos there are.
    pub photos: usize,
    /// The parts in which it is computed.
    pub cut: Cut,
}

/// The batches of a run.
pub(super) struct Batches<'a> {
    config: &'a TrainConfig,
    pub(super) dataset: &'a Dataset,
    input: InputSpec,
    tasks: Rc<Tasks>,
    /// The photos of the training split.
    pub(super) train: Vec<usize>,
    sampler: Sampler,
    mixer: Mixer,
    /// The features of a frozen backbone, once they are computed.
    pub(super) kept: Option<Kept>,
    /// What a teacher says, once it has been asked.
    pub(super) soft: Option<Soft>,
    pub(super) loading: LoaderConfig,
    /// Which of how many processes this one is: it loads the photos of its parts.
    pub(super) place: (usize, usize),
}

impl<'a> Batches<'a> {
    /// Of the training split, all of it for this process.
    ///
    /// # Errors
    /// [`Error::EmptySplit`](crate::Error::EmptySplit) if it has too few photos, or none that a setting asks for.
    pub(super) fn new(
        config: &'a TrainConfig,
        spec: &ModelSpec,
        tasks: Rc<Tasks>,
        dataset: &'a Dataset,
    ) -> Result<Self> {
        let train = dataset.indices(Split::Train);
        let sampler = Sampler::new(&config.sampling, spec, dataset, &train)?;
        if sampler.photos() < 2 {
            return Err(empty_split(
                dataset,
                Split::Train,
                "training needs at least two photos, or persons with sampling=one_photo_a_person; look at the `split` column or train.split",
            ));
        }
        let end = config.epochs.saturating_sub(config.mix_off);
        Ok(Self {
            mixer: Mixer::new(config.mixes(), (config.seed, end), spec, dataset, &train)?,
            input: spec.input.clone(),
            kept: None,
            soft: None,
            loading: LoaderConfig::new(config.queue_mib),
            place: (0, 1),
            config,
            dataset,
            tasks,
            train,
            sampler,
        })
    }

    /// Steps an epoch has.
    pub(super) fn steps(&self) -> usize {
        let (photos, batch) = (self.sampler.photos(), self.config.batch);
        // One photo alone has no partner to mix with and hardly any statistics.
        photos / batch + usize::from(photos % batch > 1)
    }

    /// Photos of its largest step.
    pub(super) fn largest(&self) -> usize {
        self.sampler.photos().min(self.config.batch)
    }

    /// The batches of an epoch, of each this process's share, loaded ahead from step `first` on.
    ///
    /// # Errors
    /// If the loader cannot be started.
    pub(super) fn epoch(&self, epoch: usize, first: usize) -> Result<EpochBatches<'_>> {
        let size = self.config.size_of_epoch(self.input.size, epoch);
        let draw = |photos: &[usize], step| self.mixer.draw(photos, Draw { epoch, step, size });
        self.drawn(epoch, first, (self.place, size), &draw)
    }

    /// The same photos, all of them, none of them mixed, and whole.
    ///
    /// # Errors
    /// As [`epoch`](Self::epoch).
    pub(super) fn unmixed(&self, epoch: usize) -> Result<EpochBatches<'_>> {
        self.drawn(epoch, 0, ((0, 1), self.input.size), &|_, _| None)
    }

    fn drawn(
        &self,
        epoch: usize,
        first: usize,
        (place, size): ((usize, usize), [usize; 2]),
        mix: &dyn Fn(&[usize], usize) -> Option<StepMix>,
    ) -> Result<EpochBatches<'_>> {
        let order = self.sampler.order(self.config.seed, epoch);
        let chunks = order.chunks(self.config.batch).take(self.steps());
        let steps = chunks.enumerate().map(|(step, photos)| Step {
            mix: mix(photos, step),
            cut: Cut::new(photos.len(), self.config.parts, place),
            photos: photos.to_vec(),
        });
        let steps: Vec<Step> = steps.collect();
        Ok(EpochBatches {
            source: match &self.kept {
                Some(kept) => Source::Kept(kept),
                None => Source::Photos(self.loader(epoch, &steps, (first, size))?),
            },
            batches: self,
            epoch,
            size,
            steps,
        })
    }

    /// Loads the photos of steps ahead, from step `first` on, in this size.
    fn loader(
        &self,
        epoch: usize,
        steps: &[Step],
        (first, size): (usize, [usize; 2]),
    ) -> Result<Loader> {
        let mut drawn = BTreeMap::new();
        let mut jobs = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let rows = step.cut.rows();
            let all = [step.photos.as_slice(), step.partners()];
            let all = all.iter().flat_map(|of| of.iter().enumerate());
            for (row, place) in all {
                let index = self.train[*place];
                let again = drawn.entry(index).or_insert(0);
                if number >= first && rows.contains(&row) {
                    jobs.push(Job {
                        index,
                        again: *again,
                        photo: (&self.dataset.samples[index]).into(),
                    });
                }
                *again += 1;
            }
        }
        let config = self.config;
        let input = InputSpec {
            size,
            ..self.input.clone()
        };
        Loader::start(
            jobs,
            &input,
            Some(config.augment),
            config.seed,
            epoch,
            self.loading,
        )
    }

    /// Each head's targets of photos, places in `train`.
    pub(super) fn targets(&self, photos: &[usize]) -> Vec<Targets> {
        let of = |place: &usize| {
            let sample = &self.dataset.samples[self.train[*place]];
            let said = self.soft.as_ref().map(|soft| soft.of(*place));
            (sample.values.as_slice(), said)
        };
        self.tasks.targets(photos.iter().map(of))
    }
}

/// The photos of one step, places in `train`, and what is mixed with them.
struct Step {
    photos: Vec<usize>,
    mix: Option<StepMix>,
    cut: Cut,
}

impl Step {
    /// The photos that are mixed in, which are loaded beside those of their rows.
    fn partners(&self) -> &[usize] {
        self.mix.as_ref().map_or(&[], |mix| &mix.partners)
    }

    /// The photos that are loaded here, and those that are loaded to be mixed in.
    fn loaded(&self) -> [&[usize]; 2] {
        let rows = self.cut.rows();
        let partners = self.partners();
        [
            &self.photos[rows.clone()],
            partners.get(rows).unwrap_or_default(),
        ]
    }
}

enum Source<'a> {
    Photos(Loader),
    Kept(&'a Kept),
}

/// The batches of one epoch, to be taken in their order.
pub(super) struct EpochBatches<'a> {
    batches: &'a Batches<'a>,
    epoch: usize,
    /// Height and width of the photos.
    size: [usize; 2],
    steps: Vec<Step>,
    source: Source<'a>,
}

impl EpochBatches<'_> {
    /// The photos of a step, as places in the data set.
    pub(super) fn photos(&self, number: usize) -> impl Iterator<Item = usize> + '_ {
        let places = self.steps[number].photos.iter();
        places.map(|place| self.batches.train[*place])
    }

    /// The batch of a step: that after the one before, or the first that is loaded.
    ///
    /// # Errors
    /// If a photo cannot be read.
    pub(super) fn load(&mut self, number: usize) -> Result<Batch> {
        let (batches, epoch, size) = (self.batches, self.epoch, self.size);
        let step = &self.steps[number];
        let mut targets = batches.targets(&step.photos);
        let other_targets = batches.targets(step.partners());
        let mut mix = |values: &mut [f32], others: &mut dyn Iterator<Item = Result<Vec<f32>>>| {
            let at = Draw {
                epoch,
                step: number,
                size,
            };
            let Some(mix) = &step.mix else {
                return Ok(());
            };
            let batch = (values, targets.as_mut_slice());
            let mixer = &batches.mixer;
            let photos = (step.photos.as_slice(), &step.cut);
            mixer.mix(mix, at, photos, batch, others, &other_targets)
        };
        let [photos, partners] = step.loaded();
        let inputs = match &mut self.source {
            Source::Kept(kept) => {
                let features = kept.rows(epoch, photos)?;
                let mut values: Vec<f32> = features.flatten_all()?.to_vec1()?;
                let others = match partners {
                    [] => Vec::new(),
                    partners => kept.rows(epoch, partners)?.to_vec2()?,
                };
                mix(&mut values, &mut others.into_iter().map(Ok))?;
                Inputs::Features(Tensor::from_vec(values, features.shape(), &Device::Cpu)?)
            }
            Source::Photos(loader) => {
                let channels = batches.input.channels;
                let shape = (photos.len(), channels, size[0], size[1]);
                let mut pixels = Vec::with_capacity(shape.0 * channels * size[0] * size[1]);
                for photo in loader.by_ref().take(photos.len()) {
                    pixels.extend_from_slice(&photo?.pixels);
                }
                let others = loader.take(partners.len());
                mix(&mut pixels, &mut others.map(|p| Ok(p?.pixels)))?;
                Inputs::Photos(Tensor::from_vec(pixels, shape, &Device::Cpu)?)
            }
        };
        Ok(Batch {
            inputs,
            targets,
            photos: step.photos.len(),
            cut: step.cut.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::portraits::{PortraitConfig, write_portraits};
    use crate::data::targets::classes;
    use crate::train::config::Config;
    use crate::train::mix::blend::{Mixing, Patch};
    use std::path::Path;

    /// The batches of 20 drawn people, photos as they are; `mix` gets the name of the first photo's class.
    fn with_batches(
        mix: impl Fn(&str) -> String,
        settings: &[&str],
        check: impl FnOnce(&Batches, &[Option<usize>]),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let portraits = PortraitConfig {
            people: 20,
            seed: 1,
            size: (48, 48),
        };
        let data = write_portraits(&dir.path().join("faces"), &portraits).unwrap();
        let heads = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/heads"));
        let load = |more: &[String]| {
            let base = [
                "model.input.size=[32,32]",
                "model.weights=",
                "train.batch=8",
                "train.augment.flip=0",
            ];
            let base = base.iter().chain(settings).map(ToString::to_string);
            let all: Vec<String> = base.chain(more.iter().cloned()).collect();
            Config::load(heads, None, &all).unwrap()
        };
        let spec = load(&[]).model_spec().unwrap();
        let dataset = Dataset::open(&[data], &spec.heads).unwrap();
        let train = dataset.indices(Split::Train);
        let taxonomy = spec.taxonomy().unwrap();
        let classes = classes(&taxonomy, &dataset, &train);
        let name = taxonomy.class_name(classes[0].unwrap()).unwrap();
        let config = load(&[format!("train.mix={}", mix(&name))]);
        let tasks = Rc::new(Tasks::new(&spec).unwrap());
        check(
            &Batches::new(&config.train, &spec, tasks, &dataset).unwrap(),
            &classes,
        );
    }

    /// The photos and targets of the first step of an epoch.
    fn first(mut epoch: EpochBatches) -> (Vec<Vec<f32>>, Vec<Targets>) {
        let batch = epoch.load(0).unwrap();
        let Inputs::Photos(pixels) = batch.inputs else {
            panic!("features where photos were asked for");
        };
        let all: Vec<f32> = pixels.flatten_all().unwrap().to_vec1().unwrap();
        let rows = all.chunks_exact(all.len() / batch.photos);
        (rows.map(<[f32]>::to_vec).collect(), batch.targets)
    }

    #[test]
    fn aimed_mixing_pastes_half_of_a_photo_of_the_named_class_and_half_of_its_targets() {
        let mix = |name: &str| format!("[{{kind='half_paste',partner={{classes=['{name}']}}}}]");
        with_batches(mix, &[], |batches, classes| {
            let epoch = batches.epoch(0, 0).unwrap();
            let of_class = classes.iter().filter(|c| **c == classes[0]).count();
            assert!(of_class < classes.len());
            for step in &epoch.steps {
                assert_eq!(step.partners().len(), step.photos.len());
                for (photo, partner) in step.photos.iter().zip(step.partners()) {
                    assert_eq!(classes[*partner], classes[0]);
                    assert!(photo != partner || of_class == 1);
                }
            }
            let partners = epoch.steps[0].partners().to_vec();
            let theirs = batches.targets(&partners);
            let others: Vec<Vec<f32>> = partners
                .iter()
                .map(|p| {
                    let path = batches.dataset.samples[batches.train[*p]].path();
                    let prepared = batches.input.prepare(&batches.input.hold(path).unwrap());
                    let mut pixels = vec![0.0; 3 * 32 * 32];
                    let input = &batches.input;
                    input
                        .normalise_into(&prepared.unwrap(), &mut pixels)
                        .unwrap();
                    pixels
                })
                .collect();
            let (mixed, targets) = first(epoch);
            let (plain, own) = first(batches.unmixed(0).unwrap());
            let half = (0..4).find(|which| {
                let patch = Mixing::Paste(Patch::half(*which, [32, 32]));
                let mut expected = plain.clone();
                for (image, other) in expected.iter_mut().zip(&others) {
                    patch.mix_in(image, other);
                }
                expected == mixed
            });
            assert!(half.is_some());
            assert_ne!(mixed, plain);
            for ((found, own), theirs) in targets.iter().zip(&own).zip(&theirs) {
                for (i, value) in found.rows.iter().enumerate() {
                    assert_eq!(*value, 0.5 * own.rows[i] + 0.5 * theirs.rows[i]);
                }
            }
        });
    }

    #[test]
    fn photos_mixed_within_their_class_or_label_keep_its_targets() {
        for (partner, kept) in [
            ("'same_class'", &[0, 1, 2][..]),
            ("{same_label='gender'}", &[1]),
        ] {
            let mix = |_: &str| format!("[{{kind={{mix_up={{alpha=2.0}}}},partner={partner}}}]");
            with_batches(mix, &["train.batch=16"], |batches, _| {
                let (mixed, targets) = first(batches.epoch(0, 0).unwrap());
                let (plain, own) = first(batches.unmixed(0).unwrap());
                let changed = mixed.iter().zip(&plain).filter(|(a, b)| a != b).count();
                assert!(changed >= 2, "{partner}: {changed}");
                for (head, (found, own)) in targets.iter().zip(&own).enumerate() {
                    let apart = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-6;
                    let moved = found.rows.iter().zip(&own.rows).any(apart);
                    assert_eq!(moved, !kept.contains(&head), "{partner}, head {head}");
                }
            });
        }
    }

    #[test]
    fn ways_of_mixing_alternate_by_their_probabilities_and_end_before_the_last_epochs() {
        let mix = |_: &str| {
            "[{kind={cut_mix={}},probability=0.5},{kind={mix_up={}},probability=0.2}]".to_string()
        };
        with_batches(
            mix,
            &["train.epochs=60", "train.mix_off=10"],
            |batches, _| {
                let size = batches.input.size;
                let draw = |epoch, step| batches.mixer.draw(&[0, 1], Draw { epoch, step, size });
                let mut counts = [0f64; 3];
                for epoch in 0..50 {
                    for step in 0..40 {
                        counts[draw(epoch, step).map_or(2, |mix| mix.rule)] += 1.0;
                    }
                }
                for (count, share) in counts.iter().zip([0.5, 0.2, 0.3]) {
                    // Five standard errors.
                    let tolerance = 5.0 * (share * (1.0 - share) / 2000f64).sqrt();
                    assert!((count / 2000.0 - share).abs() < tolerance, "{counts:?}");
                }
                assert!((50..60).all(|epoch| draw(epoch, 0).is_none()));
            },
        );
    }
}
