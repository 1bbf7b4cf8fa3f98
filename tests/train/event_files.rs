//! TensorBoard's event files, parsed back: framing, checksums, scalars. TensorBoard 2.21 reads them as well (tried by hand).

use std::collections::BTreeMap;

use finetuning::train::log::tensorboard::EventFile;
use finetuning::util::crc32c::masked;
use finetuning::*;

use crate::support::{fresh_folder, tiny_model, tiny_rows};

/// Records of an event file, checksums checked: (step, scalars by tag).
fn events(bytes: &[u8]) -> Result<Vec<(u64, BTreeMap<String, f32>)>> {
    let bad = |what: &str| Error::new(ErrorKind::File, what.to_string());
    let (mut rest, mut found) = (bytes, Vec::new());
    while !rest.is_empty() {
        let (length, crc) = (&rest[..8], u32::from_le_bytes(rest[8..12].try_into().unwrap()));
        if masked(length) != crc {
            return Err(bad("length"));
        }
        let count = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let event = &rest[12..12 + count];
        if masked(event) != u32::from_le_bytes(rest[12 + count..16 + count].try_into().unwrap()) {
            return Err(bad("event"));
        }
        rest = &rest[16 + count..];
        let mut one = (0, BTreeMap::new());
        for (number, value) in fields(event) {
            match number {
                2 => one.0 = varint(&mut &value[..]),
                5 => {
                    for (_, value) in fields(&value) {
                        let parts: BTreeMap<u64, Vec<u8>> = fields(&value).into_iter().collect();
                        let tag = String::from_utf8(parts[&1].clone()).unwrap();
                        one.1.insert(tag, f32::from_le_bytes(parts[&2][..].try_into().unwrap()));
                    }
                }
                _ => {}
            }
        }
        found.push(one);
    }
    Ok(found)
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

/// The fields of a protocol buffer's message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let count = match key & 7 {
            0 => bytes.iter().position(|byte| *byte < 0x80).unwrap() + 1,
            1 => 8,
            5 => 4,
            _ => varint(&mut bytes) as usize,
        };
        found.push((key >> 3, bytes[..count].to_vec()));
        bytes = &bytes[count..];
    }
    found
}

#[test]
fn tensorboard_files_hold_the_logs() {
    let folder = fresh_folder();
    let own = TrainingArguments {
        output_dir: folder.clone(),
        max_steps: 4,
        logging_steps: 2,
        eval_steps: 3,
        report_to: vec!["tensorboard".into()],
        disable_tqdm: true,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&tiny_model(1), own, tiny_rows(8), tiny_rows(2)).unwrap();
    trainer.train().unwrap();
    let run = std::fs::read_dir(folder.join("runs")).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(run).unwrap().next().unwrap().unwrap().path();
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    let bytes = std::fs::read(file).unwrap();
    let found = events(&bytes).unwrap();
    assert_eq!(
        found.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [0, 2, 3, 4, 4, 4],
        "version, log, evaluation, log, the last step's evaluation, end"
    );
    let log = &trainer.state().log_history;
    assert_eq!(found[1].1["train/loss"], log[0]["loss"].as_f64().unwrap() as f32);
    assert_eq!(found[1].1.keys().collect::<Vec<_>>(), ["train/epoch", "train/grad_norm", "train/learning_rate", "train/loss"]);
    assert_eq!(found[2].1["eval/loss"], log[1]["eval_loss"].as_f64().unwrap() as f32);
    assert!(found[5].1.contains_key("train/train_loss"));
    // Any flipped bit is found.
    for place in [0, 9, 20, bytes.len() - 1] {
        let mut other = bytes.clone();
        other[place] ^= 4;
        assert!(std::panic::catch_unwind(|| events(&other)).map_or(true, |events| events.is_err()), "byte {place}");
    }
    let mut long = EventFile::create(&fresh_folder()).unwrap();
    long.scalars(300, [("a tag longer than one hundred and twenty-seven letters, so that its length takes two bytes of a variable-length number in the file", 0.5)]).unwrap();
    assert_eq!(events(&std::fs::read(long.path()).unwrap()).unwrap()[1].0, 300);
}
