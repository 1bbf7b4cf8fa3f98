//! Models, adapters and data sets published to a hub: what arrives is what was sent, and a failure leaves what was there.

use std::time::Duration;

use finetuning::*;
use serde_json::Value;

use crate::support::hub::{Fault, Hub, git_sha1};
use crate::support::{fresh_folder, json, refused, tiny_llama, tiny_model, values};

fn options(hub: &Hub) -> PushOptions {
    let (endpoint, cache_dir, token) = (Some(hub.address.clone()), Some(fresh_folder()), Some("write".to_string()));
    let timeout = Some(Duration::from_secs(2));
    PushOptions { hub: HubOptions { endpoint, cache_dir, token, timeout, sleep: |_| Ok(()), ..Default::default() }, ..Default::default() }
}

fn card(hub: &Hub, repo: &str) -> String {
    String::from_utf8(hub.file(repo, "README.md").unwrap()).unwrap()
}

fn same_weights(a: &CausalLm, b: &CausalLm) {
    assert_eq!(a.weights().len(), b.weights().len());
    for ((name, a), (_, b)) in a.weights().iter().zip(b.weights()) {
        assert_eq!(values(a.as_tensor()), values(b.as_tensor()), "{name}");
    }
}

#[test]
fn a_published_model_is_loaded_again_with_its_tokenizer() {
    let (hub, model) = (Hub::start(), AutoModelForCausalLM::from_pretrained("builtin:base").unwrap());
    let options = PushOptions { license: Some("mit".into()), ..options(&hub) };
    let page = model.push_to_hub("course/mine", &options).unwrap();
    assert_eq!(page, format!("{}/models/course/mine/commit/{}", hub.address, hub.commit("models/course/mine")));
    let loaded = AutoModelForCausalLM::from_pretrained_with("course/mine", &options.hub).unwrap();
    same_weights(&model, &loaded);
    let [ours, theirs] = [AutoTokenizer::from_pretrained("builtin:base"), AutoTokenizer::from_pretrained_with("course/mine", &options.hub)];
    let text = "What is finetuning? äöü";
    assert_eq!(ours.unwrap().encode(text).unwrap(), theirs.unwrap().encode(text).unwrap());
    let card = card(&hub, "models/course/mine");
    for part in ["---\nlicense: mit\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# mine\n", "`gpt_neox`"] {
        assert!(card.contains(part), "{card}");
    }
    assert!(card.contains(&format!("with {} parameters", model.parameter_count())) && !card.contains("base_model"), "{card}");
    assert_eq!(hub.state.lock().unwrap().messages, ["Upload model"]);
}

#[test]
fn what_the_hub_has_is_neither_sent_again_nor_overwritten() {
    let (hub, model) = (Hub::start(), tiny_model(1));
    let options = options(&hub);
    model.push_to_hub("course/mine", &options).unwrap();
    assert_eq!(hub.seen("PUT").len(), 1);
    hub.put("models/course/mine", "README.md", "my own words");
    let again = PushOptions { commit_message: Some("once more".into()), ..options };
    model.push_to_hub("course/mine", &again).unwrap();
    assert_eq!(hub.seen("PUT").len(), 1);
    assert_eq!(card(&hub, "models/course/mine"), "my own words");
    assert_eq!(hub.state.lock().unwrap().messages, ["Upload model", "once more"]);
}

#[test]
fn a_published_adapter_names_its_model_and_comes_back() {
    let (hub, base) = (Hub::start(), tiny_llama(3, true));
    let options = options(&hub);
    base.push_to_hub("course/base", &options).unwrap();
    let base = AutoModelForCausalLM::from_pretrained_with("course/base", &options.hub).unwrap();
    let adapted = base.with_lora(&LoraConfig { r: 2, ..Default::default() }).unwrap();
    for (name, parameter) in adapted.weights().iter().filter(|(name, _)| name.contains("lora_B")) {
        parameter.set(&(parameter.as_tensor() + name.len() as f64).unwrap()).unwrap();
    }
    adapted.push_to_hub("course/adapter", &options).unwrap();
    assert!(hub.file("models/course/adapter", "model.safetensors").is_none(), "the adapter alone");
    let card = card(&hub, "models/course/adapter");
    for part in ["base_model: course/base\n", "library_name: peft\n", "tags:\n- lora\n", "rank 2"] {
        assert!(card.contains(part), "{card}");
    }
    same_weights(&adapted, &AutoModelForCausalLM::from_pretrained_with("course/adapter", &options.hub).unwrap());
}

