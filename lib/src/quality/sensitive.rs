//! A text → what in it should be neither learnt nor shown, and the text with masks in its place.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::quality::personal::{addresses, cards, emails, ibans, phones};
use crate::quality::secrets::secrets;

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SensitiveKind {
    /// A key or token of a service, or a private key; which says [`Sensitive::what`].
    Secret,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// The number of a payment card, its checksum right.
    Card,
    /// A bank account, its checksum right.
    Iban,
    /// A public address of a network.
    Address,
}

impl SensitiveKind {
    /// What stands in its place.
    pub fn mask(self) -> &'static str {
        match self {
            Self::Secret => "[SECRET]",
            Self::Email => "[EMAIL]",
            Self::Phone => "[PHONE]",
            Self::Card => "[CARD]",
            Self::Iban => "[IBAN]",
            Self::Address => "[IP]",
        }
    }
}

/// A piece of text that is a secret or personal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sensitive {
    /// What it is.
    pub kind: SensitiveKind,
    /// The same in words: `e-mail address`, `key of AWS`.
    pub what: &'static str,
    /// Where it stands, in bytes.
    pub range: Range<usize>,
}

/// Secrets and personal data of a text, in the order in which they stand there; none overlap.
pub fn find_sensitive(text: &str) -> Vec<Sensitive> {
    let mut found: Vec<Sensitive> =
        secrets(text).into_iter().map(|(what, range)| Sensitive { kind: SensitiveKind::Secret, what, range }).collect();
    let mut add = |kind, what, ranges: Vec<Range<usize>>| {
        found.extend(ranges.into_iter().map(|range| Sensitive { kind, what, range }));
    };
    if text.contains('@') {
        add(SensitiveKind::Email, "e-mail address", emails(text));
    }
    if text.bytes().filter(u8::is_ascii_digit).count() >= 4 {
        add(SensitiveKind::Iban, "IBAN", ibans(text));
        add(SensitiveKind::Card, "card number", cards(text));
        add(SensitiveKind::Address, "address of a network", addresses(text));
        add(SensitiveKind::Phone, "phone number", phones(text));
    }
    // Of two that overlap the first in this list stays: it is the surer one.
    let mut kept: BTreeMap<usize, Sensitive> = BTreeMap::new();
    for one in found {
        // None that is kept overlaps another, so the last that begins before its end ends last.
        if kept.range(..one.range.end).next_back().is_none_or(|(_, other)| other.range.end <= one.range.start) {
            kept.insert(one.range.start, one);
        }
    }
    kept.into_values().collect()
}

/// The text with `[EMAIL]`, `[SECRET]` and their like in place of what [`find_sensitive`] finds.
pub fn mask_sensitive(text: &str) -> String {
    let (mut masked, mut end) = (String::with_capacity(text.len()), 0);
    for Sensitive { kind, range, .. } in find_sensitive(text) {
        masked.push_str(&text[end..range.start]);
        masked.push_str(kind.mask());
        end = range.end;
    }
    masked + &text[end..]
}
