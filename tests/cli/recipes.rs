//! Recipes: listed, printed, followed, and fitted to the photos and the backbone.

use super::{hydranet, text, works};
use std::path::Path;

const HEADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/heads");

fn portraits() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = hydranet::cli::portraits::PortraitConfig {
        people: 12,
        seed: 5,
        size: (32, 32),
    };
    hydranet::cli::portraits::write_portraits(&dir.path().join("faces"), &config).unwrap();
    dir
}

/// The plan of a training with these arguments.
fn plan(dir: &Path, more: &[&str]) -> String {
    let mut args = vec![
        "train",
        "--dry-run",
        "--heads",
        HEADS,
        "--data",
        "faces/portraits.csv",
    ];
    args.extend(more);
    works(dir, &args)
}

#[test]
fn the_rate_of_a_recipe_is_that_of_batch_norm_and_what_is_given_wins() {
    let dir = portraits();
    let vit = [
        "--set",
        "model.backbone=vit_tiny_patch16_224",
        "--set",
        "model.weights=",
        "--set",
        "model.input.size=[32,32]",
    ];
    let cases: [(&[&str], &str); 7] = [
        (&[], "1.500e-3"),
        (&["--recipe", "quick"], "1.500e-3"),
        (&["--recipe", "none"], "5.000e-4"),
        (&["--set", "train.batch_norm=frozen"], "5.000e-4"),
        (&vit, "5.000e-4"),
        (&["--set", "train.lr_backbone=0.001"], "1.000e-3"),
        (
            &["--recipe", "quick", "--set", "train.lr_backbone=0.001"],
            "1.000e-3",
        ),
    ];
    for (args, rate) in cases {
        let said = plan(dir.path(), args);
        // The row of the backbone's last stage is before the first head's.
        let rows: Vec<&str> = said.lines().collect();
        let head = rows.iter().position(|row| row.starts_with("heads."));
        let stage = rows[head.unwrap_or_else(|| panic!("{said}")) - 1];
        assert!(stage.contains(rate), "{args:?}: {stage}");
    }
}

#[test]
fn few_photos_get_more_epochs_and_a_printed_recipe_is_a_configuration() {
    let dir = portraits();
    assert!(plan(dir.path(), &[]).contains(" 30 epochs"));
    assert!(plan(dir.path(), &["--recipe", "quick"]).contains(" 12 epochs"));
    assert!(plan(dir.path(), &["--epochs", "2"]).contains(" 2 epochs"));
    let listed = works(dir.path(), &["recipe"]);
    for name in listed.lines().map(|l| l.split(':').next().unwrap()) {
        let printed = works(dir.path(), &["recipe", name]);
        std::fs::write(dir.path().join("mine.toml"), printed).unwrap();
        let said = plan(dir.path(), &["--recipe", "none", "--config", "mine.toml"]);
        assert!(said.contains("1.500e-3"), "{name}: {said}");
    }
    let out = hydranet(dir.path(), ["recipe", "quikc"]);
    let message = text(&out.stderr);
    assert!(
        !out.status.success() && message.contains("quick"),
        "{message}"
    );
}
