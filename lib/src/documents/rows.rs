//! Sections → question/answer rows by a template: the heading asks, the section answers.

use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::data::template::PromptTemplate;
use crate::documents::section::{Section, Sections};
use crate::error::Result;

/// What is asked about a heading that is no question itself.
pub const HEADING_TEMPLATE: &str = "What does the documentation say about {heading}?";

impl Sections {
    /// A row for each section with the columns `question`, `answer`, `source_file`, `section`, `line`, `generated` (false: every
    /// word of the answer is the document's). A heading that is a question stays as it is, others go through
    /// [`HEADING_TEMPLATE`].
    ///
    /// # Errors
    /// As [`Sections::to_rows_with`].
    pub fn to_rows(&self) -> Result<Dataset> {
        self.to_rows_with(&PromptTemplate::new(HEADING_TEMPLATE))
    }

    /// The same with a template of your own for the question, filled with the fields of [`Section::to_example`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] when the template is faulty or names another field.
    pub fn to_rows_with(&self, template: &PromptTemplate) -> Result<Dataset> {
        template.check(&self.to_dataset())?;
        let rows = self.sections.iter().map(|section| {
            let heading = section.heading();
            let question = if heading.ends_with('?') { heading.to_string() } else { template.format(&section.to_example())? };
            Ok(row(section, &question, &section.text, false))
        });
        Ok(Dataset::from_examples(rows.collect::<Result<_>>()?))
    }
}

/// A row with its provenance.
pub(crate) fn row(section: &Section, question: &str, answer: &str, generated: bool) -> Example {
    let mut row = Example::new([("question", question), ("answer", answer)]);
    section.mark(&mut row);
    row.set("generated", generated);
    row
}
