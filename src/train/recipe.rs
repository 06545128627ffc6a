//! Recipes: settings of training that go together, as TOML files that travel with the program.

use super::config::{Config, TrainConfig};
use super::optim::variables::is_buffer;
use crate::error::{Error, Result};
use crate::layers::BatchNormMode;

/// A recipe.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    /// The file: its aim and what it reached in comments, and the table `[train]`.
    pub(crate) text: &'static str,
    /// Photos of [`UNIT_PIXELS`] shown in all epochs together, from which the number of epochs follows; of more pixels as many fewer
    /// as they take more time.
    shown: usize,
    /// The fewest and the most epochs.
    epochs: [usize; 2],
}

/// The pixels of a photo of 144 × 112.
pub(crate) const UNIT_PIXELS: usize = 144 * 112;

/// What a recipe's settings are fitted to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fit {
    /// Photos in an epoch.
    pub(crate) photos: usize,
    /// Pixels of the input.
    pub(crate) pixels: usize,
    /// Whether the backbone's batch norms take the statistics of the batch.
    pub(crate) batch_norm: bool,
}

impl Fit {
    /// That to a configuration, and so many photos in an epoch.
    pub(crate) fn new(config: &Config, photos: usize) -> Self {
        let (backbone, mode) = (config.model.backbone, config.train.batch_norm);
        let [height, width] = config.model.input.size;
        let has_any = |shapes: crate::tensors::Shapes| shapes.keys().any(|name| is_buffer(name));
        Self {
            photos,
            pixels: height.saturating_mul(width),
            batch_norm: matches!(mode, BatchNormMode::Train | BatchNormMode::Sync)
                && backbone.shapes(3).is_ok_and(has_any),
        }
    }
}

/// All recipes, the cheapest first.
pub(crate) static RECIPES: [Recipe; 3] = [
    Recipe {
        name: "quick",
        text: include_str!("recipes/quick.toml"),
        shown: 14_000,
        epochs: [2, 12],
    },
    Recipe {
        name: "balanced",
        text: include_str!("recipes/balanced.toml"),
        shown: 28_000,
        epochs: [5, 30],
    },
    Recipe {
        name: "best",
        text: include_str!("recipes/best.toml"),
        shown: 194_000,
        epochs: [16, 80],
    },
];

impl Recipe {
    /// The recipe of this name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] with the names there are.
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        let found = RECIPES.iter().find(|recipe| recipe.name == name);
        found.ok_or_else(|| Error::UnknownName {
            what: "recipe",
            found: name.into(),
            known: RECIPES.iter().map(|recipe| recipe.name.into()).collect(),
        })
    }

    /// Its settings, with the number of epochs that suits so many photos of this size in each, and the backbone's learning rate
    /// by itself where that of the file, which is for networks with batch norm, does not suit.
    ///
    /// # Errors
    /// [`Error::Config`] if its file is no TOML.
    pub(crate) fn table(&self, fit: Fit) -> Result<toml::Table> {
        let mut table: toml::Table = toml::from_str(self.text).map_err(|e| Error::Config {
            origin: format!("the recipe {}", self.name),
            message: e.to_string(),
            source: None,
        })?;
        if let Some(toml::Value::Table(train)) = table.get_mut("train") {
            let epochs = i64::try_from(self.epochs_for(fit)).unwrap_or(i64::MAX);
            train.insert("epochs".into(), toml::Value::Integer(epochs));
            if !fit.batch_norm {
                let rate = TrainConfig::default().lr_backbone;
                train.insert("lr_backbone".into(), toml::Value::Float(rate));
            }
        }
        Ok(table)
    }

    /// Few photos are seen more often, many or large ones less often.
    fn epochs_for(&self, fit: Fit) -> usize {
        let [fewest, most] = self.epochs;
        let shown = self.shown * UNIT_PIXELS / fit.pixels.max(1);
        let nearest = (shown + fit.photos / 2) / fit.photos.max(1);
        nearest.clamp(fewest, most)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fit, RECIPES, Recipe, UNIT_PIXELS};
    use crate::train::TrainConfig;
    use serde::Deserialize;

    #[test]
    fn each_recipe_is_valid_and_says_the_epochs_of_five_thousand_photos() {
        for recipe in &RECIPES {
            let table: toml::Table = toml::from_str(recipe.text).unwrap();
            assert_eq!(
                table.keys().collect::<Vec<_>>(),
                ["train"],
                "{}",
                recipe.name
            );
            let train = TrainConfig::deserialize(table["train"].clone()).unwrap();
            let fit = |batch_norm| Fit {
                photos: 5000,
                pixels: UNIT_PIXELS,
                batch_norm,
            };
            assert_eq!(
                train.epochs,
                recipe.epochs_for(fit(true)),
                "{}",
                recipe.name
            );
            assert_eq!(recipe.table(fit(true)).unwrap(), table);
            let other = recipe.table(fit(false)).unwrap();
            assert_eq!(other["train"]["lr_backbone"].as_float(), Some(5e-4));
            assert!(table["train"]["lr_backbone"].as_float() > Some(5e-4));
            let first = recipe.text.lines().next().unwrap();
            assert!(first.starts_with(&format!("# {}:", recipe.name)), "{first}");
        }
        let error = Recipe::named("quikc").unwrap_err().to_string();
        assert!(error.contains("quick"), "{error}");
    }

    #[test]
    fn few_and_small_photos_are_seen_more_often_within_bounds() {
        let recipe = &RECIPES[0];
        let [fewest, most] = recipe.epochs;
        let of = |photos, pixels| {
            recipe.epochs_for(Fit {
                photos,
                pixels,
                batch_norm: true,
            })
        };
        let epochs = [0, 1, 100, 3500, 5000, 1 << 40].map(|n| of(n, UNIT_PIXELS));
        assert_eq!(epochs, [most, most, most, 4, 3, fewest]);
        // Photos of twice the pixels take twice the time.
        let epochs =
            [1, UNIT_PIXELS / 2, 2 * UNIT_PIXELS, usize::MAX].map(|pixels| of(2000, pixels));
        assert_eq!(epochs, [most, most, 4, fewest]);
    }
}
