//! A hub on this machine that speaks the hub's protocol and fails where a test says so.
//!
//! It listens twice: as the hub, which redirects to the content of large files, and as the store of those contents, which
//! must never see a token. `harness serve-hub SECONDS` keeps one running for other clients.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::wire::{Request, decoded, read};

/// What goes wrong with an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A status with more headers.
    Status(u16, &'static str),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// Nothing is said.
    Hang,
    /// A byte of the body is another.
    Corrupt,
    /// The range asked for is not heeded.
    NoRange,
    /// After so many bytes of the body nothing more is said.
    Stall(usize),
    /// After so many bytes the body comes byte by byte.
    Slow(usize),
}

/// A repository.
#[derive(Default)]
struct Repo {
    files: BTreeMap<String, Vec<u8>>,
    commits: usize,
}

#[derive(Default)]
pub struct State {
    repos: HashMap<String, Repo>,
    /// Contents of large files by their SHA-256.
    objects: HashMap<String, Vec<u8>>,
    parts: BTreeMap<(String, usize), Vec<u8>>,
    /// Requests as `METHOD path`, with the range and the presence of a token.
    pub seen: Vec<String>,
    faults: Vec<(String, usize, Fault)>,
    pub messages: Vec<String>,
    /// The JSON that requests carried, by their `METHOD path`.
    pub bodies: Vec<(String, String)>,
}

/// A running hub.
#[derive(Clone)]
pub struct Hub {
    pub address: String,
    store: String,
    pub state: Arc<Mutex<State>>,
}

struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn git_sha1(bytes: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::from(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hash.digest().to_string()
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors") || file.ends_with(".parquet")
}

fn answer(status: u16, headers: impl Into<String>, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: headers.into(), body: body.into() }
}

fn json_answer(value: Value) -> Answer {
    answer(200, "Content-Type: application/json\r\n", value.to_string())
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    answer(status, format!("X-Error-Code: {code}\r\nX-Error-Message: {message}\r\n"), "")
}

