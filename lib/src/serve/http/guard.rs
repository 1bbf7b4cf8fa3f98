//! Who may ask: the key, and for a service without one only programs and pages of this computer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::serve::http::refusal::Refusal;
use crate::serve::http::service::Service;

/// What needs no key: the page itself, which holds nothing, and whether the service lives.
const OPEN: [&str; 2] = ["/", "/health"];

/// Lets a request pass, or refuses it.
pub async fn check(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let passes = same_place(&service, request.headers()).and_then(|()| match OPEN.contains(&request.uri().path()) {
        true => Ok(()),
        false => right_key(&service, request.headers()),
    });
    match passes {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            service.metrics.requested("refused", refusal.status().as_u16());
            refusal.into_response()
        }
    }
}

/// A page of another site must not ask in its visitor's name: its `Origin` is not ours, or, where it has given its own name
/// our address (DNS rebinding), `Host` is no name of this computer.
fn same_place(service: &Service, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit())).map_or(host, |(name, _)| name);
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&name) || name == service.config.host;
    if service.config.api_key.is_none() && !local {
        let message = format!("`{name}` is no name of this computer; ask at 127.0.0.1, or give the service a key");
        return Err(Refusal::new(StatusCode::FORBIDDEN, message));
    }
    match text(header::ORIGIN) {
        Some(origin) if origin.split_once("://").map(|(_, place)| place) != Some(host) => {
            Err(Refusal::new(StatusCode::FORBIDDEN, format!("a page of `{origin}` may not ask this service")))
        }
        _ => Ok(()),
    }
}

fn right_key(service: &Service, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(key) = &service.config.api_key else { return Ok(()) };
    let refuse = |message: &str| Err(Refusal::new(StatusCode::UNAUTHORIZED, message).code("invalid_api_key"));
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    match given.and_then(|value| value.strip_prefix(b"Bearer ")) {
        None => refuse("a key is needed: send `Authorization: Bearer …`"),
        Some(given) if equal(given, key.as_bytes()) => Ok(()),
        Some(_) => refuse("the key is not the one of this service"),
    }
}

/// Compares in a time that does not tell how much is right.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
