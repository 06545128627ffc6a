//! What several rooms' tests share.

// No room uses all of it.
#![allow(dead_code)]

#[cfg(feature = "cli")]
pub mod browser;
pub mod differences;
#[cfg(feature = "cli")]
pub mod drawn;
pub mod golden;
#[cfg(feature = "cli")]
pub mod hub_server;
pub mod on_tape;
#[cfg(feature = "parquet")]
pub mod parquet;
#[cfg(feature = "cli")]
pub mod recorded;
#[cfg(feature = "cli")]
pub mod runs;
#[cfg(feature = "cli")]
pub mod sides;
#[cfg(feature = "remote")]
pub mod store_server;
#[cfg(feature = "cli")]
pub mod tiny;
pub mod words;
