//! `lab export`: a notebook → a program that prints what the kernel printed.
//!
//! Programs that use the companion are compiled by rustc against the crates that are built already; cargo would build them
//! all again.

use std::path::Path;
use std::process::{Command, Output};

use crate::LAB;
use crate::notebook::{Folder, notebook, read};

#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn export(notebook: &Path, folder: &Path) -> Output {
    Command::new(LAB).arg("export").arg(notebook).arg(folder).arg("--no-build").output().unwrap()
}

/// rustc for an exported project.
fn rustc(project: &Path) -> Command {
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024"]).arg(project.join("src/main.rs")).env("CARGO_MANIFEST_DIR", project);
    rustc
}

/// What a notebook shows on stdout and as results and displays, as text.
fn shown(notebook: &Path) -> String {
    let notebook = read(notebook);
    let text = |output: &serde_json::Value| match output["output_type"].as_str() {
        Some("stream") if output["name"] == "stdout" => output["text"].as_str().unwrap().to_string(),
        Some("display_data" | "execute_result") => format!("{}\n", output["data"]["text/plain"].as_str().unwrap()),
        _ => String::new(),
    };
    notebook.cells.iter().flat_map(|cell| &cell.outputs).map(text).collect()
}

/// Runs a notebook of the folder in the kernel.
fn run(folder: &Folder, file: &Path) {
    ok(folder.lab(&["run", file.to_str().unwrap(), "--write"]));
}

/// Names a folder for the builds of all projects, where somebody wants one.
const TARGET: &str = "CARGO_TARGET_DIR";

/// cargo as a terminal would start it, without a network.
fn cargo(project: &Path, words: &[&str]) -> Output {
    let mut cargo = Command::new("cargo");
    cargo.args(words).arg("--offline").current_dir(project).env_remove(TARGET);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
        cargo.env_remove(name);
    }
    cargo.output().unwrap()
}

