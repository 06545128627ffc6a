//! Pretrained weights: from files of any origin, and from the Hub.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod hub;
mod hub_push;
mod hub_server;
mod strangers;
mod weights;
