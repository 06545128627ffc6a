//! `hydranet check`.

use super::ConfigArgs;
use super::broken::show_passed_over;
use super::columns::ColumnArgs;
use super::output::{Progress, say, say_json};
use super::sides::SplitFiles;
use super::terminal::note;
use crate::data::check::check;
use crate::data::corrections::Corrections;
use crate::data::dataset::Dataset;
use crate::data::split_report::SplitReport;
use crate::init::size;
use crate::report::sheet;
use crate::train::preview::preview;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

/// Arguments of `hydranet check`.
#[derive(Args)]
pub(crate) struct Check {
    /// A listing in CSV or Parquet, a shard in tar, or a folder of photos; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    split_files: SplitFiles,
    #[command(flatten)]
    config: ConfigArgs,
    /// Corrections to apply, in TOML or CSV, after those of `train.corrections`; may be given several times.
    #[arg(long, value_name = "FILE")]
    corrections: Vec<PathBuf>,
    /// Also show the first N photos as the network sees them in training, augmented and mixed, with what they are taught as: the
    /// first thing to look at. Written to --out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=2000))]
    show: Option<u16>,
    /// Where --show goes: a page, or a picture if its name ends in .png.
    #[arg(
        long,
        default_value = "sheet.html",
        value_name = "FILE",
        requires = "show"
    )]
    out: PathBuf,
    /// Check the rows and divide them, and open no photo: what to begin with where there are millions.
    #[arg(long, conflicts_with = "show")]
    rows_only: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let mut config = self.config.load()?;
        config
            .train
            .corrections
            .extend_from_slice(&self.corrections);
        self.columns.apply(&mut config)?;
        let corrections = Corrections::read(&config.train.corrections)?;
        let spec = config.model_spec()?;
        let names = &config.model.columns;
        let progress = Mutex::new(Progress::new("check"));
        let photos = !self.rows_only;
        let report = check(
            &self.data,
            names,
            &spec,
            &corrections,
            photos,
            &|done, of| {
                if let Ok(mut progress) = progress.try_lock() {
                    progress.show(done, of);
                }
            },
        )?;
        if let Ok(progress) = progress.lock() {
            progress.end();
        }
        show_passed_over(&self.data, &self.config.heads, &spec.heads, names);
        let good = report.faults.is_empty();
        let mut dataset = None;
        if good {
            let mut on_sides = Dataset::open_as(&self.data, &spec.heads, names)?;
            self.split_files.apply(&mut on_sides)?;
            on_sides.put_on_sides(
                &config.train.split,
                config.train.seed,
                &config.train.corrections,
            )?;
            if let Some(warning) = report.copies(&on_sides) {
                note(format!("{warning}; `hydranet health` lists them all"));
            }
            dataset = Some(on_sides);
        }
        if self.json {
            say_json(&report)?;
        } else {
            say(&report);
            if let Some(dataset) = &dataset {
                if let Some(words) = self.proposed(dataset, spec.input.size) {
                    say(words);
                }
                say(SplitReport::new(dataset, &spec.taxonomy()?)?);
            }
        }
        if let (Some(count), Some(dataset)) = (self.show, &dataset) {
            let photos = preview(&config, dataset, count.into())?;
            sheet::write(&spec, &photos, &self.out)?;
            note(format!("to look at  {}", self.out.display()));
        }
        Ok(if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Whether the input suits the photos' shape and size, and else which one does; none where none was looked at.
    fn proposed(&self, dataset: &Dataset, configured: [usize; 2]) -> Option<String> {
        if self.rows_only {
            return None;
        }
        let photos: Vec<_> = dataset.samples.iter().map(|s| &s.photo).collect();
        let (input, why) = size::fitting(&photos, configured)?;
        let [height, width] = configured;
        Some(if input == configured {
            format!("input {height} × {width} (height × width) suits the photos: {why}")
        } else {
            let [h, w] = input;
            format!(
                "input {height} × {width} (height × width); for these photos {h} × {w} is proposed, `hydranet train --size {h}x{w}`: {why}"
            )
        })
    }
}
