//! What comes to the ports from clients that nobody knows, and from those that do not read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::kernel;

/// What every client says first: that it speaks ZMTP 3.0 without security, and what it is.
fn hello(kind: &str) -> Vec<u8> {
    let mut hello = vec![0; 64];
    hello[..12].copy_from_slice(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0]);
    hello[12..16].copy_from_slice(b"NULL");
    let ready = [b"\x05READY\x0bSocket-Type\0\0\0".as_slice(), &[kind.len() as u8], kind.as_bytes()].concat();
    [hello, vec![4, ready.len() as u8], ready].concat()
}

fn client(port: u16, says: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // It may be sent away in the middle.
    let _ = client.write_all(says);
    client
}

/// Whether the kernel has closed the connection, after reading what it says.
fn is_sent_away(mut client: TcpStream) -> bool {
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    match client.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_frame_that_announces_too_much_is_refused_on_every_port() {
    let mut kernel = kernel();
    for (port, kind) in kernel.ports.into_iter().zip(["DEALER", "SUB", "DEALER", "DEALER", "REQ"]) {
        for announced in [1_u64 << 46, 1 << 62, (64 << 20) + 1] {
            let says = [hello(kind), vec![2], announced.to_be_bytes().to_vec()].concat();
            assert!(is_sent_away(client(port, &says)), "{announced} bytes on port {port}");
        }
        // The 73 bytes that ended the kernel once, without the rest of a handshake.
        let says = [&hello(kind)[..64], &[2], &(1_u64 << 46).to_be_bytes()].concat();
        assert!(is_sent_away(client(port, &says)));
    }
    assert_eq!(kernel.ask("kernel_info_request", json!({}))["status"], "ok");
    assert_eq!(kernel.run("1 + 1").result(), "2");
}

#[test]
fn a_subscriber_that_never_reads_stalls_nobody() {
    let mut kernel = kernel();
    let subscribe = [0, 1, 1].to_vec();
    let cell = "let line = \"x\".repeat(99_999); for _ in 0..400 { println!(\"{line}\"); }\n\"end\"";
    let alone = Instant::now();
    assert_eq!(kernel.run(cell).result(), "\"end\"");
    let alone = alone.elapsed();
    let _deaf: Vec<TcpStream> = (0..3).map(|_| client(kernel.ports[1], &[hello("SUB"), subscribe.clone()].concat())).collect();
    let start = Instant::now();
    let run = kernel.run(cell);
    assert_eq!(run.stdout().len(), 400 * 100_000);
    assert_eq!(run.result(), "\"end\"");
    // Once each of the 400 lines waited for seconds.
    assert!(start.elapsed() < 50 * alone, "{:?}, and {alone:?} without them", start.elapsed());
    assert_eq!(kernel.ask("kernel_info_request", json!({}))["status"], "ok");
}

#[test]
fn a_message_that_is_sent_again_does_not_run_again() {
    let mut kernel = kernel();
    kernel.run("let mut runs = 0;").expect_ok();
    kernel.run_twice("runs += 1;").expect_ok();
    assert_eq!(kernel.run("runs").result(), "1");
}

#[test]
fn noise_on_every_port_leaves_the_kernel_alive() {
    let mut kernel = kernel();
    // SplitMix64; the same noise each time.
    let mut state = 19_u64;
    let mut bits = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) as usize
    };
    for number in 0..500 {
        let place = number % 5;
        let mut says = hello(["DEALER", "SUB", "DEALER", "ROUTER", "REQ"][place]);
        for _ in 0..bits() % 5 {
            let body: Vec<u8> = (0..bits() % 200).map(|_| bits() as u8).collect();
            says.extend([&[(bits() % 8) as u8 & 5, body.len() as u8][..], &body].concat());
        }
        for _ in 0..bits() % 3 {
            let change = bits() % says.len();
            says[change] = bits() as u8;
        }
        drop(client(kernel.ports[place], &says));
    }
    assert_eq!(kernel.ask("kernel_info_request", json!({}))["status"], "ok");
    assert_eq!(kernel.ask_control("kernel_info_request", json!({}))["status"], "ok");
    assert_eq!(kernel.run("1 + 2").result(), "3");
}
