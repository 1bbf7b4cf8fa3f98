//! The statics of a crate → exported by the library that defines them first, foreign in all later ones.
//!
//! A static is itself again when the same function or module has it by the same name, with the same text and the same key of
//! all that it is made of. The cell that defines it begins anew when it runs again.

use std::collections::{HashMap, HashSet};

use ra_ap_syntax::ast::{self, AstNode, HasAttrs, HasName, HasVisibility};
use ra_ap_syntax::{SyntaxKind, SyntaxNode};

use crate::kernel::rewrite::edits::Edits;
use crate::kernel::rewrite::items::Items;
use crate::kernel::rewrite::record::{COPIED, Living, STATIC};
use crate::kernel::rewrite::tokens;

/// What is known of the cell that runs and of those before it.
pub struct Known<'a> {
    pub items: &'a Items,
    pub number: u64,
    pub cell: &'a ast::StmtList,
    pub living: &'a Living,
}

/// The changes; adds to `new` what the library will define.
pub fn edits(file: &ast::SourceFile, known: &Known, new: &mut Living) -> Edits {
    let mut edits = Edits::default();
    let own: HashSet<String> = places(known.cell.syntax()).map(|(place, _)| place).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut symbol = |place: String, key: u64| {
        let count = seen.entry(place.clone()).and_modify(|count| *count += 1).or_insert(1);
        let name = format!("{place} {count}");
        // evcxr may load a cell twice, the second time without variables that turned out to be lost.
        let is_of_this_run = |symbol: &str| symbol.starts_with(&format!("finetuning_{}_", known.number));
        let living = known.living.get(STATIC, &name).filter(|symbol| symbol.ends_with(&format!("_{key:016x}")));
        match living.filter(|symbol| !own.contains(&place) || is_of_this_run(symbol)) {
            Some(symbol) => (symbol.to_string(), true),
            None => {
                let mut hasher = std::hash::DefaultHasher::new();
                std::hash::Hash::hash(&name, &mut hasher);
                let symbol = format!("finetuning_{}_{:016x}_{key:016x}", known.number, std::hash::Hasher::finish(&hasher));
                new.set(STATIC, &name, &symbol);
                (symbol, false)
            }
        }
    };
    for (place, item) in places(file.syntax()).filter(|(place, _)| known.living.get(COPIED, place).is_none()) {
        let Some((start, declaration)) = declare(&item) else { continue };
        let whole = tokens::range(item.syntax());
        let key = known.items.key_of(&tokens::tokens(item.syntax(), |part| ast::Attr::can_cast(part.kind())));
        match symbol(place, key) {
            (symbol, true) => edits.replace(start..whole.end, foreign(&symbol, &declaration)),
            (symbol, false) => edits.insert(whole.start, format!("#[unsafe(export_name = {symbol:?})] ")),
        }
    }
    edits
}

/// The statics that a constant reads, in messages of rustc: it can only when they are defined in the same library.
pub fn read_by_constants(messages: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(messages);
    let mut found: Vec<String> =
        text.split("cannot access extern static `").skip(1).filter_map(|rest| Some(rest.split_once('`')?.0.to_string())).collect();
    found.sort();
    found.dedup();
    found
}

fn foreign(symbol: &str, declaration: &str) -> String {
    format!("unsafe extern \"Rust\" {{ #[link_name = {symbol:?}] {declaration}; }} ")
}

/// The type of a static with the lifetimes that only a definition may leave out.
fn lasting(kind: &ast::Type) -> String {
    let (text, start) = (kind.syntax().text().to_string(), usize::from(kind.syntax().text_range().start()));
    let mut edits = Edits::default();
    for reference in kind.syntax().descendants().filter_map(ast::RefType::cast).filter(|reference| reference.lifetime().is_none()) {
        let of_call = |node: SyntaxNode| matches!(node.kind(), SyntaxKind::FN_PTR_TYPE | SyntaxKind::PARENTHESIZED_ARG_LIST);
        let inside = reference.syntax().ancestors().take_while(|node| node != kind.syntax()).chain([kind.syntax().clone()]);
        if let Some(and) = reference.amp_token().filter(|_| !inside.into_iter().any(of_call)) {
            edits.insert(usize::from(and.text_range().end()) - start, "'static ");
        }
    }
    let whole = tokens::parse(&format!("type T = {};", edits.apply(&text)));
    tokens::one_line(whole.syntax()).trim_start_matches("type T = ").trim_end_matches(';').to_string()
}

/// Where a static begins behind its attributes, and what stands of it in a foreign block.
fn declare(item: &ast::Static) -> Option<(usize, String)> {
    let (name, kind) = (item.name()?, lasting(&item.ty()?));
    let visible = item.visibility().map(|part| part.to_string()).unwrap_or_default();
    let form = if item.mut_token().is_some() { "static mut" } else { "safe static" };
    let attribute = |node: &SyntaxNode| ast::Attr::can_cast(node.kind());
    let first = tokens::tokens(item.syntax(), attribute).first()?.text_range().start();
    Some((first.into(), format!("{visible} {form} {name}: {kind}")))
}

