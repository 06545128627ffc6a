//! Reads everything a training run would read, and lists every fault at once.

use super::columns::{ColumnNames, Naming};
use super::corrections::{Corrections, CorrectionsReport};
use super::dataset::{Dataset, Fault, Sample, Value};
use super::faults::by_kind;
use super::named_photo::NamedPhoto;
use super::seen::{Content, copies};
use super::targets;
use crate::error::Result;
use crate::input::InputSpec;
use crate::model::ModelSpec;
use crate::taxonomy::Taxonomy;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Photos that are looked at before what was seen of them is counted.
const STRETCH: usize = 1 << 14;

/// How often the labels of one head occur among the usable rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeadCounts {
    /// The head.
    pub head: String,
    /// Its labels and their numbers of photos, in order.
    pub labels: Vec<(String, usize)>,
    /// Its groups, and the photos of which no more than the group is known, in order; those of no photo are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<(String, usize)>,
    /// Photos whose label is not known although the head may apply.
    pub missing: usize,
    /// Photos that have none of the labels, of a head of several at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub none: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What was found. [`Display`](fmt::Display) gives a text, faults last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The listings.
    pub sources: Vec<PathBuf>,
    /// Photos listed in usable rows.
    pub photos: usize,
    /// Different persons; a photo of nobody known counts as a person.
    pub persons: usize,
    /// Photos with no label for any head.
    pub without_label: usize,
    /// Smallest height and width, largest height and width of the photos that could be read; `None` if there are none.
    pub sizes: Option<[usize; 4]>,
    /// Photos smaller than the crop in a direction, which are used whole in that direction.
    pub smaller_than_crop: usize,
    /// Counts of each head.
    pub heads: Vec<HeadCounts>,
    /// Everything that cannot be used, ordered by source and line.
    pub faults: Vec<Fault>,
    /// [`Dataset::fingerprint`] of the usable rows.
    pub fingerprint: String,
    /// What corrections did, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrections: Option<CorrectionsReport>,
    /// Of each photo, `None` for one that cannot be read.
    #[serde(skip)]
    contents: Vec<Option<Content>>,
}

impl CheckReport {
    /// What to say of photos that are equal to the byte and stand on two sides, if there are any, now that these photos, which
    /// are those that were looked at, stand on sides.
    #[doc(hidden)]
    pub fn copies(&self, dataset: &Dataset) -> Option<String> {
        copies(dataset, &self.contents)
    }
}

