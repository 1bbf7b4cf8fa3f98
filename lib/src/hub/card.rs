//! Facts about what is published → its card, `README.md` with a YAML front matter that the hub reads.

/// A card; only what is known is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Card {
    /// Lines of the front matter: a key and its value, which is a text, a list, or nested lines.
    matter: String,
    text: String,
}

impl Card {
    /// A card with a title.
    pub(crate) fn new(title: &str) -> Self {
        Self { matter: String::new(), text: format!("# {title}\n") }
    }

    /// Adds a key with a text.
    pub(crate) fn fact(mut self, key: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.matter += &format!("{key}: {}\n", quoted(value));
        }
        self
    }

    /// Adds a key with a list of texts.
    pub(crate) fn list(mut self, key: &str, values: &[&str]) -> Self {
        self.matter += &format!("{key}:\n");
        self.matter.extend(values.iter().map(|value| format!("- {}\n", quoted(value))));
        self
    }

    /// Adds lines to the front matter as they are.
    pub(crate) fn yaml(mut self, lines: &str) -> Self {
        self.matter += lines;
        self
    }

    /// Adds a paragraph.
    pub(crate) fn paragraph(mut self, text: &str) -> Self {
        self.text += &format!("\n{text}\n");
        self
    }

    /// The file.
    pub(crate) fn markdown(&self) -> String {
        format!("---\n{}---\n\n{}", self.matter, self.text)
    }
}

/// A YAML scalar: plain where YAML cannot take it for something else, else in quotes.
fn quoted(value: &str) -> String {
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let word = value.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&value.to_lowercase().as_str());
    if plain && word && !reserved { value.to_string() } else { serde_json::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_matter_is_yaml_that_says_what_was_said() {
        let card = Card::new("a").fact("license", Some("no")).fact("base_model", Some("a/b")).fact("none", None).list("tags", &["x: y"]);
        assert_eq!(card.paragraph("p").markdown(), "---\nlicense: \"no\"\nbase_model: a/b\ntags:\n- \"x: y\"\n---\n\n# a\n\np\n");
    }
}
