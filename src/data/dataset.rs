//! Photos with their labels, whatever layout they were read from.

use super::sample::CorrectionsFile;
pub use super::sample::{Fault, PersonKey, Sample, Split, Value, person_key};
use super::seen::Contents;
use super::targets::check_values;
use crate::error::{Error, Result, row_word, shown};
use crate::head::{HeadSpec, LabelSpec};
use crate::location;
use crate::model_file::Seen;
use crate::tensors::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

/// All photos of a run.
///
/// ```no_run
/// use hydranet::data::{Dataset, Split};
/// use hydranet::train::Config;
///
/// let config = Config::load("heads".as_ref(), None, &[])?;
/// let mut dataset = Dataset::open(&["photos.csv".into()], &config.model_spec()?.heads)?;
/// dataset.put_on_sides(&config.train.split, config.train.seed, &[])?;
/// println!("{} photos to learn from", dataset.indices(Split::Train).len());
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The listings, in the order given.
    pub(crate) sources: Vec<PathBuf>,
    /// The heads that the values belong to.
    pub heads: Vec<HeadSpec>,
    /// The photos, source by source, in the order of the listings.
    pub samples: Vec<Sample>,
    /// The corrections that were applied to them, in order.
    pub(crate) corrections: Vec<CorrectionsFile>,
    /// Indices of photos that cannot be read and are passed over, see [`find_broken`](Self::find_broken).
    pub(crate) skipped: BTreeSet<usize>,
    /// Whom the weights have seen that a training starts from, see [`follow`](Self::follow).
    pub(crate) seen: Vec<Seen>,
    /// The contents of photos that were read before.
    pub(crate) contents: Contents,
}

impl Dataset {
    /// Photos of these heads, from wherever: the listing that messages name is `memory`.
    ///
    /// ```
    /// use hydranet::HeadSpec;
    /// use hydranet::data::{Dataset, Sample, Split, Value};
    ///
    /// let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
    /// let photos = (0..100).map(|i| {
    ///     let photo = hydranet::Photo { height: 32, width: 32, rgb: vec![2 * i; 3 * 32 * 32] };
    ///     let worn = Some(Value::Label(usize::from(i >= 50)));
    ///     Sample { split: Some(Split::Train), ..Sample::new(format!("{i}"), photo, vec![worn]) }
    /// });
    /// let dataset = Dataset::new(vec![mask], photos.collect())?;
    /// assert_eq!(dataset.indices(Split::Train).len(), 100);
    /// # Ok::<(), hydranet::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if a head is not valid, [`Error::Data`] naming the first photo with a value that is none of its
    /// heads' or with the name of another.
    pub fn new(heads: Vec<HeadSpec>, mut samples: Vec<Sample>) -> Result<Self> {
        heads.iter().try_for_each(HeadSpec::validate)?;
        samples.iter_mut().for_each(|sample| sample.source = 0);
        let dataset = Self {
            sources: vec!["memory".into()],
            samples,
            ..Self::empty(heads)
        };
        dataset.check(&dataset.heads)?;
        let mut names = HashSet::new();
        for sample in &dataset.samples {
            if !names.insert(&sample.name) {
                let name = &sample.name;
                let message =
                    format!("a name of its own is needed for every photo, found `{name}` twice");
                return Err(dataset.fault(sample, message).into());
            }
        }
        Ok(dataset)
    }

    /// Without a photo.
    pub(super) fn empty(heads: Vec<HeadSpec>) -> Self {
        Self {
            sources: Vec::new(),
            heads,
            samples: Vec::new(),
            corrections: Vec::new(),
            skipped: BTreeSet::new(),
            seen: Vec::new(),
            contents: Contents::default(),
        }
    }

