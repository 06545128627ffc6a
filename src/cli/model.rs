//! `hydranet evaluate`, `predict` and `inspect`: what is done with a finished model.

use super::output::{Progress, say, say_json, show_corrections};
use clap::Args;
use hydranet::input::find_images;
use hydranet::train::config::TrainConfig;
use hydranet::train::corrections::Corrections;
use hydranet::train::dataset::{Dataset, Split};
use hydranet::train::evaluate::{Queue, features, logits, predict_files, score};
use hydranet::train::score::AllMetrics;
use hydranet::train::{person_folder, run, split};
use hydranet::{Error, ModelFile, Predictor};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// MiB of photos decoded ahead.
const QUEUE_MIB: usize = 64;

/// Arguments of `hydranet evaluate`.
#[derive(Args)]
pub(crate) struct Evaluate {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// A CSV listing or a person folder; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    data: Vec<PathBuf>,
    /// The side to score: train, valid, test or all. Photos without a split get the one that the model's training gave them.
    #[arg(long, default_value = "test", value_name = "NAME")]
    split: String,
    /// Corrections to apply, in TOML or CSV; may be given several times.
    #[arg(long, value_name = "FILE")]
    corrections: Vec<PathBuf>,
    /// Also write every prediction as CSV.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print every metric of every head and of the final class, instead of accuracy, macro F1 and the tables of labels.
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print JSON: everything there is.
    #[arg(long)]
    json: bool,
}

impl Evaluate {
    pub(crate) fn run(&self) -> hydranet::Result<ExitCode> {
        let file = ModelFile::read(&self.model)?;
        let spec = &file.description.model;
        let side: Option<Split> = match self.split.as_str() {
            "all" => None,
            side => Some(side.parse()?),
        };
        let dataset = open(&file, &self.data, side.is_some(), &self.corrections)?;
        let indices: Vec<usize> = match side {
            None => (0..dataset.samples.len()).collect(),
            Some(side) => dataset.indices(side),
        };
        if indices.is_empty() {
            return Err(Error::EmptySplit {
                split: self.split.clone(),
                origin: list(&self.data),
                reason: "no photo stands on it; choose another with --split".into(),
            });
        }
        let model = file.build()?;
        let mut progress = Progress::new("evaluate");
        let kept = features(
            &model,
            &spec.input,
            &dataset,
            &indices,
            Queue::new(QUEUE_MIB),
            &mut |done| {
                progress.show("evaluate", done, indices.len());
            },
        )?;
        progress.end();
        let taxonomy = spec.taxonomy()?;
        let logits = logits(&model, &kept)?;
        let decision = &file.description.decision;
        let (predictions, report) = score(&taxonomy, decision, &dataset, &indices, &logits)?;
        if let Some(out) = &self.out {
            run::write_predictions(out, &taxonomy, &dataset, &indices, &predictions)?;
        }
        if self.json {
            say_json(&report)?
        } else if self.all {
            say(AllMetrics(&report))
        } else {
            say(&report)
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The data that a model is to be used on, corrected, and on request on the sides that the model's training gave the photos: a split
/// follows from data, shares and seed.
pub(super) fn open(
    file: &ModelFile,
    data: &[PathBuf],
    sides: bool,
    corrections: &[PathBuf],
) -> hydranet::Result<Dataset> {
    let spec = &file.description.model;
    let mut dataset = Dataset::open(data, &spec.heads)?;
    if sides {
        let config: TrainConfig =
            serde_json::from_value(file.description.training["config"].clone()).unwrap_or_default();
        split::assign(&mut dataset, &config.split, config.seed)?;
    }
    show_corrections(&Corrections::read(corrections)?.apply(&mut dataset)?);
    dataset.check_possible(&spec.taxonomy()?)?;
    Ok(dataset)
}

pub(super) fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|p| p.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Arguments of `hydranet predict`.
#[derive(Args)]
pub(crate) struct Predict {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Photos, and folders whose photos are all taken.
    #[arg(required_unless_present = "listing", value_name = "PHOTO|FOLDER")]
    paths: Vec<PathBuf>,
    /// A listing with the header ImageID,ans, to be answered in --result.
    #[arg(
        long,
        requires = "result",
        conflicts_with = "paths",
        value_name = "CSV"
    )]
    listing: Option<PathBuf>,
    /// The folder of the listing's photos [default: `images` beside the listing].
    #[arg(long, requires = "listing", value_name = "DIR")]
    images: Option<PathBuf>,
    /// Where the answered listing is written.
    #[arg(long, requires = "listing", value_name = "CSV")]
    result: Option<PathBuf>,
    /// Print one JSON object a line instead of CSV.
    #[arg(long)]
    json: bool,
}

impl Predict {
    pub(crate) fn run(&self) -> hydranet::Result<ExitCode> {
        let predictor = Predictor::from_file(&self.model)?;
        match (&self.listing, &self.result) {
            (Some(listing), Some(result)) => self.answer(&predictor, listing, result),
            _ => self.print(&predictor),
        }
    }

