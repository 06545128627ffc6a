//! `hydranet export`: a model as a file for other programs.

use super::output::say;
use clap::Args;
use hydranet::export::onnx;
use hydranet::{ModelFile, write_atomically};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet export`.
#[derive(Args)]
pub(crate) struct Export {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Write it as ONNX.
    #[arg(long, required = true, value_name = "OUT.onnx")]
    onnx: PathBuf,
}

impl Export {
    pub(crate) fn run(&self) -> hydranet::Result<ExitCode> {
        let file = ModelFile::read(&self.model)?;
        let bytes = onnx::to_bytes(&file)?;
        write_atomically(&self.onnx, &bytes)?;
        let d = &file.description;
        let ([h, w], channels) = (d.model.input.size, d.model.input.channels);
        say(format!("{}: {} bytes", self.onnx.display(), bytes.len()));
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
        }
        say(format!(
            "output  {} (batch, {})",
            onnx::JOINT,
            d.classes.len()
        ));
        say(format!("output  {} (batch)", onnx::FINAL_CLASS));
        Ok(ExitCode::SUCCESS)
    }
}
