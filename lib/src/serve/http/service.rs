//! What all requests share: the models, the settings, the counters.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::serve::config::ServeConfig;
use crate::serve::engine::batcher::Engine;
use crate::serve::engine::metrics::Metrics;
use crate::serve::http::refusal::Refusal;
use crate::serve::page::runs::Runs;

/// Requests whose text is put into ids at the same time; the memory that this takes is many times the text's.
const READERS: usize = 2;

/// What all answers share.
pub struct Service {
    pub config: ServeConfig,
    pub engines: Vec<Engine>,
    pub metrics: Arc<Metrics>,
    pub started: SystemTime,
    /// Bounds the requests that are read at once.
    pub readers: Semaphore,
    answers: AtomicU64,
    runs: Mutex<Runs>,
}

impl Service {
    /// A service that has answered nothing yet.
    pub fn new(config: ServeConfig, engines: Vec<Engine>, metrics: Arc<Metrics>) -> Self {
        let (started, readers) = (SystemTime::now(), Semaphore::new(READERS));
        Self { config, engines, metrics, started, readers, answers: AtomicU64::new(0), runs: Mutex::default() }
    }

    /// The engine of a model.
    pub fn engine(&self, name: &str) -> Result<&Engine, Refusal> {
        self.engines.iter().find(|engine| engine.served.name == name).ok_or_else(|| {
            let names: Vec<String> = self.engines.iter().map(|engine| format!("`{}`", engine.served.name)).collect();
            let message = format!("the model `{name}` is not served here; there are: {}", names.join(", "));
            Refusal::new(StatusCode::NOT_FOUND, message).code("model_not_found")
        })
    }

    /// A name for one more answer.
    pub fn new_id(&self, prefix: &str) -> String {
        format!("{prefix}-{:x}-{}", seconds(self.started), self.answers.fetch_add(1, Ordering::Relaxed))
    }

    /// What the page shows of the training runs; who asks at the same time waits for one reading.
    pub fn runs(&self) -> Value {
        let folders: &[PathBuf] = &self.config.runs;
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).states(folders)
    }
}

/// Seconds since 1970.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