impl Hub {
    pub fn start() -> Hub {
        let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, store] = [0, 1].map(|index| format!("http://{}", listeners[index].local_addr().unwrap()));
        let hub = Hub { address, store, state: Arc::default() };
        for listener in listeners {
            let hub = hub.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let hub = hub.clone();
                    std::thread::spawn(move || hub.talk(stream));
                }
            });
        }
        hub
    }

    /// Adds a file; `repo` is `models/owner/name` or `datasets/owner/name`.
    pub fn put(&self, repo: &str, file: &str, bytes: impl Into<Vec<u8>>) {
        let mut state = self.state.lock().unwrap();
        let (bytes, state) = (bytes.into(), &mut *state);
        if is_large(file) {
            state.objects.insert(sha256(&bytes), bytes.clone());
        }
        state.repos.entry(repo.to_string()).or_default().files.insert(file.to_string(), bytes);
    }

    /// The next `times` requests whose `METHOD path` contains `part` go wrong.
    pub fn fail(&self, part: &str, times: usize, fault: Fault) {
        self.state.lock().unwrap().faults.push((part.to_string(), times, fault));
    }

    /// The requests so far that contain a text.
    pub fn seen(&self, part: &str) -> Vec<String> {
        self.state.lock().unwrap().seen.iter().filter(|line| line.contains(part)).cloned().collect()
    }

    /// A file as it is now.
    pub fn file(&self, repo: &str, file: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap().repos.get(repo)?.files.get(file).cloned()
    }

    /// The commit of a repository's `main`.
    pub fn commit(&self, repo: &str) -> String {
        format!("{:040x}", 0xaa + self.state.lock().unwrap().repos[repo].commits)
    }

    fn talk(&self, stream: TcpStream) {
        let (mut reader, mut writer) = (BufReader::new(stream.try_clone().unwrap()), stream);
        while let Some(request) = read(&mut reader) {
            let line = format!("{} {}", request.method, request.path);
            let fault = {
                let mut state = self.state.lock().unwrap();
                let range = request.headers.get("range").map_or(String::new(), |range| format!(" {range}"));
                let token = if request.headers.contains_key("authorization") { " token" } else { "" };
                state.seen.push(format!("{line}{range}{token}"));
                if request.method == "POST" {
                    state.bodies.push((line.clone(), String::from_utf8_lossy(&request.body).into_owned()));
                }
                let found = state.faults.iter_mut().find(|(part, times, _)| *times > 0 && line.contains(part.as_str()));
                found.map(|(_, times, fault)| {
                    *times -= 1;
                    fault.clone()
                })
            };
            let mut answer = match fault {
                Some(Fault::Status(status, headers)) => answer(status, headers, "a fault"),
                Some(Fault::Hang) => {
                    std::thread::sleep(Duration::from_secs(60));
                    return;
                }
                _ => self.answer(&request),
            };
            if let (Some(Fault::Corrupt), Some(byte)) = (&fault, answer.body.last_mut()) {
                *byte ^= 1;
            }
            let range = request.headers.get("range").filter(|_| answer.status == 200 && !matches!(fault, Some(Fault::NoRange)));
            if let Some(from) = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()) {
                answer.headers += &format!("Content-Range: bytes {from}-{}/{}\r\n", answer.body.len() - 1, answer.body.len());
                (answer.status, answer.body) = (206, answer.body[from..].to_vec());
            }
            let length = answer.body.len();
            let head = format!("HTTP/1.1 {} X\r\nContent-Length: {length}\r\n{}\r\n", answer.status, answer.headers);
            let quick = match fault {
                Some(Fault::Cut(bytes) | Fault::Slow(bytes) | Fault::Stall(bytes)) => bytes.min(length),
                _ => length,
            };
            let body = if request.method == "HEAD" { &[] } else { &answer.body[..] };
            let quick = quick.min(body.len());
            if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body[..quick])).is_err() {
                return;
            }
            if matches!(fault, Some(Fault::Cut(_))) {
                let _ = writer.shutdown(std::net::Shutdown::Both);
                return;
            }
            if matches!(fault, Some(Fault::Stall(_))) {
                std::thread::sleep(Duration::from_secs(60));
                return;
            }
            for byte in &body[quick..] {
                if writer.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let mut guard = self.state.lock().unwrap();
        let state = &mut *guard;
        let token = request.headers.get("authorization").map(String::as_str);
        let path = request.path.split('?').next().unwrap_or_default().trim_start_matches('/').to_string();
        let parts: Vec<&str> = path.split('/').collect();
        let sent = || serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["content", oid]) => return answer(200, "", state.objects[*oid].clone()),
            ("GET", ["bodies"]) => return json_answer(json!(state.bodies)),
            ("PUT", ["content", oid]) => {
                state.objects.insert(oid.to_string(), request.body.clone());
                return answer(200, "", "");
            }
            ("PUT", ["part", oid, part]) => {
                state.parts.insert((oid.to_string(), part.parse().unwrap()), request.body.clone());
                return answer(200, format!("ETag: \"part-{part}\"\r\n"), "");
            }
            _ => {}
        }
        if path.contains("private/") && token != Some("Bearer secret") {
            return if token.is_some() {
                answer(401, "", "Invalid credentials")
            } else {
                refusal(401, "RepoNotFound", "Repository not found")
            };
        }
        if path.contains("gated/") && token != Some("Bearer member") {
            return refusal(403, "GatedRepo", "Access to this repository is restricted");
        }
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["api", "whoami-v2"]) => {
                json_answer(json!({ "type": "user", "name": "course", "auth": {"accessToken": {"role": "write"}} }))
            }
            ("POST", ["api", "repos", "create"]) => {
                let sent = sent();
                let kind = if sent["type"] == "dataset" { "datasets" } else { "models" };
                let name = format!("{}/{}", sent["organization"].as_str().unwrap_or("course"), sent["name"].as_str().unwrap());
                let url = format!("{}/{name}", self.address);
                if token != Some("Bearer write") {
                    return answer(401, "", "Invalid username or password.");
                }
                if state.repos.contains_key(&format!("{kind}/{name}")) {
                    return answer(409, "", json!({ "error": "You already created this repo", "url": url }).to_string());
                }
                state.repos.insert(format!("{kind}/{name}"), Repo::default());
                json_answer(json!({ "url": url, "name": name, "id": "1" }))
            }
            (method, ["api", kind, owner, name, rest @ ..]) => match (state.repos.contains_key(&format!("{kind}/{owner}/{name}")), rest) {
                (false, _) => refusal(if token.is_some() { 404 } else { 401 }, "RepoNotFound", "Repository not found"),
                (_, ["revision", "main"] | []) if method == "GET" => {
                    let repo = &state.repos[&format!("{kind}/{owner}/{name}")];
                    let siblings: Vec<_> = repo.files.keys().map(|name| json!({ "rfilename": name })).collect();
                    let commit = format!("{:040x}", 0xaa + repo.commits);
                    json_answer(json!({ "id": format!("{owner}/{name}"), "sha": commit, "siblings": siblings, "private": false, "tags": [],
                        "downloads": 0, "likes": 0 }))
                }
                (_, ["revision", _]) => refusal(404, "RevisionNotFound", "Invalid rev id"),
                (_, ["preupload", "main"]) => {
                    let files: Vec<_> = sent()["files"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|file| {
                            let path = file["path"].as_str().unwrap();
                            json!({ "path": path, "uploadMode": if is_large(path) { "lfs" } else { "regular" }, "shouldIgnore": false })
                        })
                        .collect();
                    json_answer(json!({ "files": files }))
                }
                (_, ["commit", "main"]) => commit(state, &format!("{kind}/{owner}/{name}"), &request.body, &self.address),
                _ => refusal(404, "EntryNotFound", "no such page"),
            },
            ("POST", [.., "info", "lfs", "objects", "batch"]) => {
                let objects: Vec<_> = sent()["objects"].as_array().unwrap().iter().map(|object| self.upload_place(state, object)).collect();
                json_answer(json!({ "transfer": "basic", "objects": objects }))
            }
            ("POST", ["verify"]) => {
                let sent = sent();
                let whole = state.objects.get(sent["oid"].as_str().unwrap()).is_some_and(|object| object.len() as u64 == sent["size"]);
                if whole { json_answer(json!({})) } else { answer(422, "", "the object is not whole") }
            }
            ("POST", ["complete", oid]) => {
                let bytes: Vec<u8> = state.parts.iter().filter(|((of, _), _)| of == oid).flat_map(|(_, part)| part.clone()).collect();
                let tags: Vec<_> = sent()["parts"].as_array().unwrap().iter().map(|part| part["etag"].clone()).collect();
                assert!(tags.iter().all(|tag| tag.as_str().is_some_and(|tag| tag.contains("part-"))), "{tags:?}");
                state.objects.insert(oid.to_string(), bytes);
                json_answer(json!({}))
            }
            (_, ["datasets", owner, name, "resolve", revision, file @ ..]) => {
                self.resolve(state, &format!("datasets/{owner}/{name}"), revision, file)
            }
            (_, [owner, name, "resolve", revision, file @ ..]) => self.resolve(state, &format!("models/{owner}/{name}"), revision, file),
            _ => answer(404, "", "no such page"),
        }
    }

    /// Where a large file may be put: at once, or, above 8 MB, in parts; nowhere if it is there.
    fn upload_place(&self, state: &State, object: &Value) -> Value {
        let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap());
        if state.objects.contains_key(oid) {
            return json!({ "oid": oid, "size": size });
        }
        let verify = json!({ "href": format!("{}/verify", self.address) });
        let (store, chunk) = (&self.store, 4 << 20);
        let upload = if size <= 2 * chunk {
            json!({ "href": format!("{store}/content/{oid}") })
        } else {
            let parts = (1..=size.div_ceil(chunk)).map(|part| (format!("{part:05}"), json!(format!("{store}/part/{oid}/{part}"))));
            let header: serde_json::Map<_, _> = parts.chain([("chunk_size".to_string(), json!(chunk.to_string()))]).collect();
            json!({ "href": format!("{}/complete/{oid}", self.address), "header": header })
        };
        json!({ "oid": oid, "size": size, "actions": { "upload": upload, "verify": verify } })
    }

    fn resolve(&self, state: &State, repo: &str, revision: &str, file: &[&str]) -> Answer {
        let Some(found) = state.repos.get(repo) else { return refusal(404, "RepoNotFound", "Repository not found") };
        let (file, commit) = (decoded(&file.join("/")), format!("{:040x}", 0xaa + found.commits));
        if revision != commit && revision != "main" {
            return refusal(404, "RevisionNotFound", "Invalid rev id");
        }
        let Some(bytes) = found.files.get(&file) else { return refusal(404, "EntryNotFound", "Entry not found") };
        let head = format!("X-Repo-Commit: {commit}\r\n");
        if is_large(&file) {
            let (oid, size, store) = (sha256(bytes), bytes.len(), &self.store);
            let link = format!("X-Linked-ETag: \"{oid}\"\r\nX-Linked-Size: {size}\r\nLocation: {store}/content/{oid}\r\n");
            return answer(302, head + &link, "");
        }
        answer(200, format!("{head}ETag: \"{}\"\r\n", git_sha1(bytes)), bytes.clone())
    }
}

/// Takes the lines of a commit over.
fn commit(state: &mut State, repo: &str, body: &[u8], address: &str) -> Answer {
    let mut files = Vec::new();
    for line in String::from_utf8_lossy(body).lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let (key, value) = (line["key"].as_str().unwrap().to_string(), &line["value"]);
        let path = value["path"].as_str().unwrap_or_default().to_string();
        match key.as_str() {
            "header" => state.messages.push(value["summary"].as_str().unwrap().to_string()),
            "file" => files.push((path, base64::engine::general_purpose::STANDARD.decode(value["content"].as_str().unwrap()).unwrap())),
            "lfsFile" => match state.objects.get(value["oid"].as_str().unwrap()) {
                Some(object) => files.push((path, object.clone())),
                None => return answer(400, "", "the object was not uploaded"),
            },
            other => return answer(400, "", format!("unknown key {other}")),
        }
    }
    let found = state.repos.get_mut(repo).unwrap();
    found.files.extend(files);
    found.commits += 1;
    let commit = format!("{:040x}", 0xaa + found.commits);
    json_answer(json!({ "success": true, "commitOid": commit, "commitUrl": format!("{address}/{repo}/commit/{commit}") }))
}
