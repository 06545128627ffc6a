//! Models whose files change are read again.

use super::State;
use super::model::Model;
use crate::predict::Manifest;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

/// How often files are looked at. A file is read when it has been the same twice: whoever writes it is likely done.
const PERIOD: Duration = Duration::from_millis(500);

/// The most bytes of a file that may be the manifest of an ensemble: models are larger.
const MANIFEST: u64 = 1 << 16;

/// What tells a file from what it was: place, bytes, time of the last change, and on Unix which file it is and when anything of
/// it changed.
type Told = (u64, Option<SystemTime>, [i64; 3]);

/// A model's files as they were.
type Seen = Vec<(PathBuf, Option<Told>)>;

/// A watched model.
struct Watched {
    model: Arc<Model>,
    /// What was read last, whether or not it was taken.
    read: Seen,
    /// What was there at the last look.
    seen: Seen,
}

/// Watches the models' files on a thread of its own until the sender is dropped; what is sent reads all models again.
pub(super) fn watch(state: &Arc<State>) -> Sender<()> {
    let (asks, asked) = channel();
    let models = state.models.values().map(|model| {
        let read = seen(&model.path);
        Watched {
            model: Arc::clone(model),
            seen: read.clone(),
            read,
        }
    });
    let watched: Vec<_> = models.collect();
    std::thread::spawn(move || look(watched, &asked));
    asks
}

fn look(mut watched: Vec<Watched>, asked: &Receiver<()>) {
    loop {
        let all = match asked.recv_timeout(PERIOD) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for file in &mut watched {
            let now = seen(&file.model.path);
            let settled = now == file.seen;
            file.seen.clone_from(&now);
            if all || (settled && now != file.read) {
                file.read = now;
                file.model.reload();
            }
        }
    }
}

/// The files of a model: itself, those of its folder, or those its manifest names.
fn seen(path: &Path) -> Seen {
    let mut files = vec![path.to_path_buf()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        files.extend(entries.map(|e| e.path()));
    } else if path.metadata().is_ok_and(|m| m.len() <= MANIFEST)
        && let Ok(manifest) = Manifest::read(path)
    {
        let beside = path.parent().unwrap_or(Path::new(""));
        files.extend(manifest.models.iter().map(|m| beside.join(m)));
    }
    files.sort();
    let told = files.into_iter().map(|file| {
        let told = std::fs::metadata(&file).ok();
        let told = told.map(|m| (m.len(), m.modified().ok(), identity(&m)));
        (file, told)
    });
    told.collect()
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> [i64; 3] {
    use std::os::unix::fs::MetadataExt as _;
    [
        metadata.ino() as i64,
        metadata.ctime(),
        metadata.ctime_nsec(),
    ]
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> [i64; 3] {
    [0; 3]
}
