//! `hydranet report`.

use super::columns::ColumnArgs;
use super::evaluate::Evaluation;
use super::output::say;
use super::run_data::RunData;
use super::sides::{DataArgs, SplitFiles};
use super::terminal::note;
use super::views::ViewArgs;
use crate::data::dataset::Dataset;
use crate::experiment::{Comparison, collect};
use crate::predict::Predictor;
use crate::report::run::{ReportConfig, Source, write};
use crate::train::config::Config;
use crate::weights::source::BEST;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the page of a run is called in its folder.
pub(super) const REPORT: &str = "report.html";

/// Arguments of `hydranet report`.
#[derive(Args)]
#[command(
    after_help = "The page is one file that needs no network: send it, keep it. `train` and `demo` write it into their folder by themselves."
)]
pub(crate) struct Report {
    /// Folders of runs, or of experiments; several are put side by side, the first being the baseline.
    #[arg(value_name = "RUN", required_unless_present = "model")]
    runs: Vec<PathBuf>,
    /// The page to write.
    #[arg(long, default_value = REPORT, value_name = "FILE")]
    out: PathBuf,
    /// A model file, or the manifest of an ensemble, to make the page of, on the photos of --data.
    #[arg(long, value_name = "FILE", conflicts_with = "runs", requires = "data")]
    model: Option<PathBuf>,
    /// A CSV listing or a folder of photos: what --model is scored on; of runs where their photos are now. May be given several
    /// times.
    #[arg(long, value_name = "PATH")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    #[command(flatten)]
    split_files: SplitFiles,
    /// With --model the side to score: train, valid, test or all.
    #[arg(long, default_value = "test", value_name = "NAME", requires = "model")]
    split: String,
    #[command(flatten)]
    views: ViewArgs,
    /// With --model corrections to apply, in TOML or CSV; may be given several times.
    #[arg(long, value_name = "FILE", requires = "model")]
    corrections: Vec<PathBuf>,
    /// With --model name photos that cannot be read, and go on without them.
    #[arg(long, requires = "model")]
    skip_broken: bool,
}

impl Report {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        match &self.model {
            Some(model) => self.of_model(model)?,
            None => self.of_runs()?,
        }
        say(format!("page  {}", self.out.display()));
        Ok(ExitCode::SUCCESS)
    }

    fn of_model(&self, model: &Path) -> crate::Result<()> {
        let data = DataArgs {
            data: self.data.clone(),
            columns: self.columns.clone(),
            split_files: self.split_files.clone(),
            corrections: self.corrections.clone(),
            skip_broken: self.skip_broken,
        };
        let found = Evaluation::new(model, &self.views, &data, &self.split)?;
        let mut source = Source::of_model(
            model,
            &found.ensemble,
            (&found.dataset, &found.indices),
            (&found.predictions, &found.report),
        )?;
        source.side.clone_from(&self.split);
        if let [predictor] = found.ensemble.members() {
            source.explain(predictor);
        }
        source.facts.insert(
            0,
            (
                "photos".into(),
                format!("{} of {}", found.indices.len(), data.list()),
            ),
        );
        write(&[source], None, ReportConfig::default(), &self.out)
    }

    fn of_runs(&self) -> crate::Result<()> {
        let folders = folders(&self.runs)?;
        let datasets = folders.iter().map(|folder| self.photos(folder));
        let datasets: Vec<crate::Result<Dataset>> = datasets.collect();
        let mut sources = Vec::new();
        for (folder, dataset) in folders.iter().zip(&datasets) {
            let mut source = Source::of_run(folder, dataset.as_ref().ok())?;
            explain(&mut source, folder);
            if let Err(e) = dataset {
                let hint = "--data says where the photos are";
                source
                    .notes
                    .push(format!("the photos are not shown: {e:#}; {hint}"));
            }
            sources.push(source);
        }
        apart(&mut sources, &folders);
        let comparison = match compared(&folders) {
            Some(Ok(comparison)) => Some(comparison),
            Some(Err(e)) => {
                note(format!("not compared: {e:#}"));
                let text = format!("the runs are not compared: {e:#}");
                sources.iter_mut().for_each(|s| s.notes.push(text.clone()));
                None
            }
            None => None,
        };
        write(
            &sources,
            comparison.as_ref(),
            ReportConfig::default(),
            &self.out,
        )
    }

    /// What a run was trained on, as far as it is still there.
    fn photos(&self, run: &Path) -> crate::Result<Dataset> {
        if self.data.is_empty() && !RunData::is_in(run) {
            return Err(crate::Error::Invalid {
                what: run.display().to_string(),
                expected: "a folder that says on what the run was trained".into(),
                found: "one that does not".into(),
            });
        }
        let config = Config::read(&run.join("config.toml"))?;
        let given = RunData {
            data: self.data.clone(),
            split_files: self.split_files.files().to_vec(),
            ..RunData::default()
        };
        let data = given.or_of(run)?;
        let heads = config.model_spec()?.heads;
        let given = self.columns.names(&heads)?;
        let names = given.unwrap_or_else(|| config.model.columns.clone());
        let mut dataset = Dataset::open_as(&data.data, &heads, &names)?;
        let train = &config.train;
        SplitFiles::new(data.split_files).apply(&mut dataset)?;
        dataset.put_on_sides(&train.split, train.seed, &train.corrections)?;
        dataset.add_unlabelled(&data.unlabelled)?;
        Ok(dataset)
    }
}

