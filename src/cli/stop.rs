//! Requests to end: Ctrl-C, and on Unix SIGTERM and the end of the terminal.

use super::terminal::note;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that a request to end sets; a second Ctrl-C ends the program at once.
pub(crate) fn stop_on_ctrl_c() -> &'static AtomicBool {
    static STOP: AtomicBool = AtomicBool::new(false);
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        listen(|by_hand| {
            // Whoever closes a terminal or ends a service may ask more than once; only a hand on the keyboard means it twice.
            match (STOP.swap(true, Ordering::Relaxed), by_hand) {
                (false, _) => note("\nstopping after this step; Ctrl-C once more to stop at once"),
                (true, true) => std::process::exit(130),
                (true, false) => {}
            }
        });
    });
    &STOP
}

/// Calls `heard` for each request from now on, with whether it is Ctrl-C. Where that cannot be arranged, a request ends the program, as it ends any other.
#[cfg(unix)]
fn listen(heard: fn(bool)) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = vec![SIGINT, SIGTERM];
    if !hang_up_is_ignored() {
        signals.push(SIGHUP);
    }
    if let Ok(mut signals) = signal_hook::iterator::Signals::new(signals) {
        let wait = move || signals.forever().for_each(|s| heard(s == SIGINT));
        let _ = std::thread::Builder::new().spawn(wait);
    }
}

/// Whether the end of the terminal is ignored, as `nohup` arranges it: then it stays so. Where that cannot be seen, it is left as it is.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    // Signal n is bit n − 1, and SIGHUP is 1.
    match ignored.map(|hex| u64::from_str_radix(hex.trim(), 16)) {
        Some(Ok(bits)) => bits & 1 == 1,
        _ => true,
    }
}

#[cfg(not(unix))]
fn listen(heard: fn(bool)) {
    // Fails only if a handler is set already, and then it is this one.
    let _ = ctrlc::set_handler(move || heard(true));
}
