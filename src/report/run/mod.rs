//! The page of a run: what was trained on what, its curves, the scores of each head and of the final class with the photos behind
//! every count, which head the errors come from, how honest the probabilities are, the worst and the least sure photos, and
//! persons. Of several runs also what differs, and what that makes of the scores.
//!
//! Everything is read from what a run wrote into its folder; photos come from the data, where it is at hand.

mod curves;
mod data;
mod diagrams;
mod folder;
mod heat;
mod metrics;
mod model;
mod parts;
mod photos;

pub(crate) use data::Source;

use super::figure::Figure;
use super::page;
use crate::error::Result;
use crate::experiment::Comparison;
use crate::io::write_atomically;
use data::{PageData, RunData};
use photos::Pool;
use serde::Serialize;
use std::path::Path;

/// Bytes of all pictures on a page.
const PICTURES: usize = 6 << 20;
/// Most photos listed on a page, of all runs together.
const PHOTOS: usize = 4000;

/// The figures of a page: drawn once each, and named by number.
#[derive(Default)]
pub(super) struct Figures(Vec<String>);

impl Figures {
    fn add(&mut self, figure: &Figure) -> usize {
        self.0.push(figure.inline());
        self.0.len() - 1
    }
}

/// How the page is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReportConfig {
    /// Whether it loads itself again and again, because a run goes on.
    pub(crate) live: bool,
}

/// What several runs say together.
#[derive(Serialize)]
struct Compared<'a> {
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// Of the first figure's differences.
    figure: Option<usize>,
}

/// The page's text.
///
/// # Errors
/// If a value cannot be written as JSON; a photo that cannot be read is shown without a picture.
pub(crate) fn render(
    sources: &[Source],
    comparison: Option<&Comparison>,
    config: ReportConfig,
) -> Result<String> {
    let mut figures = Figures::default();
    let mut pool = Pool::default();
    let most = PHOTOS / sources.len().max(1);
    let runs: Result<Vec<RunData>> = sources
        .iter()
        .map(|source| RunData::new(source, most, &mut figures, &mut pool))
        .collect();
    let compared = comparison.map(|comparison| Compared {
        comparison,
        figure: super::figure::differences(comparison).map(|figure| figures.add(&figure)),
    });
    let names: Vec<&str> = sources.iter().map(|s| s.name.as_str()).collect();
    let data = PageData {
        view: "run",
        live: config.live,
        runs: runs?,
        compare: compared,
        pictures: pool.pictures(PICTURES),
    };
    page::html(
        &page::Shell {
            title: &names.join(", "),
            body: page::RUN,
            figures: &figures.0,
            live: config.live,
        },
        &data,
    )
}

/// Writes the page.
///
/// # Errors
/// As [`render`], and [`Error::Io`](crate::Error::Io).
pub(crate) fn write(
    sources: &[Source],
    comparison: Option<&Comparison>,
    config: ReportConfig,
    path: &Path,
) -> Result<()> {
    write_atomically(path, render(sources, comparison, config)?.as_bytes())
}
