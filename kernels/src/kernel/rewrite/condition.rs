//! A condition of `#[cfg(…)]` → whether it holds for cells, which are compiled for this machine.

use ra_ap_syntax::ast::{self, AstNode, HasAttrs};

use crate::kernel::rewrite::tokens;

/// Whether an item is left out by one of its attributes; a condition that is not known here leaves nothing out.
pub fn leaves_out(item: &impl HasAttrs) -> bool {
    item.attrs().any(|attribute| tokens::attribute_name(&attribute) == "cfg" && of(&attribute) == Some(false))
}

fn of(attribute: &ast::Attr) -> Option<bool> {
    let words: Vec<String> = tokens::tokens(attribute.syntax(), |_| false).iter().map(|token| token.text().to_string()).collect();
    let start = words.iter().position(|word| word == "(")? + 1;
    holds(&mut words[start..].iter().map(String::as_str).peekable())
}

/// One condition: `name`, `name = "value"`, or `all`, `any` or `not` of others.
fn holds<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> Option<bool> {
    let name = words.next()?;
    match words.peek() {
        Some(&"(") => {
            words.next();
            let mut inner = Vec::new();
            while words.peek().is_some_and(|word| *word != ")") {
                inner.push(holds(words));
                words.next_if_eq(&",");
            }
            words.next();
            match name {
                "all" if inner.contains(&Some(false)) => Some(false),
                "any" if inner.contains(&Some(true)) => Some(true),
                "all" | "any" if inner.contains(&None) => None,
                "all" | "any" => Some(name == "all"),
                "not" => inner.first()?.map(|holds| !holds),
                _ => None,
            }
        }
        Some(&"=") => {
            words.next();
            let value = words.next()?.trim_matches('"');
            match name {
                "target_os" => Some(value == std::env::consts::OS),
                "target_arch" => Some(value == std::env::consts::ARCH),
                "target_family" => Some(value == std::env::consts::FAMILY),
                "target_pointer_width" => Some(value == usize::BITS.to_string()),
                "feature" => Some(false),
                _ => None,
            }
        }
        _ => match name {
            "unix" => Some(cfg!(unix)),
            "windows" => Some(cfg!(windows)),
            "debug_assertions" | "true" => Some(true),
            "test" | "doc" | "false" => Some(false),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use ra_ap_syntax::ast::HasModuleItem;

    use super::*;

    #[test]
    fn conditions_are_those_of_this_machine() {
        let out = |condition: &str| leaves_out(&tokens::parse(&format!("#[cfg({condition})] fn f() {{}}")).items().next().unwrap());
        let os = std::env::consts::OS;
        for holds in [
            format!("target_os = \"{os}\""),
            "not(test)".into(),
            "all()".into(),
            format!("any(windows, all(unix, target_os = \"{os}\"),)"),
            "own".into(),
            "not(own)".into(),
        ] {
            assert!(!out(&holds), "{holds}");
        }
        for fails in [
            format!("not(target_os = \"{os}\")"),
            "feature = \"x\"".into(),
            "all(own, test)".into(),
            "any()".into(),
            "not(any(own, unix))".into(),
        ] {
            assert!(out(&fails), "{fails}");
        }
    }
}
