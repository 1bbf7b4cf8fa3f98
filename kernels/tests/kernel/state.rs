//! What lasts between cells: variables of types that change, statics, `impl` blocks and macros, as in one program.

use crate::client::{Client, Run, plain};
use crate::kernel;

/// Runs cells that must succeed; the result of the last one.
#[track_caller]
fn last(kernel: &mut Client, cells: &[&str]) -> String {
    let (last, before) = cells.split_last().expect("a cell");
    before.iter().for_each(|cell| kernel.run(cell).expect_ok());
    kernel.run(last).result()
}

#[track_caller]
fn is_lost(run: &Run, name: &str, kind: &str) {
    assert_eq!(run.error()["ename"], "E0425");
    let text = plain(&run.error()["traceback"]);
    assert!(text.contains(&format!("`{name}` was lost in cell")) && text.contains(&format!("its type `{kind}`")), "{text}");
}

#[test]
fn a_variable_whose_type_changed_is_lost_and_never_read_as_the_new_type() {
    let mut kernel = kernel();
    kernel.run("struct RetypedP { x: i32 }\nstruct RetypedIn(u8);\nstruct RetypedOut { inner: Vec<RetypedIn> }\ntrait RetypedArea { fn area(&self) -> f64; }").expect_ok();
    kernel.run("impl RetypedArea for RetypedIn { fn area(&self) -> f64 { 1.0 } }").expect_ok();
    kernel.run("let retyped_p = RetypedP { x: 1 }; let retyped_out = RetypedOut { inner: vec![RetypedIn(1)] };").expect_ok();
    kernel.run("let retyped_kept = vec![2_u64]; let retyped_area: Box<dyn RetypedArea> = Box::new(RetypedIn(1));").expect_ok();
    // What is no part of a value may change.
    kernel.run("#[derive(Debug)]\npub struct RetypedP { x: i32 }\nimpl RetypedP { fn one() {} }").expect_ok();
    assert_eq!(kernel.run("retyped_p.x").result(), "1");
    kernel.run("#[derive(Debug)] struct RetypedP { x: [u64; 4] }").expect_ok();
    is_lost(&kernel.run("retyped_p.x"), "retyped_p", "RetypedP");
    kernel.run("struct RetypedIn(u64);").expect_ok();
    is_lost(&kernel.run("retyped_out.inner.len()"), "retyped_out", "RetypedOut");
    kernel.run("trait RetypedArea { fn size(&self) -> f64 { 2.0 } fn area(&self) -> f64; }").expect_ok();
    is_lost(&kernel.run("retyped_area.area()"), "retyped_area", "Box<dyn RetypedArea>");
    assert_eq!(last(&mut kernel, &["let retyped_p = RetypedP { x: [1; 4] };", "retyped_kept[0] + retyped_p.x[3]"]), "3");
}