/// Reads the listings, applies the corrections, then, with `photos`, decodes and prepares every photo on all of rayon's threads.
/// `progress` is told photos done and photos in all.
///
/// # Errors
/// As [`Dataset::read`], [`Corrections::apply`] and [`InputSpec::validate`]; faults of rows and photos are no errors but part of
/// the report.
pub(crate) fn check(
    paths: &[PathBuf],
    columns: &ColumnNames,
    spec: &ModelSpec,
    corrections: &Corrections,
    photos: bool,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<CheckReport> {
    let input = &spec.input;
    input.validate()?;
    let (mut dataset, mut faults) =
        Dataset::read_named(paths, &spec.heads, Naming::given(columns))?;
    let corrected = corrections.apply(&mut dataset)?;
    let taxonomy = spec.taxonomy()?;
    faults.extend(dataset.contradictions(&taxonomy));
    let done = AtomicUsize::new(0);
    let total = dataset.samples.len();
    let mut range: Option<[usize; 4]> = None;
    let mut smaller_than_crop = 0;
    let mut contents = Vec::new();
    // In stretches: what is known of a photo while it is looked at is more than what is kept of millions.
    let looked_at = if photos { &dataset.samples[..] } else { &[] };
    for stretch in looked_at.chunks(STRETCH) {
        let looked: Vec<std::result::Result<_, Fault>> = stretch
            .par_iter()
            .map(|sample| {
                let looked = open(sample, input);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                looked.map_err(|message| dataset.fault(sample, message))
            })
            .collect();
        for looked in looked {
            let [height, width] = match looked {
                Ok((size, content)) => {
                    contents.push(Some(content));
                    size
                }
                Err(fault) => {
                    contents.push(None);
                    faults.push(fault);
                    continue;
                }
            };
            let [a, b, c, d] = range.unwrap_or([height, width, height, width]);
            range = Some([a.min(height), b.min(width), c.max(height), d.max(width)]);
            if input.crop.is_some_and(|[h, w]| height < h || width < w) {
                smaller_than_crop += 1;
            }
        }
    }
    faults.sort_by_key(|f| (f.source, f.row));
    Ok(CheckReport {
        photos: total,
        persons: dataset.persons_of(&dataset.by_person(|_| true)).count(),
        without_label: dataset
            .samples
            .iter()
            .filter(|s| s.values.iter().all(Option::is_none))
            .count(),
        sizes: range,
        smaller_than_crop,
        heads: count(&dataset, &taxonomy),
        faults,
        fingerprint: dataset.fingerprint(),
        corrections: (!dataset.corrections.is_empty()).then_some(corrected),
        sources: dataset.sources,
        contents,
    })
}

/// Height and width of a photo, and its content; or why it cannot be used.
pub(crate) fn open(
    sample: &Sample,
    input: &InputSpec,
) -> std::result::Result<([usize; 2], Content), String> {
    let opened = || {
        let of_input = std::slice::from_ref(input);
        let (photo, content) = NamedPhoto::from(sample).read(input.channels, of_input)?;
        input.prepare(&photo)?;
        Ok((photo.sides(), content))
    };
    opened().map_err(|e: crate::Error| format!("{e:#}"))
}

fn count(dataset: &Dataset, taxonomy: &Taxonomy) -> Vec<HeadCounts> {
    let mut counts: Vec<HeadCounts> = dataset
        .heads
        .iter()
        .map(|head| HeadCounts {
            head: head.name.clone(),
            labels: head.labels.names.iter().map(|l| (l.clone(), 0)).collect(),
            groups: head.labels.groups.keys().map(|g| (g.clone(), 0)).collect(),
            missing: 0,
            none: 0,
        })
        .collect();
    for sample in &dataset.samples {
        let labels = targets::labels(&dataset.heads, sample);
        let applies = taxonomy.applies(&labels);
        let of_heads = counts.iter_mut().zip(&sample.values).zip(applies);
        let of_heads = of_heads.enumerate();
        for (h, ((counts, value), _)) in of_heads.filter(|(_, (_, a))| *a != Some(false)) {
            let Some(value) = value else {
                counts.missing += 1;
                continue;
            };
            if let Value::Group(group) = value {
                counts
                    .groups
                    .iter_mut()
                    .skip(*group)
                    .take(1)
                    .for_each(|(_, n)| *n += 1);
                continue;
            }
            let of_photo = targets::labels_of(&dataset.heads[h], value);
            counts.none += usize::from(of_photo.is_empty());
            for label in of_photo {
                if let Some((_, n)) = counts.labels.get_mut(label) {
                    *n += 1;
                }
            }
        }
    }
    for of_head in &mut counts {
        of_head.groups.retain(|(_, photos)| *photos > 0);
    }
    counts
}

impl Dataset {
    /// Rows whose known labels are a combination that is declared impossible.
    pub(crate) fn contradictions(&self, taxonomy: &Taxonomy) -> Vec<Fault> {
        let fault = |sample: &Sample| {
            let known = targets::labels(&self.heads, sample);
            (!taxonomy.is_possible(&known)).then(|| self.fault(sample, format!(
                    "a combination of labels that is possible is needed, found {}, which model.impossible rules out",
                    taxonomy.name_of(&known))))
        };
        self.samples.iter().filter_map(fault).collect()
    }

    /// Refuses combinations of labels that are declared impossible.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) with file and line of the first.
    pub(crate) fn check_possible(&self, taxonomy: &Taxonomy) -> Result<()> {
        match self.contradictions(taxonomy).into_iter().next() {
            Some(first) => Err(first.into()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} photos of {} persons", self.photos, self.persons)?;
        if let Some([h, w, high, wide]) = self.sizes {
            write!(f, ", {h}×{w} to {high}×{wide} pixels (height × width)")?;
        }
        writeln!(f)?;
        for head in &self.heads {
            let labels: Vec<String> = head
                .labels
                .iter()
                .map(|(l, n)| format!("{l} {n}"))
                .collect();
            write!(f, "{}: {}", head.head, labels.join(", "))?;
            for (group, photos) in &head.groups {
                write!(f, ", of {group} without a label {photos}")?;
            }
            if head.none > 0 {
                write!(f, ", none of them {}", head.none)?;
            }
            match head.missing {
                0 => writeln!(f)?,
                n => writeln!(f, ", not known {n}")?,
            }
        }
        for (what, n) in [
            ("photos without any label", self.without_label),
            ("photos smaller than the crop", self.smaller_than_crop),
        ] {
            if n > 0 {
                writeln!(f, "{what}: {n}")?;
            }
        }
        if let Some(corrections) = &self.corrections {
            writeln!(f, "{corrections}")?;
        }
        writeln!(f, "fingerprint: {}", self.fingerprint)?;
        write!(f, "faults: {}", self.faults.len())?;
        for line in by_kind(&self.faults) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}