#[test]
fn a_published_data_set_is_loaded_again() {
    let (hub, data) = (Hub::start(), load_dataset("builtin:lab_docs").unwrap());
    let options = options(&hub);
    data.push_to_hub("course/docs", &options).unwrap();
    let loaded = load_dataset_with("course/docs", &options.hub).unwrap();
    assert_eq!(loaded.len(), data.len());
    assert!(loaded.iter().zip(data.iter()).all(|(a, b)| a.fields() == b.fields()));
    let card = card(&hub, "datasets/course/docs");
    assert!(card.contains("- split: train\n    path: data/train.jsonl\n") && card.contains(&format!("{} rows", data.len())), "{card}");
}

#[test]
fn a_large_file_goes_in_parts_through_all_failures() {
    let hub = Hub::start();
    let config = NeoxConfig { max_position_embeddings: 64, ..NeoxConfig::new(16_000, 64, 1, 2) };
    let model = CausalLm::random(config, 5, None, &Device::Cpu).unwrap();
    hub.fail("PUT /part/", 1, Fault::Status(500, ""));
    hub.fail("PUT /part/", 1, Fault::Hang);
    hub.fail("POST /complete/", 1, Fault::Status(503, ""));
    hub.fail("POST /verify", 1, Fault::Cut(0));
    hub.fail("POST /api/models/course/large/commit", 1, Fault::Status(429, "Retry-After: 2\r\n"));
    let options = options(&hub);
    let options = PushOptions { hub: HubOptions { timeout: Some(Duration::from_millis(100)), ..options.hub }, ..options };
    model.push_to_hub("course/large", &options).unwrap();
    let parts = hub.seen("PUT /part/");
    assert!(parts.len() >= 4 && parts.iter().all(|line| !line.contains("token")), "{parts:?}");
    same_weights(&model, &AutoModelForCausalLM::from_pretrained_with("course/large", &options.hub).unwrap());
}

#[test]
fn a_failure_leaves_the_repository_as_it_was() {
    let hub = Hub::start();
    let options = options(&hub);
    tiny_model(1).push_to_hub("course/mine", &options).unwrap();
    let before = hub.file("models/course/mine", "model.safetensors").unwrap();
    hub.fail("commit/main", 9, Fault::Status(500, ""));
    refused(tiny_model(2).push_to_hub("course/mine", &options), &["`course/mine`", "failed 5 times (500)"]);
    assert_eq!(hub.file("models/course/mine", "model.safetensors").unwrap(), before);
}

#[test]
fn what_cannot_be_published_is_said_before_anything_is_sent() {
    let (hub, model) = (Hub::start(), tiny_model(1));
    let with = |token: &str, offline: bool| {
        let options = options(&hub);
        PushOptions { hub: HubOptions { token: Some(token.into()), local_files_only: offline, ..options.hub }, ..options }
    };
    refused(model.push_to_hub("course/mine", &with("", false)), &["there is no token", "/settings/tokens", "HF_TOKEN"]);
    refused(model.push_to_hub("mine", &with("write", false)), &["`mine` is no name of a repository", "`owner/name`"]);
    refused(model.push_to_hub("course/mi ne", &with("write", false)), &["`course/mi ne` is no known model"]);
    refused(model.push_to_hub("course/mine", &with("write", true)), &["cannot be published while HF_HUB_OFFLINE", "save_pretrained"]);
    assert!(hub.seen("").is_empty());
    refused(model.push_to_hub("course/mine", &with("stale", false)), &["does not accept the token (401)"]);
    hub.fail("repos/create", 1, Fault::Status(403, "X-Error-Message: You don't have the rights to create a model\r\n"));
    refused(
        model.push_to_hub("course/mine", &with("write", false)),
        &["may not do that (403): You don't have the rights", "give the token the right"],
    );
}

/// The files of `fixtures/make_hub.py`.
fn folder() -> std::path::PathBuf {
    let folder = fresh_folder();
    std::fs::create_dir(folder.join("notes")).unwrap();
    let large: Vec<u8> = (0..9_000_000u64).map(|index| (index * index % 251) as u8).collect();
    let files = [("config.json", "{\"model_type\": \"none\"}\n"), ("notes/rätsel 1.txt", "ä\n"), ("small.safetensors", "small")];
    for (name, content) in files {
        std::fs::write(folder.join(name), content).unwrap();
    }
    std::fs::write(folder.join("large.safetensors"), large).unwrap();
    std::fs::write(folder.join(".hidden"), "not published").unwrap();
    folder
}

