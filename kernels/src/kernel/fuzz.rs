//! Changed marks, frames and messages → each is taken for what it is, in the tests alone: text stays text, nothing beyond a limit
//! passes, and nothing panics.
//!
//! `FINETUNING_FUZZ=1000000` tries as many of each kind. `tests/kernel/border.rs` sends some of the same to a real kernel.

#[path = "../../../tests/support/mutation.rs"]
mod mutation;

use std::io::ErrorKind;
use std::sync::Arc;

use jupyter_zmq_client::RawMessage;
use serde_json::json;

use crate::kernel::marks::Marks;
use crate::kernel::process::frames::{ControlFrame, Scanner};
use crate::kernel::process::lines::{escape, escape_json, unescape};
use crate::kernel::protocol::passage::{COMMAND, HANDSHAKE, Inward, MESSAGE};
use crate::kernel::protocol::wire::Request;
use mutation::{Random, Seed, input};

/// How many inputs of a kind are tried.
fn count() -> u64 {
    std::env::var("FINETUNING_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(40_000)
}

/// What looks like a mark, whole or in pieces, to whoever does not know the secret.
const PIECES: [&str; 21] = [
    "EVCXR_INPUT_REQUEST:name",
    "\x02K",
    "\x02K0123456789abcdef0123456789abcdee",
    "\x02K{\"done\":true}\n",
    "\x02Xno\x03",
    "\x02O",
    "EVCXR_",
    "EVCXR_BEGIN_CONTENT",
    "EVCXR_BEGIN_CONTENT text/html\n",
    "\nEVCXR_END_CONTENT\n",
    "EVCXR_PANIC_NOTIFICATION\n",
    "EVCXR_EXECUTION_COMPLETE\n",
    "EVCXR_VARIABLE_CHANGED_TYPE:x\n",
    "f00dfacef00dfacef0",
    "é",
    "\u{1f980}",
    "\n",
    "\r",
    "\\n",
    "\0",
    "a row of data",
];

/// The text and the other frames of what a scanner is given in pieces of any length.
fn scanned(bytes: &[u8], random: &mut Random) -> (String, Vec<ControlFrame>) {
    let (mut scanner, mut rest) = (Scanner::new(&Marks::for_tests()), bytes);
    let (mut text, mut others) = (String::new(), Vec::new());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 + random.below(rest.len()));
        rest = after;
        let mut found = scanner.push(piece);
        // Nothing came for as long as the scanner is patient.
        if scanner.patience().is_some() && random.below(4) == 0 {
            found.extend(scanner.give_up());
        }
        found.extend(if rest.is_empty() { scanner.give_up() } else { Vec::new() });
        for frame in found {
            match frame {
                ControlFrame::Text(more) => text += &more,
                // Shown as text unless the cell waits.
                ControlFrame::Question(line) => text += &(line + "\n"),
                other => others.push(other),
            }
        }
    }
    (text, others)
}

#[test]
fn whoever_does_not_know_the_secret_writes_text() {
    for number in 1..=count() {
        let mut random = Random::new(number);
        let mut bytes: Vec<u8> = (0..random.below(12)).flat_map(|_| random.one(&PIECES).as_bytes().to_vec()).collect();
        if random.below(2) == 0 && !bytes.is_empty() {
            let place = random.below(bytes.len());
            bytes[place] = random.bits() as u8;
        }
        let (text, others) = scanned(&bytes, &mut random);
        assert_eq!(others, [], "input {number}");
        // A character that is given up in the middle is shown as two broken ones.
        let plain = |text: &str| text.replace('\u{fffd}', "");
        match std::str::from_utf8(&bytes) {
            Ok(whole) if !text.contains('\u{fffd}') => assert_eq!(text, whole, "input {number}"),
            _ => assert!(plain(&text).len() <= bytes.len(), "input {number}"),
        }
        assert_eq!(unescape(&escape(&text)), text);
        assert!(!escape(&text).contains(['\n', '\r']) && !escape(&text).contains("EVCXR_"));
        let record = json!({ "data": text });
        assert!(
            !escape_json(&record).contains("EVCXR_") && serde_json::from_str::<serde_json::Value>(&escape_json(&record)).unwrap() == record
        );
    }
}

