//! A text such as `train[:10%]+test` → parts of splits, by the rules of Python's `datasets`.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};

/// A part of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) split: String,
    from: Option<Bound>,
    to: Option<Bound>,
    /// Whether percents are multiples of whole hundredths of the rows.
    drop_remainder: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Row(i64),
    Percent(i64),
}

impl Slice {
    /// All of a split.
    pub(crate) fn all(split: &str) -> Self {
        Self { split: split.to_string(), from: None, to: None, drop_remainder: false }
    }

    /// The parts of a text.
    ///
    /// # Errors
    /// [`ErrorKind::Name`] for a text of another form.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>> {
        let parts = text.split('+').map(|part| {
            one(part.trim()).ok_or_else(|| {
                Error::new(ErrorKind::Name, format!("`{}` is no part of a split", part.trim()))
                    .hint("write `train`, `train[:100]`, `train[10%:20%]`, `train[-5%:]`, or several with `+` between them")
            })
        });
        parts.collect()
    }

    /// The rows of it, of a split with so many.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for `pct1_dropremainder` of fewer than 100 rows.
    pub(crate) fn rows(&self, count: usize) -> Result<Range<usize>> {
        let place = |bound: Option<Bound>, default: i64| -> Result<usize> {
            let row = match bound {
                None => default,
                Some(Bound::Row(row)) => row,
                Some(Bound::Percent(_)) if self.drop_remainder && count < 100 => {
                    return Err(Error::new(ErrorKind::Data, format!("pct1_dropremainder of {count} rows leaves none; 100 are needed"))
                        .hint("leave `(pct1_dropremainder)` out"));
                }
                Some(Bound::Percent(percent)) if self.drop_remainder => percent * (count / 100) as i64,
                // Half goes to the even number, as Python rounds.
                Some(Bound::Percent(percent)) => (percent as f64 * count as f64 / 100.0).round_ties_even() as i64,
            };
            let row = if row < 0 { (count as i64 + row).max(0) } else { row };
            Ok((row as usize).min(count))
        };
        let (from, to) = (place(self.from, 0)?, place(self.to, count as i64)?);
        Ok(from..to.max(from))
    }

    /// The rows of it where that needs no count: how many are skipped, and where it ends.
    pub(crate) fn uncounted(&self) -> Option<(usize, Option<usize>)> {
        let row = |bound: Bound| if let Bound::Row(row) = bound { usize::try_from(row).ok() } else { None };
        let from = self.from.map_or(Some(0), row)?;
        match self.to {
            None => Some((from, None)),
            Some(to) => row(to).map(|to| (from, Some(to))),
        }
    }
}

fn one(text: &str) -> Option<Slice> {
    let end = text.find(['[', '(']).unwrap_or(text.len());
    let (split, rest) = text.split_at(end);
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !split.split('.').all(word) {
        return None;
    }
    let mut slice = Slice::all(split);
    let mut rest = rest;
    if let Some(inner) = rest.strip_prefix('[') {
        let (bounds, after) = inner.split_once(']')?;
        let (from, to) = bounds.split_once(':')?;
        (slice.from, slice.to) = (bound(from)?, bound(to)?);
        // One of them says the unit for both.
        let percent = [slice.from, slice.to].iter().any(|bound| matches!(bound, Some(Bound::Percent(_))));
        if percent {
            let hundredth = |bound: Option<Bound>| match bound {
                Some(Bound::Row(number) | Bound::Percent(number)) => (number.unsigned_abs() <= 100).then_some(Some(Bound::Percent(number))),
                None => Some(None),
            };
            (slice.from, slice.to) = (hundredth(slice.from)?, hundredth(slice.to)?);
        }
        rest = after;
    }
    let percent = [slice.from, slice.to].iter().any(|bound| matches!(bound, Some(Bound::Percent(_))));
    match rest {
        "" => {}
        "(closest)" if percent => {}
        "(pct1_dropremainder)" if percent => slice.drop_remainder = true,
        _ => return None,
    }
    Some(slice)
}

/// A bound; the outer none where it is no number.
fn bound(text: &str) -> Option<Option<Bound>> {
    if text.is_empty() {
        return Some(None);
    }
    let (digits, percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
    let number: i64 = digits.replace('_', "").parse().ok().filter(|_| !digits.starts_with('+'))?;
    Some(Some(if percent { Bound::Percent(number) } else { Bound::Row(number) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_needs_a_form() {
        for wrong in [
            "",
            "train[",
            "train[5]",
            "train[:x]",
            "tr-ain",
            "train[:101%]",
            "train[:5](closest)",
            "train[:5%](other)",
            "a++b",
            "train[-9223372036854775808:5%]",
        ] {
            assert!(Slice::parse(wrong).is_err(), "{wrong}");
        }
        let rows = |text: &str, count| Slice::parse(text).unwrap()[0].rows(count).unwrap();
        assert_eq!(rows("train[:50%]", 5), 0..2);
        assert_eq!(rows("train[-2:]", 5), 3..5);
        assert_eq!(rows("train[4:2]", 5), 4..4);
        assert!(Slice::parse("a[:5%](pct1_dropremainder)").unwrap()[0].rows(99).is_err());
        assert_eq!(Slice::parse("a[3:]").unwrap()[0].uncounted(), Some((3, None)));
        assert_eq!(Slice::parse("a[-3:]").unwrap()[0].uncounted(), None);
    }
}
