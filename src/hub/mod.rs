//! Weights from the Hugging Face Hub, and models to it and from it.

mod address;
mod cache;
mod call;
mod client;
mod commit;
mod download;
mod fetch;
mod lfs;
mod local;
mod pull;
mod push;
mod repository;
mod settings;
mod source;

pub use pull::pull;
pub use push::{Create, push};
pub use settings::Hub;
