//! Which heads and units of a model matter for a task.

use super::settings::FinetuneSettings;
use super::{prepare, seed};
use crate::error::Result;
use crate::objective::Objective;
use crate::observer::{Event, Observer, Stop};
use crate::sampler::Position;
use crate::tasks::Supervised;
use crate::tasks::rows::Steps;
use polyseme_models::cut::Importance;
use polyseme_tensor::{Device, Mode, Stream};

/// Rows a batch: the sign of a derivative is lost, so that few rows say more than the mean of many.
const BATCH: usize = 8;

/// The importance of heads and units of `settings.model` for its task, the mean over `rows` training rows in the
/// order of the seed's first epoch. One for each layer. `None`: it was asked to stop.
/// Stage reported: "importance".
///
/// # Errors
/// As [`super::finetune`], before it learns.
pub fn importance(
    settings: &FinetuneSettings,
    rows: usize,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &Stop,
) -> Result<Option<Vec<Importance>>> {
    settings.check()?;
    let device = device.clone().autodiff();
    let shared = prepare(settings, &device, observer)?.swap_remove(0);
    let (mut model, _) = seed::model(&shared, settings.seed)?;
    model.set_trainable(&|_| true);
    model.without_dropout();
    let objective = Supervised::new(&*shared.task, None);
    let train = shared.task.train();
    let steps = rows.min(train.len()).div_ceil(BATCH);
    observer.event(Event::Stage("importance"));
    let stream = Stream::new(settings.seed);
    let order = Steps::new(train, BATCH, 1, stream.named("order"), Position::default());
    let mut sum: Option<Vec<Importance>> = None;
    for (done, data) in order.take(steps).enumerate() {
        if stop.requested() {
            return Ok(None);
        }
        for batch in &data.batches {
            let mut gradients = objective.loss(&model, batch, Mode::Train(stream)).backward();
            let found = model.importance(&model.gradients(&mut gradients));
            sum = Some(match sum {
                None => found,
                Some(sum) => sum.into_iter().zip(found).map(|(a, b)| added(a, &b)).collect(),
            });
        }
        observer.event(Event::Progress { done: done as u64 + 1, total: steps as u64 });
    }
    let mut sum = sum.expect("a task has rows to learn from");
    let all = sum.iter_mut().flat_map(|layer| layer.heads.iter_mut().chain(&mut layer.units));
    all.for_each(|value| *value /= steps as f64);
    Ok(Some(sum))
}

fn added(mut a: Importance, b: &Importance) -> Importance {
    a.heads.iter_mut().zip(&b.heads).for_each(|(a, b)| *a += b);
    a.units.iter_mut().zip(&b.units).for_each(|(a, b)| *a += b);
    a
}