    /// Checks that these are its heads, by name, labels, thresholds and what number they predict, in this order, and that
    /// every value is one of its head's.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what differs, [`Error::Data`] naming the first photo with a value that is none.
    pub fn check(&self, heads: &[HeadSpec]) -> Result<()> {
        let differ = |what: String, expected: String, found: String| {
            Err(Error::Invalid {
                what,
                expected,
                found,
            })
        };
        let names = |heads: &[HeadSpec]| {
            let names: Vec<&str> = heads.iter().map(|h| h.name.as_str()).collect();
            names.join(", ")
        };
        let alike = self
            .heads
            .iter()
            .map(|h| &h.name)
            .eq(heads.iter().map(|h| &h.name));
        if !alike {
            let expected = format!("{}, as the model has them", names(heads));
            return differ("the heads of the data".into(), expected, names(&self.heads));
        }
        for (own, head) in self.heads.iter().zip(heads) {
            let of = |head: &HeadSpec| {
                let mut words = head.labels.names.join(", ");
                if !head.labels.thresholds.is_empty() {
                    words += &format!(" with thresholds {:?}", head.labels.thresholds);
                }
                if head.is_multi_label() {
                    words += ", several at once";
                }
                if !head.labels.groups.is_empty() {
                    words += &format!(" in groups {:?}", head.labels.groups);
                }
                if let Some(number) = head.labels.number {
                    words += &format!(" of a number in {} bins of {:?}", number.bins, number.range);
                }
                words
            };
            let (has, needed) = (&own.labels, &head.labels);
            let scales = |labels: &LabelSpec| labels.number.map(|n| (n.range, n.bins));
            if has.names != needed.names
                || has.thresholds != needed.thresholds
                || has.groups != needed.groups
                || scales(has) != scales(needed)
                || has.multi_label.is_some() != needed.multi_label.is_some()
            {
                let what = format!("the labels of head `{}` in the data", head.name);
                return differ(
                    what,
                    format!("{}, as the model has them", of(head)),
                    of(own),
                );
            }
        }
        if let Some(last) = self.skipped.last().filter(|i| **i >= self.samples.len()) {
            let expected = format!("indices into the {} photos", self.samples.len());
            return differ("the skipped photos".into(), expected, last.to_string());
        }
        for sample in &self.samples {
            if sample.source >= self.sources.len() {
                let what = format!("the source of photo `{}`", location::shown(&sample.name));
                let expected = format!("an index into the {} sources", self.sources.len());
                return differ(what, expected, sample.source.to_string());
            }
            if let Err((needed, found)) = check_values(heads, &sample.values) {
                let name = location::shown(&sample.name);
                let message = format!("photo `{name}`: {needed} is needed, found {found}");
                return Err(self.fault(sample, message).into());
            }
        }
        Ok(())
    }

    /// The samples on one side, without the skipped ones, as indices in order.
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.samples.len())
            .filter(|i| self.samples[*i].split == Some(split) && !self.skipped.contains(i))
            .collect()
    }

    /// That a photo cannot be used.
    pub(crate) fn fault(&self, sample: &Sample, message: impl Into<String>) -> Fault {
        Fault {
            source: sample.source,
            listing: self.sources[sample.source].clone(),
            row: sample.row,
            message: message.into(),
        }
    }

    /// Where a photo is listed, in words.
    pub(crate) fn place(&self, sample: &Sample) -> String {
        let listing = &self.sources[sample.source];
        let word = row_word(listing);
        let line = sample.row.map(|r| format!("{word} {r} of "));
        format!("{}{}", line.unwrap_or_default(), shown(listing))
    }

    /// A SHA-256, in hexadecimal, over the sorted names, values and splits: the same wherever the data lies and in whatever order
    /// it is listed. The pixels are not part of it.
    pub(crate) fn fingerprint(&self) -> String {
        // Debug forms are quoted and escaped, so two samples never give the same line by accident.
        let line = |i: &usize| {
            let s = &self.samples[*i];
            let split = s.split.map(Split::name);
            format!("{:?} {:?} {split:?}\n", s.name, s.values)
        };
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        // Lines of names that need no escapes are in the order of the names, each with a quote behind it. Of millions of photos
        // not all lines are held at once then.
        let plain = |name: &str| {
            let needs_none = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
            name.chars().all(|c| c == ' ' || needs_none(c))
        };
        if self.samples.iter().all(|s| plain(&s.name)) {
            let name = |i: &usize| self.samples[*i].name.bytes().chain([b'"']);
            let by_name = |a: &usize, b: &usize| {
                let (of_a, of_b) = (&self.samples[*a].name, &self.samples[*b].name);
                if of_a == of_b {
                    line(a).cmp(&line(b))
                } else {
                    name(a).cmp(name(b))
                }
            };
            order.sort_by(by_name);
        } else {
            order.sort_by_cached_key(line);
        }
        let mut hash = Sha256::new();
        for head in &self.heads {
            hash.update(format!("{:?} {:?}\n", head.name, head.labels.names));
            if !head.labels.groups.is_empty() {
                hash.update(format!("{:?}\n", head.labels.groups));
            }
        }
        order.iter().for_each(|i| hash.update(line(i)));
        hexadecimal(hash.finalize())
    }

    /// The places of those samples that take part, whole persons together in the order of their keys, and the photos of a person
    /// in the order of the data.
    pub(crate) fn by_person(&self, takes_part: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.samples.len()).filter(|i| takes_part(*i)).collect();
        order.sort_by_key(|i| person_key(&self.samples[*i]));
        order
    }

    /// The places of each person among those that [`by_person`](Self::by_person) gives.
    pub(crate) fn persons_of<'a>(
        &'a self,
        order: &'a [usize],
    ) -> impl Iterator<Item = &'a [usize]> {
        let key = |i: &usize| person_key(&self.samples[*i]);
        order.chunk_by(move |a, b| key(a) == key(b))
    }
}

/// The error that a part of the data has nothing to work on.
pub(crate) fn empty_split(dataset: &Dataset, split: Split, reason: &str) -> Error {
    let origin = dataset
        .sources
        .iter()
        .map(|s| shown(s))
        .collect::<Vec<_>>()
        .join(", ");
    Error::EmptySplit {
        split: split.name().into(),
        origin,
        reason: reason.into(),
    }
}
