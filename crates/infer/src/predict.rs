//! Labels and numbers of texts, and the best of several choices.

use crate::batches::WINDOW;
use crate::encoder::values;
use crate::fill::head_name;
use crate::{Encoder, Error, Result, TextPair};
use polyseme_models::HeadKind;
use polyseme_tensor::Mode;
use polyseme_text::Encoding;

/// A classifier's answer.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Prediction {
    /// The most probable label.
    pub label: String,
    /// Its probability.
    pub score: f32,
    /// All probabilities in label order.
    pub scores: Vec<f32>,
}

impl Encoder {
    /// The labels a classifier chooses from, in order.
    ///
    /// # Errors
    /// No classification head.
    pub fn labels(&self) -> Result<Vec<String>> {
        match self.model.head() {
            HeadKind::Classify(labels) => Ok(labels),
            other => Err(Error::WrongHead {
                what: "labels",
                head: "a classification head",
                found: head_name(&other),
                task: "classify",
            }),
        }
    }

    /// Class of each text or pair, in order.
    ///
    /// # Errors
    /// No classification head, a tokenizer that is not the model's.
    pub fn predict(&self, texts: &[TextPair]) -> Result<Vec<Prediction>> {
        self.predict_cut(texts, None)
    }

    /// The same with inputs cut at `max_length` tokens.
    ///
    /// # Errors
    /// As [`Encoder::predict`], or a length the model cannot take.
    pub fn predict_cut(&self, texts: &[TextPair], max_length: Option<usize>) -> Result<Vec<Prediction>> {
        self.labels()?; // before anything is encoded
        let mut predictions = Vec::with_capacity(texts.len());
        for window in texts.chunks(WINDOW) {
            predictions.extend(self.predict_encoded(&self.encode(window, max_length)?)?);
        }
        Ok(predictions)
    }

    /// The same for texts that are encoded already.
    ///
    /// # Errors
    /// No classification head.
    pub fn predict_encoded(&self, encodings: &[Encoding]) -> Result<Vec<Prediction>> {
        let labels = self.labels()?;
        let mut found: Vec<Option<Prediction>> = vec![None; encodings.len()];
        self.for_each_batch(encodings, |members, batch| {
            let logits = self.model.sequence_outputs(batch, Mode::Eval); // (sequences, labels)
            for (row, &member) in values(logits).chunks_exact(labels.len()).zip(members) {
                found[member] = Some(prediction(row, &labels));
            }
            Ok(())
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The number of each text or pair that is encoded already, in order.
    ///
    /// # Errors
    /// No regression head.
    pub fn predict_numbers_encoded(&self, encodings: &[Encoding]) -> Result<Vec<f32>> {
        let head = self.model.head();
        if head != HeadKind::Regress {
            return Err(Error::WrongHead {
                what: "numbers",
                head: "a regression head",
                found: head_name(&head),
                task: "regress",
            });
        }
        let mut numbers = vec![0.0; encodings.len()];
        self.for_each_batch(encodings, |members, batch| {
            let found = self.model.sequence_outputs(batch, Mode::Eval); // (sequences, 1)
            for (number, &member) in values(found).into_iter().zip(members) {
                numbers[member] = number;
            }
            Ok(())
        })?;
        Ok(numbers)
    }

    /// The labels of a head for several, and the probability each must have.
    ///
    /// # Errors
    /// No such head.
    pub fn several_labels(&self) -> Result<(Vec<String>, Vec<f64>)> {
        match self.model.head() {
            HeadKind::MultiLabel(labels) => {
                let thresholds = self.model.thresholds().map_or(vec![0.5; labels.len()], <[f64]>::to_vec);
                Ok((labels, thresholds))
            }
            other => Err(Error::WrongHead {
                what: "several labels",
                head: "a head for several labels",
                found: head_name(&other),
                task: "multilabel",
            }),
        }
    }

    /// The probability of each label of each text or pair that is encoded already, in order.
    ///
    /// # Errors
    /// No head for several labels.
    pub fn predict_several_encoded(&self, encodings: &[Encoding]) -> Result<Vec<Vec<f32>>> {
        let (labels, _) = self.several_labels()?;
        let mut found = vec![Vec::new(); encodings.len()];
        self.for_each_batch(encodings, |members, batch| {
            let logits = self.model.sequence_outputs(batch, Mode::Eval); // (sequences, labels)
            for (row, &member) in values(logits).chunks_exact(labels.len()).zip(members) {
                found[member] = row.iter().map(|&x| sigmoid(x)).collect();
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// How probable each choice is: each text with its choices.
    ///
    /// # Errors
    /// No head for choices, a length the model cannot take.
    pub fn choose(&self, asked: &[(String, Vec<String>)], max_length: Option<usize>) -> Result<Vec<Vec<f32>>> {
        let head = self.model.head();
        if head != HeadKind::Choice {
            return Err(Error::WrongHead {
                what: "choices",
                head: "a head for choices",
                found: head_name(&head),
                task: "choice",
            });
        }
        let mut probabilities = Vec::with_capacity(asked.len());
        for part in asked.chunks(WINDOW / 4) {
            let pairs = part.iter().flat_map(|(text, choices)| choices.iter().map(|c| (text.clone(), Some(c.clone()))));
            let encodings = self.encode(&pairs.collect::<Vec<TextPair>>(), max_length)?;
            let mut scores = vec![0.0; encodings.len()];
            self.for_each_batch(&encodings, |members, batch| {
                let found = values(self.model.sequence_outputs(batch, Mode::Eval)); // (sequences, 1)
                members.iter().zip(found).for_each(|(&member, score)| scores[member] = score);
                Ok(())
            })?;
            let mut scores = scores.as_slice();
            for (_, choices) in part {
                let (of_this, rest) = scores.split_at(choices.len());
                probabilities.push(softmax(of_this));
                scores = rest;
            }
        }
        Ok(probabilities)
    }
}

fn prediction(logits: &[f32], labels: &[String]) -> Prediction {
    let scores = softmax(logits);
    let best = first_of_best(&scores);
    Prediction { label: labels[best].clone(), score: scores[best], scores }
}

/// The first of the greatest.
pub fn first_of_best(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = i;
        }
    }
    best
}

/// The probability of one logit.
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Probabilities of logits.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut scores: Vec<f32> = logits.iter().map(|x| (x - max).exp()).collect();
    let sum: f64 = scores.iter().map(|&x| f64::from(x)).sum();
    scores.iter_mut().for_each(|x| *x = (f64::from(*x) / sum) as f32);
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_bears_large_logits() {
        let p = softmax(&[1000.0, 1000.0, 0.0]);
        assert_eq!(p, [0.5, 0.5, 0.0]);
        let p = softmax(&[0.1, 0.7, -2.0, 3.0]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_first_of_equals_is_chosen() {
        let labels = ["a", "b", "c"].map(String::from);
        assert_eq!(prediction(&[0.0, 2.0, 2.0], &labels).label, "b");
    }
}
