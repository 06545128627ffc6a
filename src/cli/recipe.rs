//! `hydranet recipe`, and what `--recipe` makes of a configuration.

use super::ConfigArgs;
use super::output::say;
use super::terminal::note;
use crate::train::config::{Config, Defaults};
use crate::train::recipe::{Fit, RECIPES, Recipe, UNIT_PIXELS};
use crate::{Error, Result};
use clap::Args;
use std::path::Path;
use std::process::ExitCode;

/// The recipe where none is named.
const DEFAULT: &str = "balanced";

/// Arguments of `hydranet recipe`.
#[derive(Args)]
pub(crate) struct ShowRecipe {
    /// The recipe to print, as a file for --config [default: the list of all].
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl ShowRecipe {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if let Some(name) = &self.name {
            say(Recipe::named(name)?.text.trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        for recipe in &RECIPES {
            let first = recipe.text.lines().next().unwrap_or_default();
            say(first.trim_start_matches("# "));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Which recipe a command trains by.
#[derive(Args, Default)]
pub(super) struct RecipeArgs {
    /// Settings that go together, in place of the defaults: quick, balanced or best [default: balanced, unless the backbone is
    /// frozen]; `none` for each setting's own default. --config and --set win over it. See `hydranet recipe`.
    #[arg(long, value_name = "NAME")]
    pub(super) recipe: Option<String>,
}

impl RecipeArgs {
    /// The configuration of a new run, with the number of epochs that suits so many photos in each.
    ///
    /// # Errors
    /// As [`Config::load`]; [`Error::UnknownName`] for a recipe that there is not, [`Error::Invalid`] for one that is named
    /// beside a frozen backbone.
    pub(super) fn load(
        &self,
        from: &ConfigArgs,
        settings: &[String],
        photos: usize,
    ) -> Result<Config> {
        self.load_or(
            DEFAULT,
            (&from.heads, from.config.as_deref()),
            settings,
            photos,
        )
    }

    /// The same with another recipe where none is named, and where heads and a file are.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub(super) fn load_or(
        &self,
        default: &str,
        (heads, file): (&Path, Option<&Path>),
        settings: &[String],
        photos: usize,
    ) -> Result<Config> {
        let named = match self.recipe.as_deref() {
            Some("none") => return Config::load(heads, file, settings),
            Some(name) => Some(Recipe::named(name)?),
            None => None,
        };
        let plain = Config::load(heads, file, settings);
        let fit = plain.as_ref().map(|c| Fit::new(c, photos));
        // Where settings are wrong by themselves, that is what is said.
        let fit = fit.unwrap_or(Fit {
            photos,
            pixels: UNIT_PIXELS,
            batch_norm: true,
        });
        let load = |recipe| Config::load_over(Defaults::Recipe(recipe, fit), heads, file, settings);
        if plain.as_ref().is_ok_and(|c| c.train.stays_frozen()) {
            return match named {
                None => plain,
                Some(recipe) => Err(Error::Invalid {
                    what: format!("--recipe {}", recipe.name),
                    expected: "a backbone that is trained; a frozen one has defaults of its own"
                        .into(),
                    found: "train.fine_tune=frozen".into(),
                }),
            };
        }
        match named {
            Some(recipe) => load(recipe),
            // What was not asked for must not be what fails.
            None => load(Recipe::named(default)?).or_else(|error| {
                let plain = plain?;
                note(format!(
                    "the recipe {default} does not suit these settings, each default is its own: {error:#}"
                ));
                Ok(plain)
            }),
        }
    }
}
