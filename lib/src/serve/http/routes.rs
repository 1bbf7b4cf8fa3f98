//! The addresses of the service and what each answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use crate::error::ErrorKind;
use crate::serve::engine::batcher::Engine;
use crate::serve::http::fields::{Endpoint, object};
use crate::serve::http::refusal::Refusal;
use crate::serve::http::request::Ask;
use crate::serve::http::service::{Service, seconds};
use crate::serve::http::{connection, guard};
use crate::util::panic;

/// The page, and what it may do: nothing but ask this service.
const PAGE: &str = include_str!("../page/page.html");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The longest that a client may take to send its request.
const BODY_TIME: Duration = Duration::from_secs(30);

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
        .layer(middleware::from_fn(connection::mark))
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
    let models: Vec<(&str, usize)> = service.engines.iter().map(|engine| (engine.served.name.as_str(), engine.permits.taken())).collect();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], service.metrics.text(&models)).into_response()
}

async fn training_runs(State(service): State<Arc<Service>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(off_thread(move || service.runs()).await?))
}

async fn models(State(service): State<Arc<Service>>) -> Json<Value> {
    let list: Vec<Value> = service.engines.iter().map(|engine| described(&service, engine)).collect();
    Json(json!({ "object": "list", "data": list }))
}

async fn model(State(service): State<Arc<Service>>, Path(name): Path<String>) -> Response {
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
    counted(service, Endpoint::Completion, body).await
}

async fn chat(State(service): State<Arc<Service>>, body: Body) -> Response {
    counted(service, Endpoint::Chat, body).await
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

/// [`answer`], as it stands in the metrics.
async fn counted(service: Arc<Service>, endpoint: Endpoint, body: Body) -> Response {
    let response = answer(&service, endpoint, body).await.into_response();
    service.metrics.requested(endpoint.name(), response.status().as_u16());
    response
}

/// The bytes of a request → its texts, whole or as a stream: what comes in goes to the engine by `submit`, what it writes
/// comes back as events.
async fn answer(service: &Service, endpoint: Endpoint, body: Body) -> Result<Response, Refusal> {
    let started = Instant::now();
    let late = |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, format!("the request did not come within {BODY_TIME:?}"));
    let bytes = tokio::time::timeout(BODY_TIME, to_bytes(body, service.config.max_body)).await.map_err(late)?;
    let large =
        |_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {} bytes, or broke off", service.config.max_body));
    let (body, name) = object(&bytes.map_err(large)?)?;
    let engine = service.engine(&name)?;
    let (served, limit) = (engine.served.clone(), service.config.max_tokens);
    // The semaphore is never closed.
    let reading = service.readers.acquire().await.ok();
    let ask = off_thread(move || Ask::read(endpoint, &body, &served, limit)).await??;
    drop(reading);
    let (reply, events) = ask.submit(service, engine, started)?;
    if ask.stream {
        return Ok(reply.stream(events).into_response());
    }
    Ok(Json(reply.whole(events).await.map_err(|error| Refusal::fault(&error))?).into_response())
}

/// Work that takes its time, for which other requests should not wait; a panic in it is a refusal that says what it was.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    panic::watch();
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(payload) => Refusal::fault(&panic::error(ErrorKind::Service, payload.as_ref())),
        Err(error) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_beside_the_road_is_a_refusal_that_names_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let refusal = runtime.block_on(off_thread(|| -> () { panic!("a template without an end") })).unwrap_err();
        let text = refusal.json().to_string();
        assert!(refusal.status() == 500 && text.contains("a template without an end (") && text.contains("routes.rs:"), "{text}");
        assert_eq!(runtime.block_on(off_thread(|| 3)).unwrap(), 3);
    }
}
