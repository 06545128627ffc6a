//! A request's body: read whole, within bounds on its size, on the time it takes, and on the memory of all bodies together.

use super::State;
use super::failure::{Failure, Kind};
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, EXPECT, HeaderMap};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::{Instant, timeout_at};

/// Bytes that all bodies together may hold; more where one alone may have more.
const MEMORY: usize = 512 << 20;
/// Memory is taken in pieces of so many bytes, as they arrive: who announces much and sends little holds little.
const PIECE: usize = 64 << 10;

/// The memory of bodies.
pub(super) struct Memory(Arc<Semaphore>);

/// The memory that a body takes, given back when dropped.
#[derive(Debug)]
pub(super) struct Held(Option<OwnedSemaphorePermit>);

impl Held {
    /// The memory of no body.
    pub(super) fn none() -> Self {
        Self(None)
    }
}

impl Memory {
    pub(super) fn new(max_body: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            MEMORY.max(max_body).div_ceil(PIECE),
        )))
    }

    /// Makes it hold `bytes` in all, if that is free.
    fn grow(&self, held: &mut Held, bytes: usize) -> Result<(), TryAcquireError> {
        let has = held.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(PIECE).saturating_sub(has);
        if more > 0 {
            let more = u32::try_from(more).map_err(|_| TryAcquireError::NoPermits)?;
            let more = Arc::clone(&self.0).try_acquire_many_owned(more)?;
            match &mut held.0 {
                Some(all) => all.merge(more),
                none => *none = Some(more),
            }
        }
        Ok(())
    }
}

/// Reads a body. What is refused is still read to its end, as long as there is time, and thrown away: whoever sends first and
/// reads then hears why.
pub(super) async fn read(
    state: &State,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<u8>, Held), Failure> {
    let limit = state.settings.max_body;
    let too_large = || {
        let words = format!("the body is larger than {limit} bytes, the most that are taken");
        Failure::new(Kind::Large, words)
    };
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|l| l.to_str().ok()?.parse::<u64>().ok());
    let announced = length.is_some_and(|l| l > limit as u64);
    if announced && headers.contains_key(EXPECT) {
        // It asks first, and sends nothing.
        return Err(too_large());
    }
    let mut refused = announced.then(too_large);
    let (mut bytes, mut held) = (Vec::new(), Held::none());
    let deadline = Instant::now() + state.settings.read_timeout;
    let mut body = body;
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                let words = format!("the body cannot be read: {error}");
                return Err(Failure::request(words));
            }
            Err(_) => {
                return Err(refused.unwrap_or_else(|| {
                    let seconds = state.settings.read_timeout.as_secs_f64();
                    let words = format!("the body did not arrive in {seconds} seconds");
                    Failure::new(Kind::Slow, words)
                }));
            }
        };
        let (Ok(data), None) = (frame.into_data(), &refused) else {
            continue;
        };
        let total = bytes.len() + data.len();
        if total > limit {
            refused = Some(too_large());
        } else if state.memory.grow(&mut held, total).is_err() {
            let words = "too many large requests at once; try again later";
            refused = Some(Failure::new(Kind::Full, words));
        } else {
            bytes.extend_from_slice(&data);
            continue;
        }
        (bytes, held) = (Vec::new(), Held::none());
    }
    match refused {
        Some(failure) => Err(failure),
        None => Ok((bytes, held)),
    }
}