/// Whether a static has no symbol or condition of its own.
fn is_plain(item: &ast::Static) -> bool {
    let foreign = item.syntax().ancestors().any(|above| ast::ExternItemList::can_cast(above.kind()));
    let words = ["no_mangle", "export_name", "cfg", "link"];
    !foreign && !item.attrs().any(|attribute| words.iter().any(|word| attribute.to_string().contains(word)))
}

/// The statics below a node, each with the names of the functions, types and modules around it; but those between the
/// statements of a cell, which live as long as it runs.
fn places(root: &SyntaxNode) -> impl Iterator<Item = (String, ast::Static)> {
    root.descendants().filter_map(ast::Static::cast).filter(is_plain).filter_map(move |item| {
        let mut words = vec![item.name()?.text().to_string()];
        for above in item.syntax().ancestors().skip(1).take_while(|above| above != root) {
            if let Some(item) = ast::Fn::cast(above.clone()) {
                let name = item.name()?.text().to_string();
                if name.starts_with("run_user_code_") {
                    return None;
                }
                words.push(name);
            } else if let Some(item) = ast::Module::cast(above.clone()) {
                words.push(item.name()?.text().to_string());
            } else if let Some(item) = ast::Impl::cast(above) {
                words.push(format!("{:?} {:?}", item.trait_().map(|part| part.to_string()), item.self_ty().map(|part| part.to_string())));
            }
        }
        words.reverse();
        Some((words.join("::"), item))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The source as cell `number` compiles it, and what it defines.
    fn rewritten(source: &str, number: u64, cell: &str, living: &Living) -> (String, Living) {
        let (file, mut new) = (tokens::parse(source), Living::default());
        let items = Items::of(&file, HashMap::new());
        let known = Known { items: &items, number, cell: &tokens::items_of_cell(cell).unwrap(), living };
        let text = edits(&file, &known, &mut new).apply(source);
        (text, new)
    }

    #[test]
    fn a_static_is_defined_once_for_each_run_of_its_cell() {
        let source = "/// doc\npub static N: AtomicUsize = AtomicUsize::new(LIMIT);\nfn f() {\n static N: Mutex<\n Vec<P>> = x;\n}\nconst LIMIT: usize = 3;\nfn run_user_code_1() { static M: u8 = 1; }";
        let (text, living) = rewritten(source, 1, source, &Living::default());
        assert_eq!(text.matches("export_name").count(), 2, "{text}");
        assert!(text.contains("\"finetuning_1_") && !text.contains("link_name") && text.contains(" static M: u8 = 1;"), "{text}");
        // A later cell.
        let (text, new) = rewritten(source, 2, "f()", &living);
        assert_eq!((text.matches("link_name").count(), text.matches("export_name").count(), &new), (2, 0, &Living::default()), "{text}");
        assert!(
            text.contains("] pub safe static N: AtomicUsize; } \nfn f()") && text.contains("safe static N: Mutex< Vec<P>>; } \n\n}"),
            "{text}"
        );
        assert_eq!(text.lines().count(), source.lines().count());
        // The cell again, and a part of it that has changed.
        let (text, again) = rewritten(source, 3, source, &living);
        assert_eq!((text.matches("link_name").count(), text.matches("finetuning_3_").count()), (0, 2), "{text}");
        assert_ne!(again, living);
        let (text, _) = rewritten(&source.replace("= 3", "= 5"), 4, "const LIMIT: usize = 5;", &living);
        assert_eq!((text.matches("link_name").count(), text.matches("finetuning_4_").count()), (1, 1), "{text}");
    }

    #[test]
    fn a_reference_in_a_type_lasts() {
        let kind = |text: &str| {
            let file = tokens::parse(&format!("static N: {text} = x;"));
            lasting(&file.syntax().descendants().find_map(ast::Type::cast).unwrap())
        };
        assert_eq!(kind("Mutex<&str>"), "Mutex<&'static str>");
        assert_eq!(kind("[&mut &'static [\n(u8, &T)]; 2]"), "[&'static mut &'static [ (u8, &'static T)]; 2]");
        assert_eq!(kind("fn(&str) -> &str"), "fn(&str) -> &str");
        assert_eq!(kind("&(dyn Fn(&str) + Sync)"), "&'static (dyn Fn(&str) + Sync)");
    }

    #[test]
    fn what_has_a_symbol_or_a_condition_of_its_own_is_left_alone() {
        for source in [
            "#[unsafe(no_mangle)] static N: u8 = 1;",
            "unsafe extern \"C\" { safe static N: u8; }",
            "#[cfg(unix)] static N: u8 = 1;",
            "lazy_static! { static ref N: u8 = 1; }",
        ] {
            assert_eq!(rewritten(source, 1, source, &Living::default()).0, source);
        }
    }
}
