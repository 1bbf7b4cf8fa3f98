//! The list of what the course covers, and lessons → the numbers of the list that no cell has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::cells::Lesson;

/// The list, below the folder of the notebooks: a number and what it means in each line, a tab between them.
pub const LIST: &str = "lessons/coverage.tsv";

/// What the course covers: each item by its number, from 1 without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage(Vec<String>);

impl Coverage {
    /// Reads the list of a `notebooks` folder.
    ///
    /// # Errors
    /// The file cannot be read, or as [`Coverage::parse`].
    pub fn open(folder: &Path) -> Result<Coverage, String> {
        let path = folder.join(LIST);
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        Self::parse(&std::fs::read_to_string(&path).map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))
    }

    /// Reads the text of the list.
    ///
    /// # Errors
    /// The line that is not the next number, a tab and a text.
    pub fn parse(text: &str) -> Result<Coverage, String> {
        let item = |(line, text): (usize, &str)| match text.split_once('\t') {
            Some((number, item)) if number.parse() == Ok(line + 1) && !item.trim().is_empty() => Ok(item.trim().to_string()),
            _ => Err(format!("line {}: write the number {0}, a tab and what it means", line + 1)),
        };
        text.lines().enumerate().map(item).collect::<Result<_, _>>().map(Coverage)
    }

    /// How many items there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The items that no cell of these lessons has, each with its number.
    ///
    /// # Errors
    /// A cell with a number that is not in the list, by its lesson and line.
    pub fn missing<'a>(&'a self, lessons: &[(String, Lesson)]) -> Result<Vec<(u32, &'a str)>, String> {
        let mut covered: BTreeSet<u32> = BTreeSet::new();
        for (name, lesson) in lessons {
            for cell in &lesson.cells {
                if let Some(number) = cell.covers.iter().find(|number| **number == 0 || **number as usize > self.count()) {
                    return Err(format!("{name}, line {}: {number} is not in {LIST}, which has 1 to {}", cell.line, self.count()));
                }
                covered.extend(&cell.covers);
            }
        }
        let items = (1..).zip(self.0.iter().map(String::as_str));
        Ok(items.filter(|(number, _)| !covered.contains(number)).collect())
    }

    /// For each number the lessons and lines of the cells that have it.
    pub fn places(&self, lessons: &[(String, Lesson)]) -> BTreeMap<u32, Vec<String>> {
        let mut places: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (name, cell) in lessons.iter().flat_map(|(name, lesson)| lesson.cells.iter().map(move |cell| (name, cell))) {
            for number in &cell.covers {
                places.entry(*number).or_default().push(format!("{name}, line {}", cell.line));
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::tests::GRADED;
    use crate::course::{folder, lessons};

    fn graded() -> Vec<(String, Lesson)> {
        vec![("01_test".to_string(), Lesson::split(GRADED).unwrap())]
    }

    #[test]
    fn what_no_cell_covers_is_named() {
        let list = Coverage::parse("1\ta\n2\tb\n3\tc\n4\td\n").unwrap();
        assert_eq!(list.missing(&graded()).unwrap(), [(4, "d")]);
        assert_eq!(list.places(&graded())[&3], ["01_test, line 10"]);
        assert_eq!(list.missing(&[]).unwrap().len(), 4);
        let short = Coverage::parse("1\ta\n2\tb").unwrap();
        assert_eq!(short.missing(&graded()).unwrap_err(), "01_test, line 10: 3 is not in lessons/coverage.tsv, which has 1 to 2");
        assert_eq!(Coverage::parse("1\ta\n3\tb").unwrap_err(), "line 2: write the number 2, a tab and what it means");
    }

    #[test]
    fn the_lessons_cover_the_whole_list_once_each_of_eight_covers_some() {
        let list = Coverage::open(folder()).unwrap();
        assert_eq!(list.count(), 98);
        let lessons: Vec<_> = lessons(folder()).unwrap().into_iter().map(|file| (file.name.clone(), file.lesson().unwrap())).collect();
        let missing = list.missing(&lessons).unwrap();
        println!("{} of {} items have no cell", missing.len(), list.count());
        let covering = lessons.iter().filter(|(_, lesson)| lesson.cells.iter().any(|cell| !cell.covers.is_empty())).count();
        assert!(covering < 8 || missing.is_empty(), "no cell covers {missing:?}");
    }
}
