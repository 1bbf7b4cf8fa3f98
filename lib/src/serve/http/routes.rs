//! The addresses of the service and what each answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::error::Error;
use crate::serve::config::ServeConfig;
use crate::serve::engine::batcher::{Engine, Event, Job};
use crate::serve::engine::metrics::Metrics;
use crate::serve::engine::tokens::Tokens;
use crate::serve::http::guard;
use crate::serve::http::refusal::Refusal;
use crate::serve::http::reply::{Reply, Written};
use crate::serve::http::request::{Ask, Endpoint, object};
use crate::serve::page::runs;

/// The page, and what it may do: nothing but ask this service.
const PAGE: &str = include_str!("page.html");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The longest that a client may take to send its request.
const BODY_TIME: Duration = Duration::from_secs(30);

/// What all answers share.
pub struct Service {
    pub config: ServeConfig,
    pub engines: Vec<Engine>,
    pub metrics: Arc<Metrics>,
    pub started: SystemTime,
    pub asked: AtomicU64,
}

/// All addresses.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/runs", get(training_runs))
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(service.clone(), guard::check))
        .with_state(service)
}

async fn page() -> Response {
    let mut response = Html(PAGE).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let models: Vec<(&str, usize)> = service.engines.iter().map(|engine| (engine.served.name.as_str(), engine.places.taken())).collect();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], service.metrics.text(&models)).into_response()
}

async fn training_runs(State(service): State<Arc<Service>>) -> Json<Value> {
    let folders = service.config.runs.clone();
    Json(tokio::task::spawn_blocking(move || runs::states(&folders)).await.unwrap_or_else(|_| json!({ "runs": [] })))
}

async fn models(State(service): State<Arc<Service>>) -> Json<Value> {
    let list: Vec<Value> = service.engines.iter().map(|engine| described(&service, engine)).collect();
    Json(json!({ "object": "list", "data": list }))
}

async fn model(State(service): State<Arc<Service>>, axum::extract::Path(name): axum::extract::Path<String>) -> Response {
    service.engine(&name).map(|engine| Json(described(&service, engine))).into_response()
}

fn described(service: &Service, engine: &Engine) -> Value {
    let model = &engine.served.model;
    json!({
        "id": engine.served.name, "object": "model", "created": seconds(service.started), "owned_by": "finetuning",
        "max_model_len": model.config().max_position_embeddings(), "parameters": model.parameter_count(),
        "chat_template": engine.served.tokenizer.has_chat_template(),
    })
}

async fn completions(State(service): State<Arc<Service>>, body: Body) -> Response {
    service.answer(Endpoint::Completion, "completions", body).await
}

async fn chat(State(service): State<Arc<Service>>, body: Body) -> Response {
    service.answer(Endpoint::Chat, "chat", body).await
}

async fn nowhere(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("there is no `{}`; there are /v1/completions, /v1/chat/completions, /v1/models", uri.path()),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("`{}` does not take {method}", uri.path()))
}

impl Service {
    fn engine(&self, name: &str) -> Result<&Engine, Refusal> {
        self.engines.iter().find(|engine| engine.served.name == name).ok_or_else(|| {
            let names: Vec<String> = self.engines.iter().map(|engine| format!("`{}`", engine.served.name)).collect();
            let message = format!("the model `{name}` is not served here; there are: {}", names.join(", "));
            Refusal::new(StatusCode::NOT_FOUND, message).code("model_not_found")
        })
    }

    async fn answer(self: Arc<Self>, endpoint: Endpoint, name: &'static str, body: Body) -> Response {
        let response = self.clone().asked(endpoint, body).await.into_response();
        self.metrics.requested(name, response.status().as_u16());
        response
    }

