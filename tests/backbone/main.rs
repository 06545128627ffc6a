//! Networks, and their features beside those of timm and transformers.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

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