    fn answer(
        &self,
        predictor: &Predictor,
        listing: &Path,
        result: &Path,
    ) -> hydranet::Result<ExitCode> {
        let names = person_folder::read_listing(listing)?;
        let folder = self
            .images
            .clone()
            .unwrap_or_else(|| listing.with_file_name("images"));
        let paths: Vec<PathBuf> = names.iter().map(|n| folder.join(n)).collect();
        let mut answers = vec![0; names.len()];
        let mut faults = 0;
        let mut progress = Progress::new("predict");
        predict_files(
            predictor,
            &paths,
            Queue::new(QUEUE_MIB),
            &mut |i, outcome| {
                progress.show("predict", i + 1, paths.len());
                match outcome {
                    Ok(p) => answers[i] = p.class,
                    Err(e) => {
                        faults += 1;
                        progress.line(&format!("error: {e}; answered with class 0"));
                    }
                }
            },
        )?;
        progress.end();
        person_folder::write_result(result, &names, &answers)?;
        say(format!(
            "{} photos answered in {}, {faults} unreadable",
            names.len(),
            result.display()
        ));
        Ok(if faults == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn print(&self, predictor: &Predictor) -> hydranet::Result<ExitCode> {
        let mut paths = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                paths.extend(find_images(path)?);
            } else {
                paths.push(path.clone());
            }
        }
        if paths.is_empty() {
            return Err(Error::EmptySplit {
                split: "asked-for".into(),
                origin: list(&self.paths),
                reason: "there is no JPEG or PNG file in it".into(),
            });
        }
        let taxonomy = predictor.taxonomy();
        if !self.json {
            let mut header = "path,class,name,prob".to_string();
            for (i, head) in taxonomy.heads().iter().enumerate() {
                header += &format!(",{head}");
                header.extend(
                    taxonomy
                        .labels(i)
                        .iter()
                        .map(|l| format!(",{}", quoted(&format!("{head}_{l}")))),
                );
            }
            say(header);
        }
        let mut faults = 0;
        predict_files(
            predictor,
            &paths,
            Queue::new(QUEUE_MIB),
            &mut |i, outcome| match outcome {
                Ok(p) if self.json => {
                    let mut value = serde_json::to_value(&p).unwrap_or_default();
                    value["path"] = paths[i].display().to_string().into();
                    say(value);
                }
                Ok(p) => {
                    let path = quoted(&paths[i].display().to_string());
                    let mut row = format!("{path},{},{},{:.6}", p.class, quoted(&p.name), p.prob);
                    for head in &p.heads {
                        row += &format!(",{}", quoted(head.label.as_deref().unwrap_or_default()));
                        row.extend(head.probs.iter().map(|p| format!(",{p:.6}")));
                    }
                    say(row);
                }
                Err(e) => {
                    faults += 1;
                    eprintln!("error: {e}");
                }
            },
        )?;
        if faults > 0 {
            eprintln!("{faults} of {} photos could not be read", paths.len());
        }
        Ok(if faults == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// A CSV cell.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

/// Arguments of `hydranet inspect`.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(&self) -> hydranet::Result<ExitCode> {
        let file = ModelFile::read(&self.model)?;
        let d = &file.description;
        if self.json {
            say_json(d)?;
            return Ok(ExitCode::SUCCESS);
        }
        let count = |prefix: &str| -> usize {
            let of_prefix = file.tensors.iter().filter(|(n, _)| n.starts_with(prefix));
            of_prefix.map(|(_, t)| t.elem_count()).sum()
        };
        say(format!(
            "backbone  {}, {} features, {} values",
            d.model.backbone,
            d.model.backbone.num_features(),
            count("backbone.")
        ));
        let input = &d.model.input;
        let crop = input
            .crop
            .map(|[h, w]| format!("centre crop {h} × {w}, then "))
            .unwrap_or_default();
        let [h, w] = input.size;
        let resized = match input.crop_pct {
            None => format!("resized to {h} × {w}"),
            Some(pct) => format!(
                "resized in its shape to {h} / {pct} × {w} / {pct} or more, the middle {h} × {w}"
            ),
        };
        say(format!(
            "input     {crop}{resized} (height × width), {:?}",
            input.interpolation
        ));
        let (mean, std): (Vec<f32>, Vec<f32>) = (0..input.channels).map(|c| input.norm(c)).unzip();
        say(format!(
            "          normalised by mean {mean:?}, std {std:?}"
        ));
        for head in &d.model.heads {
            let values = count(&format!("heads.{}.", head.name));
            say(format!(
                "head      {}: {}; {values} values, weight {}",
                head.name,
                head.labels.join(", "),
                head.weight
            ));
            for (other, labels) in &head.when {
                say(format!(
                    "          only if {other} is {}",
                    labels.join(" or ")
                ));
            }
        }
        if let Some(joint) = &d.model.joint {
            let (values, share) = (count("joint."), joint.share);
            say(format!(
                "joint     a head of the final classes; {values} values, share {share}"
            ));
        }
        say(format!("decision  {}", d.decision.rule.name()));
        for (i, name) in d.classes.iter().enumerate() {
            say(format!("class {i:3} {name}"));
        }
        if !d.training.is_null() {
            say("training");
            say_json(&d.training)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
