//! What is read whole: photos and listings.

use super::engine::{Engine, RETRIES, RETRY_FOR, answer, time_for, wait_before};
use super::failure::{Failure, last_cause};
use super::place::Place;
use crate::error::{Error, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use object_store::{GetOptions, GetResult, ObjectStoreExt as _};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// A download whose size is known and of which nothing is held yet.
pub(crate) struct Fetch {
    path: PathBuf,
    engine: Arc<Engine>,
    place: Place,
    begun: GetResult,
}

impl Fetch {
    /// Asks for it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be had, which says what was tried.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| Error::io("read", path, e);
        let engine = Engine::get().map_err(failed)?;
        let place = Place::of(path, &engine).map_err(|e| e.about(path))?;
        let (asked, kind) = (place.clone(), place.kind);
        let begun = engine.wait(async move { answer(asked.store.get(&asked.key), kind).await });
        let begun = begun.map_err(failed)?;
        Ok(Self {
            path: path.into(),
            begun: begun.map_err(|e| e.about(path))?,
            engine,
            place,
        })
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> u64 {
        self.begun.meta.size
    }

    /// All of them; what breaks off is asked for again.
    ///
    /// # Errors
    /// As [`begin`](Self::begin), and if it cannot be had whole.
    pub(crate) fn read(self) -> Result<Vec<u8>> {
        let Self {
            path,
            engine,
            place,
            begun,
        } = self;
        let failed = |e: io::Error| Error::io("read", &path, e);
        engine
            .wait(read(place, begun))
            .map_err(failed)?
            .map_err(|e| e.about(&path))
    }
}

/// The content of what has at most `most` bytes.
///
/// # Errors
/// As [`Fetch::read`]; [`Error::Io`] if it is larger, of which nothing is read.
pub(crate) fn bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    let fetch = Fetch::begin(path)?;
    if fetch.size() > most {
        let reason = format!(
            "at most {} MiB are read of such a file, found {} MiB",
            most >> 20,
            fetch.size().div_ceil(1 << 20)
        );
        return Err(Failure::wrong(reason).about(path));
    }
    fetch.read()
}

async fn read(place: Place, begun: GetResult) -> Result<Vec<u8>, Failure> {
    let (size, tag) = (begun.meta.size, begun.meta.e_tag.clone());
    let mut result = begun;
    let start = Instant::now();
    let mut again = 0;
    loop {
        let stream = result.into_stream();
        let failure = match collect(stream, size).await {
            Ok(bytes) => return Ok(bytes),
            Err(failure) => failure,
        };
        if !failure.broke_off {
            return Err(failure);
        }
        // What has a tag the store itself goes on with where it broke off, if the server knows ranges; others are begun again.
        if again == RETRIES || start.elapsed() > RETRY_FOR {
            return Err(failure.in_vain(again + 1));
        }
        tokio::time::sleep(wait_before(again)).await;
        again += 1;
        let asked = place.store.get_opts(&place.key, GetOptions::default());
        result = answer(asked, place.kind).await?;
        if result.meta.size != size || result.meta.e_tag != tag {
            return Err(Failure::changed());
        }
    }
}

/// Exactly so many bytes.
///
/// # Errors
/// If there are fewer or more, or they take too long.
pub(super) async fn collect(
    mut stream: impl Stream<Item = object_store::Result<Bytes>> + Unpin,
    size: u64,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let room = usize::try_from(size)
        .ok()
        .map(|size| bytes.try_reserve_exact(size));
    if !matches!(room, Some(Ok(()))) {
        return Err(io_failure(ErrorKind::OutOfMemory));
    }
    let all = async {
        while let Some(part) = stream.next().await {
            let part = part.map_err(|e| last_cause(&e))?;
            if (bytes.len() + part.len()) as u64 > size {
                return Err("more came than was said".to_string());
            }
            bytes.extend_from_slice(&part);
        }
        Ok(())
    };
    let cause = match tokio::time::timeout(time_for(size), all).await {
        Ok(Ok(())) if bytes.len() as u64 == size => return Ok(bytes),
        Ok(Ok(())) => "the connection was closed".to_string(),
        // The store wanted to go on where it broke off.
        Ok(Err(cause)) if cause.starts_with("Range request not supported") => {
            "the connection was closed, and the server gives whole files only".to_string()
        }
        Ok(Err(cause)) => cause,
        Err(_) => format!("it takes longer than {} s", time_for(size).as_secs()),
    };
    Err(Failure::broke_off(bytes.len() as u64, size, &cause))
}

fn io_failure(kind: ErrorKind) -> Failure {
    Failure {
        kind,
        message: io::Error::from(kind).to_string(),
        broke_off: false,
    }
}
