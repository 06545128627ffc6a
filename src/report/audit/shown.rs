//! The photos a page shows, each once.

use crate::data::dataset::Dataset;
use crate::data::named_photo::NamedPhoto;
use crate::report::thumbs;
use std::collections::HashMap;

/// The samples that are shown, in the order they were asked for.
#[derive(Default)]
pub(crate) struct Shown {
    index: HashMap<usize, usize>,
    places: Vec<usize>,
}

impl Shown {
    /// The index of a sample among the page's photos.
    pub(crate) fn of(&mut self, place: usize) -> usize {
        let next = self.places.len();
        *self.index.entry(place).or_insert_with(|| {
            self.places.push(place);
            next
        })
    }

    pub(crate) fn all(&mut self, places: impl IntoIterator<Item = usize>) -> Vec<usize> {
        places.into_iter().map(|p| self.of(p)).collect()
    }

    pub(crate) fn places(&self) -> &[usize] {
        &self.places
    }

    /// A data URI for each; `None` where a photo cannot be read.
    pub(crate) fn pictures(&self, dataset: &Dataset, height: usize) -> Vec<Option<String>> {
        let photo = |place: &usize| NamedPhoto::from(&dataset.samples[*place]);
        let photos: Vec<NamedPhoto> = self.places.iter().map(photo).collect();
        thumbs::all(&photos.iter().collect::<Vec<_>>(), height)
    }
}
