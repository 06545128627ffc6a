//! Damaged files, of which the reader of Parquet may say nothing but panic.

use parquet::errors::{ParquetError, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `read` gives; a panic in it is an error like any other. Nothing that `read` has changed is used after it.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(ParquetError::General(
            "what stands there makes no sense".into(),
        ))
    })
}
