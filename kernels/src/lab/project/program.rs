//! The cells of a notebook → the text of a program that does the same, and the dependencies that it needs.
//!
//! Items become items of the program, statements become the body of `main`, and the value of a cell's last expression is
//! printed. A notebook may define an item twice; then all items stay inside of `main`, and the cell that defines one anew
//! begins a block in which it hides the older one.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use notebooks::{Kind, NotebookCell, scan};
use ra_ap_syntax::AstNode;
use ra_ap_syntax::ast::{self, AstChildren, HasName};

use crate::syntax::{self, Statements, Wrong};

/// A program.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// `src/main.rs`.
    pub text: String,
    /// Names of crates and what stood behind them in `:dep name = …`; the folder of a crate, such as `./tools`, stands
    /// where its name would.
    pub dependencies: Vec<(String, String)>,
    /// Whether `main` is asynchronous.
    pub waits: bool,
}

/// What stands around the cells, each with the word that needs it.
const FAILURE: &str = r#"
/// Whatever `?` finds.
struct Failure(String);

impl<T: std::fmt::Display> From<T> for Failure {
    fn from(error: T) -> Failure {
        Failure(error.to_string())
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
"#;
const SHELL_LINE: &str = r#"
/// Runs a line that the notebook gives to the shell.
fn shell_line(line: &str) {
    let _ = std::io::Write::flush(&mut std::io::stdout());
    if let Err(error) = std::process::Command::new("sh").arg("-c").arg(line).status() {
        eprintln!("{line}: {error}");
    }
}
"#;
/// Values are shown as in the kernel, where a type's own `evcxr_display` goes first.
const SHOW_VALUE: &str = r#"
/// Prints the value of a cell.
trait ShowValue {
    fn evcxr_display(&self);
}

impl<T: std::fmt::Debug + ?Sized> ShowValue for T {
    fn evcxr_display(&self) {
        let text = format!("{self:?}");
        if text != "()" {
            println!("{text}");
        }
    }
}
"#;
/// What the kernel does for its cells' speed.
const KEEP_MEMORY: &str = "\
// As in the kernel: memory that is freed stays in the program for the next pass.
finetuning::compute::memory::keep_memory(true);
";

/// One piece of a cell.
struct Piece<'a> {
    /// Blanks and comments in front of it.
    lead: &'a str,
    text: &'a str,
    role: Role,
}

enum Role {
    /// With the names that it defines.
    Item(Vec<String>),
    Import(Vec<String>),
    Statement,
    Value,
}

/// Writes the program; `folder` is where its files lie as seen from its own folder, if it has some.
///
/// # Errors
/// A cell that is no Rust, with its place.
pub fn program(title: &str, cells: &[NotebookCell], folder: Option<&str>) -> Result<Program, String> {
    let mut program = Program::default();
    let mut sources = Vec::new();
    for (place, cell) in cells.iter().enumerate() {
        let failed = cell.outputs.iter().any(|output| output["output_type"] == "error");
        sources.push(match cell.kind {
            Kind::Code if failed => (place, comment(&format!("A cell that fails is left out:\n{}", cell.source)), String::new()),
            Kind::Code if cell.exercise().is_some() && cell.execution_count.is_none() => {
                (place, comment(&format!("An exercise that has not been tried is left out:\n{}", cell.source)), String::new())
            }
            Kind::Code => (place, String::new(), program.take_commands(&cell.source)),
            _ => (place, comment(&cell.source), String::new()),
        });
    }
    let mut parsed = Vec::new();
    for (place, words, source) in &sources {
        let (pieces, end) = pieces(source).map_err(|Wrong { place: byte, why }| {
            let line = source[..byte].matches('\n').count() + 1;
            format!("cell {}, line {line}: {why}", place + 1)
        })?;
        parsed.push((words, pieces, end));
    }
    program.waits = sources.iter().any(|(_, _, source)| source.contains(".await"));
    let inside = redefines(parsed.iter().flat_map(|(_, pieces, _)| pieces));
    let (mut items, mut body, mut blocks) = (String::new(), String::new(), 0);
    let mut known: HashMap<String, &str> = HashMap::new();
    for (words, pieces, end) in &parsed {
        let names = |piece: &Piece| match &piece.role {
            Role::Item(names) | Role::Import(names) => names.clone(),
            _ => Vec::new(),
        };
        let anew = |piece: &Piece| names(piece).iter().any(|name| known.get(name).is_some_and(|text| *text != piece.text));
        if inside && pieces.iter().any(anew) {
            body += "{\n";
            blocks += 1;
            known.clear();
        }
        body += words;
        for piece in pieces {
            let again = names(piece).iter().any(|name| known.contains_key(name));
            known.extend(names(piece).into_iter().map(|name| (name, piece.text)));
            let target = if inside || matches!(piece.role, Role::Statement | Role::Value) { &mut body } else { &mut items };
            // The same import or item once more: an old cell that was run again.
            if again && !matches!(piece.role, Role::Statement | Role::Value) {
                continue;
            }
            let _ = match piece.role {
                Role::Value => write!(target, "{}({}).evcxr_display();", piece.lead, piece.text),
                _ => write!(target, "{}{}", piece.lead, piece.text),
            };
        }
        body += end;
        body += "\n\n";
    }
    let (asynchronous, attribute) = if program.waits { ("async ", "#[tokio::main]\n") } else { ("", "") };
    // Cells that neither ask nor return cannot fail.
    let fails = body.contains('?') || body.contains("return");
    let (result, end) = if fails { (" -> std::result::Result<(), Failure>", "Ok(())\n") } else { ("", "") };
    let mut start = String::new();
    if let Some(folder) = folder {
        start += &format!(
            "// Where the files lie that the cells read.\nlet _ = std::env::set_current_dir(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}));\n",
            format!("/{folder}")
        );
    }
    if body.contains("finetuning") || items.contains("finetuning") {
        start += KEEP_MEMORY;
    }
    let helpers = [(fails, FAILURE), (body.contains("shell_line("), SHELL_LINE), (body.contains(".evcxr_display()"), SHOW_VALUE)];
    let helpers: String = helpers.into_iter().filter(|(needed, _)| *needed).map(|(_, text)| text).collect();
    program.text = format!(
        "//! {title}\n\n#![allow(unused)]\n\n{items}\n\n{attribute}{asynchronous}fn main(){result} {{\n{start}\n{body}{}{end}}}\n{helpers}",
        "}\n".repeat(blocks)
    );
    Ok(program)
}

impl Program {
    /// The cell without the lines for the kernel at its top; remembers its dependencies.
    fn take_commands(&mut self, source: &str) -> String {
        let head = scan::head_lines(source);
        let lines = source.lines().enumerate().map(|(index, line)| {
            let text = line.trim();
            if index >= head || !text.starts_with([':', '!']) {
                return line.to_string();
            }
            if let Some(line) = text.strip_prefix('!') {
                return format!("shell_line({:?});", line.trim_start_matches('!').trim());
            }
            if let Some(dependency) = text.strip_prefix(":dep ") {
                let (name, rest) = dependency.split_once('=').unwrap_or((dependency, "\"*\""));
                let name = name.trim().to_string();
                self.dependencies.retain(|(known, _)| *known != name);
                self.dependencies.push((name, rest.trim().to_string()));
                return String::new();
            }
            format!("// {text}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Whether a name is defined twice in different ways, or is the program's own.
fn redefines<'a>(pieces: impl Iterator<Item = &'a Piece<'a>>) -> bool {
    let mut known: HashMap<&str, &str> = HashMap::new();
    let own = HashSet::from(["main", "Failure", "ShowValue", "shell_line"]);
    for piece in pieces {
        let (Role::Item(names) | Role::Import(names)) = &piece.role else { continue };
        for name in names {
            if own.contains(name.as_str()) || known.insert(name, piece.text).is_some_and(|text| text != piece.text) {
                return true;
            }
        }
    }
    false
}

/// The pieces of a cell, in order, with the text between them; and what follows the last one.
fn pieces(source: &str) -> Result<(Vec<Piece<'_>>, &str), Wrong> {
    let tree = syntax::parse(source)?;
    let statements = tree.list().statements().map(|statement| (Statements::range(&statement), role(&statement)));
    let last = tree.list().tail_expr().map(|value| {
        let loops = matches!(value, ast::Expr::ForExpr(_) | ast::Expr::WhileExpr(_) | ast::Expr::LoopExpr(_));
        (Statements::range(&value), if loops { Role::Statement } else { Role::Value })
    });
    let (mut pieces, mut end) = (Vec::new(), 0);
    for (range, role) in statements.chain(last) {
        let text = &source[range.clone()];
        let role = match role {
            // A glob hides nothing; its text tells whether it was there before.
            Role::Import(names) if names.is_empty() => Role::Import(vec![text.to_string()]),
            role => role,
        };
        pieces.push(Piece { lead: &source[end..range.start], text, role });
        end = range.end;
    }
    Ok((pieces, &source[end..]))
}

fn role(statement: &ast::Stmt) -> Role {
    match statement {
        ast::Stmt::Item(ast::Item::Use(item)) => {
            let mut names = Vec::new();
            if let Some(tree) = item.use_tree() {
                imported(&tree, &mut names);
            }
            Role::Import(names)
        }
        // A macro that is called like an item: what it makes is unknown.
        ast::Stmt::Item(ast::Item::MacroCall(_)) => Role::Statement,
        ast::Stmt::Item(item) => Role::Item(name(item).into_iter().collect()),
        _ => Role::Statement,
    }
}

fn name(item: &ast::Item) -> Option<String> {
    let name = match item {
        ast::Item::Const(item) => item.name(),
        ast::Item::Enum(item) => item.name(),
        ast::Item::Fn(item) => item.name(),
        ast::Item::Module(item) => item.name(),
        ast::Item::Static(item) => item.name(),
        ast::Item::Struct(item) => item.name(),
        ast::Item::Trait(item) => item.name(),
        ast::Item::TypeAlias(item) => item.name(),
        ast::Item::Union(item) => item.name(),
        ast::Item::MacroRules(item) => item.name(),
        _ => None,
    };
    name.map(|name| name.text().to_string())
}

/// The names that a `use` brings.
fn imported(tree: &ast::UseTree, names: &mut Vec<String>) {
    if let Some(list) = tree.use_tree_list() {
        let trees: AstChildren<ast::UseTree> = list.use_trees();
        trees.for_each(|tree| imported(&tree, names));
    } else if let Some(rename) = tree.rename() {
        names.extend(rename.name().map(|name| name.text().to_string()));
    } else if tree.star_token().is_none() {
        names.extend(tree.path().and_then(|path| path.segment()).map(|last| last.syntax().text().to_string()));
    }
}

fn comment(text: &str) -> String {
    text.lines().map(|line| format!("// {line}").trim_end().to_string() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(sources: &[&str]) -> Vec<NotebookCell> {
        sources.iter().map(|source| NotebookCell::new(Kind::Code, "", *source)).collect()
    }

    #[test]
    fn items_go_before_main_and_values_are_printed() {
        let sources = [
            ":dep regex = \"1\"\n:dep é\n:dep ./tools\n!echo \"a\"\nuse std::fmt::Debug;\nfn f() -> i32 { 1 }\nlet é = f(); // one\né + 1 // two",
            "use std::fmt::Debug;\nfor _ in 0..2 {}",
        ];
        let program = program("t", &cells(&sources), None).unwrap();
        let any = || "\"*\"".to_string();
        assert_eq!(program.dependencies, [("regex".into(), "\"1\"".into()), ("é".into(), any()), ("./tools".into(), any())]);
        assert!(program.text.contains("shell_line(\"echo \\\"a\\\"\");"), "{}", program.text);
        let (items, body) = program.text.split_once("fn main").unwrap();
        assert_eq!(items.matches("use std::fmt::Debug;").count(), 1);
        assert!(items.contains("fn f() -> i32 { 1 }"), "{items}");
        assert!(body.contains("let é = f(); // one\n(é + 1).evcxr_display(); // two"), "{body}");
        assert!(body.contains("\nfor _ in 0..2 {}\n"), "{body}");
    }

    #[test]
    fn a_second_definition_begins_a_block() {
        let program = program("t", &cells(&["fn f() -> i32 { 1 }", "f()", "fn f() -> i32 { 2 }\nf()"]), None).unwrap();
        let body = program.text.split_once("fn main").unwrap().1;
        assert!(body.contains("{\nfn f() -> i32 { 2 }\n(f()).evcxr_display();\n\n}\n}\n"), "{body}");
    }

    #[test]
    fn only_the_helpers_that_are_used_come_along() {
        let parts = ["struct Failure", "fn shell_line", "trait ShowValue", "keep_memory", "set_current_dir"];
        for (source, folder, used) in [
            ("println!(\"{}\", 1);", None, vec![]),
            ("let n: i32 = \"1\".parse()?;", None, vec![0]),
            ("!ls", None, vec![1]),
            ("1 + 1", None, vec![2]),
            ("use finetuning::*;", Some("files"), vec![3, 4]),
        ] {
            let text = program("t", &cells(&[source]), folder).unwrap().text;
            let found: Vec<usize> = (0..parts.len()).filter(|part| text.contains(parts[*part])).collect();
            assert_eq!(found, used, "{text}");
            assert_eq!(text.contains("Ok(())"), used.contains(&0), "{text}");
        }
        assert!(program("t", &[], Some("files")).unwrap().text.contains("env!(\"CARGO_MANIFEST_DIR\"), \"/files\")"));
    }

    #[test]
    fn a_cell_that_is_no_rust_is_named() {
        let error = program("t", &cells(&["1", "let x = 1;\nlet = 2;"]), None).unwrap_err();
        assert!(error.starts_with("cell 2, line 2: "), "{error}");
    }
}
