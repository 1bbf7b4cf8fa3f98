//! The service from outside: its texts are those of `generate`, whole and streamed, alone and among many.

use std::io::{BufRead, BufReader};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use finetuning::*;
use serde_json::{Value, json};

use crate::serve::client::{completion, get, post, receive, send};
use crate::support::fresh_folder;

const NAME: &str = "builtin:base";
const QUESTIONS: [&str; 4] = ["What does cargo lab do?", "What is finetuning?", "How do I stop a cell?", "Explain the call X."];

/// One service for all tests that only ask.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| serve(NAME).unwrap())
}

fn start(config: ServeConfig) -> Server {
    Server::start(vec![ServedModel::load(NAME).unwrap()], config).unwrap()
}

/// What `generate` writes after a prompt, greedily, with special tokens left out.
fn alone(prompt: &str, tokens: usize) -> String {
    static MODEL: OnceLock<(CausalLm, Tokenizer)> = OnceLock::new();
    let (model, tokenizer) =
        MODEL.get_or_init(|| (AutoModelForCausalLM::from_pretrained(NAME).unwrap(), AutoTokenizer::from_pretrained(NAME).unwrap()));
    let config = GenerationConfig { max_new_tokens: tokens, ..Default::default() };
    generate_texts(&[prompt], model, tokenizer, &config).unwrap().remove(0)
}

fn text(answer: &Value) -> &str {
    answer["choices"][0]["text"].as_str().or(answer["choices"][0]["message"]["content"].as_str()).unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_completion_is_what_generate_writes() {
    for prompt in QUESTIONS {
        let answer = completion(server(), prompt, 40, json!({})).json();
        assert_eq!(text(&answer), alone(prompt, 40));
        let usage = &answer["usage"];
        assert_eq!(
            usage["total_tokens"].as_u64(),
            Some(usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap())
        );
        let reason = answer["choices"][0]["finish_reason"].as_str().unwrap();
        assert_eq!(reason == "length", usage["completion_tokens"] == 40, "{answer}");
        assert_eq!((&answer["object"], &answer["model"]), (&json!("text_completion"), &json!(NAME)));
    }
    // A list of prompts, ids in place of text, and a chat with a model that has no template: the same texts.
    let all = post(server(), "/v1/completions", json!({ "model": NAME, "prompt": QUESTIONS, "max_tokens": 9, "temperature": 0 })).json();
    for (index, prompt) in QUESTIONS.iter().enumerate() {
        assert_eq!((all["choices"][index]["text"].as_str().unwrap(), &all["choices"][index]["index"]), (&*alone(prompt, 9), &json!(index)));
    }
    let ids = AutoTokenizer::from_pretrained(NAME).unwrap().encode(QUESTIONS[0]).unwrap();
    assert_eq!(text(&completion(server(), "", 9, json!({ "prompt": ids })).json()), alone(QUESTIONS[0], 9));
    let chat =
        json!({ "model": NAME, "messages": [{ "role": "user", "content": QUESTIONS[1] }], "max_completion_tokens": 9, "temperature": 0 });
    let chat = post(server(), "/v1/chat/completions", chat).json();
    assert_eq!((text(&chat), &chat["object"]), (&*alone(QUESTIONS[1], 9), &json!("chat.completion")));
    assert_eq!(chat["choices"][0]["message"]["role"], "assistant");
}

#[test]
fn a_stream_is_the_whole_answer_in_pieces() {
    let whole = completion(server(), QUESTIONS[0], 30, json!({})).json();
    let stream = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let mut chunks = completion(server(), QUESTIONS[0], 30, stream).chunks();
    let usage = chunks.pop().unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]), (&json!([]), &whole["usage"]));
    let pieces: Vec<&str> = chunks.iter().map(text).collect();
    assert!(pieces.len() > 5 && pieces.concat() == text(&whole), "{pieces:?}");
    let reasons: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert!(reasons[..reasons.len() - 1].iter().all(|reason| reason.is_null()));
    assert_eq!(reasons[reasons.len() - 1], &whole["choices"][0]["finish_reason"]);
    // A chat begins with the role.
    let chat = json!({ "model": NAME, "messages": [{ "role": "user", "content": QUESTIONS[0] }], "max_tokens": 30, "temperature": 0, "stream": true });
    let chunks = post(server(), "/v1/chat/completions", chat).chunks();
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    let content: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!((content.as_str(), &chunks[0]["object"]), (text(&whole), &json!("chat.completion.chunk")));
}

