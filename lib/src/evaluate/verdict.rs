//! A judge's words → which of two answers it means.

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

impl Verdict {
    /// The same of the two answers in the other order.
    pub fn swapped(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
            Self::Tie => Self::Tie,
        }
    }
}

/// Words that stand right before the name of an answer.
const TITLES: [&str; 7] = ["answer", "option", "response", "choice", "assistant", "reply", "model"];
/// Words behind an `A` that is a name: no article stands before them.
const BEHIND: [&str; 12] = ["is", "was", "wins", "seems", "looks", "gives", "provides", "because", "since", "as", "over", "than"];
/// Words that may lead to the name of the better answer, or stand between it and what is said of it.
const FILL: [&str; 16] =
    ["the", "is", "was", "seems", "looks", "to", "be", "clearly", "slightly", "much", "far", "i", "my", "think", "would", "it's"];
const REASONS: [&str; 4] = ["because", "since", "as", "over"];
const GOOD: [&str; 9] = ["better", "best", "preferable", "stronger", "superior", "wins", "winner", "correct", "right"];
const BAD: [&str; 6] = ["worse", "worst", "weaker", "inferior", "incorrect", "wrong"];
const CHOSEN: [&str; 10] = ["choose", "prefer", "pick", "select", "chose", "preferred", "winner", "verdict", "better", "best"];
const EVEN: [&str; 7] = ["tie", "equal", "equally", "neither", "same", "draw", "both"];
const NOT: [&str; 5] = ["not", "don't", "isn't", "never", "neither"];

/// A word of a reply, and whether a sign of punctuation stands right behind it.
struct Word<'a> {
    text: &'a str,
    ends: bool,
}

impl Word<'_> {
    fn is_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.eq_ignore_ascii_case(word))
    }
}

fn words(reply: &str) -> Vec<Word<'_>> {
    let inside = |c: char| c.is_alphanumeric() || c == '\'';
    let (mut words, mut rest) = (Vec::new(), reply);
    while let Some(start) = rest.find(inside) {
        rest = &rest[start..];
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        words.push(Word { text: &rest[..end], ends: !rest[end..].starts_with(' ') });
        rest = &rest[end..];
    }
    words
}

/// Whether a word is the name of an answer; an `A` is often an article.
fn name(words: &[Word], at: usize) -> Option<Verdict> {
    let titled = || at.checked_sub(1).is_some_and(|before| words[before].is_one_of(&TITLES) && !words[before].ends);
    match words[at].text {
        "B" => Some(Verdict::Second),
        "A" if words[at].ends || titled() => Some(Verdict::First),
        "A" => words.get(at + 1).is_none_or(|behind| behind.is_one_of(&BEHIND)).then_some(Verdict::First),
        _ => None,
    }
}

/// Which of the answers A and B a reply calls the better one: `A`, `**B**`, `Answer: A`, `Answer B is better than A`, `I prefer A`,
/// `It is a tie`. `None` where it says neither, or both: `A closer look shows that B is better` is for B, `A good question` for
/// nobody.
///
/// ```
/// use finetuning::*;
///
/// assert_eq!(read_verdict("A closer look shows that B is better."), Some(Verdict::Second));
/// assert_eq!(read_verdict("A good question."), None);
/// ```
pub fn read_verdict(reply: &str) -> Option<Verdict> {
    let words = words(reply);
    let named: Vec<(usize, Verdict)> = (0..words.len()).filter_map(|at| Some((at, name(&words, at)?))).collect();
    let judged: Vec<Verdict> = named.iter().filter_map(|&(at, name)| judged(&words, at, name)).collect();
    if !judged.is_empty() {
        return agreed(&judged);
    }
    if words.iter().any(|word| word.is_one_of(&EVEN)) {
        return Some(Verdict::Tie);
    }
    // The reply begins with a name and says nothing of it, or why.
    let lead = words.iter().position(|word| !word.is_one_of(&TITLES) && !word.is_one_of(&FILL))?;
    let &(_, first) = named.first().filter(|(at, _)| *at == lead)?;
    let reason = words.get(lead + 1).is_some_and(|word| word.is_one_of(&REASONS));
    let alone = words[lead].ends || lead + 1 == words.len();
    let all: Vec<Verdict> = named.iter().map(|(_, name)| *name).collect();
    if reason { Some(first) } else { agreed(&all).filter(|_| alone) }
}

/// The one verdict that all are.
fn agreed(verdicts: &[Verdict]) -> Option<Verdict> {
    let (first, rest) = verdicts.split_first()?;
    rest.iter().all(|verdict| verdict == first).then_some(*first)
}

/// What a reply says of an answer that it names at a place: which one is better.
fn judged(words: &[Word], at: usize, name: Verdict) -> Option<Verdict> {
    let behind = words[at + 1..].iter().find(|word| !word.is_one_of(&FILL)).filter(|_| !words[at].ends);
    let quality = |list: &[&str]| behind.is_some_and(|word| word.is_one_of(list));
    if quality(&GOOD) || quality(&BAD) {
        return Some(if quality(&GOOD) { name } else { name.swapped() });
    }
    // `The answer is A`.
    if at >= 2 && words[at - 1].text == "is" && words[at - 2].is_one_of(&TITLES) {
        return Some(name);
    }
    let before: Vec<&Word> = words[..at].iter().rev().skip_while(|word| word.is_one_of(&TITLES) || word.is_one_of(&FILL)).take(2).collect();
    let chosen = before.first().is_some_and(|word| word.is_one_of(&CHOSEN));
    (chosen && !before.iter().any(|word| word.is_one_of(&NOT))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_a_person_reads_them() {
        let (first, second, tie) = (Some(Verdict::First), Some(Verdict::Second), Some(Verdict::Tie));
        let cases = [
            ("A", first),
            ("B", second),
            (" B.\n", second),
            ("**A**", first),
            ("[[B]]", second),
            ("(A)", first),
            ("Answer: A", first),
            ("Answer B", second),
            ("Answer A.", first),
            ("The better answer is B.", second),
            ("The answer is A.", first),
            ("A: Seven days.\nB: Five days.\nThe answer is B.", second),
            ("A: The answer is better than B.", None),
            ("My verdict: B", second),
            ("I prefer A", first),
            ("I would choose answer B, since A is long.", second),
            ("A is better than B.", first),
            ("B is slightly better.", second),
            ("B is much worse.", first),
            ("Answer A is the best.", first),
            ("B because it names the city.", second),
            ("A, because B is long.", first),
            ("Both A and B are right.", tie),
            ("A is not better than B.", None),
            ("A because B is long.", first),
            ("A closer look shows that B is better.", second),
            ("A closer look shows that B is better", second),
            ("A quick answer: both are good", tie),
            ("It is a tie.", tie),
            ("Neither is good.", tie),
            ("A good question.", None),
            ("A good answer names the city.", None),
            ("A is better. No, B is better.", None),
            ("Answer A: Paris. Answer B: Rome.", None),
            ("I don't prefer B", None),
            ("The capital of France is Paris.", None),
            ("a", None),
            ("", None),
        ];
        for (reply, verdict) in cases {
            assert_eq!(read_verdict(reply), verdict, "{reply:?}");
        }
    }
}
