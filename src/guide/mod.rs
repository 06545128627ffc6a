//! The guide: what hydranet does and how it is used, chapter by chapter. `hydranet guide CHAPTER` prints the same text.

/// The chapters in the order to read them: name, and text in Markdown.
pub(crate) const CHAPTERS: [(&str, &str); 27] = [
    ("data", include_str!("data.md")),
    ("columns", include_str!("columns.md")),
    ("remote", include_str!("remote.md")),
    ("heads", include_str!("heads.md")),
    ("kinds", include_str!("kinds.md")),
    ("backbones", include_str!("backbones.md")),
    ("training", include_str!("training.md")),
    ("recipes", include_str!("recipes.md")),
    ("mixing", include_str!("mixing.md")),
    ("teachers", include_str!("teachers.md")),
    ("machines", include_str!("machines.md")),
    ("evaluation", include_str!("evaluation.md")),
    ("report", include_str!("report.md")),
    ("experiments", include_str!("experiments.md")),
    ("health", include_str!("health.md")),
    ("wrong_labels", include_str!("wrong_labels.md")),
    ("prediction", include_str!("prediction.md")),
    ("shards", include_str!("shards.md")),
    ("serving", include_str!("serving.md")),
    ("python", include_str!("python.md")),
    ("engines", include_str!("engines.md")),
    ("library", include_str!("library.md")),
    ("export", include_str!("export.md")),
    ("file_format", include_str!("file_format.md")),
    ("speed", include_str!("speed.md")),
    ("decisions", include_str!("decisions.md")),
    ("commands", include_str!("commands.md")),
];

#[doc = include_str!("data.md")]
pub mod data {}
#[doc = include_str!("columns.md")]
pub mod columns {}
#[doc = include_str!("remote.md")]
pub mod remote {}
#[doc = include_str!("heads.md")]
pub mod heads {}
#[doc = include_str!("kinds.md")]
pub mod kinds {}
#[doc = include_str!("backbones.md")]
pub mod backbones {}
#[doc = include_str!("training.md")]
pub mod training {}
#[doc = include_str!("recipes.md")]
pub mod recipes {}
#[doc = include_str!("mixing.md")]
pub mod mixing {}
#[doc = include_str!("teachers.md")]
pub mod teachers {}
#[doc = include_str!("machines.md")]
pub mod machines {}
#[doc = include_str!("evaluation.md")]
pub mod evaluation {}
#[doc = include_str!("report.md")]
pub mod report {}
#[doc = include_str!("experiments.md")]
pub mod experiments {}
#[doc = include_str!("health.md")]
pub mod health {}
#[doc = include_str!("wrong_labels.md")]
pub mod wrong_labels {}
#[doc = include_str!("prediction.md")]
pub mod prediction {}
#[doc = include_str!("shards.md")]
pub mod shards {}
#[doc = include_str!("serving.md")]
pub mod serving {}
#[doc = include_str!("python.md")]
pub mod python {}
#[doc = include_str!("engines.md")]
pub mod engines {}
#[doc = include_str!("library.md")]
pub mod library {}
#[doc = include_str!("export.md")]
pub mod export {}
#[doc = include_str!("file_format.md")]
pub mod file_format {}
#[doc = include_str!("speed.md")]
pub mod speed {}
#[doc = include_str!("decisions.md")]
pub mod decisions {}
#[doc = include_str!("commands.md")]
pub mod commands {}
