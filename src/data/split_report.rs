//! What stands on each side of a split, counted from the data.

use super::dataset::{Dataset, PersonKey, Sample, Split, person_key};
use super::targets;
use crate::Taxonomy;
use crate::error::Result;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
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
        let labels: Vec<Vec<Option<usize>>> = dataset
            .samples
            .iter()
            .map(|s| targets::labels(&dataset.heads, s))
            .collect();
        let mut report = Self {
            all: count(dataset.samples.iter()),
            labels: Vec::new(),
            classes: Vec::new(),
            without_split: dataset.samples.iter().filter(|s| s.split.is_none()).count(),
            persons_on_two_sides: persons_on_two_sides(dataset),
        };
        for (h, head) in dataset.heads.iter().enumerate() {
            let of_head = labels.iter().zip(&dataset.samples).map(|(l, sample)| {
                if taxonomy.applies(l)[h] == Some(false) {
                    return Vec::new();
                }
                match (&sample.values[h], l[h]) {
                    (Some(value), None) if head.is_multi_label() => {
                        let of_photo = targets::labels_of(head, value);
                        of_photo.into_iter().map(Some).collect()
                    }
                    (_, label) => vec![label],
                }
            });
            let groups = group(dataset, of_head);
            for label in (0..head.num_labels()).map(Some).chain([None]) {
                let counts = groups.get(&label).map(|g| count(g.iter().copied()));
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
        let classes = labels.iter().map(|labels| taxonomy.class_of(labels));
        let groups = group(dataset, classes.map(|class| vec![class]));
        for class in (0..taxonomy.num_classes()).map(Some).chain([None]) {
            let counts = groups.get(&class).map(|g| count(g.iter().copied()));
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

/// The samples by their keys, of which one may have several; those without any, which a head does not apply to or which have none
/// of its labels, are left out.
fn group(
    dataset: &Dataset,
    keys: impl Iterator<Item = Vec<Option<usize>>>,
) -> HashMap<Option<usize>, Vec<&Sample>> {
    let mut groups: HashMap<Option<usize>, Vec<&Sample>> = HashMap::new();
    for (sample, keys) in dataset.samples.iter().zip(keys) {
        for key in keys {
            groups.entry(key).or_default().push(sample);
        }
    }
    groups
}

fn count<'a>(samples: impl Iterator<Item = &'a Sample>) -> SideCounts {
    let mut counts = SideCounts::default();
    let mut seen: [HashSet<PersonKey>; 3] = Default::default();
    for sample in samples {
        let Some(split) = sample.split else { continue };
        counts.photos[split as usize] += 1;
        seen[split as usize].insert(person_key(sample));
    }
    counts.persons = seen.map(|s| s.len());
    counts
}

fn persons_on_two_sides(dataset: &Dataset) -> usize {
    let mut sides: HashMap<PersonKey, HashSet<Split>> = HashMap::new();
    for sample in &dataset.samples {
        if let Some(split) = sample.split {
            sides.entry(person_key(sample)).or_default().insert(split);
        }
    }
    sides.values().filter(|s| s.len() > 1).count()
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
