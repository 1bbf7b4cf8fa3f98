//! A lesson → its two notebooks: the learner's, with exercises to solve, and the one with the solutions. What a reader does not see
//! goes into the metadata of a cell, below `finetuning`: the exercise's number, the contracts, the numbers of what it covers.

use serde_json::{Map, Value, json};

use crate::cells::{Cell, Lesson};
use crate::contract::Contract;
use crate::ipynb::{Notebook, NotebookCell};
use crate::marker::{Kind, Part};

/// The first line of every notebook's first code cell.
pub const DEPENDENCY: &str = ":dep finetuning = { path = \"../lib\" }";
/// The same one folder deeper.
const DEEPER: &str = ":dep finetuning = { path = \"../../lib\" }";
/// Our own key in the metadata of a cell.
const OWN: &str = "finetuning";

impl Notebook {
    /// The learner's notebook of a lesson, without outputs.
    pub fn from_lesson(lesson: &Lesson) -> Notebook {
        notebook(&lesson.learner(), DEPENDENCY)
    }

    /// The lesson with its exercises solved, without outputs, for a folder below that of the lessons; none where there is no exercise.
    pub fn solved(lesson: &Lesson) -> Option<Notebook> {
        (!lesson.solutions().is_empty()).then(|| notebook(&lesson.solved(), DEEPER))
    }

    /// Whether both have the same cells, whatever their outputs.
    pub fn same_cells(&self, other: &Notebook) -> bool {
        let key = |cell: &NotebookCell| (cell.kind, cell.id.clone(), cell.source.clone(), cell.metadata.get(OWN).cloned());
        self.cells.iter().map(key).eq(other.cells.iter().map(key))
    }

    /// What keeps the outputs from being those of a complete run; empty when nothing does. An exercise is left to the learner.
    pub fn missing_outputs(&self) -> Vec<String> {
        let mut missing = Vec::new();
        let code = |(_, cell): &(usize, &NotebookCell)| cell.kind == Kind::Code && cell.exercise().is_none();
        for (place, cell) in self.cells.iter().enumerate().filter(code) {
            let error = cell.outputs.iter().find(|output| output["output_type"] == "error").filter(|_| !cell.is_to_fail());
            if let Some(error) = error {
                missing.push(format!("cell {} ended with an error: {}", place + 1, error["evalue"].as_str().unwrap_or_default()));
            } else if cell.execution_count.is_none() {
                missing.push(format!("cell {} has not run", place + 1));
            }
        }
        if missing.is_empty() && self.cells.iter().all(|cell| cell.outputs.is_empty()) {
            missing.push("no cell has an output".into());
        }
        missing
    }
}

impl NotebookCell {
    /// The number of the exercise that it is.
    pub fn exercise(&self) -> Option<&str> {
        self.metadata.get(OWN)?["exercise"].as_str()
    }

    /// Its contracts, each with its text; what no version of this program wrote is left out.
    pub fn contracts(&self) -> Vec<(String, Contract)> {
        let texts = self.metadata.get(OWN).and_then(|own| own["contracts"].as_array());
        let texts = texts.into_iter().flatten().filter_map(Value::as_str);
        texts.filter_map(|text| Some((text.to_string(), Contract::parse(text).ok()?))).collect()
    }

    /// Whether it promises to fail.
    pub fn is_to_fail(&self) -> bool {
        self.contracts().iter().any(|(_, contract)| contract.fails())
    }
}

fn notebook(cells: &[(String, &Cell)], dependency: &str) -> Notebook {
    let first_code = cells.iter().position(|(_, cell)| cell.kind == Kind::Code);
    let cells = cells.iter().enumerate().map(|(place, (id, cell))| {
        let source = if first_code == Some(place) { format!("{dependency}\n{}", cell.source) } else { cell.source.clone() };
        NotebookCell { metadata: metadata(cell), ..NotebookCell::new(cell.kind, id, source) }
    });
    Notebook::new(cells.collect())
}

fn metadata(cell: &Cell) -> Map<String, Value> {
    let mut own = Map::new();
    match &cell.part {
        Part::Lesson => {}
        Part::Exercise(number) => drop(own.insert("exercise".into(), json!(number))),
        Part::Solution(number) => drop(own.insert("solution".into(), json!(number))),
    }
    if !cell.contracts.is_empty() {
        own.insert("contracts".into(), json!(cell.contracts));
    }
    if !cell.covers.is_empty() {
        own.insert("covers".into(), json!(cell.covers));
    }
    let mut all = Map::new();
    if !own.is_empty() {
        all.insert(OWN.into(), Value::Object(own));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::tests::{GRADED, LESSON};

    fn of(text: &str) -> Lesson {
        Lesson::split(text).unwrap()
    }

    #[test]
    fn the_first_code_cell_names_the_companion() {
        let notebook = Notebook::from_lesson(&of(LESSON));
        assert!(notebook.cells[1].source.starts_with(&format!("{DEPENDENCY}\nuse finetuning::*;")));
        assert!(!notebook.cells[2].source.contains(":dep"));
        assert_eq!(Notebook::solved(&of(LESSON)), None);
    }

    #[test]
    fn a_learner_sees_neither_solution_nor_contract() {
        let lesson = of(GRADED);
        let (learner, solved) = (Notebook::from_lesson(&lesson), Notebook::solved(&lesson).unwrap());
        let sources: String = learner.cells.iter().map(|cell| cell.source.as_str()).collect();
        assert!(!sources.contains("7)?") && !sources.contains("=>") && sources.contains("steps"), "{sources}");
        let again = Notebook::read(&learner.write()).unwrap();
        assert_eq!(again.cells[2].exercise(), Some("1.1"));
        assert_eq!(again.cells[0].contracts().iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), lesson.cells[0].contracts);
        assert_eq!(again.cells[1].metadata[OWN], json!({"covers": [1, 3]}));
        assert_eq!(solved.cells[2].source, "check(\"1.1\", 7)?;");
        assert_eq!((solved.cells[2].exercise(), &solved.cells[2].id), (None, &learner.cells[2].id));
        assert!(solved.cells[0].source.starts_with(":dep finetuning = { path = \"../../lib\" }\n"));
        let changed = Notebook::from_lesson(&of(&GRADED.replace("= 4", "= 5")));
        assert!(!learner.same_cells(&changed) && learner.same_cells(&again));
    }

    #[test]
    fn what_is_missing_in_the_outputs_is_named() {
        let mut notebook = Notebook::from_lesson(&of(LESSON));
        notebook.cells[1].execution_count = Some(1);
        notebook.cells[1].outputs = vec![json!({"output_type": "stream", "name": "stdout", "text": "one\ntwo\n"})];
        assert_eq!(notebook.missing_outputs(), ["cell 3 has not run"]);
        notebook.cells[2].execution_count = Some(2);
        assert!(notebook.missing_outputs().is_empty());
        let error = json!({"output_type": "error", "ename": "E", "evalue": "why", "traceback": []});
        notebook.cells[2].outputs.push(error.clone());
        assert_eq!(notebook.missing_outputs(), ["cell 3 ended with an error: why"]);
        notebook.cells[2].metadata.insert(OWN.into(), json!({"contracts": ["error \"why\""]}));
        assert!(notebook.missing_outputs().is_empty(), "it is to fail");
        let mut graded = Notebook::from_lesson(&of(GRADED));
        graded.cells[0].execution_count = Some(1);
        graded.cells[0].outputs = vec![error];
        assert_eq!(graded.missing_outputs(), ["cell 1 ended with an error: why"], "the exercise need not have run");
    }
}
