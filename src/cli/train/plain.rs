//! Settings of training that are plain options.

use clap::Args;

/// The settings that are changed most often.
#[derive(Args)]
pub(super) struct PlainSettings {
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
    pub(super) fn settings(&self) -> impl Iterator<Item = String> {
        let epochs = self.epochs.map(|n| format!("train.epochs={n}"));
        let size = self
            .size
            .map(|[h, w]| format!("model.input.size=[{h},{w}]"));
        let frozen = self.frozen.then(|| "train.fine_tune=frozen".to_string());
        epochs.into_iter().chain(size).chain(frozen)
    }
}
