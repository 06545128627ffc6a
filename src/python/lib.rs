//! The native half of the Python package `hydranet`: the library's calls and the command's, without the lock of Python's
//! interpreter while they compute. What users see is written in Python, in the folder `hydranet` beside this file.

mod command;
mod error;
mod photos;
mod predictor;

// A training step frees and asks for the same large buffers again and again; mimalloc keeps them, as in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the Python half calls.
#[pyo3::pymodule(name = "_native")]
mod native {
    use crate::error;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::command::command;
    #[pymodule_export]
    use crate::predictor::{NativePredictor, read_tensors};

    /// Sets the number of threads that compute. Only before anything was computed, or to what it is.
    #[pyfunction]
    fn set_threads(py: Python, threads: usize) -> PyResult<()> {
        if !(1..=1024).contains(&threads) {
            let words = format!("threads: expected a number from 1 to 1024, found {threads}");
            return Err(error::invalid(py, &words));
        }
        // Threads do not come along into a forked process.
        error::check_process(py)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        // Engines for data run the function of a task, which sets it, in one process again and again.
        if pool.build_global().is_err() && rayon::current_num_threads() != threads {
            let words = "the number of threads is set once, before anything was computed";
            return Err(error::invalid(py, words));
        }
        Ok(())
    }

    #[pymodule_init]
    fn init(module: &Bound<PyModule>) -> PyResult<()> {
        module.add("VERSION", env!("CARGO_PKG_VERSION"))
    }
}
