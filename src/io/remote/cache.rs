//! Parts of files that were read last, of all files together: what stands beside a photo in a shard is the next one.

use super::failure::Failure;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Bytes that are kept.
const KEPT: u64 = 32 << 20;

/// A part of a file that has come or is on its way.
pub(super) struct Part {
    file: u64,
    pub(super) start: u64,
    pub(super) length: u64,
    content: Mutex<Option<Result<Arc<Vec<u8>>, Failure>>>,
    came: Condvar,
}

impl Part {
    pub(super) fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Waits for it.
    ///
    /// # Errors
    /// If it cannot be had.
    pub(super) fn wait(&self) -> Result<Arc<Vec<u8>>, Failure> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*content {
                Some(content) => return content.clone(),
                None => {
                    content = self
                        .came
                        .wait(content)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }

    fn is_set(&self) -> bool {
        let content = self.content.lock();
        content.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn set(&self, result: Result<Vec<u8>, Failure>) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if content.is_none() {
            *content = Some(result.map(Arc::new));
        }
        self.came.notify_all();
    }
}

/// A promise to bring a part: whoever waits for it hears of it in any case.
pub(super) struct Promise(Arc<Part>);

impl Promise {
    pub(super) fn keep(self, result: Result<Vec<u8>, Failure>) {
        if result.is_err() {
            forget(&self.0);
        }
        self.0.set(result);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.0.is_set() {
            forget(&self.0);
            self.0.set(Err(Failure::wrong(
                "the download came to an end before it was whole",
            )));
        }
    }
}

/// All parts, those that were asked for last in front.
#[derive(Default)]
struct Cache {
    parts: VecDeque<Arc<Part>>,
    bytes: u64,
}

static CACHE: Mutex<Cache> = Mutex::new(Cache {
    parts: VecDeque::new(),
    bytes: 0,
});

/// The part of a file with the byte at this place.
pub(super) fn find(file: u64, at: u64) -> Option<Arc<Part>> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let holds = |p: &Arc<Part>| p.file == file && p.start <= at && p.end() > at;
    let place = cache.parts.iter().position(holds)?;
    let part = cache.parts.remove(place)?;
    cache.parts.push_front(Arc::clone(&part));
    Some(part)
}

/// Where the next part of a file behind this place begins.
pub(super) fn next(file: u64, at: u64) -> Option<u64> {
    let cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let behind = cache
        .parts
        .iter()
        .filter(|p| p.file == file && p.start > at);
    behind.map(|p| p.start).min()
}

/// Takes note of a part that is on its way; those that were asked for longest ago go.
pub(super) fn add(file: u64, start: u64, length: u64) -> (Arc<Part>, Promise) {
    let part = Arc::new(Part {
        file,
        start,
        length,
        content: Mutex::new(None),
        came: Condvar::new(),
    });
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    cache.bytes += length;
    cache.parts.push_front(Arc::clone(&part));
    while cache.bytes > KEPT && cache.parts.len() > 1 {
        if let Some(old) = cache.parts.pop_back() {
            cache.bytes -= old.length;
        }
    }
    (Arc::clone(&part), Promise(part))
}

/// Takes out a part that could not be had: who asks next tries again.
fn forget(part: &Arc<Part>) {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(place) = cache.parts.iter().position(|p| Arc::ptr_eq(p, part)) {
        cache.parts.remove(place);
        cache.bytes -= part.length;
    }
}

/// Takes out all parts of a file that is closed.
pub(super) fn close(file: u64) {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    cache.parts.retain(|p| p.file != file);
    cache.bytes = cache.parts.iter().map(|p| p.length).sum();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_that_is_dropped_is_told_and_forgotten_and_one_that_is_kept_stays() {
        let (part, promise) = add(u64::MAX, 0, 4);
        drop(promise);
        assert!(part.wait().is_err());
        assert!(find(u64::MAX, 0).is_none());
        let (_, promise) = add(u64::MAX, 0, 4);
        promise.keep(Ok(vec![1, 2, 3, 4]));
        assert_eq!(*find(u64::MAX, 0).unwrap().wait().unwrap(), [1, 2, 3, 4]);
        close(u64::MAX);
        assert!(find(u64::MAX, 0).is_none());
    }
}
