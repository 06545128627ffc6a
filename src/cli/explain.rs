//! `hydranet explain`.

use super::output::{Progress, say};
use super::terminal::note;
use crate::input::find_images;
use crate::io::lock::FolderLock;
use crate::io::png::png;
use crate::io::table::write_json;
use crate::io::write_atomically;
use crate::location::is_folder;
use crate::model_file::Tensors;
use crate::report::heat::{HeatFigures, explain, overlay};
use crate::{Error, ExplainMethod, Predictor, to_bytes};
use candle_core::{Device, Tensor};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet explain`.
#[derive(Args)]
#[command(
    after_help = "For each photo and head --out gets <photo>.<head>.png, the photo as the network sees it with the heat over it, and <photo>.safetensors with the heat of all heads, (H, W) from 0 to 1."
)]
pub(crate) struct Explain {
    /// The model file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Photos, and folders whose photos are all taken.
    #[arg(required = true, value_name = "PHOTO|FOLDER")]
    paths: Vec<PathBuf>,
    /// The folder to write to.
    #[arg(long, value_name = "DIR", required_unless_present = "measure")]
    out: Option<PathBuf>,
    /// How: grad_cam, grad_cam_plus_plus, attention_rollout, occlusion or integrated_gradients.
    #[arg(long, default_value = "grad_cam", value_name = "NAME")]
    method: ExplainMethod,
    /// Explain this label of a head and not its likeliest; may be given several times.
    #[arg(long, value_name = "HEAD=LABEL", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Print for each head how much of the heat lies in the lower half of the photos, and by how much the label's probability
    /// falls where the hottest tenth of a photo is covered, beside a tenth drawn at random.
    #[arg(long)]
    measure: bool,
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((head, label)) if !head.is_empty() => Ok((head.into(), label.into())),
        _ => Err("expected HEAD=LABEL, as in mask=worn".into()),
    }
}

impl Explain {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let predictor = Predictor::from_file(&self.model)?;
        let labels: BTreeMap<String, String> = self.label.iter().cloned().collect();
        let mut photos = Vec::new();
        for path in &self.paths {
            if is_folder(path) {
                photos.extend(find_images(path)?.images);
            } else {
                photos.push(path.clone());
            }
        }
        if photos.is_empty() {
            return Err(Error::Invalid {
                what: "what is to be explained".into(),
                expected: "at least one photo".into(),
                found: "none".into(),
            });
        }
        let _lock = self.out.as_deref().map(FolderLock::take).transpose()?;
        let mut names = BTreeSet::new();
        let mut figures = BTreeMap::new();
        let (mut progress, mut faults) = (Progress::new("explain"), 0);
        for (i, photo) in photos.iter().enumerate() {
            let one = self.one(
                &predictor,
                photo,
                &labels,
                (&mut names, &mut figures),
                i as u64,
            );
            match one {
                // A photo that cannot be read ends nothing; a head or label that is none does.
                Err(error @ (Error::Image { .. } | Error::Io { .. })) if photos.len() > 1 => {
                    note(format!("passed over: {error:#}"));
                    faults += 1;
                }
                other => other?,
            }
            progress.show(i + 1, photos.len());
        }
        progress.end();
        if self.measure {
            self.show(figures)?;
        }
        Ok(match faults {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    fn one(
        &self,
        predictor: &Predictor,
        path: &Path,
        labels: &BTreeMap<String, String>,
        (names, figures): (&mut BTreeSet<String>, &mut BTreeMap<String, HeatFigures>),
        seed: u64,
    ) -> crate::Result<()> {
        let photo = predictor.input().open(path)?;
        let (pixels, image, explained) = explain(predictor, &photo, self.method, labels)?;
        if self.measure {
            HeatFigures::add(figures, predictor, &image, &explained, seed)?;
        }
        let Some(out) = &self.out else { return Ok(()) };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        // Photos of one name from several folders.
        let name = (1..)
            .map(|n| {
                if n == 1 {
                    stem.to_string()
                } else {
                    format!("{stem}-{n}")
                }
            })
            .find(|name| names.insert(name.clone()))
            .unwrap_or_default();
        let [height, width] = predictor.input().size;
        let mut tensors = Tensors::new();
        let mut said = Vec::new();
        for e in explained {
            let rgb = overlay(&pixels, predictor.input().channels, &e.heat);
            // A head's name may be any text.
            let file = out.join(format!("{name}.{}.png", e.head.replace(['/', '\\'], "_")));
            write_atomically(&file, &png(&rgb, [height, width]))?;
            said.push(format!("{} {} ({:.2})", e.head, e.label, e.prob));
            tensors.insert(
                e.head,
                Tensor::from_vec(e.heat, (height, width), &Device::Cpu)?,
            );
        }
        write_atomically(
            &out.join(format!("{name}.safetensors")),
            &to_bytes(&tensors, None)?,
        )?;
        say(format!("{}: {}", path.display(), said.join(", ")));
        Ok(())
    }

    fn show(&self, figures: BTreeMap<String, HeatFigures>) -> crate::Result<()> {
        let figures: BTreeMap<String, HeatFigures> = figures
            .into_iter()
            .map(|(head, f)| (head, f.means()))
            .collect();
        say(format!(
            "{:<15}{:>8}{:>14}{:>20}{:>20}",
            "", "photos", "lower half", "hottest covered", "random covered"
        ));
        for (head, f) in &figures {
            say(format!(
                "{head:<15}{:>8}{:>14.3}{:>20.3}{:>20.3}",
                f.photos, f.lower_half, f.hottest_covered, f.random_covered
            ));
        }
        match &self.out {
            Some(out) => write_json(&out.join("measure.json"), &figures),
            None => Ok(()),
        }
    }
}
