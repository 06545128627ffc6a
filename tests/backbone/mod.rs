//! Networks, and their features beside those of timm and transformers.

mod activations;
mod adapters;
mod architectures;
mod channels;
mod conv_norm_act;
mod golden_backbones;
mod golden_network;
mod instruction_sets;
mod repvgg;
mod sizes;
mod wall;
