//! The features of an audit's photos, computed by several workers.

use crate::data::dataset::Dataset;
use crate::data::features::{Extractor, Features, Key, View, folder_of_shard, shard_folders};
use crate::data::loader::LoaderConfig;
use crate::data::named_photo::NamedPhoto;
use crate::error::{Error, Result};
use crate::io::lock::FolderLock;
use crate::model::{Layout, MultiTaskModel};
use crate::model_file::Tensors;
use crate::shard::Shard;
use crate::train::config::{Config, load_weights};
use crate::train::optim::variables::Variables;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Computes the features of the photos of a shard of what [`run`](super::run) audits, and keeps them in a folder of their own in
/// `out/features`, from which an audit takes them; false if stopped. What is there is not computed again.
///
/// # Errors
/// [`Error::Invalid`] if the configuration does not keep features, or the folder is at work; anything from reading and writing.
pub(crate) fn keep_features(
    config: &Config,
    heads: &Path,
    dataset: &Dataset,
    (shard, out): (Shard, &Path),
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<bool> {
    let train = &config.train;
    if !train.keeps_features() {
        return Err(Error::Invalid {
            what: format!("the shard {shard} of an audit"),
            expected: "features that are computed once: a frozen backbone, without augmentation or with fixed views, and \
                       without mixing of photos"
                .into(),
            found: "models that see the photos in every epoch".into(),
        });
    }
    let _lock = FolderLock::share(out)?;
    let (place, of) = shard.place();
    let cache = train.feature_cache.clone();
    let cache = cache.unwrap_or_else(|| out.join("features"));
    let folder = folder_of_shard(&cache, place + 1, of);
    let _own = FolderLock::take(&folder)?;
    let spec = config.model_spec()?;
    let weights = load_weights(config, heads)?;
    let width = Layout::of(&spec)?.width;
    let mut features = Features::open(Some(&folder), Extractor::new(&spec, &weights)?, width)?;
    let photos: Vec<NamedPhoto> = dataset.samples.iter().map(NamedPhoto::from).collect();
    let Some(fingerprints) = features.identify(&photos, stop)? else {
        return Ok(false);
    };
    let plain = features.view(View::Plain);
    let augmented = (1..train.feature_views).map(|number| View::Augmented {
        seed: train.seed,
        number,
        augment: train.augment,
    });
    let augmented = augmented.map(|view| features.view(view));
    let views: Vec<usize> = std::iter::once(plain)
        .chain(augmented.collect::<Vec<_>>())
        .collect();
    let of_photo = |view: usize| fingerprints.iter().map(move |photo| Key(*photo, view));
    let wanted = views.iter().flat_map(|view| of_photo(*view).zip(&photos));
    let wanted: Vec<(Key, &NamedPhoto)> = wanted.collect();
    let in_heads = |name: &str| !name.starts_with("backbone.");
    let variables = Variables::new(weights, 0, |_| false, in_heads);
    let model = MultiTaskModel::new(&spec, 0.0, &variables.builder())?;
    variables.check("the weights")?;
    let loading = LoaderConfig::new(train.queue_mib);
    features.complete(&wanted, &model, loading, stop, progress)
}

/// Takes over what shards have kept in the folder `cache`, or that of the configuration.
///
/// # Errors
/// As [`Features::adopt_from`].
pub(super) fn adopt_features(config: &Config, weights: &Tensors, cache: &Path) -> Result<()> {
    let cache = config.train.feature_cache.as_deref().unwrap_or(cache);
    let folders = shard_folders(cache)?;
    if folders.is_empty() || !config.train.keeps_features() {
        return Ok(());
    }
    let spec = config.model_spec()?;
    let extractor = Extractor::new(&spec, weights)?;
    let mut all = Features::open(Some(cache), extractor, Layout::of(&spec)?.width)?;
    all.adopt_from(&folders).map(drop)
}
