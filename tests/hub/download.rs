//! Downloads from a hub that fails: what is cut goes on, what is damaged is fetched anew, what cannot be had is named.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use finetuning::source::resolve::{model_folder, tokenizer_folder};
use finetuning::*;

use crate::hub::cache::{MODEL, hub};
use crate::support::hub::{Fault, Hub, git_sha1, sha256};
use crate::support::{fresh_folder, refused};

const REPO: &str = "models/course/small";

thread_local! {
    /// The waits that a test's downloads asked for.
    static WAITS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn note(wait: Duration) -> Result<()> {
    WAITS.with_borrow_mut(|waits| waits.push(wait.as_secs()));
    Ok(())
}

fn waits() -> Vec<u64> {
    WAITS.take()
}

/// Options whose waits take no time; an empty token is none.
fn options(hub: &Hub, cache: &Path) -> HubOptions {
    let (endpoint, cache_dir) = (Some(hub.address.clone()), Some(cache.to_path_buf()));
    let timeout = Some(Duration::from_secs(30));
    HubOptions { endpoint, cache_dir, token: Some(String::new()), timeout, sleep: note, ..Default::default() }
}

#[track_caller]
fn same_as_hub(hub: &Hub, folder: &Path, files: &[&str]) {
    for file in files {
        assert!(std::fs::read(folder.join(file)).unwrap() == hub.file(REPO, file).unwrap(), "{file}");
    }
}

fn partial(hub: &Hub, cache: &Path) -> PathBuf {
    let tag = sha256(&hub.file(REPO, "model.safetensors").unwrap());
    cache.join("models--course--small/blobs").join(format!("{tag}.incomplete"))
}

#[test]
fn the_cache_is_laid_out_as_pythons() {
    let (hub, cache) = (hub(), fresh_folder());
    let folder = model_folder("course/small", &options(&hub, &cache)).unwrap();
    let (repo, commit) = (cache.join("models--course--small"), hub.commit(REPO));
    assert_eq!(folder, repo.join("snapshots").join(&commit));
    assert_eq!(std::fs::read_to_string(repo.join("refs/main")).unwrap(), commit);
    let tags = MODEL.map(|file| {
        let bytes = hub.file(REPO, file).unwrap();
        if file == "model.safetensors" { sha256(&bytes) } else { git_sha1(&bytes) }
    });
    for (file, tag) in MODEL.iter().zip(&tags) {
        assert_eq!(std::fs::read_link(folder.join(file)).unwrap(), Path::new("../../blobs").join(tag));
        assert!(cache.join(format!(".locks/models--course--small/{tag}.lock")).is_file());
    }
    same_as_hub(&hub, &folder, &MODEL);
    assert_eq!(std::fs::read_dir(repo.join("blobs")).unwrap().count(), MODEL.len(), "and nothing else");
    // A commit needs no name.
    let by_commit = HubOptions { revision: commit, local_files_only: true, ..options(&hub, &cache) };
    assert_eq!(model_folder("course/small", &by_commit).unwrap(), folder);
}

#[test]
fn only_what_is_needed_is_fetched_all_shards_of_the_weights_included() {
    let (hub, cache) = (hub(), fresh_folder());
    tokenizer_folder("course/small", &options(&hub, &cache)).unwrap();
    assert!(hub.seen("safetensors").is_empty());
    let repo = "models/course/sharded";
    hub.put(repo, "config.json", "{}");
    hub.put(
        repo,
        "model.safetensors.index.json",
        r#"{"weight_map": {"a": "part 1.safetensors", "b": "sub/2.safetensors", "c": "sub/2.safetensors"}}"#,
    );
    for file in ["part 1.safetensors", "sub/2.safetensors", "other.safetensors"] {
        hub.put(repo, file, file);
    }
    let folder = model_folder("course/sharded", &options(&hub, &cache)).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("part 1.safetensors")).unwrap(), "part 1.safetensors");
    assert_eq!(std::fs::read_to_string(folder.join("sub/2.safetensors")).unwrap(), "sub/2.safetensors");
    assert!(!folder.join("other.safetensors").exists());
}

#[test]
fn a_cut_download_goes_on_where_it_was_cut() {
    let (hub, cache) = (hub(), fresh_folder());
    hub.fail("GET /content/", 2, Fault::Cut(800_000));
    let folder = model_folder("course/small", &options(&hub, &cache)).unwrap();
    same_as_hub(&hub, &folder, &MODEL);
    let ranges: Vec<bool> = hub.seen("GET /content/").iter().map(|line| line.contains("bytes=")).collect();
    assert_eq!(ranges, [false, true, true]);
    assert!(hub.seen("bytes=800000-").len() == 1 && hub.seen("bytes=1600000-").len() == 1, "{:?}", hub.seen("bytes="));
    assert_eq!(waits(), [1, 1], "each cut after progress is a first one");
    assert!(!partial(&hub, &cache).exists());
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let (hub, cache) = (hub(), fresh_folder());
    hub.fail("GET /content/", 1, Fault::Cut(800_000));
    hub.fail("GET /content/", 1, Fault::NoRange);
    let folder = model_folder("course/small", &options(&hub, &cache)).unwrap();
    same_as_hub(&hub, &folder, &MODEL);
    // One that is cut at the same place each time is given up, and what there is stays.
    let cache = fresh_folder();
    hub.fail("GET /content/", 9, Fault::Cut(0));
    refused(model_folder("course/small", &options(&hub, &cache)), &["model.safetensors", "was cut 5 times", "goes on from there"]);
}

