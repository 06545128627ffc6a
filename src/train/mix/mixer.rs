//! Which rule of mixing a step follows, and whom its photos are mixed with.

use super::blend::{Mixing, Patch, draw_lambda, mix_pairs, mix_targets, opposite, opposite_alike};
use super::rule::{MixKind, MixRule, Partner};
use crate::data::dataset::{Dataset, Split, empty_split};
use crate::data::targets::{Targets, classes, labels_that_apply};
use crate::error::Result;
use crate::model::ModelSpec;
use crate::random::rng::{Purpose, keyed};
use crate::train::parts::Cut;
use rand::Rng;
use std::ops::Range;

/// The rules of a run, ready for its photos.
pub(in crate::train) struct Mixer {
    rules: Vec<(MixRule, Partners)>,
    seed: u64,
    /// The first epoch in which nothing is mixed.
    end: usize,
}

/// Where a rule finds partners. Photos are places in the training split.
enum Partners {
    /// Opposite in the batch.
    Opposite,
    /// In the batch, of the same key: one for each photo.
    Alike(Vec<Option<usize>>),
    /// Drawn from these, and loaded beside the batch.
    Drawn(Vec<usize>),
}

/// Where the draws of a step stand.
#[derive(Clone, Copy)]
pub(in crate::train) struct Draw {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Step within the epoch, from 0.
    pub step: usize,
    /// Height and width of its photos.
    pub size: [usize; 2],
}

/// What one step does: the place of its rule, and the photos that are loaded as partners, one for each of the batch, or none.
pub(in crate::train) struct StepMix {
    pub rule: usize,
    pub partners: Vec<usize>,
}

impl Mixer {
    /// For the photos `train` of a data set, with the rules of a run that mixes nothing from epoch `end` on.
    ///
    /// # Errors
    /// [`Error::EmptySplit`](crate::Error::EmptySplit) if no photo is of a class that partners are drawn from.
    pub(in crate::train) fn new(
        rules: Vec<MixRule>,
        (seed, end): (u64, usize),
        spec: &ModelSpec,
        dataset: &Dataset,
        train: &[usize],
    ) -> Result<Self> {
        let taxonomy = spec.taxonomy()?;
        let partners = |rule: &MixRule| match &rule.partner {
            Partner::Any => Ok(Partners::Opposite),
            Partner::SameClass => Ok(Partners::Alike(classes(&taxonomy, dataset, train))),
            Partner::SameLabel(head) => {
                let head = spec.head_index(head)?;
                let label = |i: &usize| labels_that_apply(&taxonomy, dataset, *i)[head];
                Ok(Partners::Alike(train.iter().map(label).collect()))
            }
            Partner::Classes(names) => {
                let all = taxonomy.class_names();
                let wanted = |class: Option<usize>| class.is_some_and(|c| names.contains(&all[c]));
                let classes = classes(&taxonomy, dataset, train);
                let from = (0..train.len()).filter(|i| wanted(classes[*i]));
                let from: Vec<usize> = from.collect();
                if from.is_empty() {
                    let reason = format!(
                        "no photo of it has a final class of train.mix, partner.classes ({})",
                        names.join(", ")
                    );
                    return Err(empty_split(dataset, Split::Train, &reason));
                }
                Ok(Partners::Drawn(from))
            }
        };
        let with_partners = |rule: MixRule| {
            let partners = partners(&rule)?;
            Ok((rule, partners))
        };
        Ok(Self {
            rules: rules
                .into_iter()
                .map(with_partners)
                .collect::<Result<_>>()?,
            seed,
            end,
        })
    }

    /// Whether a step mixes the photos of its batch, and how.
    pub(in crate::train) fn draw(&self, photos: &[usize], at: Draw) -> Option<StepMix> {
        if at.epoch >= self.end {
            return None;
        }
        let (epoch, step) = (at.epoch as u64, at.step as u64);
        let mut place = keyed(self.seed, Purpose::MixRule, epoch, step).random::<f64>();
        let rule = self.rules.iter().position(|(rule, _)| {
            place -= rule.probability;
            place < 0.0
        })?;
        let mut rng = keyed(self.seed, Purpose::Partner, epoch, step);
        let partners = match &self.rules[rule].1 {
            Partners::Opposite | Partners::Alike(_) => Vec::new(),
            Partners::Drawn(from) => {
                let partner = |photo: &usize| {
                    let drawn = rng.random_range(0..from.len());
                    // Not itself, if there is another.
                    if from[drawn] == *photo {
                        from[(drawn + 1) % from.len()]
                    } else {
                        from[drawn]
                    }
                };
                photos.iter().map(partner).collect()
            }
        };
        Some(StepMix { rule, partners })
    }

    /// Mixes a batch in place, each of its parts by itself: the pixels of the parts that are computed here, and the targets of
    /// all. `others` are the partners that are loaded beside those pixels, of which one is held at a time, and `other_targets`
    /// those of the whole batch.
    ///
    /// # Shapes
    /// `values` `(rows, …)` flat, the rows those of `cut`; each of `targets` of the whole batch, the batch one of `photos`.
    ///
    /// # Errors
    /// If a partner cannot be loaded.
    pub(in crate::train) fn mix(
        &self,
        mix: &StepMix,
        at: Draw,
        (photos, cut): (&[usize], &Cut),
        (values, targets): (&mut [f32], &mut [Targets]),
        others: impl Iterator<Item = Result<Vec<f32>>>,
        other_targets: &[Targets],
    ) -> Result<()> {
        let (rule, partners) = &self.rules[mix.rule];
        let how = self.how(rule.kind, at)?;
        let rows = cut.rows();
        if let Partners::Drawn(_) = partners {
            let size = values.len() / rows.len().max(1);
            for (image, other) in values.chunks_exact_mut(size.max(1)).zip(others) {
                how.mix_in(image, &other?);
            }
            mix_targets(targets, other_targets, how.lambda());
            return Ok(());
        }
        let of_part = |part: &Range<usize>| -> Vec<usize> {
            let places = match partners {
                Partners::Alike(keys) => {
                    let keys = photos[part.clone()].iter().map(|p| keys[*p]);
                    opposite_alike(&Vec::from_iter(keys))
                }
                Partners::Opposite | Partners::Drawn(_) => opposite(part.len()),
            };
            places.iter().map(|place| part.start + place).collect()
        };
        let partners: Vec<usize> = cut.parts.iter().flat_map(of_part).collect();
        let own: Vec<usize> = partners[rows.clone()]
            .iter()
            .map(|place| place - rows.start)
            .collect();
        mix_pairs(values, &mut [], &own, &how);
        mix_pairs(&mut [], targets, &partners, &how);
        Ok(())
    }

    /// λ and the rectangle of one step.
    fn how(&self, kind: MixKind, at: Draw) -> Result<Mixing> {
        let (epoch, step) = (at.epoch as u64, at.step as u64);
        let mut rng = keyed(self.seed, Purpose::Patch, epoch, step);
        let lambda = draw_lambda(kind.alpha().unwrap_or(0.0), self.seed, epoch, step)?;
        Ok(match kind {
            MixKind::MixUp { .. } | MixKind::FeatureMixUp { .. } => Mixing::Blend(lambda),
            MixKind::CutMix { .. } => {
                let centre = at.size.map(|side| rng.random_range(0..side));
                Mixing::Paste(Patch::around(centre, lambda, at.size))
            }
            MixKind::HalfPaste => Mixing::Paste(Patch::half(rng.random_range(0..4), at.size)),
        })
    }
}
