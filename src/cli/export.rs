//! `hydranet export`: a model as a file or a folder for other programs, or a smaller one.

use super::columns::ColumnArgs;
use super::folders::Folders;
use super::output::{Progress, say};
use super::sides::{DataArgs, SplitFiles};
use crate::data::dataset::Split;
use crate::data::loader::{LoaderConfig, QUEUE_MIB};
use crate::eval::cost::{CostRow, compare_models};
use crate::eval::eight_bits::in_eight_bits;
use crate::io::lock::OutputLock;
use crate::io::write_atomically;
use crate::model_file::activations::Activations;
use crate::onnx;
use crate::{Description, ModelFile, WeightDType};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet export`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("target").required(true).multiple(true))]
pub(crate) struct Export {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Write it as ONNX.
    #[arg(long, group = "target", value_name = "OUT.onnx")]
    onnx: Option<PathBuf>,
    /// Write a model file whose backbone is kept in f16, bf16, int8 or f32; with int8 and --data it computes in int8 too, if its
    /// network can.
    #[arg(long, group = "target", requires = "out", value_name = "NAME")]
    dtype: Option<String>,
    /// The model file to write.
    #[arg(long, requires = "dtype", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Photos to calibrate int8 on (up to 256 of those on the side train), and to measure on what the smaller file costs; may be
    /// given several times.
    #[arg(long, requires = "dtype", value_name = "PATH")]
    data: Vec<PathBuf>,
    /// Corrections to apply to their labels, in TOML or CSV; may be given several times.
    #[arg(long, requires = "data", value_name = "FILE")]
    corrections: Vec<PathBuf>,
    /// The side to measure on: train, valid, test or all.
    #[arg(long, default_value = "test", requires = "data", value_name = "NAME")]
    split: String,
    /// Name photos that cannot be read, and go on without them.
    #[arg(long, requires = "data")]
    skip_broken: bool,
    #[command(flatten)]
    split_files: SplitFiles,
    #[command(flatten)]
    folders: Folders,
}

impl Export {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let dtype: Option<WeightDType> = self.dtype.as_deref().map(str::parse).transpose()?;
        let outputs = [&self.out, &self.onnx].into_iter().flatten();
        let _locks = OutputLock::take_all(outputs.chain(self.folders.outputs()))?;
        let file = ModelFile::read(&self.model)?;
        self.folders.write(&file)?;
        if let Some(onnx) = &self.onnx {
            to_onnx(&file, onnx)?;
        }
        if let (Some(dtype), Some(out)) = (dtype, &self.out) {
            // Measured before it is written: a fault in the data leaves no file that nobody looked at.
            let (smaller, rows) = self.smaller(&file, dtype)?;
            let bytes = smaller.to_bytes()?;
            write_atomically(out, &bytes)?;
            say(format!(
                "{}: {} bytes in {}, {:.2} of {} in {}",
                out.display(),
                bytes.len(),
                dtype.name(),
                bytes.len() as f64 / file.to_bytes()?.len() as f64,
                self.model.display(),
                file.description.dtype.name()
            ));
            if dtype == WeightDType::Int8 {
                say(format!("computes {}", computing(&smaller.description)));
            }
            match rows {
                Some(rows) => table(&rows),
                None => say("what it costs was not measured: give labelled photos with --data"),
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The model in a smaller type, and what that costs where there are photos to measure it on.
    fn smaller(
        &self,
        file: &ModelFile,
        dtype: WeightDType,
    ) -> crate::Result<(ModelFile, Option<Vec<CostRow>>)> {
        if self.data.is_empty() {
            return Ok((file.with_dtype(dtype)?, None));
        }
        let data = DataArgs {
            columns: ColumnArgs::default(),
            data: self.data.clone(),
            split_files: self.split_files.clone(),
            corrections: self.corrections.clone(),
            skip_broken: self.skip_broken,
        };
        let (dataset, indices, _) = data.select(&[&file.description], &self.split)?;
        let loading = LoaderConfig::new(QUEUE_MIB);
        let smaller = if dtype == WeightDType::Int8 {
            // Not on the photos that it is measured on, if there are others.
            let train = dataset.indices(Split::Train);
            let of = if train.is_empty() { &indices } else { &train };
            let mut progress = Progress::new("calibrate");
            let mut tell = |done, all| progress.show(done, all);
            let smaller = in_eight_bits(file, &dataset, of, loading, &mut tell)?;
            progress.end();
            smaller
        } else {
            file.with_dtype(dtype)?
        };
        let mut progress = Progress::new("compare");
        let mut tell = |done| progress.show(done, 2 * indices.len());
        let rows = compare_models([file, &smaller], &dataset, &indices, loading, &mut tell)?;
        progress.end();
        Ok((smaller, Some(rows)))
    }
}

/// How a model with weights of eight bits computes, in words.
pub(super) fn computing(description: &Description) -> String {
    match &description.activations {
        None => "in f32: only its weights are kept in int8; photos given with --data calibrate it"
            .into(),
        Some(Activations {
            in_f32_because: Some(why),
            ..
        }) => format!("in f32: {why}, which is not computed in int8"),
        Some(activations) => format!(
            "in int8: {} maps, calibrated on {} photos",
            activations.maps.len(),
            activations.photos
        ),
    }
}

fn table(rows: &[CostRow]) {
    say(format!(
        "{:<15}{:>8}{:>20}{:>20}{:>10}{:>14}",
        "", "photos", "accuracy", "macro F1", "changed", "probability"
    ));
    for r in rows {
        let pair = |[before, after]: [f64; 2]| format!("{before:.4} → {after:.4}");
        say(format!(
            "{:<15}{:>8}{:>20}{:>20}{:>10}{:>14}",
            r.name,
            r.photos,
            pair(r.accuracy),
            pair(r.macro_f1),
            r.changed,
            format!("± {:.1e}", r.greatest)
        ));
    }
    say(
        "changed: photos that are predicted differently; probability: its greatest change on any photo",
    );
}

fn to_onnx(file: &ModelFile, out: &Path) -> crate::Result<()> {
    let bytes = onnx::to_bytes(file)?;
    write_atomically(out, &bytes)?;
    let d = &file.description;
    let ([h, w], channels) = (d.model.input.size, d.model.input.channels);
    say(format!("{}: {} bytes", out.display(), bytes.len()));
    say(format!(
        "input   {} (batch, {channels}, {h}, {w}), values from 0 to 255",
        onnx::IMAGES
    ));
    for head in &d.model.heads {
        say(format!(
            "output  {} (batch, {})",
            head.name,
            head.num_labels()
        ));
        if !head.labels.groups.is_empty() {
            let (name, groups) = (onnx::groups_output(head), head.labels.groups.len());
            say(format!("output  {name} (batch, {groups})"));
        }
        if let Some(number) = &head.labels.number {
            let [mean, bins] = onnx::number_outputs(head);
            say(format!("output  {mean} (batch)"));
            say(format!("output  {bins} (batch, {})", number.bins));
        }
    }
    say(format!(
        "output  {} (batch, {})",
        onnx::JOINT,
        d.classes.len()
    ));
    say(format!("output  {} (batch)", onnx::FINAL_CLASS));
    Ok(())
}
