//! Which heads, units and channels of a model matter for a task.

use super::settings::FinetuneSettings;
use super::{prepare, seed};
use crate::error::Result;
use crate::objective::Objective;
use crate::observer::{Event, Observer, Stop};
use crate::sampler::Position;
use crate::tasks::Supervised;
use crate::tasks::rows::Steps;
use polyseme_models::cut::Importances;
use polyseme_tensor::{Device, Mode, Stream};

/// Rows a batch: the sign of a derivative is lost, so that few rows say more than the mean of many.
const BATCH: usize = 8;

/// The importance of heads, units and channels of `settings.model` for its task, the mean over `rows` training rows in
/// the order of the seed's first epoch. `None`: it was asked to stop.
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
) -> Result<Option<Importances>> {
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
    let mut sum: Option<Importances> = None;
    for (done, data) in order.take(steps).enumerate() {
        if stop.requested() {
            return Ok(None);
        }
        for batch in &data.batches {
            let mut gradients = objective.loss(&model, batch, Mode::Train(stream)).backward();
            let found = model.importance(&model.gradients(&mut gradients));
            sum = Some(match sum {
                None => found,
                Some(sum) => added(sum, &found),
            });
        }
        observer.event(Event::Progress { done: done as u64 + 1, total: steps as u64 });
    }
    let mut sum = sum.expect("a task has rows to learn from");
    values(&mut sum).for_each(|value| *value /= steps as f64);
    Ok(Some(sum))
}

/// All values, in order.
fn values(of: &mut Importances) -> impl Iterator<Item = &mut f64> {
    of.layers.iter_mut().flat_map(|layer| layer.heads.iter_mut().chain(&mut layer.units)).chain(&mut of.width)
}

fn added(mut a: Importances, b: &Importances) -> Importances {
    values(&mut a).zip(values(&mut b.clone())).for_each(|(a, b)| *a += *b);
    a
}
