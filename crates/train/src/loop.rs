//! The one training loop, top to bottom, whatever the objective.
//!
//! All that it knows is in [`RunState`], the weights and the optimizer's moments; the three are
//! saved together. What a step does depends on nothing else (random streams are named by seed and
//! step), so that a run that was killed and resumed ends in the same bytes.

use crate::behind::Behind;
use crate::error::{Error, Result};
use crate::objective::{Objective, StepData};
use crate::observer::{Event, Observer, Stop};
use crate::prefetch::prefetch;
use crate::pretrain::OptimizerSettings;
use crate::schedule::factor;
use crate::stages::Stages;
use crate::state::{self, Best, RunState};
use polyseme_formats::run::{RunFolder, StepRow};
use polyseme_models::{Model, ParamInfo};
use polyseme_tensor::ops::optimizer::{AdamWState, AdamWStep, ParamRates, adamw_step, global_norm};
use polyseme_tensor::{Mode, Stream, Tensor};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Steps that may be skipped in a row before the run is given up.
pub const PATIENCE_WITH_NAN: u64 = 5;

/// Chooses the best validation and when to stop looking for a better one.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Name of the metric.
    pub metric: String,
    /// Whether more of it is better.
    pub more_is_better: bool,
    /// Validations without a better one before the run ends; 0: never.
    pub patience: u64,
}

/// What the loop is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Optimizer and schedule.
    pub optimizer: OptimizerSettings,
    /// Seconds of wall-clock; `None`: until the data end.
    pub budget: Option<f64>,
    /// Number of steps where it is known, for progress.
    pub total_steps: Option<u64>,
    /// Share of the run on short sequences, where the clock decides.
    pub short_share: f64,
    /// Steps between validations; 0: only at the end.
    pub valid_every: u64,
    /// Seconds between checkpoints.
    pub save_every_seconds: f64,
    /// Steps between checkpoints; 0: by time only.
    pub save_every_steps: u64,
    /// Checkpoints kept.
    pub keep: usize,
    /// Steps between rows.
    pub log_every: u64,
    /// Whether the best validation's weights are kept.
    pub selection: Option<Selection>,
    /// Where layers begin to be trained one after the other.
    pub stages: Option<Stages>,
    /// Root of all random streams of the run.
    pub stream: Stream,
}

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The data or the time are used up, or no better validation came.
    Finished,
    /// It was asked to stop; a checkpoint was saved.
    Interrupted,
}

/// What the loop works on.
pub struct Training<'a> {
    /// What it is told.
    pub plan: &'a Plan,
    /// The model.
    pub model: &'a mut Model,
    /// Moments.
    pub optimizer: AdamWState,
    /// What stands behind weights that become zero, where some do.
    pub behind: Option<&'a mut dyn Behind>,
    /// All else.
    pub state: RunState,
    /// Where rows and checkpoints go.
    pub folder: &'a mut RunFolder,
    /// Who is told.
    pub observer: &'a mut dyn Observer,
    /// Whether to stop.
    pub stop: &'a Stop,
    /// Raised when a run by the clock comes to its long sequences.
    pub lengthen: Arc<AtomicBool>,
    /// The best validation that the newest checkpoint names.
    pub saved_best: Option<u64>,
}

/// What one step came to.
struct StepOutcome {
    /// Sum of losses over targets.
    loss: f64,
    /// Norm of the mean gradient before clipping.
    norm: f64,
    /// Learning rate.
    rate: f64,
}

/// Wall-clock of the run, earlier parts included.
struct Clock {
    begun: Instant,
    before: f64,
}

impl Clock {
    fn seconds(&self) -> f64 {
        self.before + self.begun.elapsed().as_secs_f64()
    }
}

