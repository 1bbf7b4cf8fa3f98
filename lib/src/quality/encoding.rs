//! A text → what is damaged in it, and the text mended as far as that is safe.

use std::ops::Range;

use crate::quality::finding::FindingKind;

/// The characters of Windows-1252 from byte 0x80 on; the five bytes that it leaves out are controls, as in Latin-1.
const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
/// What a text in capitals may have behind its last letter: «IRMû is no damage.
const CLOSING: &str = "»”’“‘…–—›™°ºª";
/// Names of entities that HTML leaves behind.
const ENTITIES: &str = "amp lt gt quot apos nbsp ldquo rdquo lsquo rsquo hellip mdash ndash copy reg euro bull middot laquo raquo";
/// Tags whose end, or whose beginning with attributes, is no code of another language.
const TAGS: &str =
    "a b i u p br hr em li ul ol td th tr h1 h2 h3 h4 h5 h6 div span img pre code table tbody thead strong font script style sup sub";

/// All damage of a text: its kind, and where (in bytes).
pub(crate) fn damage(text: &str) -> Vec<(FindingKind, Range<usize>)> {
    let mut found = Vec::new();
    if !text.is_ascii() {
        found.extend(misread(text).into_iter().map(|(range, _)| (FindingKind::Mojibake, range)));
        // Those of the runs are in order, and none overlap.
        let runs = found.len();
        for (start, part) in text.match_indices("â€") {
            let before = found[..runs].partition_point(|(_, range): &(FindingKind, Range<usize>)| range.start <= start);
            if !before.checked_sub(1).is_some_and(|run| found[run].1.contains(&start)) {
                found.push((FindingKind::Mojibake, start..start + part.len()));
            }
        }
    }
    for (start, c) in text.char_indices() {
        let kind = match c {
            '\u{fffd}' => FindingKind::LostCharacter,
            c if is_control(c) => FindingKind::ControlCharacter,
            c if has_no_width(c) || turns(c) => FindingKind::InvisibleCharacter,
            _ => continue,
        };
        found.push((kind, start..start + c.len_utf8()));
    }
    found.extend(markup(text).into_iter().map(|range| (FindingKind::Markup, range)));
    found.extend(escaped(text).into_iter().map(|range| (FindingKind::EscapedText, range)));
    if trimmed(text) != text {
        let start = if text.starts_with(char::is_whitespace) { 0 } else { text.trim_end().len() };
        found.push((FindingKind::WhiteSpace, start..text.len()));
    }
    found
}

type Step = (&'static str, fn(&str) -> String);

/// What is safe to mend, in the order in which it is done.
const STEPS: [Step; 4] = [
    ("text read in the wrong encoding is decoded", decoded),
    ("control characters are stripped", without_controls),
    ("characters without width are stripped", |text| text.chars().filter(|&c| !has_no_width(c)).collect()),
    ("white space at the ends is trimmed", |text| trimmed(text).to_string()),
];

/// The text with everything mended that is safe to mend, and what was done; mended once more it stays as it is.
pub(crate) fn mend(text: &str) -> (String, Vec<&'static str>) {
    let (mut mended, mut done) = (text.to_string(), Vec::new());
    // Again until nothing changes: each step makes the text shorter.
    loop {
        let before = mended.clone();
        for (what, step) in STEPS {
            let new = step(&mended);
            if new != mended {
                mended = new;
                if !done.contains(&what) {
                    done.push(what);
                }
            }
        }
        if mended == before {
            return (mended, done);
        }
    }
}

/// Runs of characters that are UTF-8 when they are written as Windows-1252, with the text that this is.
fn misread(text: &str) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    let (mut bytes, mut start, mut before) = (Vec::new(), 0, None);
    let mut last = None;
    for (place, c) in text.char_indices().map(|(place, c)| (place, Some(c))).chain([(text.len(), None)]) {
        match c.and_then(byte) {
            Some(byte) => {
                if bytes.is_empty() {
                    (start, before) = (place, last);
                }
                bytes.push(byte);
            }
            None if !bytes.is_empty() => {
                if let Ok(decoded) = String::from_utf8(std::mem::take(&mut bytes)) {
                    let reading = reading(&text[start..place], &decoded, before, c);
                    found.push((start..place, decoded, reading));
                }
            }
            None => {}
        }
        last = c;
    }
    // What may stand there by chance is damage beside other damage.
    let sure = found.iter().any(|(.., reading)| *reading == Reading::Wrong);
    found.retain(|(.., reading)| *reading == Reading::Wrong || *reading == Reading::Doubtful && sure);
    found.into_iter().map(|(range, text, _)| (range, text)).collect()
}

/// What a run that could be read as UTF-8 is: text read wrong, right as it stands, or either.
#[derive(PartialEq)]
enum Reading {
    Wrong,
    Doubtful,
    Right,
}

