//! Models asked over HTTP: photos in, predictions as JSON out.
//!
//! A request is read whole within limits ([`body`]), waits in its model's bounded queue ([`queue`]), is predicted with others in
//! one batch on the model's own thread ([`model`]), and is answered. The files of models are watched ([`reload`]).

mod answer;
mod app;
mod body;
mod connections;
mod explain;
mod failure;
mod histogram;
mod infer;
mod metrics;
mod model;
mod openapi;
mod predict;
mod queue;
mod reload;
mod signals;
mod tensor;
mod v2;

use crate::error::{Error, Result};
use crate::predict::Views;
use model::Model;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where lines go that say what happens: to people.
pub(crate) type Log = fn(String);

/// What is served, where, and within which limits.
pub(crate) struct Settings {
    /// Models by their names, the first of which answers where none is named.
    pub models: Vec<(String, PathBuf)>,
    /// What of each photo they see, where it is not what their files say.
    pub views: Option<Views>,
    /// Where connections are taken.
    pub listen: SocketAddr,
    /// Photos that are predicted at once, unless one request has more.
    pub max_batch_size: usize,
    /// How long a request waits for others to be predicted with.
    pub max_queue_delay: Duration,
    /// Photos that wait for a model; more are refused.
    pub max_queue_size: usize,
    /// Bytes of a request's body.
    pub max_body: usize,
    /// Pixels of a photo.
    pub max_pixels: u64,
    /// How long a request may take to arrive, its head and its body each.
    pub read_timeout: Duration,
    /// Connections at once; others wait until one ends.
    pub max_connections: usize,
    /// Where lines go that say what happens.
    pub log: Log,
}

/// What all requests share.
pub(crate) struct State {
    settings: Settings,
    models: BTreeMap<String, Arc<Model>>,
    metrics: Arc<metrics::Metrics>,
    /// Bytes of bodies that all requests together may hold.
    memory: body::Memory,
    /// Whose turn it is to be explained.
    explaining: Arc<Semaphore>,
    /// Whether it has been asked to end.
    ending: AtomicBool,
}

impl State {
    fn model(&self, name: &str) -> std::result::Result<&Arc<Model>, failure::Failure> {
        self.models
            .get(name)
            .ok_or_else(|| failure::Failure::unknown_model(name, self.models.keys()))
    }
}

/// Loads the models and answers requests until it is asked to end; then finishes what is under way.
///
/// # Errors
/// As [`Ensemble::from_file`](crate::Ensemble::from_file); [`Error::Invalid`] if two models have one name; [`Error::Io`] if the
/// address cannot be listened on.
pub(crate) fn run(settings: Settings) -> Result<()> {
    let metrics = Arc::new(metrics::Metrics::default());
    let mut models = BTreeMap::new();
    for (name, path) in &settings.models {
        let model = Arc::new(Model::load(
            name,
            path,
            settings.views,
            &settings,
            &metrics,
        )?);
        if models.insert(name.clone(), model).is_some() {
            return Err(Error::Invalid {
                what: "the names of the models".into(),
                expected: "one each, as --model NAME=FILE gives it".into(),
                found: format!("`{name}` twice"),
            });
        }
    }
    let address = settings.listen;
    let refused = |e| Error::io("listen on", address.to_string(), e);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::io("start", "the server's threads", e))?;
    let state = Arc::new(State {
        memory: body::Memory::new(settings.max_body),
        explaining: Arc::new(Semaphore::new(1)),
        settings,
        models,
        metrics,
        ending: AtomicBool::new(false),
    });
    let workers: Vec<_> = state.models.values().map(model::work).collect();
    let ended = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(state.settings.listen).await?;
        let address = listener.local_addr()?;
        let signals = signals::Signals::listen()?;
        let reloads = reload::watch(&state);
        (state.settings.log)(format!("listening on http://{address}"));
        connections::serve(listener, &state, signals, reloads).await;
        std::io::Result::Ok(())
    });
    for model in state.models.values() {
        // All connections are done or given up.
        model.queue.clear();
        model.queue.close();
    }
    for worker in workers {
        // It ends by itself when its queue is closed and empty, and catches what panics.
        let _ = worker.join();
    }
    runtime.shutdown_background();
    ended.map_err(refused)
}
