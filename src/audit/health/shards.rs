//! What is read of photos by the shards of a look through them.

use super::crop::Probs;
use super::pass::{Features, Looker, Read, read};
use super::{HealthConfig, HealthReport, Measures, of_read};
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::shard::{Joined, Shard};
use crate::taxonomy::Taxonomy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Takes a row of a shard.
type Put<'a> = dyn FnMut(&Value) -> Result<()> + 'a;

/// One photo.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// Its place among the samples.
    place: usize,
    /// What was read, or why it could not be.
    read: std::result::Result<OfPhoto, String>,
}

/// What was read of a photo. Hashes and features are base64, the latter of `f32`, little-endian.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPhoto {
    measures: Measures,
    pixels: String,
    bytes: String,
    features: Option<String>,
    /// With the crop and without.
    probs: Option<[Vec<Vec<f64>>; 2]>,
}

/// Looks at the photos of a shard, whose rows `put` takes; gives the number of those that cannot be read. As
/// [`health`](super::health) otherwise.
///
/// # Errors
/// As [`health`](super::health), and what `put` gives.
pub(crate) fn look_at(
    dataset: &Dataset,
    shard: Shard,
    looker: Option<&Looker>,
    config: &HealthConfig,
    put: &mut Put,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<usize> {
    config.validate()?;
    let mine = shard.range(dataset.samples.len());
    let found = read(dataset, mine, looker, config, progress)?;
    let mut put_row = |place, read| {
        let row = serde_json::to_value(Row { place, read });
        put(&row.map_err(|e| Error::Config {
            origin: "what was read of a photo".into(),
            message: "cannot be written as JSON".into(),
            source: Some(e.into()),
        })?)
    };
    for (place, fault) in &found.faults {
        put_row(*place, Err(fault.message.clone()))?;
    }
    for (row, place) in found.places.iter().enumerate() {
        let measures = found.measures[row].clone();
        let features = found.features.as_ref().map(|features| {
            let values = &features.rows[row * features.width..][..features.width];
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            STANDARD.encode(bytes)
        });
        let probs = found.probs.as_ref();
        let of_photo = OfPhoto {
            pixels: STANDARD.encode(measures.pixels),
            measures,
            bytes: STANDARD.encode(found.bytes[row]),
            features,
            probs: probs.map(|p| [p.with[row].clone(), p.without[row].clone()]),
        };
        put_row(*place, Ok(of_photo))?;
    }
    Ok(found.faults.len())
}

/// As [`health`](super::health), from what shards have read.
///
/// # Errors
/// As [`Joined::rows`], and [`Error::Invalid`] if what they hold does not fit together.
pub(crate) fn health_of(
    joined: &Joined,
    dataset: &Dataset,
    taxonomy: &Taxonomy,
    config: &HealthConfig,
) -> Result<HealthReport> {
    config.validate()?;
    let mut all = Read {
        places: Vec::new(),
        measures: Vec::new(),
        bytes: Vec::new(),
        features: None,
        probs: None,
        faults: Vec::new(),
    };
    let mut rows = 0;
    joined.rows(|row: Row| {
        rows += 1;
        let sample = dataset.samples.get(row.place);
        let sample = sample.ok_or_else(|| unfit("places below the number of photos", row.place))?;
        match row.read {
            Ok(found) => add(&mut all, row.place, found),
            Err(message) => {
                let fault = dataset.fault(sample, message);
                all.faults.push((row.place, fault));
                Ok(())
            }
        }
    })?;
    let ascends = |places: &[usize]| places.windows(2).all(|two| two[0] < two[1]);
    let faults: Vec<usize> = all.faults.iter().map(|(place, _)| *place).collect();
    if rows != dataset.samples.len() || !ascends(&all.places) || !ascends(&faults) {
        return Err(unfit("a row a photo, in their order", rows));
    }
    if let Some(features) = &mut all.features {
        features.places.clone_from(&all.places);
    }
    of_read(dataset, taxonomy, all, config)
}

/// Adds a photo to what was read of those before it.
fn add(all: &mut Read, place: usize, found: OfPhoto) -> Result<()> {
    let first = all.places.is_empty();
    let mut measures = found.measures;
    measures.pixels = hash(&found.pixels)?;
    if let Some(features) = &found.features {
        let bytes = decoded(features)?;
        let (values, rest) = bytes.as_chunks::<4>();
        let of_all = all.features.get_or_insert_with(|| Features {
            rows: Vec::new(),
            width: values.len(),
            places: Vec::new(),
        });
        if !rest.is_empty() || values.len() != of_all.width {
            return Err(unfit("as many features of each photo", values.len()));
        }
        of_all
            .rows
            .extend(values.iter().map(|v| f32::from_le_bytes(*v)));
    }
    if let Some([with, without]) = found.probs {
        let probs = all.probs.get_or_insert_with(|| Probs {
            with: Vec::new(),
            without: Vec::new(),
        });
        probs.with.push(with);
        probs.without.push(without);
    }
    all.places.push(place);
    all.measures.push(measures);
    all.bytes.push(hash(&found.bytes)?);
    let photos = all.places.len();
    let of_features = all.features.as_ref();
    let features = of_features.map_or(0, |f| f.rows.len() / f.width.max(1));
    let probs = all.probs.as_ref().map_or(0, |p| p.with.len());
    if [features, probs].iter().any(|n| *n != 0 && *n != photos) && !first {
        return Err(unfit("the same to be read of each photo", photos));
    }
    Ok(())
}

fn decoded(text: &str) -> Result<Vec<u8>> {
    let bytes = STANDARD.decode(text);
    bytes.map_err(|e| unfit("bytes in base64", e))
}

fn hash(text: &str) -> Result<[u8; 32]> {
    let bytes = decoded(text)?;
    let found = bytes.len();
    let hash = bytes.try_into();
    hash.map_err(|_| unfit("hashes of 32 bytes", found))
}

fn unfit(expected: &str, found: impl ToString) -> Error {
    Error::Invalid {
        what: "what the shards have read".into(),
        expected: expected.into(),
        found: found.to_string(),
    }
}
