//! What a photo is called in what is written: two listings may call two photos the same.

use super::dataset::{Dataset, Sample};
use std::collections::HashMap;

/// The title of the column that tells photos of several listings apart.
pub(crate) const LISTING: &str = "listing";

impl Dataset {
    /// The names of the photos as corrections take them: as its listing writes it; where two listings write the same, its whole
    /// path.
    pub(crate) fn unique_names(&self) -> Vec<String> {
        let mut first = HashMap::new();
        let mut twice = vec![false; self.samples.len()];
        for (place, sample) in self.samples.iter().enumerate() {
            let before = *first.entry(sample.name.as_str()).or_insert(place);
            if before != place {
                twice[before] = true;
                twice[place] = true;
            }
        }
        let name = |(sample, twice): (&Sample, bool)| {
            if twice {
                sample.whole_path().display().to_string()
            } else {
                sample.name.clone()
            }
        };
        self.samples.iter().zip(twice).map(name).collect()
    }

    /// A photo's listing, where there are several: the cell of the column [`LISTING`], which is the last one of tables.
    pub(crate) fn listing(&self, sample: &Sample) -> Option<String> {
        let listing = self.sources.get(sample.source)?;
        (self.sources.len() > 1).then(|| listing.display().to_string())
    }

    /// The title of the column [`LISTING`], where there are several listings.
    pub(crate) fn listing_title(&self) -> Option<String> {
        (self.sources.len() > 1).then(|| LISTING.to_string())
    }
}
