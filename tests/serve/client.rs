//! A client that speaks HTTP/1.0 over a socket: raw bytes in, raw bytes out, so that nothing is hidden.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use finetuning::Server;
use serde_json::{Value, json};

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The message of a refusal.
    pub fn refusal(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_string()
    }

    /// The objects of a stream, which must end with `[DONE]`.
    pub fn chunks(&self) -> Vec<Value> {
        assert!(self.headers.contains("content-type: text/event-stream"), "{self:?}");
        let data: Vec<&str> = self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        let (last, chunks) = data.split_last().unwrap_or_else(|| panic!("no event: {self:?}"));
        assert_eq!(*last, "[DONE]");
        chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
    }
}

/// The host and port of a service.
pub fn place(server: &Server) -> String {
    server.playground().trim_start_matches("http://").trim_end_matches('/').to_string()
}

/// Sends a request; the answer is not read yet.
pub fn send(server: &Server, line: &str, headers: &str, body: &str) -> TcpStream {
    let place = place(server);
    let mut stream = TcpStream::connect(&place).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let host = if headers.to_lowercase().contains("host:") { String::new() } else { format!("Host: {place}\r\n") };
    let head = format!("{line} HTTP/1.0\r\n{host}{headers}Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

pub fn receive(stream: TcpStream) -> Answer {
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers, mut body) = (String::new(), String::new(), String::new());
    reader.read_line(&mut line).unwrap();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        if header.trim().is_empty() {
            break;
        }
        headers.push_str(&header.to_lowercase());
    }
    reader.read_to_string(&mut body).unwrap();
    Answer { status: line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), headers, body }
}

pub fn get(server: &Server, path: &str) -> Answer {
    receive(send(server, &format!("GET {path}"), "", ""))
}

pub fn post(server: &Server, path: &str, body: Value) -> Answer {
    receive(send(server, &format!("POST {path}"), "Content-Type: application/json\r\n", &body.to_string()))
}

/// A greedy completion of at most `tokens` tokens, with more fields.
pub fn completion(server: &Server, prompt: &str, tokens: usize, more: Value) -> Answer {
    let mut body = json!({ "model": server.models()[0], "prompt": prompt, "max_tokens": tokens, "temperature": 0 });
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    post(server, "/v1/completions", body)
}
