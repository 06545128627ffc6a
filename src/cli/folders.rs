//! `hydranet export --hugging-face` and `--timm`.

use super::output::say;
use crate::ModelFile;
use crate::model_file::folder;
use clap::Args;
use std::path::PathBuf;

/// The folders `hydranet export` can write.
#[derive(Args)]
pub(crate) struct Folders {
    /// Write it as a folder for the Hugging Face Hub: backbone, heads, config.json, model card.
    #[arg(long, group = "target", value_name = "DIR")]
    hugging_face: Option<PathBuf>,
    /// Write its backbone alone as a folder for timm.
    #[arg(long, group = "target", value_name = "DIR")]
    timm: Option<PathBuf>,
    /// The licence on the model card, in the Hub's words: mit, apache-2.0, other … [default: none is named].
    #[arg(long, requires = "hugging_face", value_name = "ID")]
    license: Option<String>,
}

impl Folders {
    /// The folders that are written.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.hugging_face, &self.timm].into_iter().flatten()
    }

    pub(crate) fn write(&self, file: &ModelFile) -> crate::Result<()> {
        if let Some(out) = &self.hugging_face {
            folder::write(file, out, self.license.as_deref())?;
            let files = [folder::MODEL, folder::CONFIG, folder::HEADS, folder::CARD];
            say(format!("{}: {}", out.display(), files.join(", ")));
        }
        if let Some(out) = &self.timm {
            folder::write_timm(file, out)?;
            let files = [folder::MODEL, folder::CONFIG];
            say(format!("{}: {}", out.display(), files.join(", ")));
        }
        Ok(())
    }
}
