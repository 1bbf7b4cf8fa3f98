//! A loop → one bar that fills while it runs: `for row in tqdm(&rows)`, the name that Python's users know.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::display::output::{LiveDisplay, Show, in_our_kernel};

/// Between two drawings of a bar.
const PAUSE: Duration = Duration::from_millis(100);
/// In a log, a line for each such share of the loop.
const SHARES: usize = 4;

/// The items of a loop, with a bar that shows how far it is: one that fills in a notebook, a line that is written over in a
/// terminal, and at most five lines in a log.
pub fn tqdm<I: IntoIterator>(items: I) -> Tqdm<I::IntoIter> {
    let items = items.into_iter();
    let (least, most) = items.size_hint();
    let bar = Bar { done: 0, all: most.filter(|most| *most == least), started: Instant::now(), seconds: 0.0 };
    Tqdm { items, bar, display: LiveDisplay::new(), drawn: None, said: 0, over: false }
}

/// A loop with a bar; see [`tqdm`].
#[derive(Debug)]
pub struct Tqdm<I> {
    items: I,
    bar: Bar,
    display: LiveDisplay,
    drawn: Option<Instant>,
    /// Shares of the loop that a log has a line for.
    said: usize,
    over: bool,
}

/// How far a loop is.
#[derive(Debug, Clone)]
struct Bar {
    done: usize,
    all: Option<usize>,
    started: Instant,
    seconds: f64,
}

impl<I: Iterator> Iterator for Tqdm<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.items.next();
        match item {
            Some(_) if self.drawn.is_none() => self.draw(false),
            Some(_) => {
                self.bar.done += 1;
                self.draw(false);
            }
            None if !self.over => {
                self.bar.done += usize::from(self.drawn.is_some());
                self.over = true;
                self.draw(true);
            }
            None => {}
        }
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<I> Tqdm<I> {
    /// Draws the bar where that is due.
    fn draw(&mut self, last: bool) {
        let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= PAUSE);
        if !due && !last {
            return;
        }
        let first = self.drawn.replace(Instant::now()).is_none();
        self.bar.seconds = self.bar.started.elapsed().as_secs_f64();
        if in_our_kernel() {
            return self.display.update(&self.bar);
        }
        let mut out = std::io::stderr().lock();
        // A closed pipe means that nobody is left to look.
        let _ = if out.is_terminal() {
            let end = if last { "\n" } else { "" };
            write!(out, "\r{:60}{end}", self.bar.text()).and_then(|()| out.flush())
        } else {
            let share = self.bar.all.map_or(0, |all| SHARES * self.bar.done / all.max(1));
            if !last && (first || share <= self.said) {
                return;
            }
            self.said = share;
            writeln!(out, "{}", self.bar.text())
        };
    }
}

impl Bar {
    /// Seconds that are left, by the speed so far.
    fn left(&self) -> Option<f64> {
        let rest = self.all?.checked_sub(self.done)?;
        (self.done > 0 && rest > 0).then(|| self.seconds / self.done as f64 * rest as f64)
    }
}

impl Show for Bar {
    fn text(&self) -> String {
        let all = self.all.map_or(String::new(), |all| format!("/{all}"));
        let left = self.left().map_or(String::new(), |left| format!(", {left:.0} s left"));
        format!("{}{all}, {:.0} s{left}", self.done, self.seconds)
    }

    fn rich(&self) -> Vec<(&'static str, Value)> {
        let text = self.text();
        let value = self.all.map_or(String::new(), |all| format!(" max=\"{}\" value=\"{}\"", all.max(1), self.done));
        vec![("text/html", format!("<progress{value} aria-label=\"{text}\" style=\"width:16em\"></progress> {text}").into())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_gets_every_item_and_the_bar_counts_those_that_are_done() {
        let mut items = tqdm(vec!['a', 'b', 'c']);
        assert_eq!((items.next(), items.bar.done, items.size_hint()), (Some('a'), 0, (2, Some(2))));
        assert_eq!((items.next(), items.bar.done), (Some('b'), 1), "the first is done when the second is asked for");
        assert_eq!(items.by_ref().collect::<String>(), "c");
        assert_eq!((items.bar.done, items.bar.all, items.over), (3, Some(3), true));
        assert!(items.bar.text().starts_with("3/3, 0 s") && items.bar.left().is_none(), "{}", items.bar.text());
        assert_eq!(tqdm(Vec::<u8>::new()).count(), 0);
        let bar = Bar { done: 3, all: Some(12), started: Instant::now(), seconds: 6.0 };
        assert_eq!(bar.text(), "3/12, 6 s, 18 s left");
        let endless = tqdm((0..).take_while(|n| *n < 4));
        assert_eq!((endless.bar.all, endless.sum::<i32>()), (None, 6));
    }
}
