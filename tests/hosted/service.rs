//! Hosted models, against a local service that answers as OpenAI's does, and fails in every way that services fail.
//!
//! Keys and interrupts are settings of a process, so what needs them runs in one of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use finetuning::*;
use serde_json::{Value, json};

use crate::process::harness;
use crate::support::{fresh_folder, refused};

/// One request, as it came.
#[derive(Clone)]
struct Request {
    line: String,
    authorization: String,
    body: Value,
}

impl Request {
    fn prompt(&self) -> String {
        let prompt = self.body["messages"][0]["content"].as_str().or(self.body["prompt"].as_str());
        prompt.unwrap_or_default().to_string()
    }
}

/// What the service does with a request.
enum Reply {
    /// A status, more header lines, a body.
    Http(u16, &'static str, String),
    /// Nothing, for longer than anyone waits.
    Silence,
    /// Half of an answer.
    Half,
}

/// The answer of a chat model that repeats the prompt.
fn echo(request: &Request) -> Reply {
    let text = format!(" echo: {}\n", request.prompt());
    let choice = json!({ "message": { "role": "assistant", "content": text }, "text": text, "finish_reason": "stop" });
    Reply::Http(200, "", json!({ "choices": [choice] }).to_string())
}

fn refusal(status: u16, header: &'static str, message: &str, code: &str, param: Option<&str>) -> Reply {
    Reply::Http(status, header, json!({ "error": { "message": message, "code": code, "param": param } }).to_string())
}

struct Service {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    most_at_once: Arc<AtomicUsize>,
}

impl Service {
    /// `reply` gets a request and how often its prompt was asked before.
    fn start(reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let (requests, now, most_at_once) =
            (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, most, reply) = (Arc::clone(&requests), Arc::clone(&most_at_once), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, now, most, reply) = (Arc::clone(&seen), Arc::clone(&now), Arc::clone(&most), Arc::clone(&reply));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let before = {
                        let mut seen: std::sync::MutexGuard<Vec<Request>> = seen.lock().unwrap();
                        seen.push(request.clone());
                        seen.iter().filter(|old| old.prompt() == request.prompt()).count() - 1
                    };
                    let reply = reply(&request, before);
                    now.fetch_sub(1, Ordering::SeqCst);
                    write(stream, reply);
                });
            }
        });
        Self { address, requests, most_at_once }
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn config(&self) -> HostedConfig {
        HostedConfig { base_url: self.address.clone(), ..Default::default() }
    }

    fn runner(&self) -> BasicModelRunner {
        BasicModelRunner::hosted("parrot", self.config()).unwrap()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut authorization, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => authorization = value.into(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line: line.trim().into(), authorization, body: serde_json::from_slice(&body).unwrap_or_default() })
}

fn write(mut stream: TcpStream, reply: Reply) {
    let (status, header, body) = match reply {
        Reply::Http(status, header, body) => (status, header, body),
        Reply::Silence => return std::thread::sleep(Duration::from_secs(600)),
        Reply::Half => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"choices\"");
            return;
        }
    };
    let head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n{header}\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

/// Checks that a service's failure says all these words.
#[track_caller]
fn says(error: Error, words: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Service, "{error}");
    refused::<()>(Err(error), words);
}

#[test]
fn answers_come_in_the_order_of_the_prompts_several_at_once() {
    let service = Service::start(|request, _| {
        // Earlier prompts take longer.
        let row: u64 = request.prompt().split(' ').next_back().unwrap().parse().unwrap();
        std::thread::sleep(Duration::from_millis(20 * (13 - row)));
        echo(request)
    });
    let prompts: Vec<String> = (0..12).map(|row| format!("prompt {row}")).collect();
    let runner = BasicModelRunner::hosted("parrot", HostedConfig { concurrency: 3, ..service.config() }).unwrap();
    let expected: Vec<String> = prompts.iter().map(|prompt| format!("echo: {prompt}")).collect();
    assert_eq!(runner.ask_batch(&prompts).unwrap(), expected);
    assert_eq!((service.count(), service.most_at_once.load(Ordering::SeqCst)), (12, 3));
    // By name, one at a time.
    let named = BasicModelRunner::new(&format!("openai:par@rot@{}", service.address)).unwrap();
    assert_eq!(named.ask("prompt 12").unwrap(), "echo: prompt 12");
    let last = service.requests.lock().unwrap().last().unwrap().clone();
    assert_eq!(last.line, "POST /v1/chat/completions HTTP/1.1");
    let messages = json!([{ "role": "user", "content": "prompt 12" }]);
    assert_eq!(last.body, json!({ "model": "par@rot", "max_tokens": 100, "temperature": 0.0, "messages": messages }));
}

