//! Requests to end: Ctrl-C, and on Unix SIGTERM and the end of the terminal.

use super::called;
use super::terminal::note;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Once};

/// A flag that a request to end sets; a second Ctrl-C ends the program at once. A program that called the command listens itself,
/// and sets its own.
pub(crate) fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
    if let Some(stop) = called::stop() {
        return stop;
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        listen(|by_hand| {
            // Whoever closes a terminal or ends a service may ask more than once; only a hand on the keyboard means it twice.
            match (STOP.swap(true, Ordering::Relaxed), by_hand) {
                (false, _) => note("\nstopping after this step; Ctrl-C once more to stop at once"),
                (true, true) => super::terminal::exit(130),
                (true, false) => {}
            }
        });
    });
    Arc::clone(&STOP)
}

/// Calls `heard` for each request from now on, with whether it is Ctrl-C. Where that cannot be arranged, a request ends the
/// program, as it ends any other.
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

/// Whether the end of the terminal is ignored, as `nohup` arranges it: then it stays so.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    seen_by_proc().unwrap_or_else(seen_by_a_child)
}

/// As Linux shows it.
#[cfg(unix)]
fn seen_by_proc() -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:"))?;
    // Signal n is bit n − 1, and SIGHUP is 1.
    Some(u64::from_str_radix(ignored.trim(), 16).ok()? & 1 == 1)
}

/// As everywhere else: a child ignores what its parent ignores, and one that hangs up on itself outlives it only then.
#[cfg(unix)]
fn seen_by_a_child() -> bool {
    let mut child = std::process::Command::new("/bin/sh");
    child
        .args(["-c", "kill -HUP $$"])
        .status()
        .is_ok_and(|s| s.success())
}

#[cfg(not(unix))]
fn listen(heard: fn(bool)) {
    // Fails only if a handler is set already, and then it is this one.
    let _ = ctrlc::set_handler(move || heard(true));
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_child_sees_what_linux_shows() {
        assert_eq!(seen_by_proc(), Some(seen_by_a_child()));
        // The same under `nohup`: this test once more, with the signal ignored.
        if seen_by_proc() == Some(false) {
            let name = std::thread::current().name().unwrap().to_string();
            let mut again = std::process::Command::new("/bin/sh");
            again.args(["-c", "trap '' HUP; exec \"$0\" --exact \"$1\""]);
            let out = again.arg(std::env::current_exe().unwrap()).arg(name);
            assert!(out.output().unwrap().status.success());
        }
    }
}
