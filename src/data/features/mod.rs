//! Features of a frozen backbone: computed once, kept in memory or in a file, found again by what they are the features of.

#[cfg(feature = "audit")]
mod adopt;
mod compute;
mod file;
mod fingerprint;
mod photos;

use crate::backbone::{Branch, Reading};
use crate::data::augment::AugmentConfig;
use crate::error::{Error, Result};
use crate::input::InputSpec;
use crate::model::{Layout, ModelSpec};
use crate::model_file::Tensors;
#[cfg(feature = "audit")]
pub(crate) use adopt::{folder_of_shard, shard_folders};
use candle_core::{Device, Tensor};
use file::{Header, Mapped};
pub(crate) use fingerprint::Fingerprint;
use photos::Photos;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// How a photo is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum View {
    /// As for prediction.
    Plain,
    /// Changed by draws keyed by seed, number and the photo's content.
    Augmented {
        seed: u64,
        number: usize,
        augment: AugmentConfig,
    },
}

/// What a row is the features of: a photo by its content, and a place in the list of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key(pub Fingerprint, pub usize);

/// Raised when the same file becomes other pixels: 2 since JPEGs are decoded as libjpeg-turbo does.
const PIXELS: &str = "pixels 2";

/// What the features come out of: rows of two of these are never mixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extractor {
    backbone: String,
    /// Of the backbone's tensors.
    weights: Fingerprint,
    input: InputSpec,
    /// What stands behind the features in a row, for heads that read more than them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    readings: Vec<Reading>,
    /// Stages that heads have for themselves, whose tensors are told with the backbone's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    branches: Vec<Branch>,
    /// Parts of photos that heads see for themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    crops: Vec<[f64; 4]>,
    /// The program's version, and [`PIXELS`]: another one may prepare photos or round differently.
    hydranet: String,
}

impl Extractor {
    /// The backbone of a model of these tensors.
    pub(crate) fn new(spec: &ModelSpec, tensors: &Tensors) -> Result<Self> {
        let layout = Layout::of(spec)?;
        let owners: Vec<&str> = layout.branches.iter().map(|b| b.head.as_str()).collect();
        Ok(Self {
            backbone: spec.backbone.name().into(),
            weights: Fingerprint::of_network(tensors, &owners)?,
            input: spec.input.clone(),
            readings: layout.readings,
            branches: layout.branches,
            crops: layout.crops,
            hydranet: format!("{}, {PIXELS}", env!("CARGO_PKG_VERSION")),
        })
    }

    /// The size of its file in a folder, if there is one.
    #[cfg(feature = "cli")]
    pub(crate) fn kept_bytes(&self, folder: &Path) -> Option<u64> {
        let path = folder.join(self.file_name().ok()?);
        Some(std::fs::metadata(path).ok()?.len())
    }

    /// The name of its file.
    fn file_name(&self) -> Result<String> {
        let text = serde_json::to_string(self).map_err(|e| Error::Config {
            origin: "the input".into(),
            message: "cannot be written as JSON".into(),
            source: Some(e.into()),
        })?;
        let all = Fingerprint::of(text.as_bytes()).to_string();
        Ok(format!("{}-{}.features", self.backbone, &all[..16]))
    }
}

/// Rows of features: those of the file, mapped, and new ones in memory.
pub(crate) struct Features {
    /// The file they are saved in, if they are.
    path: Option<PathBuf>,
    extractor: Extractor,
    width: usize,
    mapped: Option<Mapped>,
    new: Vec<f32>,
    keys: Vec<Key>,
    places: HashMap<Key, usize>,
    views: Vec<View>,
    photos: Photos,
}

