//! Who may ask the service, what it tells of itself, and how it begins and ends.

use finetuning::*;
use serde_json::json;

use crate::serve::client::{completion, get, place, receive, send};
use crate::support::{fresh_folder, refused, tiny_rows};

const NAME: &str = "builtin:base";

fn start(config: ServeConfig) -> Server {
    Server::start(vec![ServedModel::load(NAME).unwrap()], config).unwrap()
}

#[test]
fn without_a_key_only_this_computer_may_ask() {
    let server = start(ServeConfig::default());
    let status = |headers: &str| receive(send(&server, "GET /v1/models", headers, "")).status;
    let own = place(&server);
    assert_eq!(status(""), 200);
    assert_eq!(status("Host: localhost:1\r\n"), 200);
    assert_eq!(status("Host: evil.example\r\n"), 403, "DNS rebinding");
    assert_eq!(status(&format!("Origin: http://{own}\r\n")), 200);
    assert_eq!(status("Origin: http://evil.example\r\n"), 403, "a page of another site");
    assert_eq!(status("Origin: null\r\n"), 403);
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let config = ServeConfig { host: host.into(), api_key: None, ..Default::default() };
        refused(Server::start(vec![ServedModel::load(NAME).unwrap()], config.clone()), &["other computers", "FINETUNING_API_KEY"]);
        let short = ServeConfig { api_key: Some("k".into()), ..config };
        refused(Server::start(vec![ServedModel::load(NAME).unwrap()], short), &["fewer than 8 letters", "FINETUNING_API_KEY"]);
    }
}

#[test]
fn with_a_key_only_who_has_it_may_ask() {
    let config = ServeConfig { host: "0.0.0.0".into(), api_key: Some("s3cret-key".into()), ..Default::default() };
    assert!(!format!("{config:?}").contains("s3cret"));
    let server = start(config);
    let port = place(&server).rsplit_once(':').unwrap().1.to_string();
    let ask = |path: &str, headers: &str| {
        let headers = format!("Host: example.org:{port}\r\n{headers}");
        receive(send(&server, &format!("GET {path}"), &headers, ""))
    };
    for path in ["/v1/models", "/metrics", "/runs"] {
        assert_eq!(ask(path, "").status, 401);
        assert_eq!(ask(path, "Authorization: Bearer s3cret-kez\r\n").status, 401);
        assert_eq!(ask(path, "Authorization: Bearer s3cret-key\r\n").status, 200);
    }
    let refusal = ask("/v1/models", "");
    assert!(refusal.json()["error"]["code"] == "invalid_api_key" && refusal.headers.contains("www-authenticate: bearer"), "{refusal:?}");
    assert!(!refusal.body.contains("s3cret"));
    assert_eq!([ask("/", "").status, ask("/health", "").status], [200, 200]);
}

#[test]
fn it_tells_its_models_its_health_and_its_numbers() {
    let server = start(ServeConfig::default());
    let models = get(&server, "/v1/models").json();
    assert_eq!((&models["data"][0]["id"], models["data"][0]["max_model_len"].as_u64()), (&json!(NAME), Some(512)));
    assert_eq!(get(&server, &format!("/v1/models/{NAME}")).json()["object"], "model");
    assert_eq!(get(&server, "/v1/models/no/such").status, 404);
    assert_eq!(get(&server, "/health").json(), json!({ "status": "ok" }));
    let answer = completion(&server, "a", 3, json!({ "min_tokens": 3 })).json();
    completion(&server, "", 3, json!({}));
    // The answer is there a moment before its text has left the model.
    let idle = "finetuning_texts{model=\"builtin:base\"} 0";
    let ends = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut metrics = get(&server, "/metrics").body;
    while !metrics.contains(idle) && std::time::Instant::now() < ends {
        std::thread::sleep(std::time::Duration::from_millis(20));
        metrics = get(&server, "/metrics").body;
    }
    for line in [
        "finetuning_requests_total{endpoint=\"completions\",status=\"200\"} 1".to_string(),
        "finetuning_requests_total{endpoint=\"completions\",status=\"400\"} 1".to_string(),
        format!("finetuning_prompt_tokens_total {}", answer["usage"]["prompt_tokens"]),
        "finetuning_generated_tokens_total 3".to_string(),
        idle.to_string(),
        "finetuning_first_token_seconds_count 1".to_string(),
        "finetuning_answer_seconds_bucket{le=\"+Inf\"} 1".to_string(),
    ] {
        assert!(metrics.lines().any(|own| own == line), "`{line}` is not in:\n{metrics}");
    }
    let page = get(&server, "/");
    assert!(page.body.contains("</html>") && page.headers.contains("content-security-policy: default-src 'none'"), "{}", page.headers);
}

