//! Addresses in the libraries of cells → functions and lines of the source that rustc compiled.
//!
//! The process of the cells tells only addresses: the standard library's own backtrace knows no library that was loaded after
//! the first panic.

use std::collections::HashMap;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use object::{Object, ObjectSection};
use serde_json::{Value, json};

/// The file of rustc's source, whose lines are those of evcxr's.
const SOURCE: &str = "src/lib.rs";

/// The same panic, with a function, a line and a column for each of its calls that is in a cell, the last call first.
pub fn resolved(panic: &Value) -> Value {
    let calls: Vec<(&str, u64)> =
        panic["calls"].as_array().into_iter().flatten().filter_map(|call| Some((call[0].as_str()?, call[1].as_u64()?))).collect();
    let mut libraries: HashMap<&str, Vec<u64>> = HashMap::new();
    for (library, address) in &calls {
        libraries.entry(library).or_default().push(*address);
    }
    let found: HashMap<(&str, u64), Vec<Value>> = libraries
        .into_iter()
        .flat_map(|(library, addresses)| lines(library, &addresses).into_iter().map(move |(address, lines)| ((library, address), lines)))
        .collect();
    let mut panic = panic.clone();
    panic["frames"] = calls.iter().filter_map(|call| found.get(call)).flatten().cloned().collect();
    panic
}

/// The lines of each address: several where one function became a part of another.
fn lines(library: &str, addresses: &[u64]) -> Vec<(u64, Vec<Value>)> {
    let Ok(bytes) = std::fs::read(library) else { return Vec::new() };
    let Ok(file) = object::File::parse(&*bytes) else { return Vec::new() };
    let section = |id: SectionId| {
        let found = file.section_by_name(id.name()).and_then(|section| section.data().ok());
        Ok::<_, addr2line::gimli::Error>(EndianSlice::new(found.unwrap_or_default(), LittleEndian))
    };
    let Ok(context) = Dwarf::load(section).and_then(Context::from_dwarf) else { return Vec::new() };
    let of = |address: u64| {
        let mut found = Vec::new();
        let Ok(mut frames) = context.find_frames(address).skip_all_loads() else { return found };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref().and_then(|function| function.raw_name().ok()).unwrap_or_default();
            // Without its hash.
            let name = format!("{:#}", rustc_demangle::demangle(&name));
            let place = frame.location.filter(|place| place.file.is_some_and(|file| file.ends_with(SOURCE)));
            if let Some((line, column)) = place.and_then(|place| place.line.zip(place.column)) {
                found.push(json!([name, line, column]));
            }
        }
        found
    };
    addresses.iter().map(|address| (*address, of(*address))).collect()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_the_lines_of_all_functions_in_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        let source = "#[inline(always)]\nfn inner(x: i32) -> i32 {\n    std::hint::black_box(x) / 3\n}\n\n#[unsafe(no_mangle)]\npub extern \"C\" fn outer(x: i32) -> i32 {\n    inner(x) + 1\n}\n";
        std::fs::write(folder.path().join(SOURCE), source).unwrap();
        let mut rustc = std::process::Command::new("rustc");
        rustc.args([
            "--crate-type",
            "cdylib",
            "--edition",
            "2024",
            "-Copt-level=2",
            "-Cdebuginfo=1",
            "--crate-name=cell",
            "-olibcell.so",
            SOURCE,
        ]);
        assert!(rustc.current_dir(folder.path()).status().unwrap().success());
        let library = folder.path().join("libcell.so");
        let bytes = std::fs::read(&library).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let is_outer = |symbol: &object::Symbol| object::ObjectSymbol::name(symbol) == Ok("outer");
        let outer = object::ObjectSymbol::address(&file.dynamic_symbols().find(is_outer).unwrap());
        let library = library.to_str().unwrap();
        let found = (outer..outer + 32)
            .map(|address| resolved(&json!({ "calls": [[library, address]] }))["frames"].clone())
            .find(|frames| frames.as_array().unwrap().len() == 2)
            .expect("an instruction of both");
        assert_eq!(
            (&found[0][0], &found[0][1], &found[1][0], &found[1][1]),
            (&json!("cell::inner"), &json!(3), &json!("outer"), &json!(8))
        );
        assert_eq!(resolved(&json!({ "calls": [["/no/such/library", 1]] }))["frames"], json!([]));
    }
}