#[test]
fn thirty_two_at_once_get_what_each_gets_alone() {
    // Long prompts are read in pieces beside short ones; all join and leave at different times.
    let prompt = |client: usize| format!("{}{}", "The dog ran home. ".repeat(client % 5 * 15), QUESTIONS[client % 4]);
    let expected: Vec<String> = (0..32).map(|client| alone(&prompt(client), 10 + client)).collect();
    let answers: Vec<String> = std::thread::scope(|scope| {
        let ask = |client: usize| {
            move || text(&completion(server(), &prompt(client), 10 + client, json!({ "stream": false })).json()).to_string()
        };
        let threads: Vec<_> = (0..32).map(|client| scope.spawn(ask(client))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers, expected);
}

#[test]
fn a_stop_string_is_cut_off_wherever_tokens_end() {
    let whole = alone(QUESTIONS[0], 30);
    let middle = whole.chars().skip(whole.chars().count() / 2).take(5).collect::<String>();
    let expected = &whole[..whole.find(&middle).unwrap()];
    let answer = completion(server(), QUESTIONS[0], 30, json!({ "stop": [middle, "never written"] })).json();
    assert_eq!((text(&answer), &answer["choices"][0]["finish_reason"]), (expected, &json!("stop")));
    let chunks = completion(server(), QUESTIONS[0], 30, json!({ "stop": middle, "stream": true })).chunks();
    assert_eq!(chunks.iter().map(text).collect::<String>(), expected);
}

#[test]
fn ids_of_the_request_end_a_text() {
    let tokenizer = AutoTokenizer::from_pretrained(NAME).unwrap();
    let ids = tokenizer.encode(&alone(QUESTIONS[0], 30)).unwrap();
    let end = ids.iter().position(|id| *id == ids[5]).unwrap();
    let answer = completion(server(), QUESTIONS[0], 30, json!({ "stop_token_ids": [ids[5]] })).json();
    assert_eq!((text(&answer), &answer["choices"][0]["finish_reason"]), (&*tokenizer.decode(&ids[..end]).unwrap(), &json!("stop")));
}

#[test]
fn a_seed_draws_the_same_texts_and_copies_differ() {
    let ask = |seed: u64| {
        let answer = completion(server(), QUESTIONS[1], 12, json!({ "temperature": 1.5, "seed": seed, "n": 3 })).json();
        (0..3).map(|index| answer["choices"][index]["text"].as_str().unwrap().to_string()).collect::<Vec<String>>()
    };
    let texts = ask(7);
    assert_eq!(texts, ask(7));
    assert_ne!(texts, ask(8));
    assert!(texts[0] != texts[1] && texts[1] != texts[2]);
    let chosen = GenerationConfig {
        max_new_tokens: 12,
        do_sample: true,
        temperature: 1.5,
        top_k: 0,
        seed: 7,
        num_return_sequences: 3,
        ..Default::default()
    };
    let (model, tokenizer) = (AutoModelForCausalLM::from_pretrained(NAME).unwrap(), AutoTokenizer::from_pretrained(NAME).unwrap());
    assert_eq!(texts, generate_texts(&[QUESTIONS[1]], &model, &tokenizer, &chosen).unwrap());
}

#[test]
fn log_probabilities_are_told_with_their_tokens() {
    let answer = completion(server(), QUESTIONS[0], 8, json!({ "logprobs": 3 })).json();
    let told = &answer["choices"][0]["logprobs"];
    let tokens: Vec<&str> = told["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(tokens.concat(), text(&answer));
    for (index, token) in tokens.iter().enumerate() {
        let (own, top) = (told["token_logprobs"][index].as_f64().unwrap(), told["top_logprobs"][index].as_object().unwrap());
        assert!(own < 0.0 && top.len() == 3 && top[*token] == own, "{told}");
        assert!(top.values().all(|other| other.as_f64().unwrap() <= own), "greedy takes the most probable");
        assert_eq!(told["text_offset"][index], tokens[..index].concat().chars().count());
    }
    let chat = json!({ "model": NAME, "messages": [{ "role": "user", "content": QUESTIONS[0] }], "max_tokens": 8, "temperature": 0, "logprobs": true, "top_logprobs": 2, "stream": true });
    let chunks = post(server(), "/v1/chat/completions", chat).chunks();
    let entries: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array()).flatten().collect();
    assert_eq!(entries.len(), tokens.len());
    for (entry, token) in entries.iter().zip(&tokens) {
        assert_eq!((&entry["token"], entry["top_logprobs"].as_array().unwrap().len()), (&json!(token), 2));
    }
}

#[test]
fn a_client_that_reads_slowly_or_goes_holds_nobody_up() {
    let server = start(ServeConfig { max_batch: 2, max_waiting: 0, ..Default::default() });
    let body = json!({ "model": NAME, "prompt": "a", "max_tokens": 400, "temperature": 1, "min_tokens": 400, "stream": true }).to_string();
    // Reads nothing: its answer is written all the same, and its place is free then.
    let slow = send(&server, "POST /v1/completions", "", &body);
    // Goes after the first piece.
    let mut gone = BufReader::new(send(&server, "POST /v1/completions", "", &body));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        gone.read_line(&mut line).unwrap();
    }
    drop(gone);
    let refused = |answer: &crate::serve::client::Answer| answer.status == 429;
    let (begun, mut answer) = (Instant::now(), completion(&server, QUESTIONS[0], 5, json!({})));
    while refused(&answer) && begun.elapsed() < Duration::from_secs(60) {
        assert!(answer.headers.contains("retry-after: 1"), "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
        answer = completion(&server, QUESTIONS[0], 5, json!({}));
    }
    assert_eq!(text(&answer.json()), alone(QUESTIONS[0], 5));
    let chunks = receive(slow).chunks();
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[test]
fn more_than_the_limits_is_refused() {
    let server = start(ServeConfig { max_batch: 1, max_waiting: 1, max_tokens: 6, max_body: 2000, ..Default::default() });
    let busy = post(&server, "/v1/completions", json!({ "model": NAME, "prompt": ["a", "b", "c"] }));
    assert_eq!((busy.status, busy.json()["error"]["type"].as_str()), (429, Some("rate_limit_error")));
    let two = post(
        &server,
        "/v1/completions",
        json!({ "model": NAME, "prompt": ["a", "b"], "max_tokens": 100, "min_tokens": 6, "temperature": 0 }),
    );
    assert_eq!(two.json()["usage"]["completion_tokens"], 12, "max_tokens of the service bounds each answer");
    let large = completion(&server, &"a".repeat(3000), 1, json!({}));
    assert!(large.status == 413 && large.refusal().contains("2000 bytes"), "{large:?}");
}

#[test]
fn what_is_wrong_is_named() {
    let message = json!([{ "role": "user", "content": "a" }]);
    let long = "finetuning ".repeat(600);
    let cases = [
        ("completions", json!({ "model": "nobody", "prompt": "a" }), 404, "`nobody` is not served here; there are: `builtin:base`"),
        ("completions", json!({ "prompt": "a" }), 400, "`model` must be the name"),
        ("completions", json!({ "model": NAME }), 400, "`prompt` is missing"),
        ("completions", json!({ "model": NAME, "prompt": "" }), 400, "the prompt has no tokens"),
        ("completions", json!({ "model": NAME, "prompt": [1, "a"] }), 400, "a list of token ids"),
        ("completions", json!({ "model": NAME, "prompt": [999999999] }), 400, "vocabulary"),
        ("completions", json!({ "model": NAME, "prompt": long }), 400, "prompt and answer together may have"),
        (
            "completions",
            json!({ "model": NAME, "prompt": "a", "temperature": 3 }),
            400,
            "`temperature` is 3; it must be a number from 0 to 2",
        ),
        ("completions", json!({ "model": NAME, "prompt": "a", "max_tokens": 0 }), 400, "`max_tokens` is 0"),
        ("completions", json!({ "model": NAME, "prompt": "a", "max_tokens": "9" }), 400, "`max_tokens` is \"9\""),
        ("completions", json!({ "model": NAME, "prompt": "a", "top_p": 0 }), 400, "top_p is 0"),
        ("completions", json!({ "model": NAME, "prompt": "a", "stop": ["a", ""] }), 400, "none of them empty"),
        ("completions", json!({ "model": NAME, "prompt": "a", "stop_token_ids": 3 }), 400, "`stop_token_ids` must be a list of token ids"),
        ("completions", json!({ "model": NAME, "prompt": "a", "stream_options": {} }), 400, "`stream_options` is for streams"),
        ("completions", json!({ "model": NAME, "prompt": "a", "stream": true, "stream_options": 7 }), 400, "must be an object"),
        (
            "completions",
            json!({ "model": NAME, "prompt": "a", "stream": true, "stream_options": { "usage": true } }),
            400,
            "`stream_options` has a field `usage`",
        ),
        ("chat/completions", json!({ "model": NAME, "messages": message, "top_logprobs": 2 }), 400, "`logprobs`: true"),
        ("completions", json!({ "model": NAME, "prompt": "a", "n": 65 }), 400, "from 1 to 64"),
        ("completions", json!({ "model": NAME, "prompt": "a", "stream": 1 }), 400, "true or false"),
        ("completions", json!({ "model": NAME, "prompt": "a", "temprature": 1 }), 400, "the nearest are `temperature`"),
        ("completions", json!({ "model": NAME, "prompt": "a", "echo": true }), 400, "`echo` is not supported"),
        ("chat/completions", json!({ "model": NAME, "messages": [] }), 400, "at least one message"),
        ("chat/completions", json!({ "model": NAME, "messages": [{ "role": "user" }] }), 400, "`messages[0]` has no text"),
        ("chat/completions", json!({ "model": NAME, "messages": message, "tools": [{}] }), 400, "`tools` is not supported"),
        (
            "chat/completions",
            json!({ "model": NAME, "messages": message, "response_format": { "type": "json_object" } }),
            400,
            "`response_format`",
        ),
        (
            "chat/completions",
            json!({ "model": NAME, "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }),
            400,
            "text alone",
        ),
    ];
    for (path, body, status, words) in cases {
        let answer = post(server(), &format!("/v1/{path}"), body.clone());
        assert!(answer.status == status && answer.refusal().contains(words), "{body}: {answer:?}");
    }
    // The field that is wrong is named, too.
    let wrong = completion(server(), "a", 1, json!({ "temperature": 1, "top_p": 0 })).json();
    assert_eq!(wrong["error"]["param"], "top_p");
    // What asks for nothing is no mistake.
    let neutral =
        json!({ "presence_penalty": 0, "tools": [], "response_format": { "type": "text" }, "user": "me", "logit_bias": {}, "stop": null });
    assert_eq!(completion(server(), "a", 1, neutral).status, 200);
    for (request, words) in [("{", "not valid JSON"), ("[]", "must be a JSON object"), ("\u{7}", "not valid JSON")] {
        let answer = receive(send(server(), "POST /v1/completions", "", request));
        assert!(answer.status == 400 && answer.refusal().contains(words), "{answer:?}");
    }
    assert_eq!(receive(send(server(), "GET /v1/completions", "", "")).status, 405);
    let nowhere = get(server(), "/v1/embeddings");
    assert!(nowhere.status == 404 && nowhere.refusal().contains("/v1/chat/completions"));
}

#[test]
fn a_broken_template_is_said_and_none_is_bare_text() {
    let folder = fresh_folder();
    AutoModelForCausalLM::from_pretrained(NAME).unwrap().save_pretrained(&folder).unwrap();
    let chat = |template: &str| {
        std::fs::write(folder.join("chat_template.jinja"), template).unwrap();
        let server = serve(&folder.display().to_string()).unwrap();
        let body = json!({ "model": server.models()[0], "messages": [{ "role": "system", "content": "one" }, { "role": "user", "content": "two" }], "max_tokens": 5, "temperature": 0 });
        post(&server, "/v1/chat/completions", body)
    };
    let answer = chat("{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}");
    assert_eq!(text(&answer.json()), alone("<system>one<user>two", 5));
    let broken = chat("{% for %}");
    assert!(broken.status == 400 && broken.refusal().contains("cannot be put into the model's format"), "{broken:?}");
    let bare = json!({ "model": NAME, "messages": [{ "role": "system", "content": "one" }, { "role": "user", "content": [{ "type": "text", "text": "two" }] }], "max_tokens": 5, "temperature": 0 });
    assert_eq!(text(&post(server(), "/v1/chat/completions", bare).json()), alone("one\n\ntwo", 5));
}
