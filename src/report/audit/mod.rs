//! One HTML file to look at what was found and to decide: contact sheets of suspects with their person's other photos and the
//! nearest photos of the suggested label, persons, and findings of data health. Photos are in it as thumbnails, so it works
//! without a network and without the photos. What is decided by keyboard or mouse is kept by the browser and saved as a file of
//! [corrections](crate::data::corrections).

mod cards;
mod health;
mod shown;

use crate::audit::health::HealthReport;
use crate::audit::{Audit, Question};
use crate::data::dataset::Dataset;
use crate::data::targets::labels;
use crate::error::Result;
use crate::io::write_atomically;
use crate::report::page;
use crate::taxonomy::Taxonomy;
use cards::{Cards, Features};
use serde::Serialize;
use shown::Shown;
use std::path::Path;

/// How much the page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageConfig {
    /// Most suspects of each head, persons and findings of each kind.
    pub shown: usize,
    /// Most other photos of the same person beside each, and as many near ones.
    pub beside: usize,
    /// Height of a thumbnail, in pixels.
    pub height: usize,
}

impl Default for PageConfig {
    fn default() -> Self {
        Self {
            shown: 60,
            beside: 4,
            height: 120,
        }
    }
}

/// What the page is made of.
#[derive(Clone, Copy)]
pub struct Page<'a> {
    /// The photos.
    pub dataset: &'a Dataset,
    /// Their labels.
    pub taxonomy: &'a Taxonomy,
    /// An audit with its questions.
    pub audit: Option<(&'a Audit, &'a [Question])>,
    /// Features of all photos, row by row, to find near ones by.
    pub features: Option<&'a [f32]>,
    /// The health of the data.
    pub health: Option<&'a HealthReport>,
}

/// All the page is told.
#[derive(Serialize)]
struct Data {
    view: &'static str,
    /// Decisions are kept by it.
    key: String,
    heads: Vec<HeadData>,
    tabs: Vec<Tab>,
    photos: Vec<PhotoData>,
}

#[derive(Serialize)]
struct HeadData {
    name: String,
    labels: Vec<String>,
}

/// A photo that is shown somewhere.
#[derive(Serialize)]
struct PhotoData {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    /// Each head's given label, −1 where it is not known.
    given: Vec<i64>,
    /// A data URI; none if the photo cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumb: Option<String>,
}

#[derive(Serialize)]
struct Tab {
    id: String,
    title: String,
    /// `head`, `class`, `persons` or `health`.
    kind: &'static str,
    /// The head's index.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<usize>,
    labels: Vec<String>,
    /// For each label of the final class, the label of each head.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<Vec<Option<usize>>>,
    /// How many there are, shown or not.
    of: usize,
    cards: Vec<Card>,
}

/// One thing to decide. Photos are indices into the list of photos.
#[derive(Default, Serialize)]
struct Card {
    photo: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suggested: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    /// Index and probability of labels, the likeliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probs: Vec<(usize, f64)>,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    /// A kind of finding.
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    /// Of the same person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    own: Vec<usize>,
    /// Others to compare with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    near: Vec<usize>,
}

impl Page<'_> {
    /// The page's text.
    ///
    /// # Errors
    /// What finding near photos and writing JSON give; a photo that cannot be read is shown without a picture.
    pub fn render(&self, config: &PageConfig) -> Result<String> {
        let mut thumbs = Shown::default();
        let mut tabs = Vec::new();
        if let Some((audit, questions)) = self.audit {
            let features = self.features.map(|rows| Features {
                rows,
                width: rows.len() / self.dataset.samples.len().max(1),
            });
            let cards = Cards::new(self, config, features);
            tabs.extend(cards.questions(audit, questions, &mut thumbs)?);
            tabs.push(cards.persons(audit, &mut thumbs));
        }
        if let Some(report) = self.health {
            tabs.push(health::tab(report, config, &mut thumbs));
        }
        let heads = &self.dataset.heads;
        let pictures = thumbs.pictures(self.dataset, config.height);
        let names = self.dataset.unique_names();
        let photos = thumbs.places().iter().zip(pictures).map(|(place, thumb)| {
            let sample = &self.dataset.samples[*place];
            let given = labels(heads, sample).into_iter();
            PhotoData {
                name: names[*place].clone(),
                person: sample.person.clone(),
                given: given.map(|l| l.map_or(-1, |l| l as i64)).collect(),
                thumb,
            }
        });
        let data = Data {
            view: "audit",
            key: self.dataset.fingerprint(),
            heads: heads
                .iter()
                .map(|h| HeadData {
                    name: h.name.clone(),
                    labels: h.labels.names.clone(),
                })
                .collect(),
            photos: photos.collect(),
            tabs,
        };
        page::html(
            &page::Shell {
                title: "labels to look at",
                body: page::AUDIT,
                figures: &[],
                live: false,
            },
            &data,
        )
    }

    /// Writes the page.
    ///
    /// # Errors
    /// As [`render`](Self::render), and [`Error::Io`].
    pub fn write(&self, config: &PageConfig, path: &Path) -> Result<()> {
        write_atomically(path, self.render(config)?.as_bytes())
    }
}