#[test]
fn a_damaged_file_is_fetched_anew_once_and_never_used() {
    let (hub, cache) = (hub(), fresh_folder());
    hub.fail("GET /content/", 1, Fault::Corrupt);
    hub.fail("GET /course/small/resolve/", 1, Fault::Corrupt);
    let folder = model_folder("course/small", &options(&hub, &cache)).unwrap();
    same_as_hub(&hub, &folder, &MODEL);
    assert_eq!(hub.seen("GET /content/").len(), 2);
    let cache = fresh_folder();
    hub.fail("GET /content/", 2, Fault::Corrupt);
    refused(model_folder("course/small", &options(&hub, &cache)), &["model.safetensors", "differs from its checksum", "twice"]);
    let blobs = std::fs::read_dir(cache.join("models--course--small/blobs")).unwrap().count();
    assert_eq!(blobs, MODEL.len() - 1, "the damaged one is not kept");
    // A partial file that somebody spoilt is found out, too.
    std::fs::write(partial(&hub, &cache), "spoilt").unwrap();
    same_as_hub(&hub, &model_folder("course/small", &options(&hub, &cache)).unwrap(), &MODEL);
}

#[test]
fn force_download_heals_the_cache_and_a_new_commit_is_found() {
    let (hub, cache) = (hub(), fresh_folder());
    let folder = model_folder("course/small", &options(&hub, &cache)).unwrap();
    let blob = std::fs::canonicalize(folder.join("config.json")).unwrap();
    std::fs::write(&blob, "{}").unwrap();
    let force = HubOptions { force_download: true, ..options(&hub, &cache) };
    assert_eq!(model_folder("course/small", &force).unwrap(), folder);
    same_as_hub(&hub, &folder, &MODEL);
}

#[test]
fn two_at_once_fetch_once() {
    let (hub, cache) = (hub(), fresh_folder());
    let fetch = || model_folder("course/small", &options(&hub, &cache)).unwrap();
    std::thread::scope(|scope| {
        let threads = [0; 4].map(|_| scope.spawn(fetch));
        for thread in threads {
            same_as_hub(&hub, &thread.join().unwrap(), &MODEL);
        }
    });
    assert_eq!(hub.seen("GET /content/").len(), 1);
}

#[test]
fn a_full_disk_is_explained_and_keeps_what_there_is() {
    let (hub, cache) = (hub(), fresh_folder());
    let partial = partial(&hub, &cache);
    std::fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    refused(model_folder("course/small", &options(&hub, &cache)), &["the disk is full: 0.0 MB of 2.1 MB", "free 2.1 MB", "HF_HUB_CACHE"]);
    std::fs::remove_file(partial).unwrap();
    same_as_hub(&hub, &model_folder("course/small", &options(&hub, &cache)).unwrap(), &MODEL);
}

#[test]
fn a_busy_hub_is_asked_again_later() {
    let (hub, cache) = (hub(), fresh_folder());
    hub.fail("HEAD", 1, Fault::Status(503, ""));
    hub.fail("HEAD", 2, Fault::Status(500, ""));
    hub.fail("GET /content/", 1, Fault::Status(429, "Retry-After: 7\r\n"));
    same_as_hub(&hub, &model_folder("course/small", &options(&hub, &cache)).unwrap(), &MODEL);
    assert_eq!(waits(), [1, 2, 4, 7]);
    hub.fail("GET /api", 9, Fault::Status(502, ""));
    refused(
        model_folder("course/small", &options(&hub, &fresh_folder())),
        &["`course/small`", "failed 5 times (502)", "the fault is the hub's"],
    );
    assert_eq!(waits(), [1, 2, 4, 8]);
}

#[test]
fn a_wait_that_is_too_long_is_said_and_not_waited() {
    let (hub, cache) = (hub(), fresh_folder());
    hub.fail("GET /api", 1, Fault::Status(429, "Retry-After: 3600\r\n"));
    refused(model_folder("course/small", &options(&hub, &cache)), &["too many requests (429)", "asks to wait 3600 s", "HF_TOKEN"]);
    hub.fail("GET /api", 9, Fault::Status(429, ""));
    refused(model_folder("course/small", &options(&hub, &cache)), &["too many requests (429), 5 times"]);
    assert_eq!(waits(), [1, 2, 4, 8]);
}

