//! `hydranet train`.

use super::ConfigArgs;
use super::broken::show_passed_over;
use super::columns::ColumnArgs;
use super::output::{Progress, say, show_corrections, show_training, stop_on_ctrl_c};
use super::recipe::RecipeArgs;
use super::report::{REPORT, write_page};
use super::run_data::RunData;
use super::sides::SplitFiles;
use super::terminal::{be_quiet, note};
use crate::data::dataset::{Dataset, Split};
use crate::data::sampling::{Sampler, Sampling};
use crate::data::seen::follow;
use crate::data::split_report::SplitReport;
use crate::io::write_atomically;
use crate::model::JOINT;
use crate::model_file::Tensors;
use crate::report::figure::learning_rates;
use crate::train::config::{Config, load_weights, seen_by_weights};
use crate::train::dry_run::{Part, Plan, dry_run};
use crate::train::find_lr::{find_lr, suggestion};
use crate::train::loss::imbalance::{Imbalance, imbalances};
use crate::train::loss::unseen::without_photos;
use crate::train::ranks::Group;
use crate::train::run_folder::RunFolder;
use crate::train::trainer::{Event, Outcome, Trainer};
use crate::weights::source::BEST;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet train`.
#[derive(Args)]
#[command(
    after_help = "model.weights is a file (safetensors, .pth, .bin), the name of one in the folder weights, or hf://organisation/name, with @revision or /file behind it, on the Hugging Face Hub: --set model.weights=hf://timm/resnet18.a1_in1k"
)]
pub(crate) struct Train {
    /// A listing in CSV or Parquet, a shard in tar, or a folder of photos; may be given several times. With --resume those that the run began with unless given.
    #[arg(long, required_unless_present = "resume", value_name = "PATH")]
    data: Vec<PathBuf>,
    /// A folder of photos whose labels nobody knows, to learn from what train.teacher says of them; may be given several times.
    #[arg(long, value_name = "DIR", requires = "data")]
    unlabelled: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    split_files: SplitFiles,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    plain: PlainSettings,
    /// The run folder.
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Go on with the run in --out, with its own configuration.
    #[arg(long, conflicts_with_all = ["config", "settings", "columns", "recipe", "epochs", "size", "frozen"])]
    resume: bool,
    /// Print what would be trained, with counts and learning rates, and write nothing.
    #[arg(long, conflicts_with = "resume")]
    dry_run: bool,
    /// Search for learning rates instead of training: at most a hundred steps at growing rates, written to lr.csv and lr.svg
    /// in --out.
    #[arg(long, conflicts_with_all = ["resume", "dry_run"])]
    find_lr: bool,
    /// Write report.html after every epoch too; a browser that shows it loads it again by itself.
    #[arg(long, conflicts_with_all = ["dry_run", "find_lr"])]
    live: bool,
    /// Name photos that cannot be read, and train without them; with --resume a run goes on without photos that broke since.
    #[arg(long, conflicts_with = "dry_run")]
    skip_broken: bool,
}

/// The settings that are changed most often.
#[derive(Args)]
struct PlainSettings {
    /// Passes over the training photos [default: by the recipe and the number of photos, 30 of a frozen backbone]; as --set train.epochs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Height and width that photos are resized to, or one number for both; as --set model.input.size.
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Train the heads alone, on features of the backbone that are computed once; as --set train.fine_tune=frozen.
    #[arg(long)]
    frozen: bool,
}

/// Two sides, or one for both.
fn size(text: &str) -> std::result::Result<[usize; 2], String> {
    let (height, width) = text.split_once(['x', '×']).unwrap_or((text, text));
    let side = |t: &str| t.trim().parse().ok().filter(|n| *n > 0);
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err("expected height and width in pixels, as in 192x144, or one number".into()),
    }
}

impl PlainSettings {
    /// What they are as settings.
    fn settings(&self) -> impl Iterator<Item = String> {
        let epochs = self.epochs.map(|n| format!("train.epochs={n}"));
        let size = self
            .size
            .map(|[h, w]| format!("model.input.size=[{h},{w}]"));
        let frozen = self.frozen.then(|| "train.fine_tune=frozen".to_string());
        epochs.into_iter().chain(size).chain(frozen)
    }
}

impl Train {
    /// The configuration of a new run, for so many photos in an epoch; `--set` wins over the plain options, and these over the
    /// recipe.
    fn load(&self, photos: usize) -> crate::Result<Config> {
        let from = &self.config;
        let settings = self.plain.settings().chain(from.settings.iter().cloned());
        let settings: Vec<String> = settings.collect();
        let mut config = self.recipe.load(from, &settings, photos)?;
        self.columns.apply(&mut config)?;
        Ok(config)
    }

    /// The same, and its data on their sides.
    fn load_with_data(&self) -> crate::Result<(Config, Dataset)> {
        // Checked before photos are counted, by the most epochs that there may be.
        let config = self.load(0)?;
        let dataset = prepare(&config, &self.config.heads, &self.data())?;
        let train = dataset.indices(Split::Train);
        let sampling = &config.train.sampling;
        let sampler = Sampler::new(sampling, &config.model_spec()?, &dataset, &train);
        // What it cannot draw from is told where training begins.
        let photos = sampler.map_or(train.len(), |s| s.photos());
        Ok((self.load(photos)?, dataset))
    }

    /// What it is trained on, as given.
    fn data(&self) -> RunData {
        RunData {
            data: self.data.clone(),
            split_files: self.split_files.files().to_vec(),
            unlabelled: self.unlabelled.clone(),
        }
    }

    /// The configuration of a run that begins, with its data, or of one that goes on.
    fn begun(&self, out: &Path) -> crate::Result<(Config, Option<Dataset>)> {
        if !self.resume {
            let (config, dataset) = self.load_with_data()?;
            return Ok((config, Some(dataset)));
        }
        if !RunFolder::holds_run(out) {
            return Err(crate::Error::Invalid {
                what: format!("--resume with --out {}", out.display()),
                expected: "a folder that holds a run; leave --resume out to begin one".into(),
                found: "none".into(),
            });
        }
        Ok((Config::read(&out.join("config.toml"))?, None))
    }

    /// Trains, together with the other processes of the group if there are any.
    pub(crate) fn run(&self, group: &Group) -> crate::Result<ExitCode> {
        if !group.is_first() {
            be_quiet();
        }
        self.run_in(group).map_err(|e| group.tell(e))
    }

    fn run_in(&self, group: &Group) -> crate::Result<ExitCode> {
        let Some(out) = self.out.as_deref().filter(|_| !self.dry_run) else {
            let code = self.show_plan()?;
            group.any(Ok(false))?;
            return Ok(code);
        };
        let (_, size) = group.place();
        if self.find_lr {
            if size > 1 {
                return Err(crate::Error::Invalid {
                    what: "--find-lr".into(),
                    expected: "one process; leave mpirun out".into(),
                    found: format!("{size} of them"),
                });
            }
            let (config, dataset) = self.load_with_data()?;
            return self.search(&config, dataset, out);
        }
        let (config, dataset) = match self.begun(out) {
            Ok((config, dataset)) => (Ok(config), dataset),
            Err(error) => (Err(error), None),
        };
        let (mut config, data) = match size {
            1 => (config?, self.data().or_of(out)?),
            // The folder need not be in the others' reach.
            _ => shared(group, || Ok((config?, self.data().or_of(out)?)))?,
        };
        if size > 1 && config.train.parts == 1 && !self.resume {
            config.train.parts = size;
            note(format!("train.parts is {size}, one part a process"));
        }
        let outcome = run(
            &config,
            &self.config.heads,
            (dataset, &data),
            out,
            How {
                resume: self.resume,
                skip_broken: self.skip_broken,
                live: self.live,
            },
            group,
        )?;
        if !group.is_first() {
            return Ok(match outcome.stopped {
                true => ExitCode::from(130),
                false => ExitCode::SUCCESS,
            });
        }
        if outcome.stopped && !RunFolder::holds_run(out) {
            say("stopped before training began");
            return Ok(ExitCode::from(130));
        }
        if outcome.stopped {
            say(format!(
                "stopped; everything is saved in {}; go on with --resume",
                out.display()
            ));
            return Ok(ExitCode::from(130));
        }
        if let Some(scores) = &outcome.scores {
            say(scores);
        }
        say(match outcome.progress.best {
            Some((f1, epoch)) => {
                let highest = outcome.progress.highest().filter(|(_, of)| *of != epoch);
                let highest = highest.map_or(String::new(), |(f1, of)| {
                    format!("; epoch {of} has {f1:.4}, which is within chance")
                });
                format!(
                    "the model is that of epoch {epoch}, macro F1 {f1:.4} on the validation split{highest}"
                )
            }
            None => "nothing was measured without a labelled validation split: the last epoch is the model".into(),
        });
        say(format!("the model is {}", out.join(BEST).display()));
        say(format!("to look at  {}", out.join(REPORT).display()));
        Ok(ExitCode::SUCCESS)
    }

    /// A search for learning rates.
    fn search(&self, config: &Config, mut dataset: Dataset, out: &Path) -> crate::Result<ExitCode> {
        let weights = begin(config, &self.config.heads, &dataset)?;
        if self.skip_broken && !find_broken(config, &mut dataset, true, &Group::alone())? {
            say("stopped before anything was to be seen");
            return Ok(ExitCode::from(130));
        }
        let mut progress = Progress::new("find-lr");
        let trials = find_lr(
            config,
            weights,
            &dataset,
            out,
            100,
            &stop_on_ctrl_c(),
            &mut |event| show_training(&mut progress, &[], (1, config.train.batch), event),
        );
        progress.end();
        let trials = trials?;
        if let Some(figure) = learning_rates(&trials) {
            write_atomically(&out.join("lr.svg"), figure.file().as_bytes())?;
        }
        match suggestion(&trials) {
            Some(factor) => say(format!(
                "try train.lr_backbone={:.1e} train.lr_heads={:.1e}; the course of the loss is in {}",
                factor * config.train.lr_backbone,
                factor * config.train.lr_heads,
                out.join("lr.svg").display()
            )),
            None => say("stopped before anything was to be seen"),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What would be trained.
    fn show_plan(&self) -> crate::Result<ExitCode> {
        let (config, dataset) = self.load_with_data()?;
        let spec = config.model_spec()?;
        dataset.check_possible(&spec.taxonomy()?)?;
        say(SplitReport::new(&dataset, &spec.taxonomy()?)?);
        without_photos(&spec, &dataset)?.iter().for_each(note);
        show_imbalances(&config, &dataset)?;
        let Plan {
            parts,
            multiply_adds,
        } = dry_run(&config, load_weights(&config, &self.config.heads)?)?;
        let names = parts.iter().map(|p| p.name.len());
        let width = names.max().unwrap_or(0).max(8);
        say(format!(
            "{:width$}  {:>12}  {:>12}  {:>13}  {:>10}  {:>16}",
            "", "parameters", "trained", "learning rate", "from epoch", "multiplications"
        ));
        for p in &parts {
            let (lr, from) = match p.from {
                Some(from) => (format!("{:.3e}", p.lr), from.to_string()),
                None => ("-".into(), "-".into()),
            };
            let cost = p
                .multiply_adds
                .map_or_else(String::new, |n| format!("  {n:>16}"));
            say(format!(
                "{:width$}  {:>12}  {:>12}  {lr:>13}  {from:>10}{cost}",
                p.name, p.parameters, p.trained
            ));
        }
        let sum = |of: fn(&Part) -> usize| parts.iter().map(of).sum::<usize>();
        say(format!(
            "{:width$}  {:>12}  {:>12}",
            "all",
            sum(|p| p.parameters),
            sum(|p| p.trained)
        ));
        say(costs(
            &config,
            dataset.indices(Split::Train).len(),
            multiply_adds,
        )?);
        Ok(ExitCode::SUCCESS)
    }
}

/// Configuration and data as the first process of a group has them, on all.
fn shared(
    group: &Group,
    own: impl FnOnce() -> crate::Result<(Config, RunData)>,
) -> crate::Result<(Config, RunData)> {
    let said = group.share(|| {
        let (config, data) = own()?;
        let texts = [config.to_toml()?, data.to_toml()?];
        serde_json::to_vec(&texts).map_err(|e| unreadable(&e))
    })?;
    let [config, data]: [String; 2] = serde_json::from_slice(&said).map_err(|e| unreadable(&e))?;
    Ok((
        toml::from_str(&config).map_err(|e| unreadable(&e))?,
        toml::from_str(&data).map_err(|e| unreadable(&e))?,
    ))
}

fn unreadable(error: &dyn std::error::Error) -> crate::Error {
    crate::Error::Config {
        origin: "the first process's configuration".into(),
        message: error.to_string(),
        source: None,
    }
}

/// What photos become, how many are computed, and what each costs.
fn costs(config: &Config, photos: usize, multiply_adds: Option<u64>) -> crate::Result<String> {
    let (train, input) = (&config.train, config.model_spec()?.input);
    let [height, width] = input.size;
    let channels = input.channels;
    let computed = if train.keeps_features() {
        match train.feature_views {
            0 | 1 => "the features of each are computed once".into(),
            views => format!("the features of {views} views each are computed once"),
        }
    } else {
        format!("in batches of {}", train.batch)
    };
    let cost = multiply_adds.map_or(String::new(), |n| {
        let giga = n as f64 / 1e9;
        let backward = if train.keeps_features() {
            ""
        } else {
            "; a step of training takes some three times that"
        };
        format!("\ncost   {giga:.3} G multiplications and additions a photo, forward{backward}")
    });
    Ok(format!(
        "input  {height} × {width}, {channels} channels; {photos} photos in training, {} epochs, {computed}{cost}",
        train.epochs
    ))
}

/// How a run is begun and shown.
#[derive(Clone, Copy, Default)]
pub(crate) struct How {
    pub(crate) resume: bool,
    pub(crate) skip_broken: bool,
    /// Whether its page is written after every epoch.
    pub(crate) live: bool,
}

/// Trains on data, which it reads and puts on their sides unless that is done, and writes the run's page.
pub(crate) fn run(
    config: &Config,
    heads: &Path,
    (dataset, data): (Option<Dataset>, &RunData),
    out: &Path,
    how: How,
    group: &Group,
) -> crate::Result<Outcome> {
    let spec = config.model_spec()?;
    let mut dataset = match dataset {
        Some(dataset) => dataset,
        None => prepare(config, heads, data)?,
    };
    let weights = begin(config, heads, &dataset)?;
    // Kept features are computed from every photo before training begins anyway.
    let look = how.skip_broken || !config.train.keeps_features();
    if look && !find_broken(config, &mut dataset, how.skip_broken, group)? {
        return Ok(Outcome {
            stopped: true,
            progress: Default::default(),
            scores: None,
        });
    }
    let names = spec.heads.iter().map(|h| h.name.clone());
    let names: Vec<String> = names
        .chain(spec.joint.iter().map(|_| JOINT.into()))
        .collect();
    if group.is_first() {
        data.write(out)?;
    }
    let mut progress = Progress::new("train");
    let all = (config.train.epochs, config.train.batch);
    let outcome = Trainer::new(config, weights, &dataset)
        .out(out)
        .resume(how.resume)
        .stop(&stop_on_ctrl_c())
        .group(group)
        .on_event(|event| {
            show_training(&mut progress, &names, all, event);
            if let (true, Event::Epoch(_)) = (how.live, event)
                && let Err(e) = write_page(out, &dataset, true)
            {
                // The run is worth more than its picture.
                progress.line(&format!("warning: the page is not fresh: {e:#}"));
            }
        })
        .run();
    progress.end();
    let outcome = outcome?;
    if !outcome.stopped
        && group.is_first()
        && let Err(e) = write_page(out, &dataset, false)
    {
        note(format!("warning: the page was not written: {e:#}"));
    }
    Ok(outcome)
}

/// Decodes every photo once, and names those that are passed over; false if stopped. The first process of a group does it for all.
fn find_broken(
    config: &Config,
    dataset: &mut Dataset,
    skip: bool,
    group: &Group,
) -> crate::Result<bool> {
    let (input, of) = (config.model_spec()?.input, dataset.samples.len());
    let said = group.share(|| {
        let whole = super::broken::shown(of, |show| {
            dataset.find_broken(&input, skip, &stop_on_ctrl_c(), show)
        })?;
        let places = dataset.skipped.iter().map(|place| *place as u64);
        let said = std::iter::once(u64::from(whole)).chain(places);
        Ok(said.flat_map(u64::to_le_bytes).collect())
    })?;
    let said = said
        .as_chunks()
        .0
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes));
    let mut said = said.map(|place| place as usize);
    let whole = said.next() == Some(1);
    dataset.skipped = said.collect();
    Ok(whole)
}

/// Says what the data is; the weights to start from.
fn begin(config: &Config, heads: &Path, dataset: &Dataset) -> crate::Result<Tensors> {
    note(SplitReport::new(
        dataset,
        &config.model_spec()?.taxonomy()?,
    )?);
    show_imbalances(config, dataset)?;
    load_weights(config, heads)
}

/// Says which heads have a label that is rare among the training photos, and what can be done.
fn show_imbalances(config: &Config, dataset: &Dataset) -> crate::Result<()> {
    if config.train.sampling != Sampling::EveryPhoto || dataset.indices(Split::Train).is_empty() {
        return Ok(());
    }
    for Imbalance {
        head,
        rarest: (rare, few),
        commonest: (common, many),
    } in imbalances(&config.model_spec()?, dataset)?
    {
        note(format!(
            "head `{head}`: {few:.0} photos in training are `{rare}`, {many:.0} are `{common}`; if the rare label matters as much, try --set heads.{head}.class_weights=balanced or --set 'train.sampling.by_head={{head=\"{head}\",power=0.5}}'"
        ));
    }
    Ok(())
}

/// The data, corrected, on its sides: those that are given, then those on which the weights to start from have seen it.
pub(super) fn prepare(config: &Config, heads: &Path, data: &RunData) -> crate::Result<Dataset> {
    let names = &config.model.columns;
    let mut dataset = Dataset::open_as(&data.data, &config.model_spec()?.heads, names)?;
    show_passed_over(&data.data, heads, &dataset.heads, names);
    SplitFiles::new(data.split_files.clone()).apply(&mut dataset)?;
    follow(&mut dataset, seen_by_weights(config, heads)?)?;
    show_corrections(&dataset.put_on_sides(
        &config.train.split,
        config.train.seed,
        &config.train.corrections,
    )?);
    if !data.unlabelled.is_empty() {
        if config.train.teacher.is_none() {
            return Err(crate::Error::Invalid {
                what: "--unlabelled".into(),
                expected:
                    "train.teacher, who says what these photos show: --set train.teacher.model=FILE"
                        .into(),
                found: "none".into(),
            });
        }
        let count = dataset.add_unlabelled(&data.unlabelled)?;
        note(format!(
            "{count} photos without labels are on the training side"
        ));
    }
    Ok(dataset)
}
