//! The lines and files of the stock kernel that are not Rust: its commands, its configuration, and what its threads print.

use std::path::Path;

use serde_json::json;

use super::client::Client;
use super::kernel;

/// A crate of one function in a folder that is made.
fn a_crate(folder: &Path, name: &str, value: u8) {
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest =
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[features]\ndefault = [\"more\"]\nmore = []\n");
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let more = "pub const MORE: bool = cfg!(feature = \"more\");";
    std::fs::write(folder.join("src/lib.rs"), format!("pub fn value() -> u8 {{ {value} }}\n{more}\n")).unwrap();
}

#[test]
fn a_cache_of_compiled_crates_keeps_cells_and_variables() {
    let folder = tempfile::tempdir().unwrap();
    a_crate(&folder.path().join("stored"), "stored", 9);
    let mut kernel = Client::start_with(|kernel| {
        kernel.env("XDG_CACHE_HOME", folder.path().join("cache"));
    });
    kernel.run(":cache 200\nlet kept = 4_u8;").expect_ok();
    assert_eq!((kernel.run("1 + 1").result().as_str(), kernel.run("kept + 2").result().as_str()), ("2", "6"));
    kernel.run(&format!(":dep stored = {{ path = {:?} }}", folder.path().join("stored"))).expect_ok();
    assert_eq!(kernel.run("stored::value() + kept").result(), "13");
    // One that is written here may change.
    a_crate(&folder.path().join("stored"), "stored", 10);
    assert_eq!(kernel.run("stored::value() + kept").result(), "14");
    kernel.run(":allow_static_linking 0\nlet linked = kept;").expect_ok();
    assert_eq!(kernel.run("linked").result(), "4");
    let error = kernel.run("1 + kept.nothing()").error();
    assert_eq!(error["ename"], "E0599");
}

#[test]
fn commands_that_the_machine_cannot_obey_are_warnings() {
    let mut kernel = kernel();
    let run = kernel.run(":sccache 1\n1 + 1");
    assert_eq!(run.result(), "2");
    let has_it = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join("sccache").exists());
    assert!(has_it || run.stderr().contains("to install it: cargo install sccache"), "{}", run.stderr());
    kernel.run(":sccache 0").expect_ok();
    assert_eq!(kernel.run(":opt 2\n1").stdout(), "Optimization: 2\n");
    assert!(kernel.run(":opt 9").error()["evalue"].as_str().unwrap().contains("is 0, 1, 2 or 3"));
    kernel.run(":opt 1").expect_ok();
    assert_eq!(kernel.run("!true").result(), "false");
    kernel.run(":timing").expect_ok();
    let out = kernel.run("1").stdout();
    kernel.run(":timing").expect_ok();
    assert!(out.starts_with("Took ") && kernel.run("1").stdout().is_empty(), "{out}");
}

#[test]
fn a_crate_is_brought_from_below_code_with_notes_and_old_keys() {
    // The kernel that all tests share keeps them.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, value) in [("early_one", 1), ("late_one", 2)] {
        a_crate(&folder.join(name), name, value);
    }
    let mut kernel = kernel();
    let line = |name: &str, more: &str| format!(":dep {name} = {{ path = {:?}{more} }} // note", folder.join(name));
    let (first, second) = (line("early_one", ", default_features = false"), line("late_one", ""));
    let run = kernel.run(&format!(
        "{first}\nlet before = early_one::value();\n{second}\nuse late_one::value;\n(before, value(), early_one::MORE, late_one::MORE)"
    ));
    assert_eq!(run.result(), "(1, 2, false, true)");
    let run = kernel.run("let after = 1;\n:dep no_such_thing = { path = \"/no/such/folder\" }\nafter");
    let text = run.error()["evalue"].as_str().unwrap().to_string();
    assert!(text.contains("/no/such/folder") && !text.contains("expected expression"), "{text}");
    let complete = |code: &str| json!({ "code": code });
    assert_eq!(kernel.ask("is_complete_request", complete("let a = 1;\n:dep x = \"1\"\na"))["status"], "complete");
    let text = super::client::plain(&kernel.run("use no_such_crate::thing;").error()["traceback"]);
    assert!(text.contains(":dep no_such_crate") && !text.contains("cargo add"), "{text}");
}

