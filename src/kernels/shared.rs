//! One output written by several threads at disjoint places.

/// A buffer that tasks write at disjoint places.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: a `SharedMut` is only a pointer; `range` and `pointer` put the duty of disjointness on their callers.
unsafe impl<T: Send> Send for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    pub(crate) fn new(buffer: &mut [T]) -> Self {
        Self {
            start: buffer.as_mut_ptr(),
            len: buffer.len(),
        }
    }

    /// Where the values `at..at + len` begin.
    ///
    /// # Safety
    /// The buffer must be alive while the pointer is used.
    pub(crate) unsafe fn pointer(&self, at: usize, len: usize) -> *mut T {
        let end = at.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len),
            "range {at}+{len} beyond {}",
            self.len
        );
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.add(at) }
    }

    /// The values `at..at + len`.
    ///
    /// # Safety
    /// The buffer must be alive, and no other task may touch this range while the slice lives.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn range(&self, at: usize, len: usize) -> &mut [T] {
        let end = at.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len),
            "range {at}+{len} beyond {}",
            self.len
        );
        // SAFETY: in bounds by the assertion, alive and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }

    /// Where a matrix of `rows` × `cols` values begins whose rows are `stride` apart.
    ///
    /// # Safety
    /// The buffer must be alive, and no other task may touch these values while the pointer is used.
    pub(crate) unsafe fn matrix(
        &self,
        at: usize,
        (rows, cols): (usize, usize),
        stride: usize,
    ) -> *mut T {
        let last = rows.saturating_sub(1).saturating_mul(stride);
        let end = last.saturating_add(at).saturating_add(cols);
        assert!(end <= self.len, "values up to {end} beyond {}", self.len);
        // SAFETY: in bounds by the assertion.
        unsafe { self.start.add(at) }
    }
}
