//! The file of a model and its tokenizer → the `Modelfile` by which Ollama makes a model of them.

use std::fmt::Write;
use std::path::Path;

use crate::data::message::Message;
use crate::tokenizer::text::Tokenizer;

/// A chat format in which each turn has the same form.
struct Form {
    /// What stands before the name of a role, between it and the text, and behind the text.
    around: [&'static str; 3],
    /// The name of the role that answers.
    assistant: &'static str,
}

const FORMS: [Form; 5] = [
    Form { around: ["<|im_start|>", "\n", "<|im_end|>\n"], assistant: "assistant" },
    Form { around: ["<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"], assistant: "assistant" },
    Form { around: ["<start_of_turn>", "\n", "<end_of_turn>\n"], assistant: "model" },
    Form { around: ["<|", "|>\n", "<|end|>\n"], assistant: "assistant" },
    Form { around: ["<|", "|>\n", "</s>\n"], assistant: "assistant" },
];

impl Form {
    fn turn(&self, role: &str, text: &str) -> String {
        let role = if role == "assistant" { self.assistant } else { role };
        let [before, between, behind] = self.around;
        format!("{before}{role}{between}{text}{behind}")
    }

    /// The conversation, and the beginning of an answer.
    fn render(&self, messages: &[Message]) -> String {
        let turns: String = messages.iter().map(|message| self.turn(&message.role, &message.content)).collect();
        let [before, between, _] = self.around;
        turns + before + self.assistant + between
    }

    /// The same in the words of Go's templates.
    fn template(&self) -> String {
        let [before, between, behind] = self.around;
        let role = match self.assistant {
            "assistant" => "{{ .Role }}".to_string(),
            other => format!("{{{{ if eq .Role \"assistant\" }}}}{other}{{{{ else }}}}{{{{ .Role }}}}{{{{ end }}}}"),
        };
        format!(
            "{{{{- range .Messages }}}}{before}{role}{between}{{{{ .Content }}}}{behind}{{{{ end }}}}{before}{}{between}",
            self.assistant
        )
    }

    /// What the system says where nobody else says it, if this is the form of the tokenizer's template.
    fn fits(&self, tokenizer: &Tokenizer) -> Option<Option<String>> {
        let asked = [Message::user("One?"), Message::assistant("Two."), Message::user("Three?")];
        let theirs = |messages: &[Message]| {
            let text = tokenizer.apply_chat_template(messages, true).ok()?;
            // Ollama puts it there itself.
            let begin = tokenizer.special_tokens().iter().find(|(name, _)| name == "bos_token").map_or("", |(_, token)| token.as_str());
            Some(text.strip_prefix(begin).unwrap_or(&text).to_string())
        };
        let (own, text) = (self.render(&asked), theirs(&asked)?);
        let system = match text.strip_suffix(&own)? {
            "" => None,
            more => {
                let [before, between, behind] = self.around;
                Some(more.strip_prefix(&format!("{before}system{between}"))?.strip_suffix(behind)?.to_string())
            }
        };
        // Some templates have no turn of the system; then theirs is not asked for.
        let with_system = [&[Message::system("Four.")], &asked[..]].concat();
        let fits = theirs(&with_system).is_none_or(|text| text == self.render(&with_system)) || self.assistant == "model";
        fits.then_some(system)
    }
}

/// The `Modelfile` of a model with a tokenizer, whose texts these ids end.
pub(crate) fn modelfile(path: &Path, tokenizer: &Tokenizer, ends: &[u32]) -> String {
    let mut text = format!("# ollama create NAME -f Modelfile\nFROM {}\n", place(path));
    let fitting = FORMS.iter().find_map(|form| Some((form, form.fits(tokenizer)?)));
    match &fitting {
        Some((form, system)) => {
            let _ = writeln!(text, "TEMPLATE \"\"\"{}\"\"\"", form.template());
            if let Some(system) = system {
                let _ = writeln!(text, "SYSTEM \"\"\"{system}\"\"\"");
            }
        }
        None if tokenizer.brings_chat_template() => {
            text += "# TEMPLATE is left out: the model's chat template is none that is known here in Ollama's words.\n\
                     # It stands in the file, where llama.cpp reads it.\n";
        }
        // A text goes on.
        None => text += "TEMPLATE \"\"\"{{ .Prompt }}\"\"\"\n",
    }
    let mut stops: Vec<String> = ends.iter().filter_map(|&id| tokenizer.special_token(id)).collect();
    stops.extend(fitting.map(|(form, _)| form.around[2].trim().to_string()));
    stops.sort_unstable();
    stops.dedup();
    for stop in stops {
        let _ = writeln!(text, "PARAMETER stop \"{}\"", stop.replace('\\', "\\\\").replace('"', "\\\""));
    }
    text
}

/// The `Modelfile` of an adapter on a model.
pub(crate) fn adapter_modelfile(path: &Path, base: &str) -> String {
    format!("# ollama create NAME -f Modelfile\nFROM {base}\nADAPTER {}\n", place(path))
}

/// A file beside the `Modelfile`.
fn place(path: &Path) -> String {
    format!("./{}", path.file_name().unwrap_or_default().to_string_lossy())
}