#[test]
fn a_hub_that_says_nothing_is_left() {
    let (hub, cache) = (hub(), fresh_folder());
    let short = |cache: &Path| HubOptions { timeout: Some(Duration::from_millis(200)), ..options(&hub, cache) };
    hub.fail("GET /api", 1, Fault::Hang);
    same_as_hub(&hub, &model_folder("course/small", &short(&cache)).unwrap(), &MODEL);
    assert!(waits().starts_with(&[1]));
    hub.fail("GET /api", 9, Fault::Hang);
    refused(model_folder("course/small", &short(&fresh_folder())), &["said nothing for 200ms, 5 times", "HF_HUB_DOWNLOAD_TIMEOUT"]);
}

#[test]
fn a_download_that_stops_in_silence_goes_on() {
    let (hub, cache) = (hub(), fresh_folder());
    let short = |cache: &Path| HubOptions { timeout: Some(Duration::from_millis(200)), ..options(&hub, cache) };
    hub.fail("GET /content/", 1, Fault::Stall(1_000_000));
    same_as_hub(&hub, &model_folder("course/small", &short(&cache)).unwrap(), &MODEL);
    assert!(waits().contains(&1) && hub.seen("bytes=1000000-").len() == 1);
    hub.fail("GET /content/", 9, Fault::Stall(0));
    refused(model_folder("course/small", &short(&fresh_folder())), &["model.safetensors", "said nothing for 200ms, 5 times"]);
}

#[test]
fn what_the_hub_does_not_have_is_told_apart() {
    let (hub, cache) = (hub(), fresh_folder());
    let get = |name: &str, token: &str, revision: &str| {
        model_folder(name, &HubOptions { token: Some(token.into()), revision: revision.into(), ..options(&hub, &cache) })
    };
    refused(get("course/nothing", "secret", "main"), &["the model `course/nothing` does not exist on the hub (404)"]);
    refused(
        get("course/nothing", "", "main"),
        &["`course/nothing` does not exist on the hub, or is private and no token was given", "HF_TOKEN"],
    );
    refused(get("course/small", "", "v2"), &["the model has no revision `v2`", "/course/small/refs", "`main`"]);
    refused(get("course/small", "", "../.."), &["`../..` is no revision"]);
    let page = format!("accept the licence at {}/gated/small", hub.address);
    refused(get("gated/small", "", "main"), &["gated and no token was given (403)", &page, "set HF_TOKEN"]);
    refused(get("gated/small", "secret", "main"), &["gated and your token has no access to it (403)", &page]);
    same_as_hub(&hub, &get("gated/small", "member", "main").unwrap(), &MODEL);
    hub.put("models/course/pickle", "config.json", "{}");
    hub.put("models/course/pickle", "pytorch_model.bin", "x");
    refused(get("course/pickle", "", "main"), &["has no model.safetensors", "safe_serialization=True"]);
    refused(load_dataset_with("course/nothing", &options(&hub, &cache)), &["the data set `course/nothing`"]);
}

#[test]
fn redirects_are_followed_and_the_token_stays_with_the_hub() {
    let (hub, cache) = (hub(), fresh_folder());
    hub.fail("GET /api/models/old/name", 1, Fault::Status(307, "Location: /api/models/course/small/revision/main\r\n"));
    let config = format!("/course/small/resolve/{}/config.json", hub.commit(REPO));
    let location: &'static str = format!("Location: {config}\r\n").leak();
    hub.fail("HEAD /old/name", 1, Fault::Status(307, location));
    let secret = HubOptions { token: Some("secret".into()), ..options(&hub, &cache) };
    // The old name leads to the new one; the next file of it does not exist.
    refused(model_folder("old/name", &secret), &["`old/name`"]);
    assert_eq!(hub.seen(&format!("GET {config}")).len(), 1);
    model_folder("course/small", &secret).unwrap();
    let (hubs, stores) = (hub.seen("/resolve/"), hub.seen("/content/"));
    assert!(!stores.is_empty() && hubs.iter().all(|line| line.ends_with(" token")), "{hubs:?}");
    assert!(stores.iter().all(|line| !line.ends_with(" token")), "{stores:?}");
    hub.fail("GET /api", 99, Fault::Status(302, "Location: /api/models/course/small/revision/main\r\n"));
    refused(model_folder("course/small", &options(&hub, &fresh_folder())), &["more than ten redirects"]);
}

#[test]
fn no_printed_form_shows_the_token() {
    let text = format!("{:?}", HubOptions { token: Some("hf_secret".into()), ..Default::default() });
    assert!(text.contains("token: Some") && !text.contains("hf_secret"), "{text}");
}