#[test]
fn cargo_runs_an_exported_project_with_a_crate_of_a_folder_and_lines_for_the_shell() {
    let folder = Folder::new("");
    std::fs::create_dir_all(folder.join("notebooks/tools/src")).unwrap();
    std::fs::write(folder.join("notebooks/tools/Cargo.toml"), "[package]\nname = \"own-tools\"\nedition = \"2024\"\n").unwrap();
    std::fs::write(folder.join("notebooks/tools/src/lib.rs"), "pub fn twice(n: i32) -> i32 { n * 2 }\n").unwrap();
    let (file, project) = (folder.join("notebooks/small.ipynb"), folder.join("deep/project"));
    let sources = [
        "!echo from the shell",
        ":dep ./tools\nuse own_tools::twice;\nlet n = twice(21);\nn",
        "print!(\"{n} \");",
        "!echo \"it's\" $((1 + 1))",
    ];
    std::fs::write(&file, notebook(&sources).write()).unwrap();
    run(&folder, &file);
    ok(export(&file, &project));
    let metadata: serde_json::Value = serde_json::from_str(&ok(cargo(&project, &["metadata", "--format-version=1"]))).unwrap();
    let mut names: Vec<&str> = metadata["packages"].as_array().unwrap().iter().filter_map(|package| package["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["own-tools", "small"]);
    // The workspace's own folder of builds, where a build of this profile finds what it needs.
    let target = Path::new(LAB).parent().unwrap().parent().unwrap().to_str().unwrap();
    let printed = ok(cargo(&project, &["run", "--quiet", "--target-dir", target]));
    assert_eq!(printed, "from the shell\n42\n42 it's 2\n");
    assert_eq!(printed, shown(&file));
}

#[test]
fn a_program_prints_what_the_kernel_printed() {
    let folder = Folder::new("");
    let sources = [
        "// Names are free.\nuse std::collections::BTreeMap;\nlet é = \"ü\".repeat(2);\né",
        "fn area(r: f64) -> f64 { r * 3.0 }\nstruct P { x: i32 }\nimpl P { fn new(x: i32) -> P { P { x } } }\nlet p = P::new(3);\nprintln!(\"{} {}\", area(2.0), p.x)",
        "let text = r#\"\nnot a \"comment\" // here\n\"#;\ntext.lines().count()",
        "fn area(r: f64) -> f64 { r * 3.14 }\nuse std::collections::BTreeMap;\narea(2.0)",
        "let n: i32 = \"12\".parse()?;\nlet mut m = BTreeMap::new();\nm.insert(n, é.clone());\nm",
        "for i in 0..2 { print!(\"{i} \"); }\nprintln!();",
        "if n > 3 { Some(n) } else { None }",
        "let n = vec![n];",
        "n.iter().map(|n| n + 1).collect::<Vec<_>>() // the last",
    ];
    let notebook = notebook(&sources);
    let (file, project) = (folder.join("Own 1.ipynb"), folder.join("project"));
    std::fs::write(&file, notebook.write()).unwrap();
    run(&folder, &file);
    ok(export(&file, &project));
    let program = folder.join("program");
    ok(rustc(&project).arg("-o").arg(&program).output().unwrap());
    let printed = ok(Command::new(program).output().unwrap());
    assert_eq!(printed, shown(&file));
    assert!(printed.starts_with("\"üü\"\n6 3\n2\n6.28\n"), "{printed}");
    assert!(std::fs::read_to_string(project.join("Cargo.toml")).unwrap().contains("name = \"own_1\""));
    // A second time would overwrite what may have been changed since.
    let again = export(&file, &project);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("stays as it is"));
}

#[test]
fn every_lesson_becomes_a_program_that_compiles_and_two_print_the_same() {
    ok(Command::new(LAB).arg("setup").output().unwrap());
    let folder = Folder::new("");
    let build = Path::new(LAB).parent().unwrap();
    let lessons = notebooks::course::lessons(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks")).unwrap();
    assert_eq!(lessons.len(), 8);
    for (place, lesson) in lessons.iter().enumerate() {
        let (project, program) = (folder.join(&lesson.name), folder.join(format!("program-{place}")));
        ok(export(&lesson.notebook, &project));
        let mut rustc = rustc(&project);
        rustc.arg("--extern").arg(format!("finetuning={}", build.join("libfinetuning.rlib").display()));
        rustc.arg("-L").arg(format!("dependency={}", build.join("deps").display())).arg("-o").arg(&program);
        // Lessons 3 and 4 take half a minute each, and nothing that they print is a time or an address.
        if ![2, 3].contains(&place) {
            ok(rustc.args(["--emit", "metadata"]).output().unwrap());
            continue;
        }
        ok(rustc.output().unwrap());
        // What the cells write lies beside the project.
        let printed = ok(Command::new(program).current_dir(folder.path()).output().unwrap());
        let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
        let (printed, shown) = (lines(&printed), lines(&shown(&lesson.notebook)));
        assert!(shown.len() > 80, "{} lines", shown.len());
        assert_eq!(printed.iter().zip(&shown).find(|(a, b)| a != b), None, "{}", lesson.name);
        assert_eq!(printed.len(), shown.len(), "{}", lesson.name);
    }
}

#[test]
fn an_export_is_built_of_what_set_up_has_made_and_runs_from_any_folder() {
    ok(Command::new(LAB).arg("setup").output().unwrap());
    let folder = Folder::new("");
    std::fs::write(folder.join("rows.jsonl"), "{\"question\": \"a\", \"answer\": \"b\"}\n").unwrap();
    let (file, project) = (folder.join("rows.ipynb"), folder.join("elsewhere/project"));
    let source = "use finetuning::*;\nlet rows = load_dataset(\"rows.jsonl\")?;\nprintln!(\"{} row\", rows.len());";
    std::fs::write(&file, notebook(&[source]).write()).unwrap();
    ok(Command::new(LAB).arg("export").arg(&file).arg(&project).env_remove(TARGET).output().unwrap());
    let build = Path::new(LAB).parent().unwrap();
    let library = |build: &Path, hash_of: &str| {
        let start = format!("lib{hash_of}-");
        let found = std::fs::read_dir(build.join("deps")).unwrap().flatten().map(|entry| entry.path());
        let mut found = found.filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&start) && name.ends_with(".rlib")
        });
        std::fs::read(found.next().unwrap_or_else(|| panic!("{start}"))).unwrap()
    };
    // The companion was copied: rustc writes the name of the crate's build into what it compiles.
    let served = library(&project.join("target/debug"), "finetuning");
    assert!(served == std::fs::read(build.join("libfinetuning.rlib")).unwrap(), "the companion was compiled once more");
    // Nothing is left to do, and no network is asked.
    let again = cargo(&project, &["build"]);
    assert!(again.status.success(), "{again:?}");
    assert!(!String::from_utf8_lossy(&again.stderr).contains("Compiling"), "{again:?}");
    std::fs::remove_file(folder.join("rows.jsonl")).unwrap();
    let manifest = project.join("Cargo.toml");
    let printed = ok(cargo(Path::new("/"), &["run", "--quiet", "--manifest-path", manifest.to_str().unwrap()]));
    assert_eq!(printed, "1 row\n");
    let main = std::fs::read_to_string(project.join("src/main.rs")).unwrap();
    assert!(main.contains("keep_memory(true)") && !main.contains("fn shell_line") && !main.contains("trait ShowValue"), "{main}");
    assert!(std::fs::read_to_string(project.join("README.md")).unwrap().contains("cargo run"));
}
