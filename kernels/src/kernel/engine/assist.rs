//! Completion and inspection, from evcxr when it is free and from a list of known names while a cell runs.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use evcxr::{CommandContext, EvalOutputs};
use serde_json::{Map, Value, json};

use crate::kernel::messages::places::Source;
use crate::kernel::messages::{about, cursor, directive};
use crate::kernel::process::lines::unescape;
use crate::kernel::protocol::wire::Request;
use crate::kernel::shared::Snapshot;

const KEYWORDS: [&str; 36] = [
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false", "fn", "for", "if", "impl",
    "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static", "struct", "trait", "true", "type",
    "unsafe", "use", "where", "while",
];

/// The reply to `complete_request`.
pub fn complete(context: &mut CommandContext, request: &Request) -> Value {
    let code = request.text("code");
    let cursor = cursor::byte_offset(code, request.number("cursor_pos", usize::MAX));
    let own = directive::quiet(code, cursor);
    let Ok(Ok(found)) = catch_unwind(AssertUnwindSafe(|| context.completions(&own, cursor))) else {
        return complete_from(&Snapshot::of(context), request);
    };
    let (start, end) = (cursor::char_offset(code, found.start_offset), cursor::char_offset(code, found.end_offset));
    let mut known: Vec<(String, &'static str, String)> = Vec::new();
    for completion in found.completions {
        let text = name_of(&completion.code);
        if !(text.is_empty() || text.starts_with("evcxr_") || text.starts_with("Evcxr")) {
            known.push((text, completion.kind, completion.label));
        }
    }
    // rust-analyzer lists private fields as well, and first.
    let receiver = code[..found.start_offset].strip_suffix('.').map(|before| cursor::chain_at(before, before.len()));
    if let Some(receiver) = receiver {
        known.retain(|(name, kind, _)| *kind != "instance" || name.starts_with(char::is_numeric) || is_open(context, receiver, name));
    }
    let mut seen = HashSet::new();
    known.retain(|(name, ..)| seen.insert(name.clone()));
    let (matches, kinds): (Vec<&str>, Vec<Value>) = known
        .iter()
        .map(|(text, kind, label)| (text.as_str(), json!({ "start": start, "end": end, "text": text, "type": kind, "signature": label })))
        .unzip();
    json!({ "status": "ok", "matches": matches, "cursor_start": start, "cursor_end": end, "metadata": { "_jupyter_types_experimental": kinds } })
}

/// The name that a completion inserts: a call comes with its arguments, a keyword with the blocks behind it.
fn name_of(code: &str) -> String {
    let name = code.split(['(', '{', '[', '<', '$', ' ', '=', '|', '\n']).next().unwrap_or_default();
    if name.is_empty() { String::new() } else { name.trim_end_matches(';').to_string() }
}

/// Whether a cell can read a field: it is public, or of a type of the cells themselves.
fn is_open(context: &mut CommandContext, receiver: &str, field: &str) -> bool {
    let text = format!("{receiver}.{field}");
    match catch_unwind(AssertUnwindSafe(|| context.hover_at(&text, text.len()))) {
        Ok(Ok((plain, _))) => plain.lines().any(|line| line.starts_with("pub ") || line.trim() == "ctx" || line.starts_with("ctx::")),
        _ => true,
    }
}

/// The reply to `complete_request` from known names alone.
pub fn complete_from(snapshot: &Snapshot, request: &Request) -> Value {
    let code = request.text("code");
    let cursor = cursor::byte_offset(code, request.number("cursor_pos", usize::MAX));
    let word = cursor::word_at(code, cursor);
    let begun = &code[word.start..cursor];
    let after_dot = code[..word.start].ends_with(['.', ':']);
    let names = snapshot.variables.iter().map(|(name, _)| name.as_str()).chain(snapshot.items.iter().map(String::as_str)).chain(KEYWORDS);
    let mut matches: Vec<&str> = names.filter(|name| !begun.is_empty() && !after_dot && name.starts_with(begun)).collect();
    matches.sort_unstable();
    matches.dedup();
    let (start, end) = (cursor::char_offset(code, word.start), cursor::char_offset(code, word.end));
    json!({ "status": "ok", "matches": matches, "cursor_start": start, "cursor_end": end, "metadata": {} })
}

/// The reply to `inspect_request`: the documentation of the name at the cursor, or of the function whose call it is in; and the
/// source of an item of the cells.
pub fn inspect(context: &mut CommandContext, request: &Request, cells: &[Source]) -> Value {
    let code = request.text("code");
    let cursor = cursor::byte_offset(code, request.number("cursor_pos", usize::MAX));
    let snapshot = Snapshot::of(context);
    if let Some(found) = variable_view(&snapshot, code, cursor) {
        return found;
    }
    // `name?` asks for the name.
    let cursor = code[..cursor].trim_end_matches('?').len();
    let word = &code[cursor::word_at(code, cursor)];
    let source = about::source(cells, word).filter(|_| !word.is_empty() && cursor::chain_at(code, cursor) == word);
    if let Some(source) = source
        && let Some((plain, html)) = about(context, word, Some(source))
    {
        return json!({ "status": "ok", "found": true, "data": { "text/plain": plain, "text/html": html }, "metadata": {} });
    }
    for place in [Some(cursor), cursor::callee(code, cursor)].into_iter().flatten() {
        let chain = cursor::chain_at(code, place);
        if chain.is_empty() {
            continue;
        }
        let end = cursor::word_at(code, place).end;
        // A method is only found when its call begins.
        let call = format!("{chain}(");
        let method_first = [&call, &code[..end], chain];
        let own_first = [&code[..end], chain, &call];
        for text in if chain.contains('.') { method_first } else { own_first } {
            if let Ok(Ok((plain, markdown))) = catch_unwind(AssertUnwindSafe(|| context.hover_at(text, text.len())))
                && plain != "No documentation found"
                && !plain.trim().is_empty()
            {
                return json!({ "status": "ok", "found": true, "data": { "text/plain": plain, "text/markdown": markdown }, "metadata": {} });
            }
        }
    }
    inspect_from(&snapshot, request)
}

/// What the variable view of VS Code asks for: the name of a variable, with the cursor in front of it. It looks for these words
/// in red, and shows the text behind the last one as the value.
fn variable_view(snapshot: &Snapshot, code: &str, cursor: usize) -> Option<Value> {
    let (name, kind) = snapshot.variables.iter().find(|(name, _)| cursor == 0 && name == code.trim())?;
    let plain = format!("\x1b[0;31mType:\x1b[0m        {kind}\n\x1b[0;31mDocstring:\x1b[0m   {name}: {kind}\n");
    Some(json!({ "status": "ok", "found": true, "data": { "text/plain": plain }, "metadata": {} }))
}

/// What is known of a name: the source that a cell has of it, and its documentation; as text, and as HTML.
pub fn about(context: &mut CommandContext, name: &str, source: Option<(usize, String)>) -> Option<(String, Option<String>)> {
    let chain = name.trim_end_matches('!');
    let texts = if chain.contains('.') { [format!("{chain}("), name.to_string()] } else { [name.to_string(), format!("{chain}(")] };
    let hover = texts.iter().find_map(|text| match catch_unwind(AssertUnwindSafe(|| context.hover_at(text, text.len()))) {
        Ok(Ok((plain, html))) if plain != "No documentation found" && !plain.trim().is_empty() => Some((plain, html)),
        _ => None,
    });
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    match (source, hover) {
        (None, None) => None,
        (None, Some((plain, html))) => Some((plain, Some(html))),
        (Some((cell, text)), hover) => {
            let (plain, html) = hover.unwrap_or_default();
            let code = format!("<p>source, cell {cell}:</p>\n<pre><code class=\"language-rust\">{}</code></pre>\n", escaped(&text));
            Some((format!("source, cell {cell}:\n{text}\n\n{plain}").trim_end().to_string(), Some(code + &html)))
        }
    }
}

/// The reply to `inspect_request` from known names alone: the type of a variable.
pub fn inspect_from(snapshot: &Snapshot, request: &Request) -> Value {
    let code = request.text("code");
    let word = &code[cursor::word_at(code, cursor::byte_offset(code, request.number("cursor_pos", usize::MAX)))];
    match snapshot.variables.iter().find(|(name, _)| name == word) {
        Some((name, kind)) => json!({ "status": "ok", "found": true, "data": { "text/plain": format!("{name}: {kind}") }, "metadata": {} }),
        None => json!({ "status": "ok", "found": false, "data": {}, "metadata": {} }),
    }
}

/// What a cell returned, as Jupyter's data by MIME type.
pub fn mime_bundle(outputs: &EvalOutputs) -> Value {
    let data = outputs.content_by_mime_type.iter().map(|(mime, text)| {
        let text = &unescape(text);
        let value = if mime.ends_with("json") { serde_json::from_str(text).ok() } else { None };
        (mime.clone(), value.unwrap_or_else(|| text.trim_end_matches('\n').into()))
    });
    Value::Object(data.collect::<Map<String, Value>>())
}