#[test]
fn statics_live_on_until_their_cell_runs_again() {
    let mut kernel = kernel();
    let counter = "use std::sync::{Mutex, OnceLock, atomic::AtomicUsize, atomic::Ordering};\nstatic STATIC_N: AtomicUsize = AtomicUsize::new(0);\n\
        fn static_next() -> usize { STATIC_N.fetch_add(1, Ordering::SeqCst) + 1 }";
    assert_eq!(last(&mut kernel, &[counter, "static_next()"]), "1");
    assert_eq!(last(&mut kernel, &["static_next()", "static_next()"]), "3");
    kernel.run("panic!(\"kept\")").error();
    assert_eq!(kernel.run("static_next()").result(), "4");
    assert_eq!(last(&mut kernel, &[counter, "static_next()"]), "1");
    kernel.run("struct StaticUser { name: String }\nstatic STATIC_ONCE: OnceLock<StaticUser> = OnceLock::new();\nstatic STATIC_USERS: Mutex<Vec<StaticUser>> = Mutex::new(Vec::new());\nSTATIC_ONCE.set(StaticUser { name: \"Ada\".into() }).is_ok()").expect_ok();
    kernel.run("STATIC_USERS.lock().unwrap().push(StaticUser { name: \"Grace\".into() });").expect_ok();
    assert_eq!(kernel.run("(&STATIC_ONCE.get().unwrap().name, &STATIC_USERS.lock().unwrap()[0].name)").result(), "(\"Ada\", \"Grace\")");
    // Inside of a function, and of a thread.
    kernel.run("lazy_static! { static ref STATIC_LAZY: std::sync::Mutex<i32> = std::sync::Mutex::new(1); }").expect_ok();
    assert_eq!(last(&mut kernel, &["*STATIC_LAZY.lock().unwrap() += 4;", "*STATIC_LAZY.lock().unwrap()"]), "5");
    kernel.run("fn static_calls() -> usize { static N: AtomicUsize = AtomicUsize::new(10); N.fetch_add(1, Ordering::SeqCst) }\nthread_local! { static STATIC_T: std::cell::Cell<i32> = const { std::cell::Cell::new(1) }; }").expect_ok();
    assert_eq!(last(&mut kernel, &["static_calls(); STATIC_T.set(7);", "(static_calls(), STATIC_T.get())"]), "(11, 7)");
    // What a static is made of has changed: it begins anew, and is not read as what it was.
    assert_eq!(
        last(
            &mut kernel,
            &["const STATIC_LIMIT: usize = 3;\nstatic STATIC_TABLE: [u8; STATIC_LIMIT] = [1; STATIC_LIMIT];", "STATIC_TABLE.len()"]
        ),
        "3"
    );
    assert_eq!(last(&mut kernel, &["const STATIC_LIMIT: usize = 5;", "STATIC_TABLE.iter().sum::<u8>()"]), "5");
    // A constant reads a static of an earlier cell; the others live on.
    kernel.run("mod static_m { pub static BASE: [i32; 2] = [3, 4]; }\nuse static_m::BASE;").expect_ok();
    assert_eq!(last(&mut kernel, &["const STATIC_LENGTH: usize = BASE.len();", "STATIC_LENGTH + static_calls()"]), "14");
    assert_eq!(kernel.run("static_calls()").result(), "13");
    kernel.run("struct StaticUser { age: u64 }").expect_ok();
    assert_eq!(kernel.run("(STATIC_USERS.lock().unwrap().len(), STATIC_ONCE.get().is_none())").result(), "(0, true)");
}

#[test]
fn the_statics_of_a_process_that_ended_are_made_anew() {
    let mut kernel = kernel();
    kernel.run("static DEAD_N: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(5);\nfn dead_next() -> usize { DEAD_N.fetch_add(1, std::sync::atomic::Ordering::SeqCst) }").expect_ok();
    assert_eq!(last(&mut kernel, &["dead_next()", "dead_next()"]), "6");
    kernel.run("std::process::exit(0)").error();
    assert_eq!(last(&mut kernel, &["dead_next()", "dead_next()"]), "6");
    // A symbol that a cell names itself is that of the newest cell.
    assert_eq!(last(&mut kernel, &["#[unsafe(no_mangle)] extern \"C\" fn dead_named() -> i32 { 1 }", "dead_named()"]), "1");
    assert_eq!(last(&mut kernel, &["#[unsafe(no_mangle)] extern \"C\" fn dead_named() -> i32 { 2 }", "dead_named()"]), "2");
}

#[test]
fn a_lint_of_another_cell_is_never_the_error() {
    let mut kernel = kernel();
    kernel.run("fn lint_compute(x: i32, unused: i32) -> i32 { x }").expect_ok();
    let error = kernel.run("let lint_double = |x: i32| x * 2;").error();
    assert!(error["evalue"].as_str().unwrap().contains("`lint_double` is a closure"), "{error}");
}

#[test]
fn a_cell_that_runs_again_replaces_its_impl_blocks() {
    let mut kernel = kernel();
    kernel.run("struct Again(i32);\ntrait AgainSay { fn say(&self) -> i32; }").expect_ok();
    let (method, of_trait) = ("impl Again { fn get(&self) -> i32 { self.0 } }", "impl AgainSay for Again { fn say(&self) -> i32 { 1 } }");
    assert_eq!(last(&mut kernel, &[method, of_trait, "let again = Again(3);", "again.get() + again.say()"]), "4");
    assert_eq!(last(&mut kernel, &[method, of_trait, "again.get() + again.say()"]), "4");
    assert_eq!(
        last(&mut kernel, &[&method.replace("self.0", "self.0 * 10"), &of_trait.replace("{ 1 }", "{ 2 }"), "again.get() + again.say()"]),
        "32"
    );
    let twice = kernel.run("impl Again { fn two(&self) -> i32 { 1 } }\nimpl Again { fn two(&self) -> i32 { 2 } }").error();
    assert_eq!(twice["ename"], "E0592");
}

