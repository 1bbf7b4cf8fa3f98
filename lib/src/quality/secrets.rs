//! A text → the secrets in it: keys of the usual services, tokens, private keys.

use std::ops::Range;

/// A service, how its keys begin, how many characters follow (at least, at most), and which beside letters and digits.
const KEYS: [(&str, &str, usize, usize, &str); 20] = [
    ("key of OpenAI, Anthropic or the like", "sk-", 20, 300, "-_"),
    ("token of GitHub", "ghp_", 36, 36, ""),
    ("token of GitHub", "gho_", 36, 36, ""),
    ("token of GitHub", "ghu_", 36, 36, ""),
    ("token of GitHub", "ghs_", 36, 36, ""),
    ("token of GitHub", "ghr_", 36, 76, ""),
    ("token of GitHub", "github_pat_", 50, 100, "_"),
    ("token of GitLab", "glpat-", 20, 60, "-_"),
    ("key of AWS", "AKIA", 16, 16, ""),
    ("key of AWS", "ASIA", 16, 16, ""),
    ("key of Google", "AIza", 35, 35, "-_"),
    ("token of Slack", "xoxb-", 20, 200, "-"),
    ("token of Slack", "xoxp-", 20, 200, "-"),
    ("token of Slack", "xoxa-", 20, 200, "-"),
    ("token of Slack", "xoxr-", 20, 200, "-"),
    ("token of Slack", "xoxs-", 20, 200, "-"),
    ("token of Hugging Face", "hf_", 30, 40, ""),
    ("key of Stripe", "sk_live_", 20, 200, ""),
    ("key of Stripe", "rk_live_", 20, 200, ""),
    ("key of Stripe", "sk_test_", 20, 200, ""),
];
const BEGIN: &str = "-----BEGIN ";
const PRIVATE: &str = "PRIVATE KEY-----";
/// Characters of the line that begins a private key.
const LABEL: usize = 64;

/// All secrets of a text, each with the service that it opens.
pub(crate) fn secrets(text: &str) -> Vec<(&'static str, Range<usize>)> {
    let mut found = Vec::new();
    for (service, prefix, least, most, signs) in KEYS {
        for (start, _) in text.match_indices(prefix).filter(|(start, _)| begins(text, *start)) {
            let rest = &text[start + prefix.len()..];
            let length =
                rest.bytes().take(most + 1).take_while(|byte| byte.is_ascii_alphanumeric() || signs.as_bytes().contains(byte)).count();
            let length = rest[..length].trim_end_matches(['-', '_']).len();
            if (least..=most).contains(&length) && is_random(prefix, &rest[..length]) {
                found.push((service, start..start + prefix.len() + length));
            }
        }
    }
    found.extend(tokens(text).into_iter().map(|range| ("JSON web token", range)));
    for (start, _) in text.match_indices(BEGIN) {
        // What stands behind is short: `RSA`, `OPENSSH`, `ENCRYPTED`.
        let named = start + BEGIN.len();
        let line = text[named..]
            .char_indices()
            .take(LABEL)
            .take_while(|(_, c)| *c != '\n')
            .last()
            .map_or(named, |(at, c)| named + at + c.len_utf8());
        let Some(head) = text[named..line].find(PRIVATE).map(|at| named + at + PRIVATE.len()) else { continue };
        // To the end of its last line, or of the text where it was cut off.
        let end = text[head..].find(PRIVATE).map_or(text.len(), |end| head + end + PRIVATE.len());
        found.push(("private key", start..end));
    }
    found
}

/// Whether no longer word holds the place.
fn begins(text: &str, start: usize) -> bool {
    !text[..start].ends_with(|c: char| c.is_alphanumeric() || "_-".contains(c))
}

/// Whether characters were drawn, not written: many different ones, and not those of an example.
fn is_random(prefix: &str, rest: &str) -> bool {
    let mut distinct: Vec<u8> = rest.bytes().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let any = |is: fn(&u8) -> bool| rest.as_bytes().iter().any(is);
    let (upper, lower, digit) = (any(u8::is_ascii_uppercase), any(u8::is_ascii_lowercase), any(u8::is_ascii_digit));
    let mixed = match prefix {
        "AKIA" | "ASIA" => upper && !lower && !rest.ends_with("EXAMPLE"),
        "hf_" => upper && lower,
        prefix if prefix.starts_with("xox") => digit,
        "sk-" => upper && lower && digit,
        _ => digit && (upper || lower),
    };
    mixed && distinct.len() >= 8 && !rest.to_lowercase().contains("example") && !rest.to_lowercase().contains("xxxx")
}

/// JSON web tokens: three parts in base64, of which the first two are objects, `{"` being `eyJ`.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("eyJ").filter(|(start, _)| begins(text, *start)) {
        // Three parts, and a fourth to tell that it is none.
        let mut dots = 0;
        let mut part = |byte: &u8| {
            dots += usize::from(*byte == b'.');
            (byte.is_ascii_alphanumeric() || b"-_.".contains(byte)) && dots < 4
        };
        let length = text.as_bytes()[start..].iter().take_while(|byte| part(byte)).count();
        let token = text[start..start + length].trim_end_matches('.');
        let parts: Vec<&str> = token.split('.').collect();
        if let [head, claims, signature] = parts[..]
            && head.len() >= 12
            && claims.starts_with("eyJ")
            && signature.len() >= 20
        {
            found.push(start..start + token.len());
        }
    }
    found
}
