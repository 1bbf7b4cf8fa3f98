//! A text → the personal data in it: e-mail addresses, phone numbers, cards, IBANs, addresses of networks.
//!
//! Checksums (Luhn, mod 97), known lengths and forms keep false alarms low; a number that only looks like one is none.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Letters of each country's IBAN.
const IBAN: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 \
    GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24 ME22 MK19 MR27 \
    MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SE24 SI19 SK24 SM27 TN24 TR26 UA29 VA22 VG24 XK20";
/// What looks like the end of an address and is that of a file.
const FILES: &str = "png jpg jpeg gif svg webp css js ts json html md rs py txt";

/// E-mail addresses, but those of domains for examples, and of nobody (`no-reply`).
pub(crate) fn emails(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        let local = |c: &char| c.is_alphanumeric() || "._%+-".contains(*c);
        let start = at - text[..at].chars().rev().take_while(local).map(char::len_utf8).sum::<usize>();
        let domain = |c: &char| c.is_alphanumeric() || ".-".contains(*c);
        let length = text[at + 1..].chars().take_while(domain).map(char::len_utf8).sum::<usize>();
        let host = text[at + 1..at + 1 + length].trim_end_matches(['.', '-']);
        let start = start + text[start..at].len() - text[start..at].trim_start_matches(['.', '-', '+']).len();
        let Some((name, top)) = host.rsplit_once('.') else { continue };
        let example = ["example.com", "example.org", "example.net"].iter().any(|known| host.ends_with(known))
            || ["example", "test", "invalid", "localhost"].contains(&top);
        let form = start < at && !text[start..at].ends_with('.') && !name.is_empty() && !host.contains("..");
        let domain = top.len() >= 2 && top.chars().all(char::is_alphabetic) && !FILES.split(' ').any(|file| file == top);
        // `git@host:path` is an address of a repository.
        let nobody = ["git", "no-reply", "noreply", "donotreply"].contains(&text[start..at].to_lowercase().as_str());
        let repository = nobody || text[..start].ends_with("://");
        if form && domain && !example && !repository {
            found.push(start..at + 1 + host.len());
        }
    }
    found
}

/// Digits in groups: where they begin and end, the groups, and what stands between them.
struct Number {
    /// With a plus or a bracket in front.
    range: Range<usize>,
    /// Where its first digit stands.
    first: usize,
    groups: Vec<String>,
    between: Vec<String>,
}

impl Number {
    fn digits(&self) -> String {
        self.groups.concat()
    }

    fn lengths(&self) -> Vec<usize> {
        self.groups.iter().map(String::len).collect()
    }
}

/// All numbers of a text, as far as single blanks, `-`, `.`, `/` and brackets hold their groups together.
fn numbers(text: &str) -> Vec<Number> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut place = 0;
    while place < bytes.len() {
        if !bytes[place].is_ascii_digit() {
            place += 1;
            continue;
        }
        let (start, mut number) = (place, Number { range: place..place, first: place, groups: Vec::new(), between: Vec::new() });
        loop {
            let end = place + bytes[place..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            number.groups.push(text[place..end].to_string());
            number.range = start..end;
            let separator = bytes[end..].iter().take(2).take_while(|byte| b" -./()".contains(byte)).count();
            let next = end + separator;
            place = end;
            if separator == 0 || !bytes.get(next).is_some_and(u8::is_ascii_digit) || &text[end..next] == "  " {
                break;
            }
            number.between.push(text[end..next].to_string());
            place = next;
        }
        // A plus in front belongs to it, and a bracket that is closed inside.
        let closed = number.between.iter().any(|between| between.contains(')'));
        if let Some(sign) = text[..start].chars().next_back().filter(|&c| c == '+' || c == '(' && closed) {
            number.range.start -= 1;
            if sign == '(' && text[..number.range.start].ends_with('+') {
                number.range.start -= 1;
            }
        }
        found.push(number);
    }
    found
}

