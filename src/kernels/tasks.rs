//! How work is cut, and where it runs.

use std::ops::Range;

/// So many images or others cut into at most `parts` consecutive ranges of like length.
pub fn parts(all: usize, parts: usize) -> Vec<Range<usize>> {
    let parts = parts.min(all).max(1);
    (0..parts)
        .map(|i| all * i / parts..all * (i + 1) / parts)
        .collect()
}

/// Tasks that work is wished to be cut into where no value depends on how: two for each thread, so that none waits long for the
/// last one.
pub(crate) fn wished() -> usize {
    2 * rayon::current_num_threads()
}

/// Runs a chain of parallel loops inside the thread pool: a caller from outside is put to sleep and woken up at every one of
/// them, which takes as long as a small loop.
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}
