//! How a caller wants the hub to be asked; what is left out comes from the environment.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::util::interrupt;

/// How the hub is asked; what is left out comes from the environment.
///
/// ```
/// use finetuning::HubOptions;
/// let options = HubOptions { revision: "v1.0".into(), local_files_only: true, ..Default::default() };
/// ```
#[derive(Clone)]
pub struct HubOptions {
    /// A branch, a tag or a commit; default `main`.
    pub revision: String,
    /// The access token; it goes to the hub alone, never to a server that the hub redirects to.
    pub token: Option<String>,
    /// The hub's address.
    pub endpoint: Option<String>,
    /// The folder of the cache.
    pub cache_dir: Option<PathBuf>,
    /// The `.gguf` file of a repository or folder that holds several models, as in transformers. Default the only one there is.
    pub gguf_file: Option<String>,
    /// Whether only the cache is used.
    pub local_files_only: bool,
    /// Whether every file is fetched again; without it, what the cache holds as a whole is used and the hub isn't asked.
    pub force_download: bool,
    /// How long the hub may say nothing; an upload waits six times as long.
    pub timeout: Option<Duration>,
    /// How the time between two attempts passes. The default sleeps and can be interrupted.
    pub sleep: fn(Duration) -> Result<()>,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            revision: "main".to_string(),
            token: None,
            endpoint: None,
            cache_dir: None,
            gguf_file: None,
            local_files_only: false,
            force_download: false,
            timeout: None,
            sleep: pause,
        }
    }
}

impl fmt::Debug for HubOptions {
    /// All but the token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "…");
        let mut fields = formatter.debug_struct("HubOptions");
        fields.field("revision", &self.revision).field("token", &token).field("endpoint", &self.endpoint);
        fields.field("cache_dir", &self.cache_dir).field("gguf_file", &self.gguf_file).field("local_files_only", &self.local_files_only);
        fields.field("force_download", &self.force_download).field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Sleeps, and stops when the cell is interrupted.
fn pause(time: Duration) -> Result<()> {
    let start = Instant::now();
    while let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        interrupt::check("while waiting for the hub")?;
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
    Ok(())
}