/// Whether what stands around a number lets it be one: no letter, digit or sign of a longer one.
fn stands_alone(text: &str, range: &Range<usize>) -> bool {
    let before = text[..range.start].chars().next_back();
    let mut after = text[range.end..].chars();
    let next = after.next();
    let joined = |c: char| c.is_alphanumeric() || "_#$€£=".contains(c);
    // A full stop ends a sentence, unless a digit follows.
    let decimal = next.is_some_and(|c| ".,".contains(c)) && after.next().is_some_and(|c| c.is_ascii_digit());
    !before.is_some_and(|c| joined(c) || ".,-/".contains(c)) && !next.is_some_and(joined) && !decimal
}

/// Phone numbers: international ones with a plus, and national forms of North America, France, Germany and the like.
pub(crate) fn phones(text: &str) -> Vec<Range<usize>> {
    let is_phone = |number: &Number| {
        let (digits, lengths) = (number.digits(), number.lengths());
        let plus = text[number.range.clone()].starts_with('+');
        if plus {
            return (8..=15).contains(&digits.len()) && !digits.starts_with('0') && (lengths.len() > 1 || digits.len() >= 10);
        }
        let by = |allowed: &[&str]| number.between.iter().all(|between| allowed.contains(&between.as_str()));
        if lengths == [3, 3, 4] || lengths == [1, 3, 3, 4] && digits.starts_with('1') {
            let local = &digits[digits.len() - 10..];
            let marked = text[number.range.clone()].contains(['(', '-', '.']) && by(&[" ", "-", ".", ") ", ")", " (", "-("]);
            // 555-0100 to 555-0199 are nobody's.
            return marked && local.as_bytes()[0] > b'1' && local.as_bytes()[3] > b'1' && !local[3..].starts_with("55501");
        }
        let date = lengths.len() > 2 && lengths[..3] == [2, 2, 4];
        let counted = number.groups.windows(2).all(|pair| pair[0].parse::<u64>().ok().map(|n| n + 1) == pair[1].parse().ok());
        let national = digits.starts_with('0') && !digits.starts_with("00") && (9..=12).contains(&digits.len());
        national
            && (2..=6).contains(&lengths.len())
            && lengths.iter().all(|length| *length >= 2)
            && by(&[" ", "-", "/", ") "])
            && !date
            && !counted
    };
    ranges(text, is_phone)
}

/// Numbers of payment cards: a known beginning and length, and Luhn's sum.
pub(crate) fn cards(text: &str) -> Vec<Range<usize>> {
    let groups = [&[4, 4, 4, 4][..], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3]];
    let mut found = Vec::new();
    for number in numbers(text) {
        let lengths = number.lengths();
        // In groups as on a card, perhaps with its date behind, or in one.
        let size = match groups.iter().filter(|form| lengths.starts_with(form)).map(|form| form.len()).max() {
            Some(size) => size,
            None if lengths[0] > 12 => 1,
            None => continue,
        };
        let digits = number.groups[..size].concat();
        let between = &number.between[..size - 1];
        let even = between.iter().all(|sign| sign == &between[0] && [" ", "-"].contains(&sign.as_str()));
        let end = number.first + digits.len() + between.len();
        let range = number.first..end;
        let alone = stands_alone(text, &(range.start..if size == lengths.len() { end } else { number.range.end }));
        if even && alone && is_card(&digits) {
            found.push(range);
        }
    }
    found
}

fn is_card(digits: &str) -> bool {
    let begins = |length: usize, from: u32, to: u32| digits[..length].parse().is_ok_and(|number: u32| (from..=to).contains(&number));
    let length = digits.len();
    let brand = match length {
        15 => begins(2, 34, 34) || begins(2, 37, 37),
        14 => begins(3, 300, 305) || begins(2, 36, 36) || begins(2, 38, 39),
        13 | 19 => begins(1, 4, 4) || length == 19 && begins(2, 62, 62),
        16 => {
            begins(1, 4, 4)
                || begins(2, 51, 55)
                || begins(4, 2221, 2720)
                || begins(4, 6011, 6011)
                || begins(3, 644, 659)
                || begins(4, 3528, 3589)
                || begins(2, 62, 62)
        }
        _ => false,
    };
    brand && luhn(digits) && digits.bytes().any(|digit| digit != digits.as_bytes()[length - 1])
}

