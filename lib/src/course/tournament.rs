//! Pairwise verdicts → Elo ratings: which of several models answers best, in the order of the games and over many orders.

use std::fmt;

use crate::course::runner::BasicModelRunner;
use crate::display::output::{Html, Show, escape, last_expression, table};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::judge::judge_prompt;
use crate::evaluate::metrics::token_f1;
use crate::evaluate::verdict::{Verdict, read_verdict};
use crate::util::names::quoted;
use crate::util::rng::permutation;

/// The rating of a model that has not played.
const START: f64 = 1000.0;
/// What a point of surprise moves.
const SURPRISE: f64 = 32.0;

/// Decides by [`token_f1`] against the target; closer than 0.01 is a tie.
pub fn judge_by_target(first: &str, second: &str, target: &str) -> Verdict {
    match token_f1(first, target) - token_f1(second, target) {
        difference if difference > 0.01 => Verdict::First,
        difference if difference < -0.01 => Verdict::Second,
        _ => Verdict::Tie,
    }
}

/// Asks a model which answer is better, in this one order; a reply that [`read_verdict`] cannot read is a tie. Small judges go with
/// the place of an answer: [`judge_pair`](crate::evaluate::judge::judge_pair) asks in both orders.
///
/// # Errors
/// As [`BasicModelRunner::ask`].
pub fn judge_by_model(judge: &BasicModelRunner, question: &str, first: &str, second: &str) -> Result<Verdict> {
    Ok(read_verdict(&judge.ask(&judge_prompt(question, first, second))?).unwrap_or(Verdict::Tie))
}

/// Elo ratings (Elo 1978): every model starts at 1000, a point of surprise moves 32. A rating depends on the order of the games, too:
/// [`Tournament::over_orders`] plays them in many.
#[derive(Debug, Clone, PartialEq)]
pub struct Tournament {
    players: Vec<String>,
    /// First, second, what the first scored.
    games: Vec<(usize, usize, f64)>,
}

/// A model's rating over many orders of the same games.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rating {
    /// The model.
    pub name: String,
    /// Mean of its ratings.
    pub rating: f64,
    /// Standard deviation of its ratings over the orders.
    pub spread: f64,
    /// Games that it played.
    pub games: usize,
}

/// The ratings of all models over many orders of the same games, best first.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EloReport {
    /// One a model.
    pub ratings: Vec<Rating>,
    /// Games that were recorded.
    pub games: usize,
    /// Orders in which they were played.
    pub orders: usize,
}

impl Tournament {
    /// A tournament of these models.
    pub fn new(names: &[impl AsRef<str>]) -> Self {
        Self { players: names.iter().map(|name| name.as_ref().to_string()).collect(), games: Vec::new() }
    }

    /// Records a comparison of two models.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] when one of them does not play.
    pub fn record(&mut self, first: &str, second: &str, verdict: Verdict) -> Result<()> {
        let find = |name: &str| {
            self.players.iter().position(|player| player == name).ok_or_else(|| {
                Error::new(ErrorKind::Name, format!("`{name}` does not play; there are {}", quoted(&self.players)))
                    .hint("name the models as in Tournament::new")
            })
        };
        let score = match verdict {
            Verdict::First => 1.0,
            Verdict::Second => 0.0,
            Verdict::Tie => 0.5,
        };
        self.games.push((find(first)?, find(second)?, score));
        Ok(())
    }

    /// (model, rating, games), best first, the games in the order in which they were recorded.
    pub fn ratings(&self) -> Vec<(String, f64, usize)> {
        let ratings = self.play(0..self.games.len());
        let named = self.players.iter().enumerate().map(|(player, name)| (name.clone(), ratings[player], self.played(player)));
        let mut ratings: Vec<_> = named.collect();
        ratings.sort_by(|a, b| b.1.total_cmp(&a.1));
        ratings
    }

    /// The ratings over `orders` shuffled orders of the same games, from `seed` on: what is said of a model should not depend on
    /// which game came last.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] without a game or an order.
    pub fn over_orders(&self, orders: usize, seed: u64) -> Result<EloReport> {
        if orders == 0 || self.games.is_empty() {
            let message = format!("{} games in {orders} orders; there must be at least one of both", self.games.len());
            return Err(Error::new(ErrorKind::Data, message).hint("record games first, and take 100 orders"));
        }
        let each: Vec<Vec<f64>> =
            (0..orders).map(|order| self.play(permutation(self.games.len(), seed.wrapping_add(order as u64)))).collect();
        let rating = |(player, name): (usize, &String)| {
            let mean = each.iter().map(|ratings| ratings[player]).sum::<f64>() / orders as f64;
            let variance = each.iter().map(|ratings| (ratings[player] - mean).powi(2)).sum::<f64>() / orders as f64;
            Rating { name: name.clone(), rating: mean, spread: variance.sqrt(), games: self.played(player) }
        };
        let mut ratings: Vec<Rating> = self.players.iter().enumerate().map(rating).collect();
        ratings.sort_by(|a, b| b.rating.total_cmp(&a.rating));
        Ok(EloReport { ratings, games: self.games.len(), orders })
    }

    /// The rating of each player after the games in an order.
    fn play(&self, order: impl IntoIterator<Item = usize>) -> Vec<f64> {
        let mut ratings = vec![START; self.players.len()];
        for (first, second, score) in order.into_iter().map(|game| self.games[game]) {
            let expected = 1.0 / (1.0 + 10f64.powf((ratings[second] - ratings[first]) / 400.0));
            let change = SURPRISE * (score - expected);
            ratings[first] += change;
            ratings[second] -= change;
        }
        ratings
    }

    fn played(&self, player: usize) -> usize {
        self.games.iter().map(|(first, second, _)| usize::from(*first == player) + usize::from(*second == player)).sum()
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

impl EloReport {
    fn table(&self) -> Html {
        let row =
            |rating: &Rating| vec![rating.name.clone(), format!("{:.0} ± {:.0}", rating.rating, rating.spread), rating.games.to_string()];
        let mut shown = table(&["model", "Elo", "games"], &self.ratings.iter().map(row).collect::<Vec<_>>());
        shown.html.push_str(&format!("<pre>{}</pre>", escape(&self.to_string())));
        shown.text.push_str(&format!("\n{self}"));
        shown
    }
}

/// What so many games can say: neighbours whose ratings lie within their spreads change places with the order.
impl fmt::Display for EloReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let near = |pair: &&[Rating]| pair[0].rating - pair[1].rating <= pair[0].spread + pair[1].spread;
        let close: Vec<String> =
            self.ratings.windows(2).filter(near).map(|pair| format!("{} and {}", pair[0].name, pair[1].name)).collect();
        write!(formatter, "{} games in {} orders: ", self.games, self.orders)?;
        match close.is_empty() {
            true => formatter.write_str("the ranking does not depend on the order; other games may still rank otherwise"),
            false => write!(formatter, "so few games cannot rank {}, whose places change with the order", close.join(", ")),
        }
    }
}

impl Show for EloReport {
    fn text(&self) -> String {
        self.table().text
    }

    fn rich(&self) -> Vec<(&'static str, serde_json::Value)> {
        self.table().rich()
    }
}

last_expression!(Tournament, EloReport);

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
