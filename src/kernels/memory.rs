//! Keeping freed memory: a training step frees and asks for the same buffers again and again.

/// Tells mimalloc to keep freed memory instead of giving it back to the operating system, which would have to clear each page
/// again at the next step: up to a quarter of a training step's time, as profiled. Has an effect only in a program whose global
/// allocator is mimalloc, as the `hydranet` command's is.
pub fn keep_freed_memory() {
    // The place of `purge_delay` in mimalloc's list of options, in its versions 2 and 3; the binding does not name it.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: mimalloc's options may be set at any time from any thread; −1 milliseconds means "never give back".
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}
