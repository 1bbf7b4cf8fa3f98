//! Ids of sequences → a score for each label: transformers' `…ForSequenceClassification`, which is a reward model, too.

use candle_core::Var;

use crate::error::{Error, ErrorKind, Result};
use crate::models::causal::CausalLm;
use crate::models::labels::{Labels, SCORE};
use crate::nn::parameter::Parameter;
use crate::util::rng::Pcg64;

/// Ids that are scored together at most, but for a longer sequence.
const GROUP: usize = 512;

/// A model with a score for each of its labels. A clone shares the weights: training one trains the other.
#[derive(Debug, Clone)]
pub struct SequenceClassifier(CausalLm);

impl SequenceClassifier {
    /// A classifier on the layers of a language model, which it shares with that one; its scores begin random, normal with
    /// deviation 0.02, as transformers starts them. One label makes a reward model. The id that pads, or where the configuration names
    /// none the one that ends a text, is not scored at the end of a sequence, as in TRL.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for labels that are none, for a model with an adapter or in fewer bits, or when the device has no memory.
    pub fn new(base: &CausalLm, labels: &[&str], seed: u64) -> Result<Self> {
        let own = base.config().to_value("float32")["pad_token_id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let padding = own.or_else(|| base.config().eos_token_ids().first().copied());
        let labels = Labels::new(labels.iter().map(ToString::to_string).collect(), padding)?;
        if base.lora().is_some() || !base.packed().is_empty() || base.labels().is_some() {
            return Err(Error::new(ErrorKind::Model, "a classifier begins with the full weights of a language model, without an adapter")
                .hint("call merge_adapter(), or load the model with `AutoModelForCausalLM::from_pretrained`"));
        }
        let (mut random, width) = (Pcg64::new(seed), base.config().hidden_size());
        let score: Vec<f32> = (0..labels.names().len() * width).map(|_| (0.02 * random.next_normal()) as f32).collect();
        let score = Parameter::new(Var::from_vec(score, (labels.names().len(), width), base.device())?);
        let kept = labels.shapes(base.config());
        let mut weights: Vec<_> = base.weights().iter().filter(|(name, _)| kept.iter().any(|(kept, _)| kept == name)).cloned().collect();
        weights.push((SCORE.to_string(), score));
        Ok(Self(base.with_labels(labels, weights)))
    }

    /// A classifier that was loaded; none where the model writes text.
    pub(crate) fn loaded(model: CausalLm) -> Option<Self> {
        model.labels().is_some().then_some(Self(model))
    }

    /// The names of the labels.
    pub fn labels(&self) -> &[String] {
        self.0.labels().map_or(&[], Labels::names)
    }

    /// The layers and the scores; what is made for text refuses it.
    pub fn model(&self) -> &CausalLm {
        &self.0
    }

    /// The scores of sequences, one number a label, dropout off: logits, of which a softmax makes probabilities.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for a sequence without ids, with an id outside of the vocabulary, or longer than the model's positions.
    pub fn scores(&self, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        self.0.scores(&sequences.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// The probabilities of the labels of sequences.
    ///
    /// # Errors
    /// As [`SequenceClassifier::scores`].
    pub fn probabilities(&self, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let softmax = |scores: Vec<f32>| {
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
            let sum: f32 = powers.iter().sum();
            powers.iter().map(|power| power / sum).collect()
        };
        Ok(self.scores(sequences)?.into_iter().map(softmax).collect())
    }
}

impl CausalLm {
    /// The scores of sequences, one number a label; of a model with labels.
    ///
    /// # Errors
    /// As [`SequenceClassifier::scores`].
    pub(crate) fn scores(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        if let Some(place) = sequences.iter().position(|ids| ids.is_empty()) {
            return Err(
                Error::new(ErrorKind::Data, format!("sequence {place} has no ids to score")).hint("leave it out, or write the text")
            );
        }
        let mut scores = Vec::with_capacity(sequences.len());
        let unpadded = |ids: &&[u32]| self.labels().map_or(ids.len(), |labels| labels.unpadded(ids).len());
        let sequences: Vec<&[u32]> = sequences.iter().map(|ids| &ids[..unpadded(ids)]).collect();
        let mut rest = sequences.as_slice();
        while !rest.is_empty() {
            let mut ids = 0;
            let fits = rest.iter().take_while(|sequence| {
                ids += sequence.len();
                ids <= GROUP
            });
            let count = fits.count().max(1);
            let (part, after) = rest.split_at(count);
            let lengths: Vec<usize> = part.iter().map(|sequence| sequence.len()).collect();
            let rows = self.logits_of(&part.concat(), &lengths)?.to_vec2::<f32>()?;
            let mut end = 0;
            for length in lengths {
                end += length;
                scores.push(rows[end - 1].clone());
            }
            rest = after;
        }
        Ok(scores)
    }
}