    async fn asked(self: Arc<Self>, endpoint: Endpoint, body: Body) -> Result<Response, Refusal> {
        let started = Instant::now();
        let late = |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, format!("the request did not come within {BODY_TIME:?}"));
        let bytes = tokio::time::timeout(BODY_TIME, to_bytes(body, self.config.max_body)).await.map_err(late)?;
        let large =
            |_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {} bytes, or broke off", self.config.max_body));
        let (body, name) = object(&bytes.map_err(large)?)?;
        let engine = self.engine(&name)?.clone();
        // Templates and tokenizers may take their time, and other requests should not wait for them.
        let (served, limit) = (engine.served.clone(), self.config.max_tokens);
        let ask = tokio::task::spawn_blocking(move || Ask::read(endpoint, &body, &served, limit)).await;
        let ask = ask.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the request could not be read"))??;
        let (reply, events, count) = self.submit(&engine, &ask, started)?;
        let told = ask.top.is_some();
        if ask.stream {
            let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
            return Ok(Sse::new(chunks(reply, events, count, told, ask.include_usage)).keep_alive(keep_alive).into_response());
        }
        let texts = collect(events, count).await.map_err(|error| Refusal::fault(&error))?;
        Ok(Json(reply.whole(&texts, told)).into_response())
    }

    /// Gives the texts of a request to the engine, all or none.
    fn submit(&self, engine: &Engine, ask: &Ask, started: Instant) -> Result<(Reply, UnboundedReceiver<Event>, usize), Refusal> {
        let count = ask.prompts.len() * ask.copies;
        let places = engine.places(count).ok_or_else(|| {
            let message = format!("`{}` is busy: {} texts are being written or wait", engine.served.name, engine.places.taken());
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, message).code("rate_limit_exceeded").retry_after(1)
        })?;
        let (sender, events) = unbounded_channel();
        let config = Arc::new(ask.config.clone());
        for (index, place) in places.into_iter().enumerate() {
            let job = Job {
                index,
                prompt: ask.prompts[index / ask.copies].clone(),
                config: config.clone(),
                seed: ask.config.seed.wrapping_add((index % ask.copies) as u64),
                tokens: Tokens::new(&engine.served.tokenizer, &ask.stops, ask.top),
                events: sender.clone(),
                started,
                _place: place,
            };
            engine.submit(job).map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        }
        let prompt_tokens = ask.prompts.iter().map(Vec::len).sum();
        self.metrics.read(prompt_tokens);
        let prefix = if ask.endpoint == Endpoint::Chat { "chatcmpl" } else { "cmpl" };
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let (created, first) = (seconds(SystemTime::now()), seconds(self.started));
        let id = format!("{prefix}-{first:x}-{number}");
        Ok((Reply { endpoint: ask.endpoint, id, created, model: engine.served.name.clone(), prompt_tokens }, events, count))
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Waits for all texts of a request.
async fn collect(mut events: UnboundedReceiver<Event>, count: usize) -> Result<Vec<Written>, Error> {
    let mut texts = vec![Written::default(); count];
    let mut open = count;
    while open > 0 {
        match events.recv().await {
            Some(Event::Text { index, piece }) => {
                texts[index].text.push_str(&piece.text);
                texts[index].log_probabilities.extend(piece.log_probabilities);
            }
            Some(Event::End { index, finish, written }) => {
                (texts[index].finish, texts[index].tokens) = (Some(finish), written);
                open -= 1;
            }
            Some(Event::Failed(error)) => return Err(error),
            None => return Err(Error::new(crate::error::ErrorKind::Service, "the service was stopped")),
        }
    }
    Ok(texts)
}

/// A stream of chunks, ended by `[DONE]`.
fn chunks(
    reply: Reply,
    events: UnboundedReceiver<Event>,
    count: usize,
    told: bool,
    include_usage: bool,
) -> impl futures::Stream<Item = Result<Sent, Infallible>> {
    struct State {
        events: UnboundedReceiver<Event>,
        open: usize,
        written: usize,
        /// Characters of each text so far.
        characters: Vec<usize>,
        /// What is sent before the next event is waited for.
        ready: std::collections::VecDeque<String>,
    }
    let mut ready = std::collections::VecDeque::new();
    if reply.endpoint == Endpoint::Chat {
        ready.extend((0..count).map(|index| reply.first_chunk(index).to_string()));
    }
    let state = State { events, open: count, written: 0, characters: vec![0; count], ready };
    unfold((state, reply), move |(mut state, reply)| async move {
        if state.ready.is_empty() && state.open > 0 {
            match state.events.recv().await {
                Some(Event::Text { index, piece }) => {
                    state.ready.push_back(reply.chunk(index, &piece, told, state.characters[index]).to_string());
                    state.characters[index] += piece.text.chars().count();
                }
                Some(Event::End { index, finish, written }) => {
                    state.written += written;
                    state.open -= 1;
                    state.ready.push_back(reply.last_chunk(index, finish).to_string());
                    if state.open == 0 {
                        state.ready.extend(include_usage.then(|| reply.usage_chunk(state.written).to_string()));
                        state.ready.push_back("[DONE]".into());
                    }
                }
                failed => {
                    let stopped = || Error::new(crate::error::ErrorKind::Service, "the service was stopped");
                    let error = if let Some(Event::Failed(error)) = failed { error } else { stopped() };
                    state.open = 0;
                    state.ready.push_back(Refusal::fault(&error).json().to_string());
                }
            }
        }
        let next = state.ready.pop_front()?;
        Some((Ok(Sent::default().data(next)), (state, reply)))
    })
}
