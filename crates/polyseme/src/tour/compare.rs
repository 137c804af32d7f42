//! Both ways of learning the task, measured alike: from the pre-trained encoder, and from scratch.

use super::files::Files;
use super::outcome::{ArmOutcome, TaskOutcome};
use super::recipe::{self, MAX_LENGTH, RATES, SEEDS};
use super::task::{Row, Task};
use polyseme_infer::Encoder;
use polyseme_models::HeadKind;
use polyseme_tensor::Device;
use polyseme_train::metrics::ClassifyMetrics;
use polyseme_train::{Event, FinetuneSettings, Observer, Stop};
use std::path::Path;

/// Everything that both arms share.
pub struct Comparison<'a> {
    /// Where things lie.
    pub files: &'a Files,
    /// The rows.
    pub task: &'a Task,
    /// Passes over the rows.
    pub epochs: u64,
    /// First seed.
    pub seed: u64,
    /// Where to compute.
    pub device: &'a Device,
    /// Asked for by Ctrl-C.
    pub stop: &'a Stop,
}

/// An arm with what its report needs.
struct Arm {
    outcome: ArmOutcome,
    /// Test metrics of the median seed.
    metrics: ClassifyMetrics,
    settings: FinetuneSettings,
}

impl Comparison<'_> {
    /// Runs both arms; `None` if it was asked to stop. The classifier of the pre-trained arm stays in
    /// [`Files::classifier`].
    pub fn run(&self, observer: &mut dyn Observer) -> anyhow::Result<Option<TaskOutcome>> {
        observer.event(Event::Stage("learn the task"));
        let mut runs = Runs { inner: observer, begun: 0, all: recipe::runs() };
        let Some(pretrained) = self.arm(false, &mut runs)? else { return Ok(None) };
        let Some(scratch) = self.arm(true, &mut runs)? else { return Ok(None) };
        let io = |source| polyseme_formats::Error::Io { action: "move", path: self.files.classifier.clone(), source };
        std::fs::rename(&pretrained.settings.out, &self.files.classifier).map_err(io)?;
        // Nobody needs the runs in between; what cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(&self.files.work);
        let task = self.task;
        let every = (task.test.len() / 8).max(1);
        let examples = task.test.iter().step_by(every).map(|r| (r.text.clone(), task.labels[r.label].clone()));
        Ok(Some(TaskOutcome {
            question: String::new(),
            labels: task.labels.clone(),
            rows: (task.train.len(), task.valid.len(), task.test.len()),
            examples: examples.collect(),
            arms: vec![pretrained.outcome, scratch.outcome],
            metrics: pretrained.metrics,
        }))
    }

    /// Tries each learning rate with one seed, takes the best on the validation rows, goes on with all
    /// seeds, and only then looks at the test rows.
    fn arm(&self, from_scratch: bool, runs: &mut Runs<'_>) -> anyhow::Result<Option<Arm>> {
        let name = if from_scratch { "from scratch" } else { "pre-trained" };
        let mut tried: Vec<(f64, f64)> = Vec::new();
        for rate in RATES {
            let settings = recipe::finetuning(self.files, from_scratch, rate, self.epochs, self.seed);
            let outcome = polyseme_train::finetune(&settings, false, self.device, runs, self.stop)?;
            if outcome.interrupted {
                return Ok(None);
            }
            tried.push((rate, outcome.results[0].valid.get("accuracy").expect("of a classifier")));
        }
        // Of equals the smallest rate.
        let best = tried.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a }).expect("rates are tried");
        let mut settings = recipe::finetuning(self.files, from_scratch, best.0, self.epochs, self.seed);
        settings.seeds = SEEDS;
        runs.begun -= 1; // the first seed is there already, and will be named again
        let outcome = polyseme_train::finetune(&settings, true, self.device, runs, self.stop)?;
        if outcome.interrupted {
            return Ok(None);
        }
        let mut seeds: Vec<(u64, ClassifyMetrics)> = Vec::new();
        for result in &outcome.results {
            let model = settings.out.join("run").join(format!("seed-{}", result.seed));
            seeds.push((result.seed, self.measure(&model)?));
        }
        let results = seeds.iter().map(|(seed, m)| (*seed, m.accuracy, m.macro_f1)).collect();
        let outcome = ArmOutcome::new(name, tried, best.0, results);
        // The seed whose result is nearest to the median, for the report's mistakes.
        let distance = |m: &ClassifyMetrics| (m.accuracy - outcome.median).abs();
        let metrics = seeds.into_iter().map(|s| s.1).reduce(|a, b| if distance(&b) < distance(&a) { b } else { a });
        Ok(Some(Arm { outcome, metrics: metrics.expect("there are seeds"), settings }))
    }

    /// A classifier's answers to the test rows.
    fn measure(&self, model: &Path) -> anyhow::Result<ClassifyMetrics> {
        let encoder = Encoder::open_on(model, HeadKind::AsFound, self.device)?;
        let labels = encoder.labels()?;
        let texts: Vec<_> = self.task.test.iter().map(|r: &Row| (r.text.clone(), None)).collect();
        let number = |name: &str| labels.iter().position(|l| l == name).expect("labels of the same rows");
        let truth: Vec<usize> = self.task.test.iter().map(|r| number(&self.task.labels[r.label])).collect();
        let answers = encoder.predict_cut(&texts, Some(MAX_LENGTH))?;
        let loss: f32 = answers.iter().zip(&truth).map(|(a, t)| -a.scores[*t].max(f32::MIN_POSITIVE).ln()).sum();
        let given: Vec<usize> = answers.iter().map(|a| number(&a.label)).collect();
        Ok(ClassifyMetrics::new(&labels, &truth, &given, f64::from(loss) / truth.len() as f64))
    }
}

/// Shows many short runs as one stage.
struct Runs<'a> {
    inner: &'a mut dyn Observer,
    /// Runs that have begun.
    begun: u64,
    all: u64,
}

impl Observer for Runs<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Stage(name) if name.starts_with("fine-tune") => self.begun += 1,
            Event::Progress { done, total } if total > 0 && self.begun > 0 => {
                let done = (self.begun - 1) * 1000 + done * 1000 / total;
                self.inner.event(Event::Progress { done, total: self.all * 1000 });
            }
            Event::Warning(_) => self.inner.event(event),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_runs_are_one_progress() {
        struct Seen(Vec<(u64, u64)>);
        impl Observer for Seen {
            fn event(&mut self, event: Event<'_>) {
                if let Event::Progress { done, total } = event {
                    self.0.push((done, total));
                }
            }
        }
        let mut seen = Seen(Vec::new());
        let mut runs = Runs { inner: &mut seen, begun: 0, all: 4 };
        for _ in 0..2 {
            runs.event(Event::Stage("encode"));
            runs.event(Event::Stage("fine-tune, seed 1"));
            runs.event(Event::Progress { done: 5, total: 10 });
        }
        assert_eq!(seen.0, [(500, 4000), (1500, 4000)]);
    }
}
