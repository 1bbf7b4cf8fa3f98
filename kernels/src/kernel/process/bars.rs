//! What indicatif writes to a terminal → one picture, redrawn in place: a test of `screen`.

use crate::kernel::messages::screen::{HEIGHT, Screen, Shown, WIDTH};
use crate::system::terminal;

/// What indicatif itself writes to a terminal, while `draw` runs.
fn bytes_of(draw: impl FnOnce(&indicatif::MultiProgress)) -> String {
    let (ours, theirs) = terminal::open(HEIGHT as u16, WIDTH as u16).unwrap();
    let theirs = std::fs::File::from(theirs);
    let reader = std::thread::spawn(move || {
        let (mut ours, mut bytes) = (ours, Vec::new());
        // A terminal without another end is an error, not the end of a file.
        let _ = std::io::Read::read_to_end(&mut ours, &mut bytes);
        bytes
    });
    let term = console::Term::read_write_pair(theirs.try_clone().unwrap(), theirs);
    let bars = indicatif::MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::term_like_with_hz(Box::new(term), 100));
    draw(&bars);
    drop(bars);
    String::from_utf8(reader.join().unwrap()).unwrap()
}

#[test]
fn the_bytes_of_indicatif_are_redrawn_in_place() {
    let bytes = bytes_of(|bars| {
        let (first, second) = (bars.add(indicatif::ProgressBar::new(20)), bars.add(indicatif::ProgressBar::new(10)));
        for step in 0..20 {
            first.inc(1);
            second.inc(step % 2);
            std::thread::sleep(std::time::Duration::from_millis(15));
        }
        first.finish();
        second.finish();
    });
    assert!(bytes.contains("\x1b["), "{bytes:?}");
    let mut screen = Screen::default();
    let mut shown: Vec<Shown> = Vec::new();
    // In pieces, as a pipe delivers them.
    for piece in bytes.split_inclusive("20 ") {
        shown.extend(screen.push(piece, true));
    }
    let pictures: Vec<&String> =
        shown.iter().filter_map(|shown| if let Shown::Draw { text, .. } = shown { Some(text) } else { None }).collect();
    let last: Vec<&str> = pictures.last().expect("a picture").lines().map(str::trim_end).collect();
    assert!(matches!(last[..], [first, second] if first.ends_with(" 20/20") && second.ends_with(" 10/10")), "{last:?}");
    assert_eq!(shown.iter().filter(|shown| matches!(shown, Shown::Draw { first: true, .. })).count(), 1);
}
