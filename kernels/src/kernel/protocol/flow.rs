//! Outputs that come faster than front ends can show them → fewer of them, and never the wrong ones.
//!
//! Of the updates of a display, the newest is what counts; of stream text, so much waits and no more.

use std::time::{Duration, Instant};

use jupyter_protocol::messaging::JupyterMessage;

/// How often a display is redrawn at most.
const REDRAW: Duration = Duration::from_millis(50);
/// How many bytes of stream text may wait to be sent.
const WAITING: usize = 64 << 20;

/// What becomes of a piece of stream text.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Taken,
    /// Left out, the first of a row: the reader should be told.
    FirstLeftOut,
    LeftOut,
}

/// The stream text that waits.
#[derive(Debug, Default)]
pub struct Waiting {
    bytes: usize,
    leaves_out: bool,
}

impl Waiting {
    /// Decides about a piece of so many bytes. Once text is left out, half of what waits must go before more is taken.
    pub fn admit(&mut self, length: usize) -> Admission {
        let limit = if self.leaves_out { WAITING / 2 } else { WAITING };
        if self.bytes + length <= limit {
            (self.bytes, self.leaves_out) = (self.bytes + length, false);
            return Admission::Taken;
        }
        if std::mem::replace(&mut self.leaves_out, true) { Admission::LeftOut } else { Admission::FirstLeftOut }
    }

    /// So many bytes are sent.
    pub fn sent(&mut self, length: usize) {
        self.bytes = self.bytes.saturating_sub(length);
    }
}

/// The updates of displays that wait for their time.
#[derive(Default)]
pub struct Updates {
    waiting: Vec<Update>,
    /// Displays that were redrawn just now.
    recent: Vec<(String, Instant)>,
}

struct Update {
    id: String,
    message: JupyterMessage,
    due: Instant,
}

impl Updates {
    /// Takes an update of the display `id`; it takes the place of one that still waits.
    pub fn push(&mut self, id: String, message: JupyterMessage, now: Instant) {
        self.recent.retain(|(_, drawn)| now < *drawn + REDRAW);
        if let Some(update) = self.waiting.iter_mut().find(|update| update.id == id) {
            update.message = message;
            return;
        }
        let due = self.recent.iter().find(|(recent, _)| *recent == id).map_or(now, |(_, drawn)| *drawn + REDRAW);
        self.waiting.push(Update { id, message, due });
    }

    /// When the next update is to be sent.
    pub fn due(&self) -> Option<Instant> {
        self.waiting.iter().map(|update| update.due).min()
    }

    /// The updates that are due, in the order in which they came; all of them when there is no `now`.
    pub fn take(&mut self, now: Option<Instant>) -> Vec<JupyterMessage> {
        let drawn = now.unwrap_or_else(Instant::now);
        let (taken, kept) = std::mem::take(&mut self.waiting).into_iter().partition(|update| now.is_none_or(|now| update.due <= now));
        self.waiting = kept;
        let taken: Vec<Update> = taken;
        self.recent.retain(|(id, _)| taken.iter().all(|update| update.id != *id));
        self.recent.extend(taken.iter().map(|update| (update.id.clone(), drawn)));
        taken.into_iter().map(|update| update.message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_left_out_until_half_of_it_is_sent() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.admit(WAITING), Admission::Taken);
        assert_eq!((waiting.admit(1), waiting.admit(1)), (Admission::FirstLeftOut, Admission::LeftOut));
        waiting.sent(WAITING / 4);
        assert_eq!(waiting.admit(1), Admission::LeftOut);
        waiting.sent(WAITING / 2);
        assert_eq!((waiting.admit(1), waiting.admit(WAITING / 2)), (Admission::Taken, Admission::Taken));
        assert_eq!(waiting.admit(WAITING), Admission::FirstLeftOut);
    }

    #[test]
    fn the_newest_update_of_a_display_is_sent_in_its_time() {
        let (mut updates, start) = (Updates::default(), Instant::now());
        let message = |text: &str| crate::kernel::protocol::wire::message(text, serde_json::json!({}), None);
        let kinds = |messages: Vec<JupyterMessage>| messages.iter().map(|message| message.header.msg_type.clone()).collect::<Vec<_>>();
        updates.push("a".into(), message("a1"), start);
        assert_eq!(updates.due(), Some(start));
        assert_eq!(kinds(updates.take(Some(start))), ["a1"]);
        for text in ["a2", "a3"] {
            updates.push("a".into(), message(text), start);
        }
        updates.push("b".into(), message("b1"), start);
        assert_eq!(kinds(updates.take(Some(start))), ["b1"]);
        assert_eq!(updates.due(), Some(start + REDRAW));
        updates.push("a".into(), message("a4"), start);
        updates.push("b".into(), message("b2"), start);
        assert_eq!(kinds(updates.take(None)), ["a4", "b2"]);
        assert_eq!(updates.due(), None);
        updates.push("a".into(), message("a5"), start + REDRAW * 20);
        assert_eq!(updates.due(), Some(start + REDRAW * 20));
    }
}
