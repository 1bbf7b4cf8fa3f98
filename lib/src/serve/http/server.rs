//! Models and a configuration → a service that runs until its handle is dropped.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::display::output::{Html, Show, escape, last_expression};
use crate::error::{Error, ErrorKind, Result};
use crate::serve::config::{ServeConfig, ServedModel};
use crate::serve::engine::batcher::Engine;
use crate::serve::engine::metrics::Metrics;
use crate::serve::http::connection::{Busy, Connections, Limits};
use crate::serve::http::routes::router;
use crate::serve::http::service::Service;
use crate::util::names::quoted;
use crate::util::panic;

/// A running service. It stops when this value is dropped, or by [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    models: Vec<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Serves the model of a `builtin:` name, a folder or a hub repository on a free port that this computer alone can reach.
///
/// # Errors
/// As [`ServedModel::load`] and [`Server::start`].
pub fn serve(name: &str) -> Result<Server> {
    Server::start(vec![ServedModel::load(name)?], ServeConfig::default())
}

impl Server {
    /// Serves models, each by its name.
    ///
    /// # Errors
    /// When there is no model or two have one name, a setting cannot work (see [`ServeConfig::validate`]), or the address is
    /// taken.
    pub fn start(models: Vec<ServedModel>, config: ServeConfig) -> Result<Self> {
        config.validate()?;
        let names: Vec<String> = models.iter().map(|served| served.name.clone()).collect();
        let twice = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
        if names.is_empty() || twice.is_some() || names.iter().any(String::is_empty) {
            return Err(Error::new(ErrorKind::Service, format!("{} models are to be served, named {}", names.len(), quoted(&names)))
                .hint("give at least one, and each a name of its own"));
        }
        let listener = listen(&config)?;
        let address = listener.local_addr()?;
        let metrics = Arc::new(Metrics::default());
        let start = |served| Engine::start(served, config.max_batch, config.max_waiting, &metrics);
        let engines = models.into_iter().map(start).collect::<Result<Vec<Engine>>>()?;
        let router = router(Arc::new(Service::new(config, engines, metrics))).into_make_service_with_connect_info::<Busy>();
        // Requests are read and answers sent by one thread; the models have threads of their own.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("serve".into()).spawn(move || {
            let ended = panic::caught(ErrorKind::Service, || {
                runtime.block_on(async move {
                    let connections = Connections::new(tokio::net::TcpListener::from_std(listener)?, Limits::default());
                    tokio::select! {
                        ended = axum::serve(connections, router) => Ok(ended?),
                        _ = stopped => Ok(()),
                    }
                })
            });
            // Answers that are being written end here, with their connections.
            runtime.shutdown_background();
            ended
        })?;
        Ok(Self { address, models: names, stop: Some(stop), thread: Some(thread) })
    }

    /// The address of its API: what `base_url` of a client takes.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The address of the page.
    pub fn playground(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The names of the models.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Ends the service; the port is free when this returns.
    pub fn stop(mut self) {
        self.end();
    }

    /// Waits until the service ends, which it does by itself only with the program.
    ///
    /// # Errors
    /// When it ended by a fault.
    pub fn wait(mut self) -> Result<()> {
        self.thread.take().map_or(Ok(()), joined)
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // Nobody is left to hear of it.
            let _ = joined(thread);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a thread gave back, or the panic that ended it.
fn joined(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|payload| Err(panic::error(ErrorKind::Service, payload.as_ref())))
}

fn listen(config: &ServeConfig) -> Result<TcpListener> {
    let (host, port) = (&config.host, config.port);
    let fail = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "leave `port` at 0 for a free one, or end the program that has it",
            std::io::ErrorKind::PermissionDenied => "choose a port from 1024 on",
            _ => "leave `host` at 127.0.0.1, or name an address of this computer",
        };
        Error::new(ErrorKind::Service, format!("cannot listen on `{host}`, port {port}: {error}")).hint(hint).because(error)
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(fail)?.collect();
    let listener = TcpListener::bind(addresses.as_slice()).map_err(fail)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Show for Server {
    fn text(&self) -> String {
        format!("playground: {}\nAPI: {}\nmodels: {}", self.playground(), self.url(), self.models.join(", "))
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        let page = escape(&self.playground());
        let html = format!(
            "<p>playground: <a href=\"{page}\" target=\"_blank\" rel=\"noopener\">{page}</a><br>API: <code>{}</code><br>models: {}</p>",
            escape(&self.url()),
            escape(&self.models.join(", "))
        );
        Html { html, text: self.text() }.rich()
    }
}

last_expression!(Server);
