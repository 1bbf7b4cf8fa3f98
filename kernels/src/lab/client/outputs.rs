//! The messages of a cell → its outputs in nbformat 4.5.
//!
//! A stream grows in place, an update replaces the display with its id, `clear_output` empties, as in a Jupyter client.

use serde_json::{Map, Value, json};

/// Outputs of one cell, while it runs and after.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    outputs: Vec<Value>,
    /// The display id of each output.
    ids: Vec<Option<String>>,
    /// `clear_output` with `wait`: clear when the next output comes.
    clear: bool,
}

impl Outputs {
    /// Takes in a message of this cell; other kinds than outputs change nothing.
    pub fn add(&mut self, kind: &str, content: &Value) {
        if kind == "update_display_data" {
            self.update(content);
            return;
        }
        let output = match kind {
            "stream" => json!({"output_type": "stream", "name": content["name"], "text": content["text"]}),
            "display_data" => json!({"output_type": kind, "data": content["data"], "metadata": object(content, "metadata")}),
            "execute_result" => json!({
                "output_type": kind, "data": content["data"], "metadata": object(content, "metadata"), "execution_count": content["execution_count"],
            }),
            "error" => {
                json!({"output_type": kind, "ename": content["ename"], "evalue": content["evalue"], "traceback": content["traceback"]})
            }
            "clear_output" => {
                self.clear = true;
                if content["wait"] != true {
                    self.empty();
                }
                return;
            }
            _ => return,
        };
        if self.clear {
            self.empty();
        }
        if let Some(text) = self.open_stream(&output) {
            *text = json!(settle(text.as_str().unwrap_or_default(), output["text"].as_str().unwrap_or_default()));
            return;
        }
        let output = if kind == "stream" {
            json!({"output_type": kind, "name": output["name"], "text": settle("", output["text"].as_str().unwrap_or_default())})
        } else {
            output
        };
        self.outputs.push(output);
        self.ids.push(id(content).map(str::to_string));
    }

    /// Replaces what an update names, also for a display of an earlier cell.
    pub fn update(&mut self, content: &Value) {
        let Some(id) = id(content) else { return };
        for (output, _) in self.outputs.iter_mut().zip(&self.ids).filter(|(_, own)| own.as_deref() == Some(id)) {
            output["data"] = content["data"].clone();
            output["metadata"] = object(content, "metadata");
        }
    }

    /// The outputs, as a notebook holds them.
    pub fn values(&self) -> Vec<Value> {
        self.outputs.clone()
    }

    fn empty(&mut self) {
        *self = Outputs::default();
    }

    /// The text of the last output, when it is the same stream.
    fn open_stream(&mut self, output: &Value) -> Option<&mut Value> {
        let last = self.outputs.last_mut()?;
        let same = output["output_type"] == "stream" && last["output_type"] == "stream" && last["name"] == output["name"];
        same.then(|| &mut last["text"])
    }
}

fn id(content: &Value) -> Option<&str> {
    content["transient"]["display_id"].as_str()
}

fn object(content: &Value, name: &str) -> Value {
    content[name].as_object().cloned().unwrap_or_else(Map::new).into()
}

/// A text and what is written after it, as a progress line means them: what follows a `\r` replaces the line.
fn settle(before: &str, after: &str) -> String {
    let (done, line) = before.rsplit_once('\n').map_or(("", before), |(done, line)| (done, line));
    let mut text = String::from(done);
    if before.contains('\n') {
        text.push('\n');
    }
    let mut line = line.to_string();
    for piece in after.replace("\r\n", "\n").split_inclusive(['\n', '\r']) {
        let (word, end) = match piece.strip_suffix(['\n', '\r']) {
            Some(word) => (word, piece.chars().next_back()),
            None => (piece, None),
        };
        if !word.is_empty() && line.ends_with('\r') {
            line.clear();
        }
        line.push_str(word);
        match end {
            Some('\r') => line.push('\r'),
            Some(_) => {
                text.push_str(line.trim_end_matches('\r'));
                text.push('\n');
                line.clear();
            }
            None => {}
        }
    }
    text + &line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Outputs;

    impl Outputs {
        /// The text of one stream.
        fn stream(&self, name: &str) -> String {
            self.outputs.iter().filter(|output| output["name"] == name).filter_map(|output| output["text"].as_str()).collect()
        }
    }

    fn stream(text: &str) -> serde_json::Value {
        json!({"name": "stdout", "text": text})
    }

    #[test]
    fn a_stream_grows_until_another_output_comes() {
        let mut outputs = Outputs::default();
        outputs.add("stream", &stream("a"));
        outputs.add("stream", &stream("b\n"));
        outputs.add("stream", &json!({"name": "stderr", "text": "e"}));
        outputs.add("stream", &stream("c"));
        assert_eq!(outputs.values().len(), 3);
        assert_eq!(outputs.stream("stdout"), "ab\nc");
    }

    #[test]
    fn a_progress_line_keeps_its_last_state() {
        let mut outputs = Outputs::default();
        for text in ["title\n", "\r 5%", "\r50%", "\r", "100%\n", "\rlong line\rab", "c\n", "one\r\ntwo"] {
            outputs.add("stream", &stream(text));
        }
        assert_eq!(outputs.stream("stdout"), "title\n100%\nabc\none\ntwo");
    }

    #[test]
    fn an_update_replaces_the_display_with_its_id() {
        let mut outputs = Outputs::default();
        let display = |text: &str, id: &str| json!({"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": id}});
        outputs.add("display_data", &display("one", "a"));
        outputs.add("display_data", &display("two", "b"));
        outputs.add("update_display_data", &display("three", "a"));
        outputs.add("update_display_data", &display("four", "unknown"));
        let texts: Vec<_> = outputs.values().iter().map(|output| output["data"]["text/plain"].as_str().unwrap().to_string()).collect();
        assert_eq!(texts, ["three", "two"]);
        assert_eq!(outputs.values()[0], json!({"output_type": "display_data", "data": {"text/plain": "three"}, "metadata": {}}));
    }

    #[test]
    fn clear_output_waits_when_it_is_told_to() {
        let mut outputs = Outputs::default();
        outputs.add("stream", &stream("a"));
        outputs.add("clear_output", &json!({"wait": true}));
        assert_eq!(outputs.stream("stdout"), "a");
        outputs.add("stream", &stream("b"));
        assert_eq!(outputs.stream("stdout"), "b");
        outputs.add("clear_output", &json!({"wait": false}));
        assert!(outputs.values().is_empty());
    }
}