#[test]
fn a_macro_is_known_to_all_items_wherever_it_stands() {
    let mut kernel = kernel();
    // Items lie in no order: of eight functions some would come before a macro that is not first.
    let functions: String = (0..8).map(|n| format!("fn first_{n}() -> i32 {{ first_ping!() }}\n")).collect();
    let cell = format!("macro_rules! first_ping {{\n    // one\n    () => {{ 1 }};\n}}\n{functions}first_0() + first_7()");
    assert_eq!(kernel.run(&cell).result(), "2");
    assert_eq!(last(&mut kernel, &["macro_rules! first_ping { () => { 5 } }", "first_0() + first_3()"]), "10");
}

#[test]
fn what_evcxr_keeps_one_of_is_there_twice() {
    let mut kernel = kernel();
    let twins = "#[cfg(unix)] fn twin_os() -> i32 { 1 }\n#[cfg(not(unix))] fn twin_os() -> i32 { 2 }\ntwin_os()";
    assert_eq!(kernel.run(twins).result(), "1");
    assert_eq!(
        last(&mut kernel, &["use std::sync::{atomic::*, *};", "(AtomicU8::new(1).into_inner(), *Mutex::new(2).lock().unwrap())"]),
        "(1, 2)"
    );
    // A macro and a module of one name.
    let both = "mod twin_a { #[macro_export] macro_rules! twin_name { () => { 3 } } pub use twin_name; }\nmod twin_b { pub mod twin_name { pub const N: i32 = 4; } }";
    assert_eq!(last(&mut kernel, &[both, "use twin_a::twin_name;\nuse twin_b::twin_name;", "twin_name!() + twin_name::N"]), "7");
}

#[test]
fn variables_of_the_users_own_types_outlive_a_new_dependency() {
    let mut kernel = Client::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"outlived\"\nversion = \"1.0.0\"\nedition = \"2024\"\n").unwrap();
    let source = folder.path().join("src/lib.rs");
    let there = "use std::sync::atomic::*; static N: AtomicUsize = AtomicUsize::new(0); pub fn next() -> usize { N.fetch_add(1, Ordering::SeqCst) }";
    std::fs::write(&source, format!("{there} pub struct There {{ pub x: i32 }}")).unwrap();
    kernel.run("struct Own { x: i32 }\nstatic OWN_N: std::sync::Mutex<i32> = std::sync::Mutex::new(1);\nlet own = Own { x: 3 };\n*OWN_N.lock().unwrap() = 4;").expect_ok();
    kernel.run(&format!(":offline 1\n:dep outlived = {{ path = {:?} }}", folder.path())).expect_ok();
    assert_eq!(kernel.run("let there = outlived::There { x: 5 }; own.x + *OWN_N.lock().unwrap() + there.x").result(), "12");
    // The statics of a dependency are those of one program.
    assert_eq!(last(&mut kernel, &["outlived::next()", "outlived::next()", "outlived::next()"]), "2");
    // A crate of the user's own that has changed.
    std::fs::write(&source, format!("{there} pub struct There {{ pub y: u64, pub x: i32 }}")).unwrap();
    is_lost(&kernel.run("there.x"), "there", "outlived::There");
    assert_eq!(last(&mut kernel, &["let there = outlived::There { y: 1, x: 6 };", "own.x + there.x"]), "9");
    // One runtime for all cells.
    kernel.run(":offline 1\n:dep tokio = { version = \"1\", features = [\"rt\", \"rt-multi-thread\"] }").expect_ok();
    assert_eq!(last(&mut kernel, &["tokio::spawn(async { 42 }).await?", "tokio::spawn(async { 43 }).await?"]), "43");
    kernel.shutdown(false);
}
