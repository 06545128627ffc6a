//! Networks, and their features beside those of timm and transformers.
#![cfg(feature = "cli")]

#[path = "../common/differences.rs"]
mod differences;
#[path = "../common/drawn.rs"]
mod drawn;
#[path = "../common/golden.rs"]
mod golden;
#[path = "../common/recorded.rs"]
mod recorded;
#[path = "../common/runs.rs"]
mod runs;

mod activations;
mod adapters;
mod architectures;
mod channels;
mod golden_backbones;
mod golden_network;
mod instruction_sets;
mod repvgg;
mod sizes;
mod wall;