/// Run folders, in the place of an experiment those of its finished runs.
fn folders(paths: &[PathBuf]) -> crate::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.join("config.toml").is_file() || !path.join("experiment.json").is_file() {
            all.push(path.clone());
        } else {
            let runs = collect(std::slice::from_ref(path))?.runs;
            all.extend(runs.into_iter().map(|r| r.folder));
        }
    }
    Ok(all)
}

/// The finished ones of several runs compared; `None` where there are not two.
fn compared(folders: &[PathBuf]) -> Option<crate::Result<Comparison>> {
    let finished = folders
        .iter()
        .filter(|f| collect(&[f.to_path_buf()]).is_ok());
    let finished: Vec<PathBuf> = finished.cloned().collect();
    if finished.len() < 2 {
        return (folders.len() > 1).then(|| {
            Err(crate::Error::Invalid {
                what: "the runs".into(),
                expected: "at least two that are finished".into(),
                found: finished.len().to_string(),
            })
        });
    }
    let of = |found: crate::experiment::Collected| {
        Comparison::new(&found.runs, &found.figures, found.confidence)
    };
    Some(collect(&finished).and_then(of))
}

/// Calls runs whose folders are called the same by their whole paths.
fn apart(sources: &mut [Source], folders: &[PathBuf]) {
    let names: Vec<String> = sources.iter().map(|s| s.name.clone()).collect();
    for (source, folder) in sources.iter_mut().zip(folders) {
        if names.iter().filter(|n| **n == source.name).count() > 1 {
            source.name = folder.display().to_string();
        }
    }
}

/// Shows where the model of a run looked in its worst photos, if model and photos are there.
fn explain(source: &mut Source, run: &Path) {
    let file = run.join(BEST);
    if source.dataset.is_none() || !file.is_file() {
        return;
    }
    match Predictor::from_file(&file) {
        Ok(predictor) => source.explain(&predictor),
        Err(e) => source.notes.push(format!("no photo has its heat: {e:#}")),
    }
}

/// Writes the page of a run into its folder.
pub(super) fn write_page(run: &Path, dataset: &Dataset, live: bool) -> crate::Result<()> {
    let mut source = Source::of_run(run, Some(dataset))?;
    // While it goes on, time is better spent on going on.
    if !live {
        explain(&mut source, run);
    }
    write(&[source], None, ReportConfig { live }, &run.join(REPORT))
}