/// The byte of a character that Windows-1252 has beyond ASCII.
fn byte(c: char) -> Option<u8> {
    match c {
        '\u{a0}'..='\u{ff}' | '\u{80}'..='\u{9f}' => Some(c as u8),
        c => WINDOWS.chars().position(|known| known == c).map(|place| 0x80 + place as u8),
    }
}

/// Two letters may stand together by chance, as in «CAFÉ»; more do not.
fn reading(run: &str, decoded: &str, before: Option<char>, after: Option<char>) -> Reading {
    let mut characters = decoded.chars();
    let (Some(first), None) = (characters.next(), characters.next()) else {
        // The five bytes that Windows-1252 leaves out belong to a text that was misread twice.
        let lost = |c: char| c.is_control() && !"\u{81}\u{8d}\u{8f}\u{90}\u{9d}".contains(c) || c == '\u{fffd}';
        return if decoded.chars().any(lost) { Reading::Right } else { Reading::Wrong };
    };
    match first as u32 {
        // Two bytes, of which the first is Â or Ã; what closes a quotation may stand behind a capital.
        0xa0..=0xff if before.is_some_and(char::is_uppercase) && run.ends_with(|c| CLOSING.contains(c)) => Reading::Right,
        0xa0..=0xff => Reading::Wrong,
        // Ä and Å with what may follow them: damage inside of a word.
        0x100..=0x17f if after.is_some_and(char::is_lowercase) => Reading::Wrong,
        0x100..=0x17f => Reading::Doubtful,
        0x80..=0x9f | 0x180..=0x7ff => Reading::Right,
        _ => Reading::Wrong,
    }
}

/// The text decoded as often as it was misread.
fn decoded(text: &str) -> String {
    let found = if text.is_ascii() { Vec::new() } else { misread(text) };
    if found.is_empty() {
        return text.to_string();
    }
    let (mut whole, mut end) = (String::with_capacity(text.len()), 0);
    for (range, part) in found {
        whole.push_str(&text[end..range.start]);
        whole.push_str(&part);
        end = range.end;
    }
    decoded(&(whole + &text[end..]))
}

fn is_control(c: char) -> bool {
    c.is_control() && !"\n\r\t".contains(c)
}

/// The text without controls; a command to a terminal, `ESC [ … m`, goes as a whole.
fn without_controls(text: &str) -> String {
    if !text.contains(is_control) {
        return text.to_string();
    }
    let mut kept = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' && characters.next_if_eq(&'[').is_some() {
            while characters.next_if(|c| c.is_ascii_digit() || *c == ';').is_some() {}
            characters.next_if(char::is_ascii_alphabetic);
        } else if !is_control(c) {
            kept.push(c);
        }
    }
    kept
}

/// Characters that are not seen and mean nothing; joiners of scripts and emoji do.
fn has_no_width(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
}

/// Characters that turn the direction of what follows, or carry hidden letters.
fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0001}'..='\u{e007f}')
}

/// The text without white space at its ends; the indent of a first line stays where others follow.
fn trimmed(text: &str) -> &str {
    let text = text.trim_end();
    let first = text.find(|c: char| !c.is_whitespace()).unwrap_or(0);
    let line = text[..first].rfind('\n').map_or(0, |end| end + 1);
    if text[line..].contains('\n') { &text[line..] } else { &text[first..] }
}

/// The parts of a text that are no code between backticks.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split('`').enumerate().filter_map(move |(index, part)| {
        let place = start;
        start += part.len() + 1;
        index.is_multiple_of(2).then_some((place, part))
    })
}

/// Where a sign stands first, if not further than so many bytes.
fn near(text: &str, sign: u8, most: usize) -> Option<usize> {
    text.as_bytes()[..text.len().min(most + 1)].iter().position(|byte| *byte == sign)
}

/// Entities and tags of HTML outside of code.
fn markup(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if !text.contains(['&', '<']) {
        return found;
    }
    for (start, part) in prose(text) {
        for (place, _) in part.match_indices('&') {
            let Some(end) = near(&part[place..], b';', 9).filter(|end| *end >= 3) else { continue };
            let name = &part[place + 1..place + end];
            let number = |digits: &str| match digits.strip_prefix(['x', 'X']) {
                Some(digits) => !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit()),
                None => !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()),
            };
            if ENTITIES.split(' ').any(|known| known == name) || name.strip_prefix('#').is_some_and(number) {
                found.push(start + place..start + place + end + 1);
            }
        }
        for (place, _) in part.match_indices('<') {
            let Some(end) = near(&part[place..], b'>', 299) else { continue };
            let inside = &part[place + 1..place + end];
            let closed = inside.strip_prefix('/');
            let name: String = closed.unwrap_or(inside).chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
            let known = TAGS.split(' ').any(|tag| tag == name);
            let rest = &closed.unwrap_or(inside)[name.len()..];
            // A bare `<b>` may be a type; `</b>`, `<br/>` and `<a href="…">` are not.
            if known && (closed.is_some() && rest.is_empty() || name == "br" || name == "hr" || rest.starts_with(' ') && rest.contains('='))
            {
                found.push(start + place..start + place + end + 1);
            }
        }
    }
    found
}

