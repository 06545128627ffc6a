//! What stands on each side of a split, counted from the data.

use super::dataset::{Dataset, Sample, Split};
use super::targets;
use crate::Taxonomy;
use crate::error::Result;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;

/// Photos and persons on the three sides, in the order train, valid, test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SideCounts {
    /// Number of photos.
    pub photos: [usize; 3],
    /// Number of different persons; a photo of nobody known counts as a person.
    pub persons: [usize; 3],
}

/// The photos and persons with one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelCounts {
    /// The head.
    pub head: String,
    /// The label; `None` counts the photos whose label is not known.
    pub label: Option<String>,
    /// How many there are.
    pub counts: SideCounts,
}

/// The photos and persons of one final class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCounts {
    /// The final class; `None` counts the photos that lack a label.
    pub class: Option<usize>,
    /// Its name.
    pub name: String,
    /// How many there are.
    pub counts: SideCounts,
}

/// What stands on each side of a split. [`Display`](fmt::Display) gives a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SplitReport {
    /// All photos and persons.
    pub all: SideCounts,
    /// For each head, its labels in order and, if there are any, the photos without one.
    pub labels: Vec<LabelCounts>,
    /// The final classes in order and, if there are any, the photos without one; nothing where no head is part of final classes.
    pub classes: Vec<ClassCounts>,
    /// Photos that stand on no side.
    pub without_split: usize,
    /// Persons with photos on more than one side; anything but 0 spoils the measurement.
    pub persons_on_two_sides: usize,
}

impl SplitReport {
    /// Counts a dataset.
    ///
    /// # Errors
    /// None that a taxonomy of the data's heads gives.
    pub fn new(dataset: &Dataset, taxonomy: &Taxonomy) -> Result<Self> {
        let mut all = Counter::default();
        let mut heads: Vec<Counters> = vec![Counters::new(); dataset.heads.len()];
        let mut classes = Counters::new();
        let (mut without_split, mut persons_on_two_sides) = (0, 0);
        let order = dataset.by_person(|_| true);
        for (person, photos) in dataset.persons_of(&order).enumerate() {
            let mut on = [false; 3];
            for sample in photos.iter().map(|i| &dataset.samples[*i]) {
                match sample.split {
                    Some(split) => on[split as usize] = true,
                    None => without_split += 1,
                }
                all.add(sample, person);
                let labels = targets::labels(&dataset.heads, sample);
                let applies = taxonomy.applies(&labels);
                for (h, counters) in heads.iter_mut().enumerate() {
                    if applies[h] == Some(false) {
                        continue;
                    }
                    let head = &dataset.heads[h];
                    let mut add = |label| counters.entry(label).or_default().add(sample, person);
                    match (&sample.values[h], labels[h]) {
                        (Some(value), None) if head.is_multi_label() => {
                            let of_photo = targets::labels_of(head, value);
                            of_photo.into_iter().map(Some).for_each(add);
                        }
                        (_, label) => add(label),
                    }
                }
                if taxonomy.has_classes() {
                    let class = taxonomy.class_of(&labels);
                    classes.entry(class).or_default().add(sample, person);
                }
            }
            persons_on_two_sides += usize::from(on.iter().filter(|on| **on).count() > 1);
        }
        let mut report = Self {
            all: all.counts,
            labels: Vec::new(),
            classes: Vec::new(),
            without_split,
            persons_on_two_sides,
        };
        for (head, counters) in dataset.heads.iter().zip(&heads) {
            for label in (0..head.num_labels()).map(Some).chain([None]) {
                let counts = counters.get(&label).map(|c| c.counts.clone());
                if label.is_some() || counts.is_some() {
                    report.labels.push(LabelCounts {
                        head: head.name.clone(),
                        label: label.map(|l| head.labels.names[l].clone()),
                        counts: counts.unwrap_or_default(),
                    });
                }
            }
        }
        if !taxonomy.has_classes() {
            return Ok(report);
        }
        for class in (0..taxonomy.num_classes()).map(Some).chain([None]) {
            let counts = classes.get(&class).map(|c| c.counts.clone());
            let name = match class {
                Some(class) => taxonomy.class_name(class)?,
                None if counts.is_none() => continue,
                None => "a label is not known".into(),
            };
            report.classes.push(ClassCounts {
                class,
                name,
                counts: counts.unwrap_or_default(),
            });
        }
        Ok(report)
    }
}

/// Counts by label or class; those without any, which a head does not apply to or which have none of its labels, are left out.
type Counters = HashMap<Option<usize>, Counter>;

/// Counts of samples that come person by person.
#[derive(Clone, Default)]
struct Counter {
    counts: SideCounts,
    /// The person that was counted last on each side.
    last: [Option<usize>; 3],
}

impl Counter {
    fn add(&mut self, sample: &Sample, person: usize) {
        let Some(side) = sample.split.map(|split| split as usize) else {
            return;
        };
        self.counts.photos[side] += 1;
        if self.last[side].replace(person) != Some(person) {
            self.counts.persons[side] += 1;
        }
    }
}

impl fmt::Display for SplitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![("all".to_string(), &self.all)];
        for row in &self.labels {
            let label = row.label.as_deref().unwrap_or("(not known)");
            lines.push((format!("{} {label}", row.head), &row.counts));
        }
        // A taxonomy can have thousands of classes; those that do not occur are only counted.
        let occurs = |c: &&ClassCounts| c.counts.photos.iter().sum::<usize>() > 0;
        for row in self.classes.iter().filter(occurs) {
            let name = match row.class {
                Some(class) => format!("class {class} {}", row.name),
                None => format!("class (none: {})", row.name),
            };
            lines.push((name, &row.counts));
        }
        let width = lines
            .iter()
            .map(|(n, _)| n.chars().count())
            .max()
            .unwrap_or(0);
        write!(f, "{:width$}", "photos (persons)")?;
        for split in Split::ALL {
            write!(f, "  {split:>15}")?;
        }
        writeln!(f)?;
        for (name, counts) in lines {
            write!(f, "{name:width$}")?;
            for (photos, persons) in counts.photos.iter().zip(counts.persons) {
                write!(f, "  {:>15}", format!("{photos} ({persons})"))?;
            }
            writeln!(f)?;
        }
        let absent = self.classes.iter().filter(|c| !occurs(c)).count();
        if absent > 0 {
            writeln!(f, "classes that do not occur: {absent}")?;
        }
        if self.without_split > 0 {
            writeln!(f, "photos without a split: {}", self.without_split)?;
        }
        write!(f, "persons on two sides: {}", self.persons_on_two_sides)
    }
}
