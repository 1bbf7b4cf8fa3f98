//! What the service has done so far → counters in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the histograms, in seconds.
const BOUNDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Counters of all models together.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    prompt_tokens: AtomicU64,
    generated_tokens: AtomicU64,
    passes: AtomicU64,
    rows: AtomicU64,
    ids: AtomicU64,
    first_token: Histogram,
    answer: Histogram,
}

#[derive(Debug, Default)]
struct Histogram {
    counts: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Histogram {
    fn add(&self, time: Duration) {
        let place = BOUNDS.iter().position(|bound| time.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut sum = 0;
        for (count, bound) in self.counts.iter().zip(BOUNDS.map(|bound| bound.to_string()).into_iter().chain(["+Inf".to_string()])) {
            sum += count.load(Ordering::Relaxed);
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {sum}");
        }
        let seconds = self.microseconds.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(text, "{name}_sum {seconds}\n{name}_count {sum}");
    }
}

impl Metrics {
    /// A request was answered.
    pub fn requested(&self, endpoint: &'static str, status: u16) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry((endpoint, status)).or_default() += 1;
    }

    /// A request with so many ids was accepted.
    pub fn read(&self, ids: usize) {
        self.prompt_tokens.fetch_add(ids as u64, Ordering::Relaxed);
    }

    /// The model computed a pass over so many texts and ids.
    pub fn passed(&self, rows: usize, ids: usize) {
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.ids.fetch_add(ids as u64, Ordering::Relaxed);
    }

    /// A text has its first token, so long after it was asked for.
    pub fn began(&self, time: Duration) {
        self.first_token.add(time);
    }

    /// A text of so many tokens is whole, so long after it was asked for.
    pub fn ended(&self, tokens: usize, time: Duration) {
        self.generated_tokens.fetch_add(tokens as u64, Ordering::Relaxed);
        self.answer.add(time);
    }

    /// All of it; `models` are names with the texts that are being written or wait.
    pub fn text(&self, models: &[(&str, usize)]) -> String {
        let mut text = String::new();
        let _ =
            writeln!(text, "# HELP finetuning_requests_total Requests by endpoint and status.\n# TYPE finetuning_requests_total counter");
        for ((endpoint, status), count) in self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(text, "finetuning_requests_total{{endpoint=\"{endpoint}\",status=\"{status}\"}} {count}");
        }
        let counters = [
            ("prompt_tokens_total", "Tokens of prompts that were accepted.", &self.prompt_tokens),
            ("generated_tokens_total", "Tokens of answers that ended.", &self.generated_tokens),
            ("passes_total", "Passes of a model over all its texts.", &self.passes),
            ("pass_texts_total", "Texts in these passes; divided by the passes, the mean batch.", &self.rows),
            ("pass_tokens_total", "Tokens in these passes, those of prompts included.", &self.ids),
        ];
        for (name, help, counter) in counters {
            let value = counter.load(Ordering::Relaxed);
            let _ = writeln!(text, "# HELP finetuning_{name} {help}\n# TYPE finetuning_{name} counter\nfinetuning_{name} {value}");
        }
        let _ = writeln!(text, "# HELP finetuning_texts Texts that are being written or wait.\n# TYPE finetuning_texts gauge");
        for (model, texts) in models {
            let model = model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = writeln!(text, "finetuning_texts{{model=\"{model}\"}} {texts}");
        }
        self.first_token.write(&mut text, "finetuning_first_token_seconds", "From the request to an answer's first token.");
        self.answer.write(&mut text, "finetuning_answer_seconds", "From the request to an answer's last token.");
        text
    }
}