#[test]
fn it_shows_runs_while_they_train() {
    let (folder, never) = (fresh_folder(), fresh_folder());
    let server = start(ServeConfig { runs: vec![folder.clone(), never], ..Default::default() });
    assert_eq!(get(&server, "/runs").json(), json!({ "runs": [] }));
    let arguments = TrainingArguments {
        output_dir: folder,
        max_steps: 3,
        save_steps: 2,
        logging_steps: 1,
        save_strategy: IntervalStrategy::Steps,
        disable_tqdm: true,
        ..Default::default()
    };
    let model = crate::support::tiny_model(1);
    Trainer::new(&model, arguments, tiny_rows(8), tiny_rows(2)).unwrap().train().unwrap();
    let run = get(&server, "/runs").json()["runs"][0]["state"].clone();
    assert_eq!((&run["global_step"], &run["max_steps"]), (&json!(3), &json!(3)), "the last step, not the checkpoint's");
    assert_eq!(run["log_history"].as_array().unwrap().iter().filter(|entry| entry["loss"].is_number()).count(), 3);
}

#[test]
fn models_go_on_learning_while_they_are_served() {
    let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(NAME).unwrap(), AutoTokenizer::from_pretrained(NAME).unwrap());
    let served = vec![ServedModel::new("live", &model, &tokenizer), ServedModel::new("frozen", &model.deep_clone().unwrap(), &tokenizer)];
    let server = Server::start(served, ServeConfig::default()).unwrap();
    let ask = |name: &str| completion(&server, "What is finetuning?", 8, json!({ "model": name })).json()["choices"][0]["text"].clone();
    let before = (ask("live"), ask("frozen"));
    assert_eq!(before.0, before.1);
    let (name, weight) = &model.weights()[0];
    weight.set(&weight.zeros_like().unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_ne!(ask("live"), before.0);
    assert_eq!(ask("frozen"), before.1);
}

#[test]
fn a_hosted_runner_asks_it() {
    let server = serve(NAME).unwrap();
    let (hosted, local) =
        (BasicModelRunner::new(&format!("openai:{NAME}@{}", server.url())).unwrap(), BasicModelRunner::new(NAME).unwrap());
    let questions = ["What is finetuning?", "What does cargo lab do?", "How do I stop a cell?"];
    assert_eq!(hosted.ask_batch(&questions).unwrap(), local.ask_batch(&questions).unwrap());
    refused(BasicModelRunner::new(&format!("openai:nobody@{}", server.url())).unwrap().ask("a"), &["nobody", NAME]);
}

#[test]
fn it_ends_with_its_handle_and_says_what_it_cannot_do() {
    let server = serve(NAME).unwrap();
    let address = place(&server);
    assert!(server.url().starts_with("http://127.0.0.1:") && server.url().ends_with("/v1"));
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let served = || vec![ServedModel::load(NAME).unwrap()];
    refused(Server::start(served(), ServeConfig { port, ..Default::default() }), &["cannot listen", "free one"]);
    server.stop();
    std::net::TcpStream::connect(&address).unwrap_err();
    drop(Server::start(served(), ServeConfig { port, ..Default::default() }).unwrap());
    std::net::TcpStream::connect(&address).unwrap_err();
    refused(Server::start(Vec::new(), ServeConfig::default()), &["0 models"]);
    refused(Server::start([served(), served()].concat(), ServeConfig::default()), &["a name of its own"]);
    refused(Server::start(served(), ServeConfig { max_batch: 0, ..Default::default() }), &["max_batch is 0"]);
    refused(Server::start(served(), ServeConfig { api_key: Some("a b".into()), ..Default::default() }), &["a space"]);
}

#[test]
fn a_body_is_no_deeper_than_any_file() {
    let server = start(ServeConfig::default());
    for depth in [130, 100_000] {
        let body = format!("{{\"model\": \"{NAME}\", \"prompt\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        let refusal = receive(send(&server, "POST /v1/completions", "", &body));
        assert!(refusal.status == 400 && refusal.refusal().contains("not valid JSON: recursion limit"), "{refusal:?}");
    }
    assert_eq!(get(&server, "/health").status, 200);
}
