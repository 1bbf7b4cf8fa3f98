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
fn a_value_of_any_type_is_never_read_as_a_type_that_was_changed() {
    let mut kernel = kernel();
    kernel.run("use std::any::Any;\nmod any_m { #[derive(Debug)] pub struct AnyIn(pub u8); }\nuse any_m::AnyIn;\n#[derive(Debug)] struct AnyOut { inner: Vec<AnyIn>, n: i32 }\ntrait AnySay { fn say(&self) -> i32; }\nimpl AnySay for AnyOut { fn say(&self) -> i32 { self.n } }").expect_ok();
    let kept = "fn any_boxes(n: i32) -> Vec<Box<dyn Any>> { vec![Box::new(AnyIn(1)), Box::new(AnyOut { inner: vec![AnyIn(2)], n }), Box::new(Box::new(AnyOut { inner: vec![], n }) as Box<dyn AnySay>)] }\nlet any_kept = any_boxes(4);";
    kernel.run(kept).expect_ok();
    let read = "(any_kept[0].is::<AnyIn>(), any_kept[1].downcast_ref::<AnyOut>().map(|out| out.n), any_kept[2].downcast_ref::<Box<dyn AnySay>>().map(|it| it.say()))";
    assert_eq!(kernel.run(read).result(), "(true, Some(4), Some(4))");
    // A type inside of one, which has not changed itself.
    let changed = kernel.run("mod any_m { #[derive(Debug)] pub struct AnyIn(pub u8, pub String); }\nfn any_boxes() {}");
    assert_eq!((&changed.reply["status"], changed.stderr().as_str()), (&serde_json::json!("ok"), ""));
    assert_eq!(kernel.run(read).result(), "(false, None, Some(4))");
    assert_eq!(kernel.run("trait AnySay { fn first(&self) {} fn say(&self) -> i32; }").stderr(), "");
    assert_eq!(kernel.run(read).result(), "(false, None, None)");
    // The new types are themselves, with private fields, methods and displays, in this and in later cells.
    assert_eq!(
        last(
            &mut kernel,
            &[
                "let any_new: Vec<Box<dyn Any>> = vec![Box::new(AnyOut { inner: vec![AnyIn(3, String::new())], n: 5 })];",
                "any_new[0].downcast_ref::<AnyOut>()"
            ]
        ),
        "Some(AnyOut { inner: [AnyIn(3, \"\")], n: 5 })"
    );
    // As they were first.
    kernel.run("mod any_m { #[derive(Debug)] pub struct AnyIn(pub u8); }").expect_ok();
    assert_eq!(kernel.run(read).result(), "(true, Some(4), None)");
}

