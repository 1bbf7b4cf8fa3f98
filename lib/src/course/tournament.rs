//! Pairwise verdicts → Elo ratings: which of several models answers best, and a judge that decides a pair.

use crate::course::runner::BasicModelRunner;
use crate::display::output::{Html, Show, last_expression, table};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::metrics::token_f1;
use crate::util::names::quoted;

/// Who won a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The first answer is better.
    First,
    /// The second answer is better.
    Second,
    /// Neither.
    Tie,
}

/// Decides by [`token_f1`] against the target; closer than 0.01 is a tie.
pub fn judge_by_target(first: &str, second: &str, target: &str) -> Verdict {
    match token_f1(first, target) - token_f1(second, target) {
        difference if difference > 0.01 => Verdict::First,
        difference if difference < -0.01 => Verdict::Second,
        _ => Verdict::Tie,
    }
}

/// Asks a model which answer is better; anything but a clear `A` or `B` is a tie.
///
/// # Errors
/// As [`BasicModelRunner::ask`].
pub fn judge_by_model(judge: &BasicModelRunner, question: &str, first: &str, second: &str) -> Result<Verdict> {
    let prompt = format!("Question: {question}\nAnswer A: {first}\nAnswer B: {second}\nWhich answer is better, A or B?");
    let reply = judge.ask(&prompt)?;
    let letter = reply.split(|c: char| !c.is_alphanumeric()).find(|word| matches!(*word, "A" | "B"));
    Ok(match letter {
        Some("A") => Verdict::First,
        Some(_) => Verdict::Second,
        None => Verdict::Tie,
    })
}

/// Elo ratings (Elo 1978): every model starts at 1000, a point of surprise moves 32.
#[derive(Debug, Clone, PartialEq)]
pub struct Tournament {
    players: Vec<(String, f64, usize)>,
}

impl Tournament {
    /// A tournament of these models.
    pub fn new(names: &[impl AsRef<str>]) -> Self {
        Self { players: names.iter().map(|name| (name.as_ref().to_string(), 1000.0, 0)).collect() }
    }

    /// Records a comparison of two models.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] when one of them does not play.
    pub fn record(&mut self, first: &str, second: &str, verdict: Verdict) -> Result<()> {
        let find = |name: &str| {
            self.players.iter().position(|(player, ..)| player == name).ok_or_else(|| {
                let names: Vec<String> = self.players.iter().map(|(player, ..)| player.clone()).collect();
                Error::new(ErrorKind::Name, format!("`{name}` does not play; there are {}", quoted(&names)))
                    .hint("name the models as in Tournament::new")
            })
        };
        let (a, b) = (find(first)?, find(second)?);
        let expected = 1.0 / (1.0 + 10f64.powf((self.players[b].1 - self.players[a].1) / 400.0));
        let score = match verdict {
            Verdict::First => 1.0,
            Verdict::Second => 0.0,
            Verdict::Tie => 0.5,
        };
        let change = 32.0 * (score - expected);
        self.players[a].1 += change;
        self.players[b].1 -= change;
        self.players[a].2 += 1;
        self.players[b].2 += 1;
        Ok(())
    }

    /// (model, rating, games), best first.
    pub fn ratings(&self) -> Vec<(String, f64, usize)> {
        let mut ratings = self.players.clone();
        ratings.sort_by(|a, b| b.1.total_cmp(&a.1));
        ratings
    }

    fn table(&self) -> Html {
        let rows: Vec<Vec<String>> =
            self.ratings().iter().map(|(name, rating, games)| vec![name.clone(), format!("{rating:.0}"), games.to_string()]).collect();
        table(&["model", "Elo", "games"], &rows)
    }
}

impl Show for Tournament {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.table().rich()
    }
}

last_expression!(Tournament);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_win_among_equals_moves_sixteen_points() -> Result<()> {
        let mut tournament = Tournament::new(&["base", "tuned"]);
        tournament.record("base", "tuned", Verdict::Second)?;
        assert_eq!(tournament.ratings(), [("tuned".to_string(), 1016.0, 1), ("base".to_string(), 984.0, 1)]);
        assert!(tournament.record("base", "other", Verdict::Tie).is_err());
        Ok(())
    }
}
