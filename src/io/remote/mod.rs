//! What lies at `s3://`, `gs://` and `http(s)://`, through the crate `object_store`: read whole within bounds, read at any place,
//! and listed. Whoever reads waits for it on its own thread, as for a file.

mod cache;
mod engine;
mod failure;
mod fetch;
mod list;
mod place;
mod ranges;

pub(crate) use fetch::{Fetch, bytes};
pub(crate) use list::list;
pub(crate) use ranges::open;
