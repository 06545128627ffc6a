//! `hydranet audit`.

use super::ConfigArgs;
use super::broken::take_out_broken;
use super::columns::ColumnArgs;
use super::output::{Progress, say, show_corrections, show_training, stop_on_ctrl_c};
use super::terminal::note;
use crate::Error;
use crate::audit::confident::{Quality, Rule};
use crate::audit::{AuditConfig, Event, Flip, Injection, Unit, keep_features, load_config, run};
use crate::data::corrections::Corrections;
use crate::data::dataset::Dataset;
use crate::data::seen::check_held_out;
use crate::report::audit::{Page, PageConfig};
use crate::shard::Shard;
use crate::train::config::{Config, seen_by_weights};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet audit`.
#[derive(Args)]
#[command(
    after_help = "The backbone is frozen and only heads are trained, unless train.fine_tune is set. Start the same command again to go on after an interruption."
)]
pub(crate) struct Audit {
    /// A listing in CSV or Parquet, a shard in tar, or a folder of photos; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    config: ConfigArgs,
    /// The folder for audit.html, audit.json, suspects.csv, persons.csv and out_of_fold.csv.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Folds of persons: each photo is judged by a model trained on the other folds.
    #[arg(long, default_value_t = 5, value_name = "N")]
    folds: usize,
    /// Which labels are suspected: prune_by_class, prune_by_noise_rate, both, confident_learning, low_normalized_margin,
    /// low_self_confidence.
    #[arg(long, default_value = "prune_by_noise_rate", value_name = "NAME")]
    rule: Rule,
    /// The order of the suspects: self_confidence, normalized_margin, confidence_weighted_entropy.
    #[arg(long, default_value = "self_confidence", value_name = "NAME")]
    rank_by: Quality,
    /// Heads whose label agrees over all photos of a person, separated by commas; '' for none
    /// [default: those on which nine tenths of the persons have one given label].
    #[arg(long, value_name = "HEADS", value_delimiter = ',')]
    agreeing: Option<Vec<String>>,
    /// Make this share of each head's labels wrong first, and measure how many are found.
    #[arg(long, value_name = "SHARE")]
    inject: Option<f64>,
    /// What a label is turned into: any other (uniform), or the one it is most confused with (confusable).
    #[arg(
        long,
        default_value = "uniform",
        value_name = "NAME",
        requires = "inject"
    )]
    flip: Flip,
    /// What is made wrong together on heads that agree over a person's photos: the person, or each photo for itself.
    #[arg(
        long,
        default_value = "person",
        value_name = "NAME",
        requires = "inject"
    )]
    unit: Unit,
    /// Train the folds again on corrected labels and compare.
    #[arg(long)]
    retrain: bool,
    /// Most suspects of each head on the page audit.html.
    #[arg(long, default_value_t = PageConfig::default().shown, value_name = "N")]
    shown: usize,
    /// Name photos that cannot be read, and audit the others.
    #[arg(long)]
    skip_broken: bool,
    /// Corrections to apply, in TOML or CSV, after those of `train.corrections`; may be given several times.
    #[arg(long, value_name = "FILE")]
    corrections: Vec<PathBuf>,
    /// Compute the features of the I-th of N parts of the photos only, and keep them in --out: the same command without --shard
    /// goes on from them.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

impl Audit {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let from = &self.config;
        let mut config = load_config(&from.heads, from.config.as_deref(), &from.settings)?;
        self.columns.apply(&mut config)?;
        let spec = config.model_spec()?;
        config
            .train
            .corrections
            .extend_from_slice(&self.corrections);
        let mut dataset = Dataset::open_as(&self.data, &spec.heads, &config.model.columns)?;
        let corrections = Corrections::read(&config.train.corrections)?;
        show_corrections(&corrections.apply(&mut dataset)?);
        check_held_out(&dataset, seen_by_weights(&config, &from.heads)?)?;
        if let Some(shard) = self.shard {
            let mine = shard.range(dataset.samples.len());
            dataset.samples = dataset.samples[mine].to_vec();
            dataset.skipped.clear();
        }
        if !take_out_broken(
            &mut dataset,
            &spec.input,
            self.skip_broken,
            &stop_on_ctrl_c(),
        )? {
            say("stopped before the audit began");
            return Ok(ExitCode::from(130));
        }
        if let Some(shard) = self.shard {
            return self.keep(&config, &dataset, shard);
        }
        let options = AuditConfig {
            folds: self.folds,
            rule: self.rule,
            quality: self.rank_by,
            agreeing: self.agreeing.as_ref().map(|heads| {
                let named = heads.iter().filter(|h| !h.is_empty());
                named.cloned().collect()
            }),
            inject: self.inject.map(|share| Injection {
                share,
                flip: self.flip,
                unit: self.unit,
            }),
            retrain: self.retrain,
        };
        let names: Vec<String> = spec.heads.iter().map(|h| h.name.clone()).collect();
        let several: Vec<&str> = spec
            .heads
            .iter()
            .filter(|h| h.is_multi_label())
            .map(|h| h.name.as_str())
            .collect();
        if several.len() == names.len() {
            return Err(Error::Invalid {
                what: "the heads to audit".into(),
                expected: "some of which a photo has one label".into(),
                found: format!("only those of several at once, {}", several.join(", ")),
            });
        }
        if !several.is_empty() {
            note(format!(
                "{} of {} heads are of several labels at once and not looked at: {}",
                several.len(),
                names.len(),
                several.join(", ")
            ));
        }
        let mut progress = Progress::new("audit");
        let audited = run(
            &config,
            &from.heads,
            &dataset,
            &options,
            &self.out,
            &stop_on_ctrl_c(),
            &mut |event| match event {
                Event::Begin { title, number, of } => {
                    progress.line(&format!("{}: model {number} of {of}", words(title)));
                }
                // Without a validation side an epoch has no figures.
                Event::Training(crate::train::trainer::Event::Epoch(_)) => {}
                Event::Training(event) => {
                    let all = (config.train.epochs, config.train.batch);
                    show_training(&mut progress, &names, all, event);
                }
            },
        );
        progress.end();
        let Some(audited) = audited? else {
            say(format!(
                "stopped; start the same command again to go on in {}",
                self.out.display()
            ));
            return Ok(ExitCode::from(130));
        };
        let page = Page {
            dataset: &audited.dataset,
            taxonomy: &spec.taxonomy()?,
            audit: Some((&audited.audit, &audited.questions)),
            features: audited.features.as_deref(),
            health: None,
        };
        let shown = PageConfig {
            shown: self.shown,
            ..PageConfig::default()
        };
        page.write(&shown, &self.out.join("audit.html"))?;
        say(audited.audit.to_string().trim_end());
        say(format!(
            "page     {}\nsuspects {}, persons.csv, out_of_fold.csv, audit.json",
            self.out.join("audit.html").display(),
            self.out.join("suspects.csv").display()
        ));
        Ok(ExitCode::SUCCESS)
    }
}

impl Audit {
    /// Keeps the features of the photos of a shard.
    fn keep(&self, config: &Config, dataset: &Dataset, shard: Shard) -> crate::Result<ExitCode> {
        let mut progress = Progress::new("features");
        let mut tell = |done, of| progress.show(done, of);
        let (heads, to) = (&self.config.heads, (shard, self.out.as_path()));
        let whole = keep_features(config, heads, dataset, to, &stop_on_ctrl_c(), &mut tell)?;
        progress.end();
        let photos = dataset.samples.len();
        let out = self.out.display();
        Ok(if whole {
            say(format!(
                "shard {shard}: the features of {photos} photos are kept in {out}"
            ));
            ExitCode::SUCCESS
        } else {
            say(format!(
                "stopped; start the same command again to go on in {out}"
            ));
            ExitCode::from(130)
        })
    }
}

/// What models are trained for.
fn words(title: &str) -> &str {
    match title {
        "given" => "labels as given",
        "before" => "labels before any is made wrong",
        "all" => "all photos at once",
        "pairs" => "two folds held out",
        "dropped" => "suspects dropped",
        "relabelled" => "suspects relabelled",
        "true" => "labels from before any was made wrong",
        other => other,
    }
}
