//! What a head is ([`HeadSpec`], one small TOML file each): its [labels](LabelSpec) and where they come from, its
//! [loss](LossSpec), and the [layers](LayerSpec) that turn features into logits ([`Head`]).

mod class_weights;
#[cfg(feature = "train")]
mod cost;
mod fault;
mod inputs;
mod labels;
mod layers;
mod loss;
mod loss_kind;
mod multi_label;
mod names;
mod network;
mod number;
mod ordinal;
mod pool;
mod spec;
mod stages;
mod table;

pub use class_weights::{ClassWeightRule, ClassWeights};
pub(crate) use inputs::{Inputs, Segment};
pub use labels::LabelSpec;
pub use layers::LayerSpec;
pub use loss::LossSpec;
pub(crate) use loss_kind::GREATEST;
pub use loss_kind::{LossKind, LossTerm};
pub use multi_label::MultiLabelSpec;
pub(crate) use names::{NUMBER_COLUMNS, check_names, level_columns};
pub use network::Head;
#[cfg(feature = "train")]
pub(crate) use network::Readout;
pub(crate) use network::check_layers;
pub(crate) use number::Distribution;
pub use number::NumberSpec;
#[cfg(feature = "train")]
pub(crate) use ordinal::borders;
pub(crate) use ordinal::{LEAST, log_sigmoid};
pub use pool::PoolKind;
pub(crate) use pool::{LEAST_VALUE, Pool};
pub use spec::HeadSpec;
pub(crate) use spec::check_loss;

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/head/mod.rs"]
mod tests;
