//! Connections: taken up to a bound, cut off when they send nothing or do not take what they are sent, and ended when what is under way is done.

use super::signals::{Asked, Signals};
use super::{State, app};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;

/// How long what is under way may take once the end is asked for, beside the time a request may take to arrive.
const GRACE: Duration = Duration::from_secs(30);
/// The pause after a connection could not be taken, as when there are too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers connections until the end is asked for, then finishes what is under way; asked twice, it ends at once.
pub(super) async fn serve(
    listener: TcpListener,
    state: &Arc<State>,
    mut signals: Signals,
    reloads: Sender<()>,
) {
    let log = state.settings.log;
    let service = TowerToHyperService::new(app::router(state));
    let slots = Arc::new(Semaphore::new(state.settings.max_connections));
    let connections = GracefulShutdown::new();
    let timeout = state.settings.read_timeout;
    loop {
        let (stream, slot) = tokio::select! {
            taken = take(&listener, &slots) => taken,
            asked = signals.next() => match asked {
                Asked::End => break,
                Asked::Reload => {
                    // Whoever would read them is gone only if it panicked, which is on standard error.
                    let _ = reloads.send(());
                    continue;
                }
            },
        };
        // An answer is one piece: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        // Else who reads nothing would hold a connection, and the answers that wait in it, as long as it likes.
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(timeout));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(timeout)
            .serve_connection(TokioIo::new(Box::pin(stream)), service.clone());
        let connection = connections.watch(connection);
        let metrics = Arc::clone(&state.metrics);
        metrics.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            // Whoever broke off, or sent what is no HTTP, has been told as far as that is possible.
            let _ = connection.await;
            metrics.connections.fetch_sub(1, Ordering::Relaxed);
            drop(slot);
        });
    }
    drop(listener);
    state.ending.store(true, Ordering::Relaxed);
    state.models.values().for_each(|model| model.queue.hurry());
    log("ending: what is under way is finished; asked once more, it ends at once".into());
    tokio::select! {
        () = connections.shutdown() => log("ended".into()),
        () = tokio::time::sleep(GRACE + 2 * timeout) => log("warning: ended with requests under way".into()),
        () = again(signals) => log("warning: ended at once".into()),
    }
}

/// Waits until the end is asked for.
async fn again(mut signals: Signals) {
    while signals.next().await != Asked::End {}
}

/// The next connection, once there is a slot for it.
async fn take(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            // Nobody closes it.
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