impl Training<'_> {
    /// Trains until the data, the time or the patience end, or until it is asked to stop.
    pub fn run<O: Objective>(
        &mut self,
        objective: &O,
        steps: impl Iterator<Item = StepData<O::Batch>> + Send,
    ) -> Result<End> {
        std::thread::scope(|scope| {
            let mut steps = prefetch(scope, steps);
            let clock = Clock { begun: Instant::now(), before: self.state.seconds };
            self.lengthen.store(self.state.lengthened, Ordering::Relaxed);
            self.measure(objective, &clock)?;
            let (mut saved_step, mut saved_at) = (self.state.step, clock.seconds());
            let mut upcoming = steps.next();
            let mut over = self.is_over(&clock);
            let mut waited = 0.0;

            while let Some(data) = upcoming.take_if(|_| !over) {
                if self.stop.requested() {
                    if saved_step != self.state.step {
                        self.save(&clock)?;
                    }
                    return Ok(End::Interrupted);
                }

                // Forward, backward, update.
                self.enter_stage();
                let begun = Instant::now();
                let progress = data.progress.unwrap_or_else(|| self.progress_by_clock(&clock));
                let outcome = self.step(objective, &data, progress);
                self.count(&data, &outcome, begun.elapsed().as_secs_f64())?;
                let begun = Instant::now();
                upcoming = steps.next();
                waited += begun.elapsed().as_secs_f64();
                self.state.seconds = clock.seconds();
                let last = upcoming.is_none() || self.is_over(&clock);

                // Validate.
                let step = self.state.step;
                let valid = last || self.plan.valid_every > 0 && step.is_multiple_of(self.plan.valid_every);
                if valid && (last || self.has_time_to_validate(&clock)) {
                    self.validate(objective, last)?;
                }
                over = last || self.is_over(&clock);

                // Log.
                self.state.seconds = clock.seconds();
                if over || self.state.valid_step == Some(step) || step.is_multiple_of(self.plan.log_every) {
                    self.log(&outcome)?;
                }
                self.tell_progress(&clock, progress);

                // Save.
                let due = self.plan.save_every_steps > 0 && step.is_multiple_of(self.plan.save_every_steps);
                if over || due || clock.seconds() - saved_at >= self.plan.save_every_seconds {
                    self.save(&clock)?;
                    (saved_step, saved_at) = (step, clock.seconds());
                }
            }
            let share = 100.0 * waited / clock.begun.elapsed().as_secs_f64();
            self.observer.event(Event::Note(&format!("{share:.1} % of the time was spent waiting for data")));
            Ok(End::Finished)
        })
    }

    /// Begins the next stage of gradual unfreezing where its first epoch has come, with fresh moments.
    fn enter_stage(&mut self) {
        let Some(stages) = self.plan.stages else { return };
        let stage = stages.of_epoch(self.state.position.epoch, self.model);
        if stage == self.state.stage {
            return;
        }
        stages.enter(stage, self.model);
        self.optimizer = AdamWState::default();
        (self.state.stage, self.state.since_best) = (stage, 0);
        let (epoch, tuned) = (self.state.position.epoch + 1, stages.tuned(stage, self.model));
        self.observer.event(Event::Note(&format!("from epoch {epoch} on, {tuned}")));
    }

    /// One optimizer step. The gradient is that of the mean loss over all targets of the step,
    /// however they are spread over batches.
    fn step<O: Objective>(&mut self, objective: &O, data: &StepData<O::Batch>, progress: f64) -> StepOutcome {
        let settings = &self.plan.optimizer;
        let dropout = self.plan.stream.named("dropout").at(self.state.step);
        let modes: Vec<Mode> = (0..data.batches.len()).map(|i| Mode::Train(dropout.at(i as u64))).collect();
        let joint = objective.joint(self.model, &data.batches, &modes);
        let mut sums: Option<(Tensor<1>, Vec<Tensor<1>>)> = None;
        for (i, (batch, &mode)) in data.batches.iter().zip(&modes).enumerate() {
            let loss = match &joint {
                Some(joint) => objective.surrogate(self.model, batch, mode, joint.gradients[i].clone()),
                None => objective.loss(self.model, batch, mode),
            };
            let mut grads = loss.backward();
            let grads = self.model.gradients(&mut grads);
            let loss = loss.without_autodiff();
            sums = Some(match sums {
                None => (loss, grads),
                Some((l, g)) => (l + loss, g.into_iter().zip(grads).map(|(a, b)| a + b).collect()),
            });
        }
        let (loss, mut grads) = sums.expect("a step has a batch");
        let loss = joint.map_or(loss, |joint| joint.loss);
        let targets = data.targets as f64;
        if let Some(behind) = &mut self.behind {
            behind.gradients(&mut grads);
        }
        let norm = global_norm(&grads) / targets;
        let share = factor(settings.schedule, settings.warmup, progress);
        let rate = settings.learning_rate * share;
        let outcome = StepOutcome { loss: f64::from(loss.into_scalar::<f32>()), norm, rate };
        if outcome.loss.is_finite() && norm.is_finite() {
            let clips = settings.max_grad_norm > 0.0 && norm > settings.max_grad_norm;
            let clip = if clips { settings.max_grad_norm / norm } else { 1.0 };
            self.update(grads, share, clip / targets);
        }
        outcome
    }

    /// AdamW over all trained parameters, at a share of the peak learning rate.
    fn update(&mut self, grads: Vec<Tensor<1>>, share: f64, gradient_scale: f64) {
        let settings = &self.plan.optimizer;
        let step = AdamWStep {
            learning_rate: settings.learning_rate * share,
            beta1: settings.beta1,
            beta2: settings.beta2,
            epsilon: settings.epsilon,
            weight_decay: settings.weight_decay,
            gradient_scale,
        };
        let layers = self.model.config().num_hidden_layers;
        let rates = |p: &ParamInfo| ParamRates { rate: settings.rate_of(p.group, layers), decay: p.decay };
        let each: Vec<ParamRates> = state::trained(self.model).iter().map(rates).collect();
        let mut values = self.model.take();
        if let Some(behind) = &mut self.behind {
            behind.before(&mut values, step, share);
        }
        let mut values = adamw_step(values, grads, &each, &mut self.optimizer, step);
        if let Some(behind) = &mut self.behind {
            self.state.sparsity = behind.after(&mut values, self.state.step + 1);
        }
        self.model.put(values);
    }

    /// Book-keeping of a step, and the end of patience with losses that are not finite.
    fn count<B>(&mut self, data: &StepData<B>, outcome: &StepOutcome, seconds: f64) -> Result<()> {
        let s = &mut self.state;
        s.step += 1;
        s.tokens += data.tokens;
        s.position = data.after;
        s.updates = self.optimizer.step;
        s.window.tokens += data.tokens;
        s.window.seconds += seconds;
        if outcome.loss.is_finite() && outcome.norm.is_finite() {
            s.window.loss += outcome.loss;
            s.window.targets += data.targets;
            s.window.norm = outcome.norm;
            s.skipped_in_a_row = 0;
            return Ok(());
        }
        s.skipped += 1;
        s.skipped_in_a_row += 1;
        let what = if outcome.loss.is_finite() { "the gradient" } else { "the loss" };
        self.observer.event(Event::Warning(&format!("step {}: {what} is not finite; the step was skipped", s.step)));
        if s.skipped_in_a_row >= PATIENCE_WITH_NAN {
            return Err(Error::Diverged { step: s.step, what, in_a_row: s.skipped_in_a_row });
        }
        Ok(())
    }

    /// Measures the model on held-out data, and keeps its weights if it is the best so far. Before enough of them are
    /// zero none is the best, unless the run ends.
    fn validate<O: Objective>(&mut self, objective: &O, last: bool) -> Result<()> {
        let begun = Instant::now();
        let metrics = objective.validate(self.model)?;
        self.state.validation_seconds = begun.elapsed().as_secs_f64();
        self.state.valid_step = Some(self.state.step);
        self.state.valid = metrics;
        let settled =
            self.behind.as_ref().is_none_or(|behind| behind.is_settled()) || last && self.state.best.is_none();
        let Some(selection) = self.plan.selection.as_ref().filter(|_| settled) else { return Ok(()) };
        let value = |name: &str| self.state.valid.get(name).map_or(f64::NAN, |v| *v);
        let score = if selection.more_is_better { value(&selection.metric) } else { -value(&selection.metric) };
        let found = Best { step: self.state.step, score, loss: value("loss") };
        let better = self
            .state
            .best
            .as_ref()
            .is_none_or(|best| found.score > best.score || found.score == best.score && found.loss < best.loss);
        if better {
            // Under a name of its own: the checkpoint that names the one before is still the newest.
            let path = best_path(self.folder, found.step);
            polyseme_formats::tensors::write_safetensors(&path, &self.model.to_tensors(), &Default::default())?;
            self.state.best = Some(found);
            self.state.since_best = 0;
        } else {
            self.state.since_best += 1;
        }
        Ok(())
    }

    /// Writes a row with the means since the last one; none if all steps since were skipped.
    fn log(&mut self, outcome: &StepOutcome) -> Result<()> {
        let s = &mut self.state;
        if s.window.targets == 0 {
            return Ok(());
        }
        let w = std::mem::take(&mut s.window);
        let measured = s.valid_step == Some(s.step);
        let row = StepRow {
            step: s.step,
            tokens: s.tokens,
            loss: w.loss / w.targets as f64,
            learning_rate: outcome.rate,
            grad_norm: w.norm,
            tokens_per_second: if w.seconds > 0.0 { w.tokens as f64 / w.seconds } else { 0.0 },
            seconds: s.seconds,
            valid: if measured { s.valid.clone() } else { Default::default() },
        };
        self.folder.log(&row)?;
        self.observer.event(Event::Step(&row));
        Ok(())
    }

    /// Saves a checkpoint; then weights of earlier best validations are needed no more.
    fn save(&mut self, clock: &Clock) -> Result<()> {
        let begun = Instant::now();
        self.state.seconds = clock.seconds();
        let more = self.behind.as_ref().map(|behind| behind.saved()).unwrap_or_default();
        state::save(self.folder, &self.state, self.model, &self.optimizer, &more, self.plan.keep)?;
        let best = self.state.best.as_ref().map(|b| b.step);
        remove_bests_but(self.folder, &[best, self.saved_best]);
        self.saved_best = best;
        self.state.saving_seconds = begun.elapsed().as_secs_f64();
        Ok(())
    }

    /// Before the first step of a run by the clock: what validation and saving will take. It also
    /// proves that a checkpoint can be written before the time is spent.
    fn measure<O: Objective>(&mut self, objective: &O, clock: &Clock) -> Result<()> {
        if self.plan.budget.is_none() || self.state.step > 0 {
            return Ok(());
        }
        self.state.validation_seconds = objective.validation_seconds(self.model)?;
        self.save(clock)
    }

    /// Seconds to keep for the end: validation, a checkpoint (a third of it again for the model
    /// folder, which has no moments), and a tenth for surprises.
    fn reserve(&self) -> f64 {
        1.1 * (self.state.validation_seconds + 1.34 * self.state.saving_seconds)
    }

    /// Seconds there are for steps, in a run by the clock.
    fn time_for_steps(&self) -> Option<f64> {
        self.plan.budget.map(|budget| (budget - self.reserve()).max(0.0))
    }

    fn progress_by_clock(&mut self, clock: &Clock) -> f64 {
        let all = self.time_for_steps().expect("only runs by the clock have data without progress");
        let progress = if all > 0.0 { (clock.seconds() / all).min(1.0) } else { 1.0 };
        if progress >= self.plan.short_share {
            self.state.lengthened = true;
            self.lengthen.store(true, Ordering::Relaxed);
        }
        progress
    }

    /// Whether time or patience are over. A run by the clock makes one step at least.
    fn is_over(&self, clock: &Clock) -> bool {
        let late = self.time_for_steps().is_some_and(|all| clock.seconds() >= all) && self.state.step > 0;
        let to_come = self.plan.stages.is_some_and(|stages| self.state.stage < stages.last(self.model));
        let patience = self.plan.selection.as_ref().filter(|_| !to_come).map_or(0, |s| s.patience);
        late || patience > 0 && self.state.since_best >= patience
    }

    fn has_time_to_validate(&self, clock: &Clock) -> bool {
        self.time_for_steps().is_none_or(|all| clock.seconds() + self.state.validation_seconds < all)
    }

    fn tell_progress(&mut self, clock: &Clock, progress: f64) {
        let (done, total) = match (self.plan.budget, self.plan.total_steps) {
            (Some(budget), _) => (clock.seconds().min(budget) as u64, budget as u64),
            (None, Some(total)) => (self.state.step, total),
            (None, None) => ((progress * 1_000.0) as u64, 1_000),
        };
        self.observer.event(Event::Progress { done, total });
    }
}

/// Where the weights of the best validation lie.
pub fn best_path(folder: &RunFolder, step: u64) -> PathBuf {
    folder.path().join(format!("best-{step}.safetensors"))
}

/// Removes the best weights that neither the newest checkpoint names nor the one before it. A file
/// that cannot be removed costs space, nothing else.
fn remove_bests_but(folder: &RunFolder, named: &[Option<u64>]) {
    let keep: Vec<PathBuf> = named.iter().flatten().map(|&step| best_path(folder, step)).collect();
    let Ok(entries) = std::fs::read_dir(folder.path()) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("best-") && name.ends_with(".safetensors") && !keep.contains(&path) {
            let _ = std::fs::remove_file(path);
        }
    }
}