#[test]
fn the_marks_between_any_text_are_all_found() {
    let marks = Marks::for_tests();
    for number in 1..=count() / 5 {
        let mut random = Random::new(number ^ 0xf00d);
        let (mut bytes, mut records) = (Vec::new(), 0);
        for _ in 0..random.below(12) {
            // A block of the cell without an end is text up to the mark.
            let piece = if random.below(8) == 0 { marks.word() } else { random.one(&PIECES) };
            bytes.extend(piece.as_bytes());
            if random.below(3) == 0 {
                bytes.extend(format!("{}{{\"number\":{records}}}\n", marks.prefix()).as_bytes());
                records += 1;
            }
        }
        let (mut scanner, mut found) = (Scanner::new(&marks), Vec::new());
        for piece in bytes.chunks(1 + random.below(40)) {
            found.extend(scanner.push(piece));
        }
        found.extend(scanner.give_up());
        let found: Vec<_> =
            found.into_iter().filter_map(|frame| if let ControlFrame::Record(json) = frame { Some(json) } else { None }).collect();
        let expected: Vec<_> = (0..records).map(|record| format!("{{\"number\":{record}}}")).collect();
        assert_eq!(found, expected, "input {number}");
    }
}

#[test]
fn no_frame_beyond_a_limit_passes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut passed, count) = (0, count());
    for number in 1..=count {
        let mut random = Random::new(number ^ 0xfeed);
        let mut bytes = vec![0xff; 64];
        for _ in 0..random.below(6) {
            let flags = *random.one(&[0, 1, 2, 3, 4, 6]);
            let body = vec![7; random.below(300)];
            match flags & 2 {
                0 => bytes.extend([&[flags, body.len() as u8][..], &body[..body.len() & 255]].concat()),
                _ => bytes.extend([&[flags][..], &(body.len() as u64).to_be_bytes(), &body].concat()),
            }
        }
        for _ in 0..random.below(4) {
            let place = random.below(bytes.len());
            bytes[place] = random.bits() as u8;
        }
        let mut out = Vec::new();
        let error = runtime.block_on(Inward::new(&bytes[..], &mut out, Arc::default()).pass(HANDSHAKE)).unwrap_err();
        assert!([ErrorKind::InvalidData, ErrorKind::UnexpectedEof].contains(&error.kind()), "input {number}: {error}");
        assert!(bytes.starts_with(&out), "input {number}");
        // What passed is frames within the limits, the last perhaps cut off.
        let mut rest = out.get(64..).unwrap_or_default();
        let mut message = 0;
        while let [flags, short, ..] = *rest {
            let (head, length) = match flags & 2 {
                0 => (2, u64::from(short)),
                _ => (9, u64::from_be_bytes(rest[1..9].try_into().unwrap())),
            };
            message = if flags & 4 != 0 { message } else { message + length };
            assert!(flags <= 7 && message <= MESSAGE && (flags & 4 == 0 || length <= COMMAND), "input {number}");
            message = if flags & 1 == 0 && flags & 4 == 0 { 0 } else { message };
            rest = rest.get(head + length as usize..).unwrap_or_default();
            passed += 1;
        }
    }
    assert!(passed > count, "{passed} frames of {count} inputs passed");
}

#[test]
fn any_json_is_a_request_or_refused() {
    let header = json!({ "msg_id": "a", "msg_type": "execute_request", "session": "s", "username": "u", "version": "5.4", "date": "2026-11-30T12:00:00Z" });
    let corpus = [
        Seed::new("header", header.to_string()),
        Seed::new("content", json!({ "code": "1", "silent": false, "cursor_pos": 1 }).to_string()),
    ];
    let (replies, _queue) = tokio::sync::mpsc::unbounded_channel();
    let (mut read, count) = (0, count() / 3);
    for number in 1..=count {
        let parts = (0..4)
            .map(|part| if part % 3 == 0 { input(&corpus, &["[", "{\"a\":", "\\ud800"], number * 4 + part).1 } else { b"{}".to_vec() });
        let raw = RawMessage { zmq_identities: vec![], jparts: parts.map(Into::into).collect() };
        let Ok(request) = Request::decode(raw, &replies) else { continue };
        let _ = (request.text("code"), request.flag("silent", true), request.number("cursor_pos", 0), request.parent_id());
        request.reply(json!({ "status": "ok" }));
        read += 1;
    }
    assert!(read > count / 20, "{read} of {count} were read");
    assert!(
        Request::decode(
            RawMessage { zmq_identities: vec![], jparts: vec!["[".repeat(100_000).into(), "{}".into(), "{}".into(), "{}".into()] },
            &replies
        )
        .is_err()
    );
}
