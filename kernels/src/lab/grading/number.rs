//! The number of an exercise, `2.10`: in the order of lessons, so behind `2.9`.

/// Lesson and place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u32, u32);

impl Number {
    /// Reads `2.10`; none for anything else.
    pub fn read(text: &str) -> Option<Number> {
        let (lesson, place) = text.split_once('.')?;
        let part = |text: &str| text.parse().ok().filter(|number: &u32| *number > 0 && number.to_string() == text);
        Some(Number(part(lesson)?, part(place)?))
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}.{}", self.0, self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn numbers_are_in_the_order_of_lessons() {
        let mut numbers: Vec<Number> = ["2.10", "10.1", "2.9"].into_iter().filter_map(Number::read).collect();
        numbers.sort();
        assert_eq!(numbers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2.9", "2.10", "10.1"]);
        for wrong in ["2", "2.", "a.1", "2.0", "02.1", "+2.1", "2.1.1", "../2.1"] {
            assert_eq!(Number::read(wrong), None, "{wrong}");
        }
    }
}
