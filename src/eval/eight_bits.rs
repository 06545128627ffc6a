//! A model that computes in eight bits, calibrated on photos of a data set.

use crate::data::dataset::Dataset;
use crate::data::loader::{Loader, LoaderConfig, jobs, stack};
use crate::error::Result;
use crate::model_file::ModelFile;

/// Photos that the scales of activations are found on: a few hundred suffice (Nagel et al. 2021, section 3), and 256 take seconds.
pub(crate) const PHOTOS: usize = 256;

/// Photos whose maps are in memory at once.
const BATCH: usize = 8;

/// At most [`PHOTOS`] of these samples, spread evenly over them.
fn spread(indices: &[usize]) -> Vec<usize> {
    let count = indices.len().min(PHOTOS);
    (0..count)
        .map(|i| indices[i * indices.len() / count])
        .collect()
}

/// The model in eight bits, see [`ModelFile::calibrated`]; `progress` is told the photos done, and how many there are.
///
/// # Errors
/// As [`ModelFile::calibrated`]; [`Error::Image`](crate::Error::Image) naming a photo that cannot be read.
pub(crate) fn in_eight_bits(
    file: &ModelFile,
    dataset: &Dataset,
    indices: &[usize],
    loading: LoaderConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<ModelFile> {
    let input = &file.description.model.input;
    let indices = spread(indices);
    let mut loader = Loader::start(jobs(dataset, &indices), input, None, 0, 0, loading)?;
    let mut done = 0;
    let batches = std::iter::from_fn(|| {
        let photos = loader.by_ref().take(input.at_once(BATCH));
        match photos.collect::<Result<Vec<_>>>() {
            Ok(photos) if photos.is_empty() => None,
            Ok(photos) => {
                done += photos.len();
                progress(done, indices.len());
                Some(stack(&photos, input))
            }
            Err(error) => Some(Err(error)),
        }
    });
    file.calibrated(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_spread_over_all_and_none_is_taken_twice() {
        let all: Vec<usize> = (0..1000).collect();
        let some = spread(&all);
        assert_eq!((some.len(), some[0]), (PHOTOS, 0));
        assert!(some.is_sorted_by(|a, b| a < b) && some[PHOTOS - 1] > 990);
        assert_eq!(spread(&all[..5]), [0, 1, 2, 3, 4]);
        assert!(spread(&[]).is_empty());
    }
}
