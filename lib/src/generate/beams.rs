//! One prompt → the best of several continuations that are followed at once: the beam search of transformers.

use crate::error::Result;
use crate::generate::config::GenerationConfig;
use crate::generate::sampler::{check_logits, log_softmax, rows};
use crate::generate::sequence::Generation;
use crate::models::causal::CausalLm;
use crate::models::decoder::Cache;
use crate::util::interrupt;

/// A continuation with the summed logarithms of its probabilities.
#[derive(Debug, Clone, Default)]
struct Beam {
    ids: Vec<u32>,
    log_probabilities: Vec<f64>,
    score: f64,
}

impl Beam {
    /// The score that lengths are compared by.
    fn rank(&self, penalty: f64) -> f64 {
        self.score / (self.ids.len() as f64).powf(penalty)
    }

    fn with(&self, id: u32, log_probability: f64, score: f64) -> Self {
        let mut next = self.clone();
        next.ids.push(id);
        next.log_probabilities.push(log_probability);
        next.score = score;
        next
    }
}

/// Score, beam, id, and the logarithm of the id's probability.
type Candidate = (f64, usize, u32, f64);

/// The `num_return_sequences` best continuations of `prompt` by `num_beams` beams, the best first.
pub fn beam_search(model: &CausalLm, prompt: &[u32], config: &GenerationConfig) -> Result<Vec<Generation>> {
    let room = model.config().max_position_embeddings() - prompt.len();
    let (width, limit) = (config.num_beams, config.max_new_tokens.min(room));
    let (mut beams, mut ended) = (vec![Beam::default()], Vec::<Beam>::new());
    let mut cache = Cache::new();
    while beams[0].ids.len() < limit {
        interrupt::check(format_args!("after {} of at most {limit} tokens", beams[0].ids.len()))?;
        let new: Vec<&[u32]> = beams.iter().map(|beam| beam.ids.last().map_or(prompt, std::slice::from_ref)).collect();
        let mut candidates: Vec<Candidate> = Vec::new();
        for (index, logits) in rows(&model.forward_cached_batch(&new, &mut cache)?)?.into_iter().enumerate() {
            check_logits(&logits)?;
            let own = log_softmax(&logits);
            let mut scores: Vec<f32> = own.iter().map(|p| *p as f32).collect();
            config.process_logits(&mut scores, &[prompt, &beams[index].ids].concat(), beams[index].ids.len());
            let of = |(id, score): (usize, &f32)| (beams[index].score + f64::from(*score), index, id as u32, own[id]);
            candidates.extend(scores.iter().enumerate().map(of));
        }
        // Twice as many as are followed, so that enough remain when the best ones end.
        let order = |a: &Candidate, b: &Candidate| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2)));
        let kept = width.saturating_mul(2);
        if candidates.len() > kept {
            candidates.select_nth_unstable_by(kept, order);
            candidates.truncate(kept);
        }
        candidates.sort_by(order);
        let (mut next, mut parents) = (Vec::new(), Vec::new());
        for (place, (score, parent, id, log_probability)) in candidates.into_iter().enumerate() {
            let beam = beams[parent].with(id, log_probability, score);
            if config.eos_token_id.contains(&id) {
                if place < width {
                    ended.push(beam);
                }
            } else if next.len() < width {
                next.push(beam);
                parents.push(parent);
            }
        }
        ended.sort_by(|a, b| b.rank(config.length_penalty).total_cmp(&a.rank(config.length_penalty)));
        ended.truncate(width);
        let finished = ended.len() == width
            && (config.early_stopping
                || next.iter().all(|beam| beam.rank(config.length_penalty) <= ended[width - 1].rank(config.length_penalty)));
        beams = next;
        if finished || beams.is_empty() {
            break;
        }
        cache.keep(&parents);
    }
    let count = ended.len();
    ended.extend(beams.into_iter().filter(|beam| count < width || beam.ids.len() == limit));
    ended.sort_by(|a, b| b.rank(config.length_penalty).total_cmp(&a.rank(config.length_penalty)));
    ended.truncate(config.num_return_sequences);
    let generation = |Beam { ids, log_probabilities, .. }| {
        let ended = ids.last().is_some_and(|id| config.eos_token_id.contains(id));
        Generation { ids, log_probabilities, ended }
    };
    Ok(ended.into_iter().map(generation).collect())
}