/// `\n`, `\t` and `\u00e9` as text, outside of code and quotes; a folder such as `C:\new` is none.
fn escaped(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (start, part) in prose(text).filter(|(_, part)| part.contains('\\')) {
        for (place, _) in part.match_indices('\\') {
            let (before, rest) = (&part[..place], &part[place + 1..]);
            let after = rest.chars().nth(1);
            let is_break = rest.starts_with(['n', 't', 'r']) && after.is_none_or(|c| c == '\\' || !c.is_lowercase() && !"\"'_".contains(c));
            let digits = rest.strip_prefix('u').and_then(|digits| digits.get(..4));
            let is_code = digits.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
            if (is_break || is_code) && !before.ends_with(['\\', '"', '\'', ':']) {
                found.push(start + place..start + place + if is_code { 6 } else { 2 });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<FindingKind> {
        let mut kinds: Vec<_> = damage(text).into_iter().map(|(kind, _)| kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// UTF-8 read as Windows-1252, as a wrong reader does.
    fn misread_as_windows(text: &str) -> String {
        let character = |byte: u8| match byte {
            0x80..=0x9f => WINDOWS.chars().nth(usize::from(byte) - 0x80).unwrap(),
            byte => char::from(byte),
        };
        text.bytes().map(character).collect()
    }

    #[test]
    fn what_was_misread_once_or_twice_is_decoded() {
        for text in ["déjà vu", "naïve – “quoted” … 20 €", "Größe", "cœur", "привет", "日本", "🙂 fine", "Łódź", "5 °C"]
        {
            let once = misread_as_windows(text);
            let twice = misread_as_windows(&once);
            assert_ne!(once, text);
            assert_eq!(mend(&once).0, text);
            assert_eq!(mend(&twice).0, text, "{twice}");
            assert!(kinds(&once).contains(&FindingKind::Mojibake), "{once}");
        }
    }

    #[test]
    fn text_that_is_right_stays() {
        for text in [
            "«CAFÉ» et «IRMÃ»",
            "Ångström, BLÅ“ und",
            "São Tomé: Ação, AÇÃO…",
            "âme, âge, château",
            "naïve façade",
            "£5 ®©",
            "Ærø ÆØÅ",
            "Привет, мир",
            "日本語",
            "👩‍👩‍👧 family",
            "می‌خواهم",
            "C:\\new\\table",
            "print(\"a\\n\")",
            "Vec<i32> and Vec<b>, &lt; x",
            "line\n    indented",
            "    a\n    b",
            "a & b; c < d > e",
            "`<br>` and `&amp;` are HTML",
            "ÄÖÜ ß",
            "ESPAÑA",
            "1 Å = 0.1 nm",
        ] {
            assert_eq!(mend(text), (text.to_string(), Vec::<&str>::new()));
        }
        for text in
            ["«CAFÉ»", "C:\\new\\table", "print(\"a\\n\")", "Vec<i32> and Vec<b>", "a & b; c < d > e", "`<br>` and `&amp;`", "می‌خواهم"]
        {
            assert_eq!(kinds(text), [], "{text}");
        }
    }

    #[test]
    fn each_kind_of_damage_is_named() {
        use FindingKind::*;
        for (text, kind) in [
            ("lost \u{fffd} one", LostCharacter),
            ("bell\u{7}", ControlCharacter),
            ("\u{1b}[31mred\u{1b}[0m", ControlCharacter),
            ("zero\u{200b}width", InvisibleCharacter),
            ("\u{202e}turned", InvisibleCharacter),
            ("Tom &amp; Jerry", Markup),
            ("it&#39;s", Markup),
            ("a<br/>b", Markup),
            ("<p>text</p>", Markup),
            ("<a href=\"x\">link", Markup),
            ("one\\n\\ntwo", EscapedText),
            ("end\\n", EscapedText),
            ("caf\\u00e9", EscapedText),
            ("donâ€t", Mojibake),
            (" padded", WhiteSpace),
            ("padded\n", WhiteSpace),
        ] {
            assert_eq!(kinds(text), [kind], "{text:?}");
        }
        assert_eq!(mend("\u{1b}[31mred\u{1b}[0m \u{feff}").0, "red");
        assert_eq!(damage("ab\u{7}")[0].1, 2..3);
    }
}