#[test]
fn messages_go_as_they_are_and_texts_past_the_template() {
    let service = Service::start(|request, _| echo(request));
    let runner = service.runner();
    let last = || service.requests.lock().unwrap().last().unwrap().clone();
    let talk = [Message::system("Be brief."), Message::user("Hi")];
    assert_eq!(runner.ask_messages(&talk).unwrap(), "echo: Be brief.");
    assert_eq!(last().line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(last().body["messages"], json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hi" }]));
    assert_eq!(runner.complete("The capital is").unwrap(), "echo: The capital is");
    assert_eq!(last().line, "POST /v1/completions HTTP/1.1");
    assert_eq!((&last().body["prompt"], &last().body["messages"]), (&json!("The capital is"), &Value::Null));
    // A runner of the other endpoint asks by the bare texts.
    let config = HostedConfig { endpoint: Endpoint::Completions, ..service.config() };
    let bare = BasicModelRunner::hosted("parrot", config).unwrap();
    assert_eq!(bare.ask_messages(&talk).unwrap(), "echo: Be brief.\n\nHi");
    assert_eq!(last().line, "POST /v1/completions HTTP/1.1");
    says(runner.complete("").unwrap_err(), &["the prompt is empty"]);
    says(runner.ask_messages(&[Message::user("")]).unwrap_err(), &["the prompt is empty"]);
}

#[test]
fn what_passes_is_asked_again() {
    let service = Service::start(|request, before| match (request.prompt().as_str(), before) {
        ("busy", 0) => refusal(429, "Retry-After: 0.6\r\n", "slow down", "rate_limit_exceeded", None),
        ("broken", 0 | 1) => Reply::Http(503, "", "<html>".into()),
        ("cut", 0) => Reply::Half,
        ("silent", 0) => Reply::Silence,
        _ => echo(request),
    });
    let runner = BasicModelRunner::hosted("parrot", HostedConfig { timeout: Duration::from_millis(1500), ..service.config() }).unwrap();
    let start = Instant::now();
    assert_eq!(runner.ask("busy").unwrap(), "echo: busy");
    assert!(start.elapsed() >= Duration::from_millis(600), "the wait that the service asks for is kept");
    let prompts = ["broken", "cut", "well", "silent"];
    assert_eq!(runner.ask_batch(&prompts).unwrap(), prompts.map(|prompt| format!("echo: {prompt}")));
    assert_eq!(service.count(), 2 + 3 + 2 + 1 + 2);
}

#[test]
fn patience_has_an_end() {
    let service = Service::start(|request, _| match request.prompt().as_str() {
        "broken" => Reply::Http(500, "", "out of memory".into()),
        "cut" => Reply::Half,
        "silent" => Reply::Silence,
        "later" => refusal(429, "Retry-After: 3600\r\n", "come back", "rate_limit_exceeded", None),
        _ => refusal(429, "", "you exceeded your quota", "insufficient_quota", None),
    });
    let config = HostedConfig { timeout: Duration::from_millis(400), max_retries: 1, ..service.config() };
    let runner = BasicModelRunner::hosted("parrot", config).unwrap();
    let address = format!("`parrot` at {}", service.address);
    for (prompt, requests, words) in [
        ("broken", 2, "(2 attempts): status 500: out of memory"),
        ("cut", 2, "the connection broke"),
        ("silent", 2, "no answer within 400ms"),
        ("later", 1, "come back"),
        ("quota", 1, "the quota is used up"),
    ] {
        let before = service.count();
        says(runner.ask(prompt).unwrap_err(), &[&address, words]);
        assert_eq!(service.count() - before, requests, "{prompt}");
    }
}

#[test]
fn a_row_that_fails_leaves_the_others() {
    let service = Service::start(|request, _| match request.prompt().as_str() {
        "bad" => refusal(400, "", "this is not allowed", "content_policy", None),
        "odd" => Reply::Http(200, "", "{\"choices\": [{\"message\": {\"content\": null}, \"finish_reason\": \"content_filter\"}]}".into()),
        "page" => Reply::Http(200, "", "<html>welcome</html>".into()),
        _ => echo(request),
    });
    let runner = service.runner();
    let prompts = ["a", "bad", "odd", "page", "", "b"];
    let rows = runner.try_ask_batch(&prompts);
    assert_eq!((rows[0].as_ref().unwrap().as_str(), rows[5].as_ref().unwrap().as_str()), ("echo: a", "echo: b"));
    for (row, words) in [
        (1, "status 400: this is not allowed"),
        (2, "finish_reason content_filter"),
        (3, "begins with \"<html>"),
        (4, "the prompt is empty"),
    ] {
        says(rows[row].clone().unwrap_err(), &[words]);
    }
    says(runner.ask_batch(&prompts).unwrap_err(), &["4 of 6 prompts failed", "\nrow 1: ", "\nrow 4: ", "try_ask_batch"]);
    assert_eq!(runner.ask_batch(&[""; 0]).unwrap(), Vec::<String>::new());
}

#[test]
fn models_and_services_that_are_not_there_are_named() {
    let service = Service::start(|request, _| match request.line.as_str() {
        "GET /v1/models HTTP/1.1" => Reply::Http(200, "", json!({ "data": [{ "id": "crow" }, { "id": "owl" }] }).to_string()),
        _ => refusal(404, "", "no such model", "model_not_found", None),
    });
    says(service.runner().ask("a").unwrap_err(), &["`parrot` at http://127.0.0.1", "no such model", "it has `crow`, `owl`"]);
    // A port that was free a moment ago.
    let away = format!("http://{}/v1", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let config = HostedConfig { base_url: away.clone(), max_retries: 0, ..Default::default() };
    says(BasicModelRunner::hosted("parrot", config).unwrap().ask("a").unwrap_err(), &[&away, "connection refused", "OPENAI_BASE_URL"]);
    // A service without TLS at an address that asks for it.
    let secure = service.address.replace("http:", "https:");
    let config = HostedConfig { base_url: secure.clone(), max_retries: 0, timeout: Duration::from_secs(5), ..Default::default() };
    says(BasicModelRunner::hosted("parrot", config).unwrap().ask("a").unwrap_err(), &[&secure]);
    for address in ["", "127.0.0.1:80", "ftp://host", "https://", "http://host/v1?key=1", "http://ho st"] {
        let config = HostedConfig { base_url: address.into(), ..Default::default() };
        says(BasicModelRunner::hosted("parrot", config).unwrap_err(), &["is no address of a service"]);
    }
    let secret = HostedConfig { base_url: "https://me:secret@host/v1".into(), ..Default::default() };
    let error = BasicModelRunner::hosted("parrot", secret).unwrap_err();
    says(error.clone(), &["OPENAI_API_KEY"]);
    assert!(!error.to_string().contains("secret"));
    says(BasicModelRunner::new("openai:").unwrap_err(), &["model \"\""]);
}

#[test]
fn settings_reach_the_service_in_its_own_words() {
    let service = Service::start(|request, _| match &request.body {
        body if body.get("max_tokens").is_some() && body["model"] == "thinker" => {
            refusal(400, "", "Unsupported parameter", "unsupported_parameter", Some("max_tokens"))
        }
        body if body.get("temperature").is_some() && body["model"] == "thinker" => {
            refusal(400, "", "Unsupported value", "unsupported_value", Some("temperature"))
        }
        _ => echo(request),
    });
    let generation = GenerationConfig {
        max_new_tokens: 7,
        do_sample: true,
        temperature: 0.5,
        top_p: 0.9,
        seed: 3,
        stop_strings: vec!["\n".into()],
        ..Default::default()
    };
    let completions = HostedConfig { endpoint: Endpoint::Completions, ..service.config() };
    let runner = BasicModelRunner::hosted("parrot", completions).unwrap().with_generation(generation.clone());
    assert_eq!(runner.ask("go on").unwrap(), "echo: go on");
    let last = service.requests.lock().unwrap().last().unwrap().clone();
    assert_eq!(last.line, "POST /v1/completions HTTP/1.1");
    let body =
        json!({ "model": "parrot", "max_tokens": 7, "temperature": 0.5, "seed": 3, "top_p": 0.9, "stop": ["\n"], "prompt": "go on" });
    assert_eq!(last.body, body);
    // A model that takes neither limit nor temperature by those names is asked without them, and again at once the second time.
    let thinker = BasicModelRunner::hosted("thinker", service.config()).unwrap();
    let before = service.count();
    assert_eq!((thinker.ask("a").unwrap(), thinker.ask("b").unwrap()), ("echo: a".into(), "echo: b".into()));
    assert_eq!(service.count() - before, 3 + 1);
    let last = service.requests.lock().unwrap().last().unwrap().body.clone();
    assert_eq!((last["max_completion_tokens"].as_u64(), last.get("max_tokens"), last.get("temperature")), (Some(100), None, None));
    // What only a local model can do is refused before anything is asked.
    let before = service.count();
    for (local, words) in [
        (GenerationConfig { repetition_penalty: 1.2, ..generation.clone() }, "repetition_penalty is 1.2"),
        (GenerationConfig { num_beams: 3, ..Default::default() }, "num_beams is 3"),
        (GenerationConfig { top_k: 5, ..generation }, "top_k is 5"),
    ] {
        says(service.runner().with_generation(local).ask("a").unwrap_err(), &[words, "a hosted model takes max_new_tokens"]);
    }
    assert_eq!(service.count(), before);
}

#[test]
fn a_hosted_model_is_for_asking() {
    let mut runner = Service::start(|request, _| echo(request)).runner();
    runner.load_data_from_jsonlines("builtin:lab_docs", "question", "answer").unwrap();
    says(runner.train(false).unwrap_err(), &["`openai:parrot` is hosted", "builtin:base"]);
    says(runner.evaluate().unwrap_err(), &["is hosted"]);
    says(runner.model().unwrap_err(), &["is hosted"]);
    assert!(runner.tokenizer().is_err());
}

#[test]
fn the_key_goes_to_the_service_and_nowhere_else() {
    let thief = Service::start(|request, _| echo(request));
    let location: &'static str = Box::leak(format!("Location: {}/chat/completions\r\n", thief.address).into_boxed_str());
    let service = Service::start(move |request, _| match request.prompt().as_str() {
        "wrong" => refusal(401, "", &format!("Incorrect API key provided: {}", request.authorization), "invalid_api_key", None),
        "redirect" => Reply::Http(307, location, String::new()),
        _ => echo(request),
    });
    let run = |key: &str| {
        let mut child = harness("ask-hosted");
        child.env("OPENAI_BASE_URL", &service.address).env("OPENAI_API_KEY", key);
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{text}");
        text
    };
    let text = run("sk-very-secret-1234");
    assert!(text.contains("row 0: echo: a") && !text.contains("secret"), "{text}");
    assert!(text.contains("refuses the key of OPENAI_API_KEY (status 401): Incorrect API key provided: Bearer …"), "{text}");
    assert!(text.contains("row 2: ") && text.contains("status 307"), "{text}");
    assert_eq!(service.requests.lock().unwrap()[0].authorization, "Bearer sk-very-secret-1234");
    assert_eq!(thief.count(), 0, "no redirect is followed");
    let text = run("");
    assert!(text.contains("row 0: echo: a") && text.contains("asks for a key, and OPENAI_API_KEY is not set"), "{text}");
    assert_eq!(service.requests.lock().unwrap().last().unwrap().authorization, "");
}

#[test]
fn an_interrupt_keeps_the_answers_that_came() {
    let flag = fresh_folder().join("flag");
    let written = flag.clone();
    let service = Service::start(move |request, before| match (request.prompt().as_str(), before) {
        ("silent", before) => {
            // With both silent requests under way, "a" and "b" have been answered.
            if before == 1 {
                std::fs::write(&written, "").unwrap();
            }
            Reply::Silence
        }
        _ => echo(request),
    });
    let output = harness("ask-silent").arg(&service.address).env("FINETUNING_INTERRUPT", flag).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("the answers that came are kept"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
