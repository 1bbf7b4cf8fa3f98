//! The files of each split, found by their names → which of them may be meant otherwise, a sentence each.

use std::collections::HashSet;

use crate::util::names::quoted;

/// What stands behind the names of files that somebody put aside.
const ASIDE: [&str; 6] = [".bak", ".backup", ".old", ".orig", ".tmp", "~"];
/// What a packed file has behind its name.
const PACKED: [&str; 2] = [".gz", ".zst"];

/// What is said of splits that were made by the names of files, by the keywords of each.
pub(crate) fn doubts(place: &str, splits: &[(String, Vec<String>)], keywords: &[(&str, &[&str])]) -> Vec<String> {
    let mut notes = Vec::new();
    let mut say = |files: Vec<String>, what: String| {
        if !files.is_empty() {
            let more = if files.len() > 5 { ", …" } else { "" };
            notes.push(format!(
                "{place}: {}{more} {what}; `DataOptions::with_split_files` says which files are which split",
                quoted(&files[..files.len().min(5)])
            ));
        }
    };
    for (index, (split, files)) in splits.iter().enumerate() {
        let of = |is: &dyn Fn(&str) -> bool| files.iter().filter(|file| is(file)).cloned().collect::<Vec<_>>();
        for (other, keywords) in keywords.iter().filter(|(other, _)| other != split) {
            let found = of(&|file| keywords.iter().any(|keyword| is_glued(base(file), keyword)));
            say(found, format!("read as a part of the split `{split}`, though the name tells of `{other}`"));
        }
        for (other, others) in &splits[index + 1..] {
            say(of(&|file| others.iter().any(|other| other == file)), format!("read twice: in the splits `{split}` and `{other}`"));
        }
        let all: HashSet<&str> = files.iter().map(String::as_str).collect();
        say(
            of(&|file| PACKED.iter().any(|suffix| file.strip_suffix(suffix).is_some_and(|plain| all.contains(plain)))),
            format!("read beside the same file unpacked, in the split `{split}`"),
        );
        say(of(&|file| is_aside(base(file))), format!("read in the split `{split}`, though it seems to be a copy that was put aside"));
    }
    notes
}

fn base(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// Whether a keyword is the beginning or the end of a longer word: `testData`, `myTest`, and, of four letters and more, `testdata`.
fn is_glued(name: &str, keyword: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.match_indices(keyword).any(|(at, _)| {
        let (before, after) = (name[..at].chars().next_back(), name[at + keyword.len()..].chars().next());
        let (starts, ends) = (before.is_none_or(|letter| !letter.is_alphabetic()), after.is_none_or(|letter| !letter.is_alphabetic()));
        let capital = |letter: Option<char>| letter.is_some_and(char::is_uppercase);
        let own_capital = capital(name[at..].chars().next()) && !capital(before);
        match (starts, ends) {
            (true, true) => false,
            (true, false) => capital(after) || keyword.len() >= 4,
            (false, true) => own_capital,
            (false, false) => own_capital && capital(after),
        }
    })
}

fn is_aside(name: &str) -> bool {
    let lower = name.to_lowercase();
    ASIDE.iter().any(|suffix| lower.ends_with(suffix)) || [" copy.", " copy ", "copy of ", " (1)."].iter().any(|part| lower.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_in_a_longer_word_is_glued_to_it() {
        for name in ["testData.jsonl", "testdata.jsonl", "TestSet.csv", "myTest.json", "my_testset.json"] {
            assert!(is_glued(name, "test"), "{name}");
        }
        for name in ["test.jsonl", "latest.jsonl", "contest_1.jsonl", "a-test-1.csv", "rows.csv"] {
            assert!(!is_glued(name, "test"), "{name}");
        }
        assert!(is_glued("devSet.csv", "dev") && !is_glued("developer_docs.jsonl", "dev"));
    }
}
