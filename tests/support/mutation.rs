//! A corpus and a seed → an input that no reader has seen: bytes, numbers and JSON changed at random, the same for the same seed.

use serde_json::{Map, Value, json};

/// Random numbers from a seed (SplitMix64).
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`, which is at least 1.
    pub fn below(&mut self, count: usize) -> usize {
        (self.bits() % count.max(1) as u64) as usize
    }

    /// One of several.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A file of a corpus.
pub struct Seed {
    /// Which file of its folder it is, such as `config.json`.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    value: Option<Value>,
}

impl Seed {
    /// A file by its name and bytes.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self { name: name.into(), value: serde_json::from_slice(&bytes).ok(), bytes }
    }
}

/// Numbers at the edges of types and formats.
const EDGES: [u64; 22] = [
    0,
    1,
    2,
    3,
    7,
    31,
    127,
    128,
    255,
    256,
    4095,
    65_535,
    10_000_000,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 53,
    1 << 60,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX,
];

/// The file that comes of `seed`, and the words that may be put into texts besides.
pub fn input(corpus: &[Seed], words: &[&str], seed: u64) -> (String, Vec<u8>) {
    let mut random = Random::new(seed);
    let from = random.one(corpus);
    let mut bytes = match &from.value {
        Some(value) if random.below(4) > 0 => {
            let mut value = value.clone();
            for _ in 0..=random.below(5) / 3 {
                change_value(&mut value, corpus, &mut random);
            }
            let text = value.to_string();
            if random.below(8) == 0 { twice(&text, &mut random) } else { text }.into_bytes()
        }
        _ => from.bytes.clone(),
    };
    if from.value.is_none() || random.below(4) == 0 {
        for _ in 0..=random.below(3) {
            change_bytes(&mut bytes, corpus, words, &mut random);
        }
    }
    (from.name.clone(), bytes)
}

/// A value that few writers write.
fn extreme(random: &mut Random) -> Value {
    match random.below(12) {
        0..4 => (*random.one(&EDGES)).into(),
        4 => (-(*random.one(&EDGES) as i64 & i64::MAX)).into(),
        5 => (*random.one(&[1.5, -0.5, 1e308, -1e308, 5e-324, 1e-30, 1e30, 0.1])).into(),
        6 => (*random.one(&["", "a", "\u{0}", "\u{fffd}", "é", "none", "../..", "/dev/zero", "NaN", "-1"])).into(),
        7 => "x".repeat(1 + random.below(2000)).into(),
        8 => (*random.one(&[true, false])).into(),
        9 => random.one(&[Value::Null, json!([]), json!({}), json!([[]])]).clone(),
        10 => {
            let mut deep = json!(1);
            for _ in 0..random.below(260) {
                deep = if random.below(2) == 0 { json!([deep]) } else { json!({ "a": deep }) };
            }
            deep
        }
        _ => vec![json!(1); random.below(300)].into(),
    }
}

/// Changes one place of a value: all levels are equally likely.
fn change_value(value: &mut Value, corpus: &[Seed], random: &mut Random) {
    let children = match &*value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    if children == 0 || random.below(5) == 0 {
        *value = match random.below(6) {
            0 => corpus[random.below(corpus.len())].value.as_ref().map_or(Value::Null, |other| part(other, random)),
            _ => extreme(random),
        };
        return;
    }
    let place = random.below(children);
    match (value, random.below(8)) {
        (Value::Array(items), 0) => drop(items.remove(place)),
        (Value::Array(items), 1) => items.insert(random.below(children), items[place].clone()),
        (Value::Array(items), _) => change_value(&mut items[place], corpus, random),
        (Value::Object(fields), choice) => change_field(fields, place, choice, corpus, random),
        _ => {}
    }
}

fn change_field(fields: &mut Map<String, Value>, place: usize, choice: usize, corpus: &[Seed], random: &mut Random) {
    let names: Vec<String> = fields.keys().cloned().collect();
    let name = &names[place];
    match choice {
        0 => drop(fields.remove(name)),
        1 => {
            let other = fields[random.one(&names)].clone();
            fields.insert(name.clone(), other);
        }
        2 => {
            let value = fields.remove(name).unwrap_or_default();
            fields.insert(format!("{name}_"), value);
        }
        _ => change_value(&mut fields[name], corpus, random),
    }
}

/// Some part of a value.
fn part(value: &Value, random: &mut Random) -> Value {
    let inner: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    };
    if inner.is_empty() || random.below(3) == 0 { value.clone() } else { part(inner[random.below(inner.len())], random) }
}

/// A key of the text a second time, with another value.
fn twice(text: &str, random: &mut Random) -> String {
    let keys: Vec<usize> = text.match_indices("\":").map(|(at, _)| at).collect();
    let Some(end) = (!keys.is_empty()).then(|| *random.one(&keys)) else { return text.to_string() };
    let Some(start) = text[..end].rfind('"') else { return text.to_string() };
    format!("{}{}\":{},{}", &text[..start], &text[start..end], extreme(random), &text[start..])
}

fn change_bytes(bytes: &mut Vec<u8>, corpus: &[Seed], words: &[&str], random: &mut Random) {
    if bytes.is_empty() {
        bytes.push(random.bits() as u8);
        return;
    }
    // Heads and tails say how the rest is read.
    let length = bytes.len();
    let at = match random.below(4) {
        0 => random.below(length.min(64)),
        1 => length - 1 - random.below(length.min(512)),
        _ => random.below(length),
    };
    let span = |random: &mut Random| at..(at + 1 + random.below(64)).min(length);
    let edge = *random.one(&EDGES);
    match random.below(13) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = *random.one(&[0, 1, 0x7f, 0x80, 0xff, b'{', b'[', b'"', b'-', b'9', b'\n', b',']),
        3 => bytes[at] = random.bits() as u8,
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(span(random))),
        6 => {
            let piece = bytes[span(random)].to_vec();
            let many = *random.one(&[1, 1, 2, 100]);
            bytes.splice(at..at, piece.repeat(many));
        }
        7 => {
            let other = &corpus[random.below(corpus.len())].bytes;
            let start = random.below(other.len());
            let piece = other[start..(start + 1 + random.below(256)).min(other.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        8 | 9 => {
            let number = edge.to_le_bytes();
            let width = *random.one(&[1, 2, 4, 8]);
            let end = (at + width).min(length);
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        10 => {
            // A number in a text.
            let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|skip| at + skip) else { return };
            let end = start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            bytes.splice(start..end, edge.to_string().into_bytes());
        }
        11 if !words.is_empty() => {
            let many = *random.one(&[1, 1, 1, 10, 2000]);
            let word = random.one(words).repeat(many);
            bytes.splice(at..at, word.into_bytes());
        }
        _ => {
            let random: Vec<u8> = (0..1 + random.below(16)).map(|_| random.bits() as u8).collect();
            bytes.splice(at..at, random);
        }
    }
}
