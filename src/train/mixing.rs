//! The photos of each step, and what they are mixed with.

use super::config::{MixKind, MixRule, Partner};
use super::mix::{
    Mixing, Patch, Targets, draw_lambda, mix_pairs, mix_targets, opposite, opposite_alike,
};
use super::source::Source;
use super::trainer::{Run, steps_of};
use crate::data::dataset::{Dataset, Split, empty_split};
use crate::data::loader::{Job, Loader};
use crate::data::sampling::classes;
use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::random::rng::{Purpose, keyed};
use candle_core::{Device, Tensor};
use rand::Rng;
use std::collections::BTreeMap;

/// The photos of one step, as places in `train`.
pub(super) struct Batch {
    pub photos: Vec<usize>,
    /// The way of mixing, if any.
    mix: Option<usize>,
    /// Partners that are loaded beside the photos, one for each; none if the way of mixing finds them in the batch.
    partners: Vec<usize>,
}

impl Batch {
    /// The same photos, unmixed.
    pub(super) fn unmixed(self) -> Self {
        Self {
            mix: None,
            partners: Vec::new(),
            ..self
        }
    }
}

/// A way of mixing, and the photos that partners are drawn from, as places in `train`.
pub(super) struct Mix {
    rule: MixRule,
    from: Vec<usize>,
}

impl Mix {
    /// The ways of mixing of a configuration, for the photos `train`.
    pub(super) fn all(
        rules: Vec<MixRule>,
        spec: &ModelSpec,
        dataset: &Dataset,
        train: &[usize],
    ) -> Result<Vec<Self>> {
        let new = |rule: MixRule| {
            let mut from = Vec::new();
            if let Partner::Classes(names) = &rule.partner {
                let all = spec.taxonomy()?.class_names();
                let wanted = |class: &Option<usize>| class.is_some_and(|c| names.contains(&all[c]));
                let classes = classes(spec, dataset, train)?;
                from = (0..train.len()).filter(|i| wanted(&classes[*i])).collect();
                if from.is_empty() {
                    let reason = format!(
                        "no photo of it has a final class of train.mix, partner.classes ({})",
                        names.join(", ")
                    );
                    return Err(empty_split(dataset, Split::Train, &reason));
                }
            }
            Ok(Self { rule, from })
        };
        rules.into_iter().map(new).collect()
    }
}

