//! Whether a training step fits into memory, told before the first.

use super::config::{FineTune, TrainConfig};
use crate::backbone::SavedActivations;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::input::InputSpec;
use crate::model::MultiTaskModel;
use crate::tape::Tape;
use hydranet_tape::internal::Step;

/// What a machine has that does not tell: 64 GiB.
const USUAL: u64 = 64 << 30;

/// Refuses steps of at most `batch` photos that this machine's memory does not hold. Of a network that is not made of a tape's
/// steps only the photos are known. Where features are kept, it is those of all `photos`, in training and in validation. Parts that
/// share the statistics of batch norm are computed side by side: `together` are all those of one of so many processes.
pub(super) fn check(
    config: &TrainConfig,
    (batch, together): (usize, Option<usize>),
    input: &InputSpec,
    model: &MultiTaskModel,
    photos: [usize; 2],
) -> Result<()> {
    if config.keeps_features() {
        return check_kept(config, model, photos);
    }
    let [height, width] = input.size;
    let photo = 4 * (input.channels * height * width) as u64;
    let passes = 1 + model.crops().len() as u64;
    let bytes = of_photo(config, input, model).unwrap_or(0).max(photo);
    let bytes = bytes.saturating_mul(passes);
    let most = of_machine().unwrap_or(USUAL);
    let turns = together.unwrap_or(config.parts);
    let photos = batch.div_ceil(turns.clamp(1, (batch / 2).max(1)));
    // The pixels of the others wait beside.
    let waiting = photo.saturating_mul((batch - photos) as u64);
    let needed = bytes.saturating_mul(photos as u64).saturating_add(waiting);
    if needed <= most {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    Err(Error::Invalid {
        what: "train.batch with model.input.size".into(),
        expected: format!(
            "a step that fits into the {:.1} GiB of memory of this machine; lower train.batch or model.input.size, or {}",
            gib(most),
            match together {
                Some(_) =>
                    "train on more machines; with train.batch_norm = \"train\" train.parts helps too",
                None => "compute a batch in parts with train.parts",
            }
        ),
        found: format!(
            "{photos} photos of {height} × {width} pixels at once, which take {:.1} GiB at least",
            gib(needed)
        ),
    })
}

/// Refuses features that are kept and that memory does not hold: those in training unless they lie in a folder, and those in
/// validation, which are together once more while they are scored.
fn check_kept(
    config: &TrainConfig,
    model: &MultiTaskModel,
    [train, valid]: [usize; 2],
) -> Result<()> {
    let views = match config.feature_cache {
        Some(_) => 0,
        None => config.feature_views.max(1),
    };
    let rows = (train.saturating_mul(views)).saturating_add(2 * valid) as u64;
    let width = model.parts().1.first().map_or(0, Head::num_features) as u64;
    let needed = rows.saturating_mul(4 * width);
    let most = of_machine().unwrap_or(USUAL);
    if needed <= most {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    Err(Error::Invalid {
        what: "the features that are kept of a frozen backbone".into(),
        expected: format!(
            "what fits into the {:.1} GiB of memory of this machine; name a folder for them (train.feature_cache), keep fewer (train.feature_views) or pool maps by their mean",
            gib(most)
        ),
        found: format!("{rows} rows of {width} values, {:.1} GiB", gib(needed)),
    })
}

/// The least bytes that a photo takes in a step. Where the whole network is trained, the sums of all convolutions and linear
/// layers are kept for backward, in half the bytes with `activations = "bf16"`; with what else a step needs, networks take 1.6 to
/// 3.5 times that as measured. Else it is the two greatest of them.
fn of_photo(
    config: &TrainConfig,
    input: &InputSpec,
    model: &MultiTaskModel,
) -> candle_core::Result<u64> {
    let [height, width] = input.size;
    let (mut tape, images) = Tape::recorded(input.channels, (height, width))?;
    let features = model.parts().0.on_tape(&mut tape, &images)?;
    let (record, _) = tape.into_record(&features)?;
    // Place 0 is that of the images.
    let steps = record.steps.iter().zip(&record.dims[1..]);
    let sums = steps.filter(|(step, _)| matches!(step, Step::Conv { .. }));
    let mut sizes: Vec<u64> = sums
        .map(|(_, dims)| dims.iter().product::<usize>() as u64 * 4)
        .collect();
    if config.fine_tune != FineTune::Full || !config.freeze.is_empty() {
        sizes.sort_unstable();
        return Ok(sizes.iter().rev().take(2).sum());
    }
    let kept = match config.activations {
        SavedActivations::F32 => 6,
        SavedActivations::Bf16 => 3,
    };
    Ok(sizes.iter().sum::<u64>() / 4 * kept)
}

/// The memory of this machine, or less where its processes may take less, as Linux tells.
fn of_machine() -> Option<u64> {
    let about = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = about.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let total = total
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        << 10;
    let allowed = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let allowed = allowed.and_then(|text| text.trim().parse().ok());
    Some(allowed.unwrap_or(total).min(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Architecture;
    use crate::head::HeadSpec;
    use crate::model::ModelSpec;
    use candle_core::{DType, Device};
    use candle_nn::VarBuilder;

    #[test]
    fn a_step_is_known_by_the_maps_of_its_photos_and_refused_where_no_memory_holds_it() {
        let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
        let heads = vec![HeadSpec::new("mask", ["worn", "not_worn"])];
        let spec = ModelSpec::new(backbone, heads, backbone.input());
        let zeros = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let model = MultiTaskModel::new(&spec, 0.0, &zeros).unwrap();
        let full = TrainConfig::default();
        let last = TrainConfig {
            fine_tune: FineTune::LastStages(1),
            ..TrainConfig::default()
        };
        let freeze = TrainConfig {
            freeze: vec!["*".into()],
            ..TrainConfig::default()
        };
        let half = TrainConfig {
            activations: SavedActivations::Bf16,
            ..TrainConfig::default()
        };
        let of = |config: &TrainConfig, side: usize| {
            let input = InputSpec {
                size: [side, side],
                ..spec.input.clone()
            };
            (of_photo(config, &input, &model).unwrap(), input)
        };
        // timm counts 6.74 million values of its convolutions at 224 × 224.
        let (bytes, usual) = of(&full, 224);
        assert!((39_000_000..43_000_000).contains(&bytes), "{bytes}");
        assert!(of(&last, 224).0 < bytes / 2);
        assert_eq!(of(&freeze, 224).0, of(&last, 224).0);
        assert!((bytes / 2).abs_diff(of(&half, 224).0) < 8);
        check(&full, (32, None), &usual, &model, [0; 2]).unwrap();
        let (bytes, large) = of(&full, 4096);
        assert!(bytes > 8 << 30, "{bytes}");
        check(&full, (0, None), &large, &model, [0; 2]).unwrap();
        // By processes, whatever the parts, where these share statistics.
        let parts = TrainConfig {
            parts: 32_768,
            ..full.clone()
        };
        let sizes = |together: Option<usize>| {
            let found = check(&parts, (65_536, together), &large, &model, [0; 2]);
            found.map_err(|e| e.to_string())
        };
        for (processes, at_once) in [(1, "65536 photos"), (2, "32768 photos")] {
            let message = sizes(Some(processes)).unwrap_err();
            assert!(message.contains(at_once), "{message}");
            assert!(message.contains("more machines"), "{message}");
        }
        assert!(!sizes(None).is_err_and(|e| e.contains("65536 photos")));
        let message = check(&full, (65_536, None), &large, &model, [0; 2]);
        let message = message.unwrap_err().to_string();
        for word in ["train.batch", "model.input.size", "train.parts", "4096"] {
            assert!(message.contains(word), "{message}");
        }
        let mut kept = TrainConfig {
            fine_tune: FineTune::Frozen,
            mix_up: 0.0,
            feature_views: 2,
            ..TrainConfig::default()
        };
        kept.augment.flip = 0.0;
        assert!(kept.keeps_features());
        check(&kept, (32, None), &usual, &model, [100_000, 10_000]).unwrap();
        let message = check(&kept, (32, None), &usual, &model, [1 << 40, 1]).unwrap_err();
        let message = message.to_string();
        for word in [
            "train.feature_cache",
            "train.feature_views",
            "2199023255554 rows",
        ] {
            assert!(message.contains(word), "{message}");
        }
        // In a folder they are not in memory.
        kept.feature_cache = Some("features".into());
        check(&kept, (32, None), &usual, &model, [1 << 40, 1]).unwrap();
    }
}
