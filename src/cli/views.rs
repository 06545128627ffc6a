//! The arguments that say what of a photo is predicted.

use crate::{Ensemble, Views};
use clap::Args;
use std::path::Path;

/// What of a photo is predicted.
#[derive(Args)]
pub(super) struct ViewArgs {
    /// Predict each photo mirrored too, and average.
    #[arg(long)]
    flip: bool,
    /// Predict the middle and the four corners of each photo in place of the whole, and average; SHARE is their part of its
    /// height and width, 0.875 if none is given.
    #[arg(long, value_name = "SHARE", num_args = 0..=1, require_equals = true, default_missing_value = "0.875")]
    five_crops: Option<f64>,
}

impl ViewArgs {
    pub(super) fn views(&self) -> Option<Views> {
        let views = Views {
            flip: self.flip,
            five_crops: self.five_crops,
        };
        (views != Views::default()).then_some(views)
    }

    /// The models of a file, seen as the arguments say, or as the file says if they say nothing.
    pub(super) fn open(&self, model: &Path) -> crate::Result<Ensemble> {
        let ensemble = Ensemble::from_file(model)?;
        match self.views() {
            Some(views) => ensemble.with_views(views),
            None => Ok(ensemble),
        }
    }
}
