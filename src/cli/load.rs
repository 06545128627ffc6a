//! Photos loaded as an epoch of training loads them, for `tests/bench/input.rs`.

use crate::data::AugmentConfig;
use crate::data::loader::{Job, Loader, LoaderConfig, QUEUE_MIB, stack};
use crate::error::Result;
use crate::input::InputSpec;
use candle_core::Tensor;
use std::path::PathBuf;

/// The photos of these files in their order, `batch` at a time, by so many threads through the loader's queue; augmented, or as
/// for prediction.
///
/// # Errors
/// As the loader's; each batch as its photos.
pub fn batches(
    files: &[PathBuf],
    input: &InputSpec,
    augment: Option<AugmentConfig>,
    workers: usize,
    batch: usize,
) -> Result<impl Iterator<Item = Result<Tensor>> + use<>> {
    let jobs = files.iter().enumerate().map(|(index, file)| Job {
        index,
        again: 0,
        photo: file.as_path().into(),
    });
    let config = LoaderConfig {
        workers,
        ..LoaderConfig::new(QUEUE_MIB)
    };
    let (input, count) = (input.clone(), files.len().div_ceil(batch));
    let mut loader = Loader::start(jobs.collect(), &input, augment, 0, 0, config)?;
    Ok((0..count).map(move |_| {
        let photos = loader.by_ref().take(batch).collect::<Result<Vec<_>>>()?;
        stack(&photos, &input)
    }))
}