#[test]
fn an_import_of_its_type_leaves_a_variable_as_it_is() {
    let mut kernel = kernel();
    kernel.run("mod brought { pub mod inner { pub struct Brought(pub i32); pub fn make() -> Brought { Brought(5) } } }").expect_ok();
    kernel.run("let brought = brought::inner::make();").expect_ok();
    kernel.run("use brought::inner;\nuse inner::Brought;\nlet other = Brought(1);").expect_ok();
    assert_eq!(kernel.run("brought.0 + other.0").result(), "6");
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
fn a_method_that_its_own_cell_no_longer_has_is_gone() {
    let mut kernel = kernel();
    kernel.run("struct Placed;").expect_ok();
    kernel.run_in_place("first", "impl Placed { fn kept(&self) -> i32 { 1 } fn gone(&self) -> i32 { 2 } }").expect_ok();
    kernel.run_in_place("second", "impl Placed { fn other(&self) -> i32 { Placed.gone() } }").expect_ok();
    // Another cell still needs it.
    let run = kernel.run_in_place("first", "impl Placed { fn kept(&self) -> i32 { 3 } }\nlet used = 1;");
    assert_eq!(run.error()["ename"], "E0599", "{}", run.error());
    kernel.run_in_place("second", "impl Placed { fn other(&self) -> i32 { 4 } }").expect_ok();
    kernel.run_in_place("first", "impl Placed { fn kept(&self) -> i32 { 3 } }").expect_ok();
    assert_eq!(kernel.run("Placed.kept() + Placed.other()").result(), "7");
    assert_eq!(kernel.run("Placed.gone()").error()["ename"], "E0599");
    kernel.run_in_place("first", "impl Placed { fn gone(&self) -> i32 { 5 } }").expect_ok();
    assert_eq!(kernel.run("Placed.gone()").result(), "5");
}

#[test]
fn a_macro_that_makes_items_makes_them_for_later_cells() {
    let mut kernel = kernel();
    kernel.run("macro_rules! made_unit { ($name:ident, $n:expr) => { #[derive(Debug)] struct $name { n: i32 } impl $name { fn new() -> $name { $name { n: $n } } } } }").expect_ok();
    assert_eq!(last(&mut kernel, &["made_unit!(MadeBar, 3);", "let made_bar = MadeBar::new();", "made_bar.n"]), "3");
    assert_eq!(
        last(&mut kernel, &["made_unit!(MadeBar, 4);\nmade_unit!(MadeOther, 5);", "(MadeBar::new(), MadeOther::new().n)"]),
        "(MadeBar { n: 4 }, 5)"
    );
    // Functions, constants and statics, in braces, from the cell's own macro and through another.
    let cell = "macro_rules! made_all { ($($name:ident = $n:literal),*) => { $(fn $name() -> i32 { $n })* made_count!(MADE_COUNT); } }\nmacro_rules! made_count { ($name:ident) => { pub static $name: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(7); } }\nmade_all! { made_one = 1, made_two = 2 }\nmade_one() + made_two()";
    assert_eq!(kernel.run(cell).result(), "3");
    assert_eq!(
        last(
            &mut kernel,
            &[
                "use std::sync::atomic::Ordering;\nMADE_COUNT.fetch_add(made_two(), Ordering::SeqCst);",
                "made_one() + MADE_COUNT.load(Ordering::SeqCst)"
            ]
        ),
        "8"
    );
    // A macro of statements is one.
    let cell = "macro_rules! made_let { ($name:ident) => { let $name = 6; } }\nmade_let!(made_six);\nmade_six";
    assert_eq!(kernel.run(cell).result(), "6");
    // What is wrong is said of the cell.
    let run = kernel.run("\nmade_unit!(MadeWrong, \"x\");");
    let text = crate::client::plain(&run.error()["traceback"]);
    assert!(run.error()["ename"] == "E0308" && text.contains(&format!("cell {}, line 2", run.number())), "{text}");
}

#[test]
fn variables_of_the_users_own_types_outlive_a_new_dependency() {
    let mut kernel = Client::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("Cargo.toml"), "[package]\nname = \"outlived\"\nversion = \"1.0.0\"\nedition = \"2024\"\n").unwrap();
    let source = folder.path().join("src/lib.rs");
    let there = "use std::sync::atomic::*; static N: AtomicUsize = AtomicUsize::new(0); pub fn next() -> usize { N.fetch_add(1, Ordering::SeqCst) }";
    let macros = "#[macro_export] macro_rules! make_struct { ($name:ident) => { #[derive(Debug)] pub struct $name { pub n: i32 } impl $name { pub fn n(&self) -> i32 { self.n } } } }\n#[macro_export] macro_rules! say { ($x:expr) => { println!(\"said {}\", $x) } }";
    let there = &format!("{there}\n{macros}\n");
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
    // A future that never ends takes its runtime with it; the next cell has a new one.
    let run = kernel.run_and_interrupt("println!(\"started\"); std::future::pending::<()>().await;", 1);
    assert!(crate::client::plain(&run.error()["traceback"]).contains("stopped for good"), "{}", run.error());
    assert_eq!(last(&mut kernel, &["tokio::spawn(async { 44 }).await?", "tokio::spawn(async { 45 }).await? + own.x"]), "48");
    // Items of a macro of a crate.
    kernel.run(":offline 1\n:dep bitflags = \"2\"").expect_ok();
    let flags = "bitflags::bitflags! {\n    #[derive(Debug, Clone, Copy)]\n    struct OutlivedFlags: u32 {\n        const A = 1;\n        const B = 4;\n    }\n}";
    assert_eq!(last(&mut kernel, &[flags, "let flags = OutlivedFlags::A | OutlivedFlags::B;", "flags.bits()"]), "5");
    assert_eq!(last(&mut kernel, &[&flags.replace("= 4", "= 8"), "OutlivedFlags::B.bits()"]), "8");
    // A macro of a crate whose call has no word of an item, and one of statements.
    assert_eq!(
        last(
            &mut kernel,
            &[
                "use outlived::make_struct;\nlet before = 1;\nmake_struct!(MadeThere);",
                "let made = MadeThere { n: 4 };",
                "made.n() + before"
            ]
        ),
        "5"
    );
    assert_eq!(last(&mut kernel, &["outlived::make_struct! { MadeToo }\nMadeToo { n: 1 }.n()", "MadeToo { n: 2 }"]), "MadeToo { n: 2 }");
    assert_eq!(kernel.run("let x = 5;\noutlived::say!(x + before);\noutlived::say!(\"again\");").stdout(), "said 6\nsaid again\n");
    kernel.shutdown(false);
}
