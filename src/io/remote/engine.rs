//! The one thread on which all downloads of this process run, and what they share.

use super::failure::Failure;
use super::place::Kind;
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use std::collections::HashMap;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};

/// How often what may pass is asked again, and for how long in all.
pub(super) const RETRIES: usize = 5;
pub(super) const RETRY_FOR: Duration = Duration::from_secs(60);
/// The wait before the first of these; it grows with each.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long a connection may take, and how long one may say nothing.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
pub(super) const SILENT: Duration = Duration::from_secs(30);
/// How long an answer may take, with all that is tried again until it begins.
const ANSWER: Duration = Duration::from_secs(180);
/// A download may take this long, and a second more for each so many bytes.
const SLOWEST: Duration = Duration::from_secs(60);
const SLOWEST_RATE: u64 = 64 << 10;
/// Buckets whose stores are kept.
const STORES: usize = 256;

/// What downloads share: a thread, connections of servers, and stores by their buckets.
pub(super) struct Engine {
    /// A forked process has none of its parent's threads.
    process: u32,
    handle: Handle,
    /// Made when they are first needed: they fail where the machine has no certificates, which buckets may not need.
    http: OnceLock<Shared>,
    https: OnceLock<Shared>,
    stores: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

static ENGINE: Mutex<Option<Arc<Engine>>> = Mutex::new(None);

/// Connections that all stores of one kind share: a listing may name thousands of hosts.
#[derive(Clone, Debug)]
pub(super) struct Shared(HttpClient);

impl HttpConnector for Shared {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

impl Shared {
    fn new(allow_http: bool) -> object_store::Result<Self> {
        let options = ClientOptions::new()
            .with_allow_http(allow_http)
            .with_connect_timeout(CONNECT)
            .with_read_timeout(SILENT)
            .with_timeout_disabled();
        Ok(Self(ReqwestConnector::default().connect(&options)?))
    }
}

impl Engine {
    /// The process's own, begun when it is first needed.
    ///
    /// # Errors
    /// If its thread cannot be had.
    pub(super) fn get() -> io::Result<Arc<Self>> {
        let mut engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*engine
            && engine.process == std::process::id()
        {
            return Ok(Arc::clone(engine));
        }
        // What a parent's thread held cannot be ended from here.
        std::mem::forget(engine.take());
        // Another part of the program may have chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name("downloads".into());
        thread.spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        let new = Arc::new(Self {
            process: std::process::id(),
            handle,
            http: OnceLock::new(),
            https: OnceLock::new(),
            stores: Mutex::default(),
        });
        *engine = Some(Arc::clone(&new));
        Ok(new)
    }

    /// The connections of servers, without encryption or with it only.
    ///
    /// # Errors
    /// If the settings of this machine do not allow for any.
    pub(super) fn shared(&self, allow_http: bool) -> object_store::Result<Shared> {
        let shared = if allow_http { &self.http } else { &self.https };
        match shared.get() {
            Some(shared) => Ok(shared.clone()),
            None => {
                let new = Shared::new(allow_http)?;
                Ok(shared.get_or_init(|| new).clone())
            }
        }
    }

    /// Begins something on the thread of downloads.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(work));
    }

    /// Waits for something that is done on the thread of downloads.
    ///
    /// # Errors
    /// If it was not brought to its end.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = sync_channel(1);
        self.spawn(async move {
            let _ = done.send(work.await);
        });
        let ended = |_| io::Error::other("the thread of downloads came to an end");
        result.recv().map_err(ended)
    }

    /// The store of a bucket, made when it is first asked for.
    ///
    /// # Errors
    /// What `make` gives.
    pub(super) fn store(
        &self,
        bucket: &str,
        make: impl FnOnce() -> object_store::Result<Arc<dyn ObjectStore>>,
    ) -> object_store::Result<Arc<dyn ObjectStore>> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(bucket) {
            return Ok(Arc::clone(store));
        }
        if stores.len() >= STORES {
            stores.clear();
        }
        let store = make()?;
        stores.insert(bucket.into(), Arc::clone(&store));
        Ok(store)
    }
}

/// What a store answers, unless it takes too long: a server may go on for ever, a byte now and then.
///
/// # Errors
/// What the store gives, and if it does not answer in time.
pub(super) async fn answer<T>(
    asked: impl Future<Output = object_store::Result<T>>,
    store: Kind,
) -> Result<T, Failure> {
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(answer) => answer.map_err(|e| Failure::of(&e, store)),
        Err(_) => Err(Failure::late(ANSWER)),
    }
}

/// How requests are tried again.
pub(super) fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_WAIT,
            ..BackoffConfig::default()
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    }
}

/// The wait before a download that broke off begins again.
pub(super) fn wait_before(again: usize) -> Duration {
    FIRST_WAIT * (1 << again.min(RETRIES))
}

/// How long so many bytes may take.
pub(super) fn time_for(bytes: u64) -> Duration {
    SLOWEST + Duration::from_secs(bytes / SLOWEST_RATE)
}
