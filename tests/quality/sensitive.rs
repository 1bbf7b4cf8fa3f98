//! Personal data and secrets: each kind is found and masked; what only looks like one is left alone.

use finetuning::quality::sensitive::SensitiveKind;
use finetuning::*;

/// A key of this length that looks drawn, put together here so that no key stands in the repository.
fn key(prefix: &str, length: usize) -> String {
    let letters = b"aZ3kQ9xW7mB2vN8cL5tR1yH6pD4sF0gJuEiKoMwXqVzTnYbCrPlSdAfGhUjI";
    prefix.to_string() + &(0..length).map(|place| letters[place % letters.len()] as char).collect::<String>()
}

fn found(text: &str) -> Vec<(SensitiveKind, String)> {
    find_sensitive(text).into_iter().map(|one| (one.kind, text[one.range].to_string())).collect()
}

/// The kind is found, and nothing else of the sentence, whatever stands around it.
#[track_caller]
fn finds(kind: SensitiveKind, piece: &str) {
    for (before, after) in [("", ""), ("Call ", "."), ("(", ")"), ("it is: ", ", or not"), ("ü \"", "\"\n")] {
        let text = format!("{before}{piece}{after}");
        assert_eq!(found(&text), [(kind, piece.to_string())], "{text}");
        assert_eq!(mask_sensitive(&text), format!("{before}{}{after}", kind.mask()));
    }
}

#[test]
fn personal_data_is_found_and_masked() {
    use SensitiveKind::*;
    for email in ["ann@mail.de", "a.b-c+news@sub.domain.co.uk", "Ann_1%x@firm.museum", "jürgen@bücher.de"] {
        finds(Email, email);
    }
    for phone in ["+49 30 12345678", "+1 415-555-2671", "+442079460958", "415-555-2671", "1-415-555-2671", "030 12345678", "06 12 34 56 79"]
    {
        finds(Phone, phone);
    }
    assert_eq!(mask_sensitive("Call (415) 555-2671 or +1 (415) 555-2671."), "Call [PHONE] or [PHONE].");
    // Published test numbers of the brands.
    for card in
        ["4111 1111 1111 1111", "4111111111111111", "5555-5555-5555-4444", "3782 822463 10005", "6011000990139424", "3530111333300000"]
    {
        finds(Card, card);
    }
    assert_eq!(mask_sensitive("4111 1111 1111 1111 12/27"), "[CARD] 12/27");
    for iban in ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "FR14 2004 1010 0505 0001 3M02 606", "NL91ABNA0417164300"] {
        finds(Iban, iban);
    }
    for address in ["91.198.174.192", "185.15.59.224", "2a02:ec80:300:ed1a::1"] {
        finds(Address, address);
    }
}

#[test]
fn secrets_are_found_and_masked() {
    let keys = [
        key("sk-", 48),
        key("sk-proj-", 80),
        key("sk-ant-api03-", 90),
        key("ghp_", 36),
        key("gho_", 36),
        key("github_pat_", 82),
        key("AIza", 35),
        key("hf_", 34),
        key("sk_live_", 24),
        key("rk_live_", 30),
        key("glpat-", 20),
        key("xoxb-", 40),
        format!("AKIA{}", key("", 16).to_uppercase()),
        format!("{}.{}.{}", key("eyJ", 20), key("eyJ", 40), key("", 43)),
        format!("-----BEGIN RSA {0} KEY-----\nMIIE\n-----END RSA {0} KEY-----", "PRIVATE"),
    ];
    for key in &keys {
        finds(SensitiveKind::Secret, key);
    }
    assert_eq!(mask_sensitive(&format!("-----BEGIN {} KEY-----\ncut off", "PRIVATE")), "[SECRET]");
}

#[test]
fn what_only_looks_like_one_is_left_alone() {
    let texts = [
        // No address: no name, no end, a decorator, a file, a repository, a domain for examples.
        "a @ b, @property, ann@localhost, icon@2x.png, git@github.com:a/b.git, ann@example.com, x@y, foo@bar.test, @ann.de",
        // One digit of the checksum is wrong; too long; a number of something.
        "4111 1111 1111 1112, 5555-5555-5555-4445, 41111111111111111, 0000 0000 0000 0000, 1234567890123456",
        "DE89 3704 0044 0532 0130 01, GB82WEST12345698765433, XX89370400440532013000, DE8937040044053201300",
        // Versions, private and documentation addresses, paths of Rust.
        "version 91.198.174.192, 1.2.3.4, 127.0.0.1, 192.168.1.20, 10.0.0.255, 203.0.113.7, 256.1.1.1, 91.198.174, ::1, fe80::1, std::fs, dead::beef",
        // Dates, times, ISBN, amounts, numbers in a row, a range.
        "2024-01-15, 15.01.2024 10:30, 01/02/2024 10:30, 978-3-16-148410-0, 0-306-40615-2, 1,000,000,000, 3.14159265358979, 200 300 4000",
        "01 02 03 04 05, 1-2-3, 555-1234, 100-200-3000, 415-555-0123, 12345678901234567890, 0x1234567890, 2020-2024",
        // Names and examples, no keys.
        "sk-learn-is-a-name-of-a-library, task-list-of-long-things-to-do-today, sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx, sk-YOUR_API_KEY",
        "AKIAIOSFODNN7EXAMPLE, AKIA, ghp_short, hf_hub_download, hf_transfer, AIza, xoxb-your-token-goes-in-here, eyJhbGciOiJIUzI1NiJ9",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----, -----BEGIN CERTIFICATE-----",
    ];
    for text in texts {
        assert_eq!(found(text), [], "{text}");
    }
    // A longer word holds the beginning of a key.
    assert_eq!(found(&key("myghp_", 36)), []);
    assert_eq!(found(&key("ghp_", 37)), []);
}

#[test]
fn texts_of_the_lessons_hold_nothing_sensitive() {
    for name in ["lab_docs", "stories", "instructions"] {
        for example in load_dataset(&format!("builtin:{name}")).unwrap() {
            for (_, value) in example.fields() {
                let text = value.as_str().unwrap_or_default();
                assert_eq!(found(text), [], "{name}: {text}");
            }
        }
    }
}
