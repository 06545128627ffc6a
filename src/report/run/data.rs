//! What the page is told of runs.

use super::heat::HeatData;
use super::photos::{PersonData, PhotoData, Pool};
use super::{Compared, Figures, curves, parts, photos};
use crate::data::dataset::Dataset;
use crate::error::Result;
use crate::eval::read_predictions::PredictionRow;
use crate::head::HeadSpec;
use crate::taxonomy::Taxonomy;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// A photo of a run: its name, and the listing it is of where there are several.
pub(super) type PhotoKey = (String, Option<String>);

/// One run, or one model on some photos: what is known of it.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// What it is called on the page.
    pub(crate) name: String,
    /// What was trained on what, in words: a title and a text each.
    pub(crate) facts: Vec<(String, String)>,
    /// What a reader has to know, what is absent among it.
    pub(crate) notes: Vec<String>,
    /// Its configuration in TOML.
    pub(crate) settings: String,
    pub(crate) heads: Vec<HeadSpec>,
    pub(crate) taxonomy: Taxonomy,
    /// Figures by epoch: titles, and a row an epoch.
    pub(crate) epochs: super::metrics::Epochs,
    /// The side of the split that was scored.
    pub(crate) side: String,
    pub(crate) rows: Vec<PredictionRow>,
    /// Scores as `scores.json` has them.
    pub(crate) scores: Option<Value>,
    /// Who is on a photo.
    pub(crate) persons: HashMap<PhotoKey, String>,
    /// Where photos and numbers come from.
    pub(crate) dataset: Option<&'a Dataset>,
    /// The heat of each head over some of the photos, by their places in `rows`.
    pub(crate) heat: BTreeMap<usize, Vec<HeatData>>,
}

#[derive(Serialize)]
pub(super) struct PageData<'a> {
    pub(super) view: &'static str,
    pub(super) live: bool,
    pub(super) runs: Vec<RunData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compare: Option<Compared<'a>>,
    /// Data URIs, `None` of photos that cannot be read.
    pub(super) pictures: Vec<Option<String>>,
}

/// A run as the page has it.
#[derive(Serialize)]
pub(super) struct RunData<'a> {
    name: &'a str,
    facts: &'a [(String, String)],
    notes: Vec<String>,
    settings: &'a str,
    side: &'a str,
    curves: Vec<usize>,
    /// The final class, then the heads.
    parts: Vec<parts::Part>,
    /// As `scores.json` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a Value>,
    /// The final classes that photos name by number, and the label of each head in them.
    classes: Vec<String>,
    leaves: Vec<Vec<Option<usize>>>,
    photos: Vec<PhotoData>,
    /// How many photos were scored.
    of: usize,
    persons: Vec<PersonData>,
}

impl<'a> RunData<'a> {
    pub(super) fn new(
        source: &'a Source,
        most: usize,
        figures: &mut Figures,
        pool: &mut Pool,
    ) -> Result<Self> {
        let classes = parts::Classes::new(source)?;
        let mut notes = source.notes.clone();
        let scored = photos::photos(source, &classes, most, pool);
        if scored.photos.len() < source.rows.len() {
            notes.push(format!(
                "{} of {} photos are on this page: the wrong ones and the least sure; every count and score is over all",
                scored.photos.len(),
                source.rows.len()
            ));
        }
        if scored.missing > 0 && source.dataset.is_some() {
            let missing = scored.missing;
            notes.push(format!(
                "{missing} photos of this page are no longer in the data, and have no picture"
            ));
        }
        Ok(Self {
            name: &source.name,
            facts: &source.facts,
            notes,
            settings: &source.settings,
            side: &source.side,
            curves: curves::figures(source)
                .iter()
                .map(|f| figures.add(f))
                .collect(),
            parts: parts::parts(source, &classes, figures),
            errors: source.scores.as_ref().and_then(|s| s.get("errors")),
            leaves: classes.leaves,
            classes: classes.names,
            photos: scored.photos,
            of: source.rows.len(),
            persons: scored.persons,
        })
    }
}