impl Run<'_> {
    /// The batches of an epoch.
    pub(super) fn batches(&self, epoch: usize) -> Vec<Batch> {
        let config = &self.config.train;
        let order = self.sampler.order(config.seed, epoch);
        let batches = order.chunks(config.batch).zip(0..);
        batches
            .take(steps_of(self.config, order.len()))
            .map(|(photos, step)| self.batch(photos.to_vec(), epoch, step))
            .collect()
    }

    fn batch(&self, photos: Vec<usize>, epoch: usize, step: u64) -> Batch {
        let config = &self.config.train;
        let mix = if epoch + config.mix_off >= config.epochs {
            None
        } else {
            let mut rng = keyed(config.seed, Purpose::MixRule, epoch as u64, step);
            let mut at = rng.random::<f64>();
            self.mixes.iter().position(|mix| {
                at -= mix.rule.probability;
                at < 0.0
            })
        };
        let from = mix.map_or(&[][..], |m| self.mixes[m].from.as_slice());
        let mut rng = keyed(config.seed, Purpose::Partner, epoch as u64, step);
        let partner = |photo: &usize| {
            let drawn = rng.random_range(0..from.len());
            // Not itself, if there is another.
            if from[drawn] == *photo {
                from[(drawn + 1) % from.len()]
            } else {
                from[drawn]
            }
        };
        let partners = match from {
            [] => Vec::new(),
            _ => photos.iter().map(partner).collect(),
        };
        Batch {
            photos,
            mix,
            partners,
        }
    }

    /// Loads the photos of an epoch's batches ahead, from batch `first` on, if photos are needed.
    pub(super) fn loader(
        &self,
        epoch: usize,
        batches: &[Batch],
        first: usize,
    ) -> Result<Option<Loader>> {
        if let Source::Kept(_) = self.source {
            return Ok(None);
        }
        let config = &self.config.train;
        let mut drawn = BTreeMap::new();
        let mut jobs = Vec::new();
        for (step, batch) in batches.iter().enumerate() {
            for place in batch.photos.iter().chain(&batch.partners) {
                let index = self.train[*place];
                let again = drawn.entry(index).or_insert(0);
                if step >= first {
                    jobs.push(Job {
                        index,
                        again: *again,
                        path: self.dataset.samples[index].path.clone(),
                    });
                }
                *again += 1;
            }
        }
        let loader = Loader::start(
            jobs,
            &self.spec.input,
            Some(config.augment),
            config.seed,
            epoch,
            self.queue.workers,
            self.queue.bytes,
        )?;
        Ok(Some(loader))
    }

    /// What goes into the model in one step, photos or features, and the heads' targets; mixed.
    pub(super) fn inputs(
        &self,
        epoch: usize,
        step: usize,
        batch: &Batch,
        loader: Option<&mut Loader>,
    ) -> Result<(Tensor, Vec<Targets>)> {
        let mut targets = self.targets(&batch.photos);
        let n = batch.photos.len();
        let (values, shape) = match (&self.source, loader) {
            (Source::Kept(kept), _) => {
                let features = kept.train(epoch, &batch.photos)?;
                if batch.mix.is_none() {
                    return Ok((features, targets));
                }
                let mut values: Vec<f32> = features.flatten_all()?.to_vec1()?;
                let others = if batch.partners.is_empty() {
                    Vec::new()
                } else {
                    kept.train(epoch, &batch.partners)?.to_vec2()?
                };
                let others = others.into_iter().map(Ok);
                self.mix(epoch, step, batch, &mut values, others, &mut targets)?;
                (values, features.dims().to_vec())
            }
            (Source::Photos, Some(loader)) => {
                let photos = loader.by_ref().take(n).collect::<Result<Vec<_>>>()?;
                let [h, w] = self.spec.input.size;
                let mut pixels: Vec<f32> = photos.into_iter().flat_map(|p| p.pixels).collect();
                let others = loader.take(batch.partners.len()).map(|p| Ok(p?.pixels));
                self.mix(epoch, step, batch, &mut pixels, others, &mut targets)?;
                (pixels, vec![n, self.spec.input.channels, h, w])
            }
            (Source::Photos, None) => {
                return Err(Error::Invalid {
                    what: "a step on photos".into(),
                    expected: "a loader".into(),
                    found: "none".into(),
                });
            }
        };
        Ok((Tensor::from_vec(values, shape, &Device::Cpu)?, targets))
    }

    /// Mixes a batch in place. `others` are the batch's partners, of which one is held at a time.
    fn mix(
        &self,
        epoch: usize,
        step: usize,
        batch: &Batch,
        values: &mut [f32],
        others: impl Iterator<Item = Result<Vec<f32>>>,
        targets: &mut [Targets],
    ) -> Result<()> {
        let Some(mix) = batch.mix.map(|m| &self.mixes[m]) else {
            return Ok(());
        };
        let how = self.draw(mix.rule.kind, epoch as u64, step as u64)?;
        let sample = |place: &usize| &self.dataset.samples[self.train[*place]];
        let partners = match &mix.rule.partner {
            Partner::Any => opposite(batch.photos.len()),
            Partner::SameClass => {
                let photos: Vec<usize> = batch.photos.iter().map(|p| self.train[*p]).collect();
                opposite_alike(&classes(&self.spec, self.dataset, &photos)?)
            }
            Partner::SameLabel(head) => {
                let head = self.spec.head_index(head)?;
                let label = |place| self.tasks.labels(sample(place))[head];
                opposite_alike(&batch.photos.iter().map(label).collect::<Vec<_>>())
            }
            Partner::Classes(_) => {
                let size = values.len() / batch.photos.len();
                for (image, other) in values.chunks_exact_mut(size).zip(others) {
                    how.mix_in(image, &other?);
                }
                mix_targets(targets, &self.targets(&batch.partners), how.lambda());
                return Ok(());
            }
        };
        mix_pairs(values, targets, &partners, &how);
        Ok(())
    }

    /// λ and the rectangle of one step.
    fn draw(&self, kind: MixKind, epoch: u64, step: u64) -> Result<Mixing> {
        let (seed, size) = (self.config.train.seed, self.spec.input.size);
        let mut rng = keyed(seed, Purpose::Patch, epoch, step);
        let lambda = draw_lambda(kind.alpha().unwrap_or(0.0), seed, epoch, step)?;
        Ok(match kind {
            MixKind::MixUp { .. } | MixKind::FeatureMixUp { .. } => Mixing::Blend(lambda),
            MixKind::CutMix { .. } => {
                let centre = size.map(|side| rng.random_range(0..side));
                Mixing::Paste(Patch::around(centre, lambda, size))
            }
            MixKind::HalfPaste => Mixing::Paste(Patch::half(rng.random_range(0..4), size)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::portraits::{PortraitConfig, write_portraits};
    use crate::model_file::Tensors;
    use crate::train::config::Config;
    use crate::train::run::RunFolder;
    use std::path::Path;

    /// A run on 20 drawn people over a random backbone, photos as they are; `mix` gets the name of the first photo's class.
    fn with_run(mix: impl Fn(&str) -> String, settings: &[&str], check: impl FnOnce(&Run)) {
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
        let class = classes(&spec, &dataset, &train[..1]).unwrap()[0].unwrap();
        let name = spec.taxonomy().unwrap().class_name(class).unwrap();
        let config = load(&[format!("train.mix={}", mix(&name))]);
        let folder = RunFolder::create(&dir.path().join("run"), false).unwrap();
        check(&Run::new(&config, Tensors::new(), &dataset, folder, false).unwrap());
    }

    /// The first batch of an epoch as it is mixed, the same unmixed, and its partners.
    fn first(run: &Run) -> [(Vec<Vec<f32>>, Vec<Targets>); 3] {
        let mut batches = run.batches(0);
        let batch = batches.swap_remove(0);
        let plain = |photos: &[usize]| Batch {
            photos: photos.to_vec(),
            mix: None,
            partners: Vec::new(),
        };
        let (photos, partners) = (plain(&batch.photos), plain(&batch.partners));
        [batch, photos, partners].map(|batch| {
            if batch.photos.is_empty() {
                return (Vec::new(), Vec::new());
            }
            let batches = [batch];
            let mut loader = run.loader(0, &batches, 0).unwrap();
            let (pixels, targets) = run.inputs(0, 0, &batches[0], loader.as_mut()).unwrap();
            let all: Vec<f32> = pixels.flatten_all().unwrap().to_vec1().unwrap();
            let rows = all.chunks_exact(all.len() / batches[0].photos.len());
            (rows.map(<[f32]>::to_vec).collect(), targets)
        })
    }

    #[test]
    fn aimed_mixing_pastes_half_of_a_photo_of_the_named_class_and_half_of_its_targets() {
        let mix = |name: &str| format!("[{{kind='half_paste',partner={{classes=['{name}']}}}}]");
        with_run(mix, &[], |run| {
            let from = &run.mixes[0].from;
            let wanted = classes(&run.spec, run.dataset, &run.train).unwrap();
            assert!(from.iter().all(|p| wanted[*p] == wanted[0]), "{from:?}");
            assert!(from.len() < run.train.len());
            for batch in run.batches(0) {
                assert_eq!(batch.partners.len(), batch.photos.len());
                for (photo, partner) in batch.photos.iter().zip(&batch.partners) {
                    assert!(from.contains(partner));
                    assert!(photo != partner || from.len() == 1);
                }
            }
            let [(mixed, targets), (plain, own), (others, theirs)] = first(run);
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
            with_run(mix, &["train.batch=16"], |run| {
                let [(mixed, targets), (plain, own), _] = first(run);
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
        with_run(mix, &["train.epochs=60", "train.mix_off=10"], |run| {
            let mut counts = [0f64; 3];
            for epoch in 0..50 {
                for step in 0..40 {
                    let mix = run.batch(vec![0, 1], epoch, step).mix;
                    counts[mix.unwrap_or(2)] += 1.0;
                }
            }
            for (count, share) in counts.iter().zip([0.5, 0.2, 0.3]) {
                // Five standard errors.
                let tolerance = 5.0 * (share * (1.0 - share) / 2000f64).sqrt();
                assert!((count / 2000.0 - share).abs() < tolerance, "{counts:?}");
            }
            assert!((50..60).all(|e| run.batch(vec![0, 1], e, 0).mix.is_none()));
        });
    }
}