/// Luhn's sum (ISO/IEC 7812-1): every second digit from the right is doubled.
fn luhn(digits: &str) -> bool {
    let digit = |(place, byte): (usize, u8)| match u32::from(byte - b'0') * if place % 2 == 1 { 2 } else { 1 } {
        high if high > 9 => high - 9,
        low => low,
    };
    digits.bytes().rev().enumerate().map(digit).sum::<u32>().is_multiple_of(10)
}

/// Bank accounts: a country, its length, and the remainder 1 of ISO 7064 mod 97.
pub(crate) fn ibans(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found: Vec<Range<usize>> = Vec::new();
    for start in 0..bytes.len().saturating_sub(14) {
        let head = bytes[start..start + 2].iter().all(u8::is_ascii_uppercase) && bytes[start + 2..start + 4].iter().all(u8::is_ascii_digit);
        let joined = start > 0 && (bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'_');
        if !head || joined {
            continue;
        }
        let country = &text[start..start + 2];
        let Some(length) = IBAN.split_whitespace().find_map(|one| one.strip_prefix(country)?.parse::<usize>().ok()) else { continue };
        let (mut letters, mut end) = (String::new(), start);
        while letters.len() < length {
            match bytes.get(end) {
                Some(byte) if byte.is_ascii_uppercase() || byte.is_ascii_digit() => letters.push(char::from(*byte)),
                Some(b' ') if letters.len().is_multiple_of(4) && bytes[end - 1] != b' ' => {}
                _ => break,
            }
            end += 1;
        }
        let whole = letters.len() == length && !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric);
        if whole && mod_97(&letters) {
            found.push(start..end);
        }
    }
    found
}

fn mod_97(letters: &str) -> bool {
    let turned = letters[4..].chars().chain(letters[..4].chars());
    let digits = turned.filter_map(|c| c.to_digit(36));
    digits.fold(0u32, |rest, digit| (rest * if digit > 9 { 100 } else { 10 } + digit) % 97) == 1
}

/// Whether a text ends with a word of ASCII, in small letters or capitals, and white space.
fn follows_word(text: &str, word: &str) -> bool {
    let text = text.trim_end().as_bytes();
    text.len().checked_sub(word.len()).is_some_and(|start| text[start..].eq_ignore_ascii_case(word.as_bytes()))
}

/// Public addresses of networks. Four small numbers are taken for a version.
pub(crate) fn addresses(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let word = |c: char| c.is_ascii_alphanumeric() || ".:_-".contains(c);
    let mut start = 0;
    for part in text.split(|c: char| !word(c)) {
        let place = start;
        start = place + part.len() + text[place + part.len()..].chars().next().map_or(0, char::len_utf8);
        let bare = part.trim_end_matches(['.', ':', '-']);
        // A port may stand behind.
        let four = bare.split_once(':').map_or(bare, |(host, _)| host);
        if let Ok(address) = four.parse::<Ipv4Addr>() {
            let version = address.octets().iter().all(|part| *part <= 20) || follows_word(&text[..place], "version");
            let shared = address.octets()[0] == 100 && (64..128).contains(&address.octets()[1]);
            let own = address.is_private() || address.is_loopback() || address.is_link_local() || shared;
            let nobody = address.is_documentation() || address.is_broadcast() || address.is_multicast() || address.octets()[0] == 0;
            if !(version || own || nobody) {
                found.push(place..place + four.len());
            }
        } else if bare.matches(':').count() >= 2
            && let Ok(address) = bare.parse::<Ipv6Addr>()
        {
            let groups = address.segments();
            let global = groups[0] & 0xe000 == 0x2000 && !(groups[0] == 0x2001 && groups[1] == 0xdb8);
            if global && bare.matches(|c: char| c.is_ascii_digit()).count() >= 3 {
                found.push(place..place + bare.len());
            }
        }
    }
    found
}

fn ranges(text: &str, keep: impl Fn(&Number) -> bool) -> Vec<Range<usize>> {
    let alone = numbers(text).into_iter().filter(|number| stands_alone(text, &number.range));
    alone.filter(keep).map(|number| number.range).collect()
}
