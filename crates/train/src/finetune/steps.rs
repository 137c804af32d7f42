//! Ways to take the steps that contradict other settings.

use super::freeze::Freeze;
use super::settings::{FinetuneSettings, R_DROP_TASKS};
use crate::distil;
use crate::error::{Error, Result};
use crate::pretrain::settings::setting;
use crate::stages::Stages;
use crate::tasks::{Supervised, Task};
use polyseme_models::Model;

impl FinetuneSettings {
    /// Looks for contradictions with gradual unfreezing.
    pub(super) fn check_unfreezing(&self) -> Result<()> {
        if self.unfreeze_every == 0 {
            return Ok(());
        }
        let refused = |key, found: &str, why: &str| Err(setting(key, found, format!("{why} (unfreeze_every)")));
        if self.freeze != Freeze::Nothing {
            return refused("freeze", "given", "`nothing` where one layer after the other begins to be tuned");
        }
        let adapters =
            [("lora.rank", self.lora.rank), ("adapter_size", self.adapter_size), ("prefix_length", self.prefix_length)];
        if let Some((key, found)) = adapters.into_iter().find(|(_, found)| *found > 0) {
            return refused(key, &found.to_string(), "0 where the encoder's own weights are tuned");
        }
        if self.from_scratch {
            return refused("from_scratch", "true", "false where layers wait for their turn: these know nothing yet");
        }
        if ["similarity", "retrieval"].contains(&self.task.as_str()) {
            return refused("task", &self.task, "one with a head where the head is tuned first");
        }
        Ok(())
    }

    /// Looks for contradictions with two passes over each batch.
    pub(super) fn check_r_drop(&self) -> Result<()> {
        if !(self.r_drop >= 0.0 && self.r_drop.is_finite()) {
            return Err(setting("r_drop", self.r_drop, "0 or more"));
        }
        if self.r_drop > 0.0 && !R_DROP_TASKS.contains(&self.task.as_str()) {
            return Err(Error::NotOfTask { key: "r_drop", task: self.task.clone() });
        }
        if self.r_drop > 0.0 && self.task == "similarity" && self.similarity_loss == "cosent" {
            let why =
                "`cosine` where two passes over a row are to say the same (r_drop): the order is one of many rows";
            return Err(setting("similarity_loss", &self.similarity_loss, why));
        }
        if self.r_drop > 0.0 && self.freeze == Freeze::Encoder {
            let why = "0 where the encoder stays as it is: its hidden states are computed once, without dropout";
            return Err(setting("r_drop", self.r_drop, why));
        }
        Ok(())
    }

    /// Looks for contradictions with a teacher.
    pub(super) fn check_distil(&self) -> Result<()> {
        if self.distil.teacher.is_none() {
            return Ok(());
        }
        self.distil.check()?;
        if !distil::settings::TASKS.contains(&self.task.as_str()) {
            return Err(Error::NotOfTask { key: "distil.teacher", task: self.task.clone() });
        }
        if self.distil.wants_more_rows() && !distil::settings::LABEL_ROWS.contains(&self.task.as_str()) {
            let key = if self.distil.augment > 0 { "augment" } else { "unlabelled" };
            return Err(Error::NotOfTask { key, task: self.task.clone() });
        }
        let by_order = self.task == "similarity" && self.similarity_loss == "cosent";
        let refused = [
            ("r_drop", self.r_drop > 0.0),
            ("mix_layers", self.mix_layers),
            ("prefix_length", self.prefix_length > 0),
            ("freeze", self.freeze == Freeze::Encoder),
            ("similarity_loss", by_order && self.distil.looks_inside()),
        ];
        match refused.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(setting(key, "given", "left out where a teacher is imitated")),
            None => Ok(()),
        }
    }

    /// Looks for contradictions with weights that become zero, and with gates.
    pub(super) fn check_sparse(&self) -> Result<()> {
        self.sparse.check()?;
        self.gates.check()?;
        if !self.sparse.is_on() && !self.gates.is_on() {
            return Ok(());
        }
        let refused = [
            ("gates", self.gates.is_on() && (self.sparse.is_on() || self.folds > 0)),
            ("freeze", self.freeze != Freeze::Nothing && self.freeze != Freeze::Embeddings),
            ("unfreeze_every", self.unfreeze_every > 0),
            ("lora.rank", self.lora.rank > 0),
            ("adapter_size", self.adapter_size > 0),
            ("prefix_length", self.prefix_length > 0),
        ];
        match refused.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => {
                Err(setting(key, "given", "left out where weights of all layers become zero (sparse, gates)"))
            }
            None => Ok(()),
        }
    }

    /// Whether the model learns to stand in 8 bits.
    pub(super) fn quantizes(&self) -> bool {
        self.quantize == "int8"
    }

    /// Looks for contradictions with learning to stand in 8 bits.
    pub(super) fn check_quantize(&self) -> Result<()> {
        if !["none", "int8"].contains(&self.quantize.as_str()) {
            return Err(setting("quantize", &self.quantize, "`none` or `int8`"));
        }
        let refused = [
            ("freeze", self.freeze == Freeze::Encoder),
            ("lora.rank", self.lora.rank > 0),
            ("adapter_size", self.adapter_size > 0),
            ("prefix_length", self.prefix_length > 0),
            ("sparse", self.sparse.is_on()),
        ];
        match refused.into_iter().find(|(_, given)| self.quantizes() && *given) {
            Some((key, _)) => {
                Err(setting(key, "given", "left out where the maps of all layers learn to stand in 8 bits"))
            }
            None => Ok(()),
        }
    }

    /// Errors where two passes would say the same.
    pub(super) fn check_dropout(&self, model: &Model, task: &dyn Task) -> Result<()> {
        if self.r_drop == 0.0 || Supervised::new(task, None).drops(model) {
            return Ok(());
        }
        Err(setting("r_drop", self.r_drop, "0 with a model without dropout: two passes would say the same"))
    }

    /// The stages of gradual unfreezing, if there are any.
    pub(super) fn stages(&self) -> Option<Stages> {
        (self.unfreeze_every > 0).then_some(Stages { epochs: self.unfreeze_every })
    }

    /// What gradual unfreezing does, and what it does not come to; nothing without it.
    pub(super) fn told_of_stages(&self, model: &Model) -> Option<String> {
        let stages = self.stages()?;
        let each = if stages.epochs == 1 { "each epoch".to_owned() } else { format!("each {} epochs", stages.epochs) };
        let (reached, last) = (stages.of_epoch(self.epochs - 1, model), stages.last(model));
        let end = match reached == last {
            true => format!("everything from epoch {} on", last * stages.epochs + 1),
            false => format!("{} epochs end while {}", self.epochs, stages.tuned(reached, model)),
        };
        Some(format!("the head is tuned alone at first, then one more layer from the top {each}: {end}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_an_older_run_have_none_of_it() {
        let settings = FinetuneSettings::classify("m", "t.csv", "o");
        let mut table = toml::Table::try_from(&settings).unwrap();
        for key in ["unfreeze_every", "r_drop", "folds", "quantize"] {
            assert!(table.remove(key).is_some(), "{key}");
        }
        assert_eq!(table.try_into::<FinetuneSettings>().unwrap(), settings);
    }
}