#[test]
fn the_files_of_evcxrs_configuration_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (notebook, own) = (folder.path().join("notebook"), folder.path().join("evcxr"));
    a_crate(&notebook.join("nearby"), "nearby", 5);
    std::fs::create_dir(&own).unwrap();
    let toml = "[evcxr]\ntmpdir = \"/no/such/folder\"\nopt_level = \"0\"\n[dependencies]\nnearby = { path = \"nearby\" }\n";
    std::fs::write(notebook.join("evcxr.toml"), toml).unwrap();
    std::fs::write(own.join("init.evcxr"), ":dep not_asked_for = \"99\"\n").unwrap();
    std::fs::write(own.join("prelude.rs"), ":opt 1\nuse nearby::value;\nfn twice() -> u8 { 2 * value() }\nlet begun = twice();\n").unwrap();
    let start = || {
        Client::start_with(|kernel| {
            kernel.current_dir(&notebook).env("EVCXR_CONFIG_DIR", &own);
        })
    };
    let mut kernel = start();
    let run = kernel.run("(begun, twice(), value())");
    assert_eq!((run.result().as_str(), run.stderr().as_str()), ("(10, 10, 5)", ""));
    assert_eq!(kernel.run("std::env::current_dir()?.ends_with(\"notebook\")").result(), "true");
    assert_eq!(kernel.run("begun.nothing()").error()["ename"], "E0599");
    kernel.shutdown(false);
    // What cannot be read or run is told in the first cell, and stops none.
    std::fs::write(notebook.join("evcxr.toml"), "[evcxr\n").unwrap();
    std::fs::write(own.join("init.evcxr"), "").unwrap();
    let mut kernel = start();
    let run = kernel.run("1 + 1");
    assert_eq!(run.result(), "2");
    assert!(
        run.stderr().contains("evcxr.toml is left out: ") && run.stderr().contains("prelude.rs did not run: E0432"),
        "{}",
        run.stderr()
    );
    assert_eq!(kernel.run("2").stderr(), "");
}

#[test]
fn a_thread_of_an_earlier_cell_prints_into_its_own_cell() {
    let mut kernel = kernel();
    let files = ["go", "gone"].map(|name| std::env::temp_dir().join(format!("finetuning-thread-{name}-{}", std::process::id())));
    let [go, gone] = &files;
    let cell = format!(
        "use std::path::Path; fn say(word: &str) {{ print!(\"{{word}} \"); }}\nlet old_thread = std::thread::spawn(|| {{\n\
         while !Path::new({go:?}).exists() {{ std::thread::sleep(std::time::Duration::from_millis(5)); }}\n\
         say(\"of\"); println!(\"cell {{}}\", \"one\"); eprint!(\"é\\n\"); eprintln!(); std::fs::write({gone:?}, \"\").unwrap(); }});"
    );
    let id = kernel.send_cell(&cell, json!({}));
    assert_eq!(kernel.wait(&id).reply["status"], "ok");
    let cell = format!(
        "std::fs::write({go:?}, \"\")?; while !Path::new({gone:?}).exists() {{}}\nsay(\"of two\");\n\
         std::thread::scope(|scope| {{ scope.spawn(|| say(\"in a thread\")); }}); eprintln!(\"mine\");"
    );
    let run = kernel.run(&cell);
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("of two in a thread ", "mine\n"));
    assert_eq!((kernel.late(&id, "stdout").as_str(), kernel.late(&id, "stderr").as_str()), ("of cell one\n", "é\n\n"));
    kernel.run("old_thread.join().unwrap();").expect_ok();
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
}
