//! What was found, as data, as text and as a table.

use super::copies::Copies;
use super::crop::CropReport;
use super::pass::Read;
use super::persons::PersonsReport;
use super::robust::others_near;
use super::{HealthConfig, Measures, Robust, Shift};
use crate::data::dataset::{Dataset, Fault, Split};
use crate::data::photo_names::LISTING;
use crate::data::split_report::SplitReport;
use crate::error::Result;
use crate::io::lock::FolderLock;
use crate::io::table::{write_csv, write_json};
use crate::tensors::hash::hexadecimal;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Middle and spread of a measure over all photos.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The measure: `sharpness`, `brightness`, `entropy`, `pixels` or `aspect`.
    pub measure: String,
    /// The same on the scale that is compared: the natural logarithm of sharpness, pixels and aspect.
    pub spread: Robust,
}

/// A photo that stands out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// `blurred`, `dark`, `bright`, `low_information`, `odd_size` or `odd_aspect`.
    pub kind: String,
    /// Index of the photo.
    pub photo: usize,
    /// Its name.
    pub name: String,
    /// What was measured: variance of the Laplacian, mean grey, bits, pixels, width / height.
    pub value: f64,
    /// Robust units from the median.
    pub units: f64,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhotoHealth {
    /// Index of the photo.
    pub photo: usize,
    /// Its name.
    pub name: String,
    /// Its listing, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
    /// Its person.
    pub person: Option<String>,
    /// Its side.
    pub split: Option<Split>,
    /// What its pixels say.
    pub measures: Measures,
    /// Kinds of its findings.
    pub findings: Vec<String>,
}

/// The health of a data set. [`Display`](fmt::Display) gives a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthReport {
    /// Photos listed.
    pub photos: usize,
    /// Different persons.
    pub persons: usize,
    /// Photos that cannot be read.
    pub unreadable: Vec<Fault>,
    /// Where findings begin.
    pub config: HealthConfig,
    /// Middle and spread of each measure.
    pub summaries: Vec<Summary>,
    /// Photos that stand out, kind by kind, the farthest first.
    pub findings: Vec<Finding>,
    /// Photos that are there twice.
    pub copies: Copies,
    /// What features say of persons; `None` without a network.
    pub alike: Option<PersonsReport>,
    /// What the crop cuts off; `None` without a trained model or a crop.
    pub crop: Option<CropReport>,
    /// For each head, the label whose share differs most between a side and the whole.
    pub shifts: Vec<Shift>,
    /// Photos and persons with each label on each side.
    pub sides: SplitReport,
    /// What to say of photos that are equal to the byte and stand on two sides.
    #[serde(skip)]
    #[doc(hidden)]
    pub equal_across_sides: Option<String>,
    /// A row a photo; written to `health.csv`.
    #[serde(skip)]
    pub all: Vec<PhotoHealth>,
}

/// A measure: its name, its value, its value on the scale that is compared, and the findings it gives as (kind, cutoff, sides).
type Measure = (&'static str, fn(&Measures) -> f64, fn(f64) -> f64);

const MEASURES: [Measure; 5] = [
    ("sharpness", |m| m.sharpness, |v| (v + 1e-3).ln()),
    ("brightness", |m| m.brightness, |v| v),
    ("entropy", |m| m.entropy, |v| v),
    ("pixels", |m| (m.height * m.width) as f64, f64::ln),
    ("aspect", |m| m.width as f64 / m.height as f64, f64::ln),
];

/// How far apart values of each measure are that photos share: 5 % of a side. Cameras give few shapes and sizes, so that one
/// which many photos have is not odd, however many have another.
const NEAR: [Option<f64>; 5] = [None, None, None, Some(0.1), Some(0.05)];

/// Share of the other photos from which on what they have in common is not odd.
const SHARED: f64 = 0.05;

pub(super) fn look(
    dataset: &Dataset,
    read: &Read,
    config: &HealthConfig,
) -> (Vec<PhotoHealth>, Vec<Summary>, Vec<Finding>) {
    let names = dataset.unique_names();
    let name = |place: usize| names[place].clone();
    let mut summaries = Vec::new();
    let mut scales = Vec::new();
    for (measure, value, scale) in MEASURES {
        let values: Vec<f64> = read.measures.iter().map(|m| scale(value(m))).collect();
        let spread = Robust::new(&values);
        let measure = measure.to_string();
        summaries.push(Summary { measure, spread });
        scales.push(values);
    }
    // Kind, measure, below or above, cutoff.
    let kinds: [(&str, usize, [bool; 2], f64); 6] = [
        ("blurred", 0, [true, false], config.blurred),
        ("dark", 1, [true, false], config.dark),
        ("bright", 1, [false, true], config.bright),
        ("low_information", 2, [true, false], config.information),
        ("odd_size", 3, [true, true], config.size),
        ("odd_aspect", 4, [true, true], config.aspect),
    ];
    let mut findings = Vec::new();
    let mut of_photo: Vec<Vec<String>> = vec![Vec::new(); read.places.len()];
    for (kind, measure, [below, above], cutoff) in kinds {
        let spread = summaries[measure].spread;
        let mut found = Vec::new();
        let mut sorted = scales[measure].clone();
        sorted.sort_by(f64::total_cmp);
        let near = NEAR[measure];
        let shared =
            |value: f64| near.is_some_and(|near| others_near(&sorted, value, near) >= SHARED);
        for (row, value) in scales[measure].iter().enumerate() {
            let units = spread.units(*value);
            let far = (below && units < -cutoff) || (above && units > cutoff);
            if far && !shared(*value) {
                of_photo[row].push(kind.to_string());
                found.push(Finding {
                    kind: kind.into(),
                    photo: read.places[row],
                    name: name(read.places[row]),
                    value: (MEASURES[measure].1)(&read.measures[row]),
                    units,
                });
            }
        }
        found.sort_by(|a: &Finding, b| {
            let far = b.units.abs().total_cmp(&a.units.abs());
            far.then(a.photo.cmp(&b.photo))
        });
        findings.extend(found);
    }
    let rows = read.places.iter().zip(&read.measures).zip(of_photo);
    let photos = rows.map(|((place, measures), findings)| PhotoHealth {
        photo: *place,
        name: dataset.samples[*place].name.clone(),
        listing: dataset.listing(&dataset.samples[*place]),
        person: dataset.samples[*place].person.clone(),
        split: dataset.samples[*place].split,
        measures: measures.clone(),
        findings,
    });
    (photos.collect(), summaries, findings)
}

impl HealthReport {
    /// Photos found of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.findings.iter().filter(|f| f.kind == kind).count()
    }

    /// Writes `health.json` and `health.csv`, the latter with a row a photo.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let _lock = FolderLock::take(folder)?;
        write_json(&folder.join("health.json"), self)?;
        let titles = [
            "path",
            "person",
            "split",
            "height",
            "width",
            "brightness",
            "sharpness",
            "entropy",
            "phash",
            "dhash",
            "pixels_sha256",
            "findings",
        ];
        let listings = self.all.iter().any(|p| p.listing.is_some());
        let titles = titles.into_iter().chain(listings.then_some(LISTING));
        let rows = self.all.iter().map(|photo| {
            let m = &photo.measures;
            let row = [
                photo.name.clone(),
                photo.person.clone().unwrap_or_default(),
                photo.split.map(|s| s.to_string()).unwrap_or_default(),
                m.height.to_string(),
                m.width.to_string(),
                format!("{:.3}", m.brightness),
                format!("{:.3}", m.sharpness),
                format!("{:.4}", m.entropy),
                format!("{:016x}", m.phash),
                format!("{:016x}", m.dhash),
                hexadecimal(m.pixels),
                photo.findings.join(" "),
            ];
            row.into_iter().chain(photo.listing.clone())
        });
        write_csv(&folder.join("health.csv"), titles, rows)
    }
}

impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (photos, unread) = (self.photos, self.unreadable.len());
        write!(f, "{photos} photos of {} persons", self.persons)?;
        writeln!(f, ", {unread} unreadable")?;
        for fault in self.unreadable.iter().take(SHOWN) {
            writeln!(f, "  {fault}")?;
        }
        let c = &self.copies;
        writeln!(
            f,
            "copies: {} with the same file, {} with the same pixels as an earlier one",
            c.same_bytes, c.same_pixels
        )?;
        writeln!(
            f,
            "near duplicates: {} pairs of one person, {} of different persons, {} on two sides of the split",
            c.within_persons, c.across_persons, c.across_sides
        )?;
        for pair in c.pairs.iter().filter(|p| !p.same_person).take(SHOWN) {
            let [a, b] = &pair.names;
            writeln!(f, "  {a}  {b}  ({} and {} bits)", pair.phash, pair.dhash)?;
        }
        for kind in [
            "blurred",
            "dark",
            "bright",
            "low_information",
            "odd_size",
            "odd_aspect",
        ] {
            writeln!(f, "{}: {}", kind.replace('_', " "), self.count(kind))?;
            for found in self.findings.iter().filter(|x| x.kind == kind).take(SHOWN) {
                let (name, value, units) = (&found.name, found.value, found.units);
                writeln!(f, "  {name}  {value:.2} ({units:+.1})")?;
            }
        }
        match &self.alike {
            None => writeln!(f, "persons: not compared, without a network")?,
            Some(p) => {
                writeln!(
                    f,
                    "persons that may be one: {} pairs with a cosine of {} or more (nearest of the same person in {:.1} % of the photos)",
                    p.same_person,
                    self.config.same_person,
                    100.0 * p.recognised
                )?;
                for pair in p.pairs.iter().take(SHOWN) {
                    let [a, b] = &pair.persons;
                    writeln!(f, "  {a}  {b}  {:.3}", pair.cosine)?;
                }
                writeln!(f, "photos that may be of somebody else: {}", p.strangers)?;
                for look in p.looks.iter().take(SHOWN) {
                    writeln!(f, "  {}  {:+.1}", look.name, look.units)?;
                }
            }
        }
        if let Some(crop) = &self.crop {
            let n = crop.other_label;
            writeln!(
                f,
                "crop: {n} photos get another label of some head without it"
            )?;
            for h in &crop.heads {
                writeln!(
                    f,
                    "  {}: accuracy {:.4} with, {:.4} without ({} photos); probabilities change by {:.3}",
                    h.head, h.with, h.without, h.photos, h.change
                )?;
            }
        }
        writeln!(
            f,
            "sides: the shares that differ most from those of all photos"
        )?;
        for s in &self.shifts {
            let (share, all) = (100.0 * s.share, 100.0 * s.of_all);
            let (head, label) = (&s.head, &s.label);
            writeln!(
                f,
                "  {head} {label}: {share:.1} % of {}, {all:.1} % of all",
                s.split
            )?;
        }
        write!(
            f,
            "persons on two sides: {}",
            self.sides.persons_on_two_sides
        )
    }
}

/// Rows of each list in the text.
const SHOWN: usize = 5;
