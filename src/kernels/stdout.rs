//! Whether standard output was closed when the program began. Rust opens `/dev/null` in its place before `main` does anything,
//! and what is written to it then is lost without an error.

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard output was closed before Rust opened something in its place. False where that cannot be told.
pub fn stdout_was_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

#[cfg(unix)]
mod before_main {
    use super::{CLOSED, Ordering};
    use std::ffi::c_int;

    unsafe extern "C" {
        fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
    }

    extern "C" fn look() {
        const STDOUT: c_int = 1;
        const F_GETFD: c_int = 1;
        // SAFETY: this command takes no further argument and changes nothing; a descriptor that is not open is an error.
        let flags = unsafe { fcntl(STDOUT, F_GETFD) };
        CLOSED.store(flags < 0, Ordering::Relaxed);
    }

    // SAFETY: functions in this section are called once, before `main`; this one needs nothing that Rust's runtime sets up.
    #[used]
    #[cfg_attr(
        target_vendor = "apple",
        unsafe(link_section = "__DATA,__mod_init_func")
    )]
    #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
    static LOOK: extern "C" fn() = look;
}