impl Features {
    /// The features of the extractor's file in `folder`, if there is one; without a folder they live in memory.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] saying what to do if the file is damaged, of another version or not one of features.
    pub(crate) fn open(folder: Option<&Path>, extractor: Extractor, width: usize) -> Result<Self> {
        let path = match folder {
            Some(folder) => Some(folder.join(extractor.file_name()?)),
            None => None,
        };
        let mut features = Self {
            path,
            extractor,
            width,
            mapped: None,
            new: Vec::new(),
            keys: Vec::new(),
            places: HashMap::new(),
            views: vec![View::Plain],
            photos: Photos::default(),
        };
        if let (Some(folder), Some(path)) = (folder, &features.path) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
            if let Some((header, mapped)) = file::read(path, &features.extractor, width)? {
                features.places = header.rows.iter().copied().zip(0..).collect();
                features.keys = header.rows;
                features.views = header.views;
                features.photos = Photos::new(header.photos);
                features.mapped = Some(mapped);
            }
        }
        Ok(features)
    }

    /// Its file, if it has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The place of a view in the list, to which it is added if need be.
    pub(crate) fn view(&mut self, view: View) -> usize {
        self.views
            .iter()
            .position(|v| *v == view)
            .unwrap_or_else(|| {
                self.views.push(view);
                self.views.len() - 1
            })
    }

    /// The row of a key, if it is there.
    pub(crate) fn place(&self, key: &Key) -> Option<usize> {
        self.places.get(key).copied()
    }

    fn push(&mut self, key: Key, row: &[f32]) {
        self.places.insert(key, self.keys.len());
        self.keys.push(key);
        self.new.extend_from_slice(row);
    }

    /// The rows of these keys, one after the other.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one is not there.
    pub(crate) fn values<'a>(&self, keys: impl Iterator<Item = &'a Key>) -> Result<Vec<f32>> {
        let rows: Option<Vec<usize>> = keys.map(|key| self.place(key)).collect();
        let rows = rows.ok_or_else(|| Error::Invalid {
            what: "the kept features".into(),
            expected: "a row for every photo".into(),
            found: "a photo without one".into(),
        })?;
        Ok(self.gather(rows.into_iter())?.flatten_all()?.to_vec1()?)
    }

    /// Takes in rows that were computed elsewhere, one after the other; what is there stays.
    pub(crate) fn take<T>(&mut self, keys: &[(Key, T)], rows: &[f32]) {
        for ((key, _), row) in keys.iter().zip(rows.chunks_exact(self.width)) {
            if self.place(key).is_none() {
                self.push(*key, row);
            }
        }
    }

    /// These rows as one tensor.
    ///
    /// # Shapes
    /// Result `(rows, num_features)`.
    ///
    /// # Errors
    /// None unless candle has one.
    pub(crate) fn gather(&self, rows: impl ExactSizeIterator<Item = usize>) -> Result<Tensor> {
        let count = rows.len();
        let mut values = Vec::with_capacity(count * self.width);
        let (mapped, saved) = (self.mapped.as_ref(), self.saved());
        for row in rows {
            match mapped {
                Some(mapped) if row < saved => mapped.row(row, &mut values),
                _ => {
                    values.extend_from_slice(&self.new[(row - saved) * self.width..][..self.width])
                }
            }
        }
        Ok(Tensor::from_vec(values, (count, self.width), &Device::Cpu)?)
    }

    /// Rows that are in the file.
    fn saved(&self) -> usize {
        self.keys.len() - self.new.len() / self.width
    }

    /// Writes the file anew if there is something new; the rows then lie there instead of in memory.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub(crate) fn save(&mut self) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        if self.new.is_empty() && !self.photos.changed() {
            return Ok(());
        }
        let header = Header {
            format: file::FORMAT,
            extractor: self.extractor.clone(),
            num_features: self.width,
            views: self.views.clone(),
            photos: self.photos.seen().clone(),
            rows: self.keys.clone(),
        };
        self.mapped = Some(file::write(path, &header, self.mapped.as_ref(), &self.new)?);
        self.new = Vec::new();
        self.photos.unchanged();
        Ok(())
    }
}