/// Texts in an order of their own.
fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// What a request says, without the order of files, which is free.
fn said(line: &str, body: &str) -> String {
    let lines = body.lines().map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        for list in ["files", "objects", "parts", "transfers"] {
            if let Some(items) = value[list].as_array_mut() {
                items.iter_mut().for_each(Value::sort_all_objects);
                items.sort_by_key(Value::to_string);
            }
        }
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        value.sort_all_objects();
        value.to_string()
    });
    format!("{line}\n{}", sorted(lines.collect()).join("\n"))
}

#[test]
fn a_folder_is_published_and_cached_as_python_does() {
    let (hub, expected) = (Hub::start(), json("hub.json"));
    let options = options(&hub);
    let cache = options.hub.cache_dir.clone().unwrap();
    upload_folder("course/folder", folder(), &options).unwrap();
    let texts = |pair: &Value| said(pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
    let theirs = sorted(expected["bodies"].as_array().unwrap().iter().map(texts).collect());
    let ours = hub.state.lock().unwrap().bodies.clone();
    let ours = sorted(ours.iter().filter(|(line, _)| !line.contains("repos/create")).map(|(line, body)| said(line, body)).collect());
    assert_eq!(ours, theirs);
    // The weights' files are `small` and `large`, as a checkpoint in two shards would have them.
    let index = r#"{"weight_map": {"a": "small.safetensors", "b": "large.safetensors"}}"#;
    hub.put("models/course/folder", "model.safetensors.index.json", index);
    source::resolve::model_folder("course/folder", &options.hub).unwrap();
    let listed: Vec<(String, Option<String>)> = serde_json::from_value(expected["cache"].clone()).unwrap();
    for (path, link) in listed.iter().filter(|(path, _)| !path.contains("notes") && !path.contains(&git_sha1("ä\n".as_bytes()))) {
        let path = cache.join(path);
        assert_eq!(std::fs::read_link(&path).ok(), link.as_ref().map(Into::into), "{}", path.display());
        assert!(path.exists(), "{}", path.display());
    }
}

#[test]
fn links_do_not_lead_out_of_a_published_folder() {
    let (hub, folder, outside) = (Hub::start(), fresh_folder(), fresh_folder());
    let options = options(&hub);
    std::fs::write(folder.join("config.json"), "{}").unwrap();
    std::fs::write(outside.join("secret"), "a key").unwrap();
    let link = |target: &std::path::Path, name: &str| std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
    for (target, name) in [(&outside, "other"), (&outside.join("secret"), "key"), (&folder, "round"), (&folder.join("none"), "gone")] {
        link(target, name);
        refused(upload_folder("course/folder", &folder, &options), &[&format!("{name}` is a link"), "not published"]);
        std::fs::remove_file(folder.join(name)).unwrap();
    }
    assert!(hub.seen("POST").is_empty(), "something was asked for before the folder was known");
    // A link to a file of the folder is that file; so is one of a snapshot to a content of its repository.
    link("config.json".as_ref(), "same.json");
    upload_folder("course/folder", &folder, &options).unwrap();
    assert_eq!(hub.file("models/course/folder", "same.json").unwrap(), b"{}");
    let snapshot = AutoModelForCausalLM::from_pretrained_with("course/folder", &options.hub).unwrap_err();
    assert!(!snapshot.to_string().is_empty());
    let cached = options.hub.cache_dir.clone().unwrap().join("models--course--folder/snapshots");
    let commit = std::fs::read_dir(&cached).unwrap().next().unwrap().unwrap().path();
    upload_folder("course/copy", &commit, &options).unwrap();
    assert_eq!(hub.file("models/course/copy", "config.json").unwrap(), b"{}");
}

#[test]
fn signs_that_move_a_terminal_are_in_no_name() {
    let (hub, options) = (Hub::start(), options(&Hub::start()));
    let options = HubOptions { endpoint: Some(hub.address.clone()), ..options.hub };
    hub.put("models/course/odd", "a\u{1b}[2J.txt", "x");
    hub.put("models/course/odd", "plain.txt", "x");
    let error = AutoModelForCausalLM::from_pretrained_with("course/odd", &options).unwrap_err().to_string();
    assert!(error.contains("`plain.txt`") && !error.contains('\u{1b}'), "{error:?}");
}
