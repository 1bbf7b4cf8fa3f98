//! A pattern such as `data/**/train-*.jsonl` and a path → whether they fit, as in `datasets` (fsspec's glob).

/// Whether a pattern has characters that stand for others.
pub(crate) fn has_magic(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// What every path begins with that fits a pattern: its names up to the first with characters that stand for others.
pub(crate) fn prefix(pattern: &str) -> String {
    let plain = parts(pattern).take_while(|part| !has_magic(part)).collect::<Vec<_>>().join("/");
    if has_magic(pattern) && !plain.is_empty() { plain + "/" } else { plain }
}

/// The longest text that every path holds that fits a pattern.
pub(crate) fn literal(pattern: &str) -> String {
    let mut longest = String::new();
    for part in parts(pattern) {
        let mut run = String::new();
        for piece in pieces(part) {
            match piece {
                Piece::Char(c) => run.push(c),
                _ => run.clear(),
            }
            if run.len() > longest.len() {
                longest.clone_from(&run);
            }
        }
    }
    longest
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('/').filter(|part| !part.is_empty() && *part != ".")
}

/// Whether a path, relative to the same folder as the pattern, fits it. `*` and `?` stay inside of a name, `**` is any number
/// of folders. Names that begin with a dot and folders that begin with `__` fit only where the pattern says so.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let [wanted, parts] = [pattern, path].map(|text| parts(text).collect::<Vec<_>>());
    let hidden = |parts: &[&str]| parts.iter().filter(|part| part.starts_with('.') && part.chars().any(|c| c != '.')).count();
    let special =
        |parts: &[&str]| parts.split_last().map_or(0, |(_, folders)| folders.iter().filter(|part| part.starts_with("__")).count());
    hidden(&wanted) == hidden(&parts) && special(&wanted) == special(&parts) && fits(&wanted, &parts)
}

fn fits(pattern: &[&str], path: &[&str]) -> bool {
    // `reached[i]`: the pattern so far fits the first `i` names.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for (index, part) in pattern.iter().enumerate() {
        let mut next = vec![false; path.len() + 1];
        for start in (0..=path.len()).filter(|&start| reached[start]) {
            if *part == "**" {
                let least = usize::from(index + 1 == pattern.len());
                next.iter_mut().skip(start + least).for_each(|place| *place = true);
            } else if path.get(start).is_some_and(|name| name_fits(part, name)) {
                next[start + 1] = true;
            }
        }
        reached = next;
    }
    reached[path.len()]
}

/// A piece of a pattern for one name.
enum Piece {
    Any,
    One,
    Char(char),
    Set { not: bool, ranges: Vec<(char, char)> },
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let chars: Vec<char> = pattern.chars().collect();
    let (mut pieces, mut at) = (Vec::new(), 0);
    while let Some(&c) = chars.get(at) {
        at += 1;
        let set = if c == '[' { set(&chars[at..]) } else { None };
        pieces.push(match (c, set) {
            ('*', _) => Piece::Any,
            ('?', _) => Piece::One,
            (_, Some((set, length))) => {
                at += length;
                set
            }
            _ => Piece::Char(c),
        });
    }
    pieces
}

/// The set behind a `[`, and its length with the `]`; none where it does not end.
fn set(chars: &[char]) -> Option<(Piece, usize)> {
    let not = chars.first() == Some(&'!');
    let start = usize::from(not);
    // A `]` in the first place is a member.
    let end = start + 1 + chars.get(start + 1..)?.iter().position(|&c| c == ']')?;
    let (members, mut ranges, mut at) = (&chars[start..end], Vec::new(), 0);
    while at < members.len() {
        if members.get(at + 1) == Some(&'-') && at + 2 < members.len() {
            ranges.push((members[at], members[at + 2]));
            at += 3;
        } else {
            ranges.push((members[at], members[at]));
            at += 1;
        }
    }
    Some((Piece::Set { not, ranges }, end + 1))
}

fn name_fits(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    // `*` alone is a name, which is never empty.
    for piece in pieces(pattern) {
        let mut next = vec![false; name.len() + 1];
        for start in (0..=name.len()).filter(|&start| reached[start]) {
            let fits = match (&piece, name.get(start)) {
                (Piece::Any, _) => {
                    next.iter_mut().skip(start).for_each(|place| *place = true);
                    break;
                }
                (_, None) => false,
                (Piece::One, _) => true,
                (Piece::Char(wanted), Some(c)) => wanted == c,
                (Piece::Set { not, ranges }, Some(c)) => ranges.iter().any(|(from, to)| (from..=to).contains(&c)) != *not,
            };
            if fits {
                next[start + 1] = true;
            }
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_has_the_patterns_own_letters() {
        assert_eq!([prefix("data//./a/*.csv"), prefix("a/b"), prefix("**/b"), prefix("a*/b")], ["data/a/", "a/b", "", ""]);
        assert_eq!([literal("**/*[-._ 0-9]train/**"), literal("a[b/*"), literal("*")], ["train", "a[b", ""]);
    }

    #[test]
    fn patterns_fit_as_in_fsspec() {
        for (pattern, path, fits) in [
            ("**", "a/b.txt", true),
            ("*", "a/b.txt", false),
            ("**/train[-._ 0-9]*", "a/train-1.txt", true),
            ("**/train[-._ 0-9]*", "trained.txt", false),
            ("**/train/**", "train/a/b", true),
            ("**/train/**", "a/train", false),
            ("data/*.csv", "data/a.csv", true),
            ("data/*.csv", "data/b/a.csv", false),
            ("**", ".hidden/a", false),
            (".*/*", ".hidden/a", true),
            ("**", "__pycache__/a", false),
            ("__*/*", "__pycache__/a", true),
            ("a[!b]c", "abc", false),
            ("a[!b]c", "adc", true),
            ("a[]]c", "a]c", true),
            ("a[b", "a[b", true),
            ("./a?", "ab", true),
        ] {
            assert_eq!(matches(pattern, path), fits, "{pattern} {path}");
            let quick = path.starts_with(&prefix(pattern)) && path.contains(&literal(pattern));
            assert!(quick || !fits, "{pattern} {path}");
        }
    }
}
